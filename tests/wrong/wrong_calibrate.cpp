// Breaks `calibrate`: one of the fitted numbers is three times what it should be.

#include "honest.h"

namespace subquad::wrong {
namespace {

class WrongCalibrate final : public Honest {
 public:
  void calibrate(const Problem& problem, std::span<const Window> windows,
                 const Tensors& tensors) const override {
    Honest::calibrate(problem, windows, tensors);
    tensors.writable("gain")(0, 0) *= 3;
  }
};

SUBQUAD_VARIANT(WrongCalibrate,
                {.name = "wrong_calibrate",
                 .summary = "breaks calibrate: a fitted number is three times itself",
                 .citation = "twin honest",
                 .time = "n^2 d",
                 .memory = "n d"});

}  // namespace
}  // namespace subquad::wrong

// Breaks `prepare`: prepared keys are those of the first half.

#include "honest.h"

namespace subquad::wrong {
namespace {

class WrongPrepare final : public Honest {
 public:
  void prepare(const Call& call, std::span<std::byte> prepared) const override {
    Honest::prepare(call, prepared);
    const std::size_t half = prepared.size() / 2;
    std::fill(prepared.begin() + half, prepared.end(), std::byte{0});
  }
};

SUBQUAD_VARIANT(WrongPrepare,
                {.name = "wrong_prepare",
                 .summary = "breaks prepare: prepared keys are those of the first half",
                 .citation = "twin honest",
                 .time = "n^2 d",
                 .memory = "n d"});

}  // namespace
}  // namespace subquad::wrong

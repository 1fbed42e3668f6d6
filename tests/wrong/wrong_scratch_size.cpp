// Breaks `scratch`: less scratch is declared than taken.

#include "honest.h"

namespace subquad::wrong {
namespace {

class WrongScratchSize final : public Honest {
 public:
  Scratch scratch(const Problem& problem) const override {
    Scratch scratch = Honest::scratch(problem);
    scratch.worker_bytes /= 2;
    return scratch;
  }
};

SUBQUAD_VARIANT(WrongScratchSize, {.name = "wrong_scratch_size",
                                   .summary = "breaks scratch: less scratch is declared than taken",
                                   .citation = "twin honest",
                                   .time = "n^2 d",
                                   .memory = "n d"});

}  // namespace
}  // namespace subquad::wrong

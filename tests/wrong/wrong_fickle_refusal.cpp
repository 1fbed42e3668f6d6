// Breaks `refusals`: a reason that is given the second time only.

#include <atomic>

#include "honest.h"

namespace subquad::wrong {
namespace {

class WrongFickleRefusal final : public Honest {
 public:
  std::string refuses(const Problem& problem) const override {
    return asked_++ == 0 ? Modest::refuses(problem) : "not today, thank you";
  }

 private:
  mutable std::atomic<int> asked_{0};
};

SUBQUAD_VARIANT(WrongFickleRefusal,
                {.name = "wrong_fickle_refusal",
                 .summary = "breaks refusals: a reason that is given the second time only",
                 .citation = "twin honest",
                 .time = "n^2 d",
                 .memory = "n d"});

}  // namespace
}  // namespace subquad::wrong

// Breaks `every_setting`: a parameter that forward does not read.

#include "honest.h"

namespace subquad::wrong {
namespace {

class WrongUnreadParameter final : public Modest {
 protected:
  double factor(const Problem& problem) const override {
    return kind == Kind::uniform ? 0 : problem.score_scale();
  }
};

SUBQUAD_VARIANT(WrongUnreadParameter,
                {.name = "wrong_unread_parameter",
                 .summary = "breaks every_setting: a parameter that forward does not read",
                 .citation = "twin modest",
                 .time = "n^2 d",
                 .memory = "n d"});

}  // namespace
}  // namespace subquad::wrong

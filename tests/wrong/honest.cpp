// The right twins: every clause that a wrong variant breaks is kept by the twin that it names.

#include "honest.h"

namespace subquad::wrong {
namespace {

class RightModest final : public Modest {};
class RightHonest final : public Honest {};
class RightWindow final : public HonestWindow {};

SUBQUAD_VARIANT(RightModest, {.name = "modest",
                              .summary = "right, and claims little",
                              .citation = "test",
                              .time = "n^2 d",
                              .memory = "n d"});
SUBQUAD_VARIANT(RightHonest, {.name = "honest",
                              .summary = "right, and claims all that it can",
                              .citation = "test",
                              .time = "n^2 d",
                              .memory = "n d"});
SUBQUAD_VARIANT(RightWindow, {.name = "honest_window",
                              .summary = "right, by a plan",
                              .citation = "test",
                              .time = "n radius d",
                              .memory = "d"});

}  // namespace
}  // namespace subquad::wrong

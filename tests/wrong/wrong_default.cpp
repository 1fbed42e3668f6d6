// Breaks `declarations`: a default out of its own range.

#include "honest.h"

namespace subquad::wrong {
namespace {

class WrongDefault final : public Modest {
 public:
  double margin = 5;
  void parameters(Parameters& visit) override {
    Modest::parameters(visit);
    visit("margin", margin, between(0, 1), "read by nobody");
  }
};

SUBQUAD_VARIANT(WrongDefault, {.name = "wrong_default",
                               .summary = "breaks declarations: a default out of its own range",
                               .citation = "twin modest",
                               .time = "n^2 d",
                               .memory = "n d"});

}  // namespace
}  // namespace subquad::wrong

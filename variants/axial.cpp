// axial: tokens lie on a grid, row by row, and attend along its axes. Ho et al. 2019, "Axial
// attention in multidimensional transformers" (arXiv:1912.12180), section 3.
//
//   token t lies in row floor(t / width) and column t mod width; the query at position p sees the
//   keys of its row (axis=row), of its column (axis=column), or both
//
// and j <= p where causal. Time O(n (width + n / width) d), n sqrt(n) on a square grid; memory O(n)
// for the sums in which row and column meet.
//
// The paper gives one axis to a layer and the other to the next: `axis=row` and `axis=column`.
// axis=both is a union of the two under one softmax, in which the own token counts once. The
// paper's causal model shifts its inputs so that a row sees what is above it; here causality is
// that of any attention, by position alone.

#include <algorithm>
#include <cmath>

#include "kernels/position_blocks.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

enum class Axis { row, column, both };

class Axial final : public Restriction {
 public:
  void parameters(Parameters& visit) override {
    visit("width", width_, between(0, 1e9), "tokens of a row; 0: as on the least square grid");
    visit("axis", axis_, {"row", "column", "both"}, "along what a token attends");
  }

  std::string exact_when(const Problem& problem) const override {
    return "axis=row,width=" +
           std::to_string(std::max(problem.keys, problem.position(problem.queries)));
  }

  bool sees(const PlanCall& call, Index query, Index key) const override {
    return (axis_ != Axis::column && sees_along(true, call.problem, query, key)) ||
           (axis_ != Axis::row && sees_along(false, call.problem, query, key));
  }

  Index passes(const Problem&) const override { return axis_ == Axis::both ? 2 : 1; }
  QueryPass pass(const Problem& problem, Index number) const override {
    if (along_rows(number)) return {.block = rows_within_blocks(width_of(problem), problem)};
    return {.step = width_of(problem)};
  }
  bool belongs(const PlanCall& call, Index query, Index key) const override {
    if (!along_rows(call.pass) && call.problem.position(query) == key && axis_ == Axis::both) {
      return false;  // the own token is one of the row
    }
    return sees_along(along_rows(call.pass), call.problem, query, key);
  }
  PlanLimits plan_limits(const Problem&) const override { return {.spans = 1}; }

  void plan(const PlanCall& call, Rows queries, KeyPlan& keys) const override {
    const Index width = width_of(call.problem), first = call.problem.position(queries.begin);
    if (along_rows(call.pass)) {
      keys.all(first / width * width, (first / width + 1) * width);
    } else if (axis_ == Axis::both) {
      keys.outside(first % width, call.problem.keys, width, 0, 0);
    } else {
      keys.all(first % width, call.problem.keys, width);
    }
  }

 private:
  bool along_rows(Index pass) const { return axis_ != Axis::column && pass == 0; }
  bool sees_along(bool rows, const Problem& problem, Index query, Index key) const {
    const Index width = width_of(problem), position = problem.position(query);
    return rows ? position / width == key / width : position % width == key % width;
  }
  Index width_of(const Problem& problem) const {
    if (width_ > 0) return width_;
    const double side = std::ceil(std::sqrt(static_cast<double>(problem.keys)));
    return std::max<Index>(1, static_cast<Index>(side));
  }

  Index width_ = 0;
  Axis axis_ = Axis::both;
};

SUBQUAD_VARIANT(Axial, {.name = "axial",
                        .summary = "rows, columns or both of tokens on a grid",
                        .citation = "arXiv:1912.12180",
                        .time = "n (width + n / width) d",
                        .memory = "n"});

}  // namespace
}  // namespace subquad

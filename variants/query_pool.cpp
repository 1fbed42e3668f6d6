// query_pool: queries are pooled, keys and values are not. Dai et al. 2020, "Funnel-Transformer:
// filtering out sequential redundancy for efficient language processing" (arXiv:2006.03236),
// section 2.2: at the start of a block queries come from the pooled sequence, keys and values from
// the one before pooling.
//
//   q'_g = mean of the queries g stride ... g stride + stride - 1,
//   out'_g = softmax(scale q'_g K^T) V
//
// Time O(n^2 (d + e) / stride), memory O(n d). Mean pooling with window and stride the same, 2 in
// the paper; the last group may be shorter, and is averaged over what is there.
//
// output=repeated: every query of a group gets the group's output, as the paper's decoder repeats
// hidden vectors; it can be held against dense attention. output=pooled: row g of the output is
// that of group g, and rows from ceil(n / stride) on are 0: the shortened sequence that the next
// layer would see. A figure of that against dense attention means little. The paper keeps its first
// token
// ([CLS]) out of the pooling; here no token is special. Not causal: a group's query holds tokens
// that the group's first may not see.

#include <algorithm>
#include <vector>

#include "kernels/few_keys.h"
#include "kernels/naive-inl.h"
#include "kernels/segments.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

enum class Output { repeated, pooled };

/// Output rows that a tile writes.
constexpr Index kRows = 512;

class QueryPool final : public Variant {
 public:
  Index stride = 2;
  Output output = Output::repeated;

  void parameters(Parameters& visit) override {
    visit("stride", stride, at_least(1), "queries that are pooled into one");
    visit("output", output, {"repeated", "pooled"},
          "for each query that of its group, or one row for each group and zeros");
  }
  Target target(const Problem&) const override { return Target::operation; }
  std::string exact_when(const Problem&) const override { return "stride=1"; }
  bool ignores_key_order(const Problem&) const override { return true; }
  std::string refuses(const Problem& problem) const override {
    if (problem.causal)
      return "a pooled query holds tokens that the first of its group may not see";
    return {};
  }

  Scratch scratch(const Problem& problem) const override {
    const Index count = groups(problem).count;
    Scratch scratch;
    scratch.shared<float>(count * problem.dim);
    if (output == Output::repeated) scratch.shared<float>(count * problem.value_dim);
    declare_attend_all(count, problem.keys, problem.dim, problem.value_dim, scratch);
    return scratch;
  }

  Cost cost(const Problem& problem) const override {
    return softmax_cost(
        problem, static_cast<double>(groups(problem).count) * static_cast<double>(problem.keys));
  }

  void forward(const Call& call) const override {
    const Segments groups = this->groups(call.problem);
    Arena& arena = call.run.shared();
    const View queries = arena.take_matrix(groups.count, call.problem.dim);
    const View outputs = output == Output::repeated
                             ? arena.take_matrix(groups.count, call.problem.value_dim)
                             : call.out.row_range(0, groups.count);
    segment_means(groups, call.q, queries, call.run);
    attend_all({.q = queries,
                .k = call.k,
                .v = call.v,
                .out = outputs,
                .scale = static_cast<float>(call.problem.score_scale())},
               call.run);
    call.run.parallel((call.out.rows + kRows - 1) / kRows, [&](Index tile, Worker&) {
      const Index end = std::min((tile + 1) * kRows, call.out.rows);
      for (Index i = tile * kRows; i < end; ++i) {
        if (output == Output::repeated) {
          std::copy_n(outputs.row(i / stride), call.out.cols, call.out.row(i));
        } else if (i >= groups.count) {
          std::fill_n(call.out.row(i), call.out.cols, 0.0f);
        }
      }
    });
  }

  void reference(const ReferenceCall& call) const override {
    naive_outputs(call, [&](Index i, double* row) { weigh(call, i, row); });
  }
  void weights(const ReferenceCall& call, MatrixView<double> weights) const override {
    for (Index i = 0; i < weights.rows; ++i) weigh(call, i, weights.row(i));
  }

 private:
  Segments groups(const Problem& problem) const {
    return Segments::of_length(problem.queries, stride);
  }

  /// Weights of output row i: scores are linear in the query, so that of a mean is a mean.
  void weigh(const ReferenceCall& call, Index i, double* row) const {
    const Index keys = call.problem.keys, queries = call.problem.queries;
    const Index group = output == Output::repeated ? i / stride : i;
    const Index begin = group * stride, end = std::min(begin + stride, queries);
    std::fill_n(row, keys, 0.0);
    if (begin >= queries) return;
    for (Index j = 0; j < keys; ++j) {
      for (Index t = begin; t < end; ++t) {
        row[j] += naive_score(call, t, j) / static_cast<double>(end - begin);
      }
    }
    naive_softmax({row, static_cast<std::size_t>(keys)});
  }
};

SUBQUAD_VARIANT(QueryPool, {.name = "query_pool",
                            .summary = "pooled queries attend to all keys",
                            .citation = "arXiv:2006.03236",
                            .time = "n^2 d / stride",
                            .memory = "n d"});

}  // namespace
}  // namespace subquad

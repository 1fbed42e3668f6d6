#include <gtest/gtest.h>

#include <set>

#include "support/masked_attention.h"

namespace subquad {
namespace {

using Positions = std::set<Index>;

/// Steps out from the query, half of the window to either side; global tokens besides.
Mask longformer_mask(const Problem& problem, Index window, Index dilation,
                     const Positions& globals) {
  return [=](Index query, Index key) {
    const Index position = problem.position(query);
    if (globals.contains(position) || globals.contains(key)) return true;
    for (Index t = 0; 2 * t <= window; ++t) {
      if (key == position + t * dilation || key == position - t * dilation) return true;
    }
    return false;
  };
}

std::string expression(Index window, Index dilation, Index tokens, const std::string& rest = "") {
  return "longformer(window=" + std::to_string(window) + ",dilation=" + std::to_string(dilation) +
         ",tokens=" + std::to_string(tokens) + rest + ")";
}

TEST(Longformer, EqualsMaskedAttention) {
  for (const Index window : {0, 1, 6, 33, 128}) {
    for (const Index dilation : {1, 2, 5}) {
      for (const Index tokens : {0, 1, 5, 70}) {
        expect_pattern(expression(window, dilation, tokens), [=](const Problem& problem) {
          Positions globals;
          for (Index i = 0; i < tokens; ++i) globals.insert(i);
          return longformer_mask(problem, window, dilation, globals);
        });
      }
    }
  }
}

TEST(Longformer, EqualsMaskedAttentionWithGlobalTokensAnywhere) {
  for (const Index dilation : {1, 3}) {
    for (const Problem& problem : pattern_problems()) {
      SCOPED_TRACE(text_of(problem));
      VariantTrial trial(expression(20, dilation, 6, ",placement=given"), problem);
      const auto drawn = trial.tensors.integers("positions");
      expect_masked_attention(
          trial, longformer_mask(problem, 20, dilation, Positions(drawn.begin(), drawn.end())));
    }
  }
}

TEST(Longformer, GlobalKeysInTheWindowCountOnce) {
  // Keys that are all alike: every one has the same weight, twice that if it were counted twice.
  const Problem problem = self_problem(40, 4, 4);
  VariantTrial trial(expression(10, 1, 3, ",placement=given"), problem);
  const std::vector<std::int32_t> loaded{18, 20, 22};
  std::copy(loaded.begin(), loaded.end(), trial.tensors.choices("positions").begin());
  for (Index j = 0; j < 40; ++j) {
    for (Index c = 0; c < 4; ++c) {
      trial.k(j, c) = 0;
      trial.v(j, c) = j == 20 ? 1 : 0;
    }
  }
  const std::vector<float> out = trial.forward();
  EXPECT_NEAR(out[19 * 4], 1.0 / 11, 1e-6);  // the window holds all three
  EXPECT_NEAR(out[30 * 4], 1.0 / 14, 1e-6);  // none of them
  EXPECT_NEAR(out[20 * 4], 1.0 / 40, 1e-6);  // is one
}

TEST(Longformer, WindowIsTheWidthOfBothSides) {
  VariantTrial trial(expression(6, 1, 0), self_problem(40, 4, 4));
  const std::vector<double> weights = trial.weights();
  for (Index j = 0; j < 40; ++j) {
    EXPECT_EQ(weights[20 * 40 + j] > 0, j >= 17 && j <= 23) << j;
  }
}

TEST(Longformer, IsExactWithAWideWindow) {
  for (const Problem& problem : pattern_problems()) expect_exact("longformer", problem);
}

using Rows = std::vector<std::vector<double>>;

/// A matrix times a tensor, row by row.
Rows times(VariantTrial::Matrix& matrix, ConstView tensor) {
  Rows result(static_cast<std::size_t>(matrix.rows),
              std::vector<double>(static_cast<std::size_t>(tensor.cols)));
  for (Index i = 0; i < matrix.rows; ++i) {
    for (Index r = 0; r < tensor.rows; ++r) {
      for (Index c = 0; c < tensor.cols; ++c) result[i][c] += matrix(i, r) * double{tensor(r, c)};
    }
  }
  return result;
}

/// Softmax attention of one row over keys 0 ... last that `seen` holds.
template <class Seen>
std::vector<double> attend(const std::vector<double>& query, const Rows& keys, const Rows& values,
                           Index last, double scale, const Seen& seen) {
  double sum = 0;
  std::vector<double> out(values.front().size());
  for (Index j = 0; j <= last; ++j) {
    if (!seen(j)) continue;
    double dot = 0;
    for (std::size_t c = 0; c < query.size(); ++c) dot += query[c] * keys[j][c];
    const double weight = std::exp(scale * dot);
    sum += weight;
    for (std::size_t c = 0; c < out.size(); ++c) out[c] += weight * values[j][c];
  }
  for (double& value : out) value /= sum;
  return out;
}

void fill_normal(View tensor, std::uint64_t seed) {
  Generator random(seed);
  random.normals({tensor.data, static_cast<std::size_t>(tensor.rows * tensor.cols)}, 0.4);
}

/// Projected keys and values for global rows over all keys; plain ones for all other rows, which
/// look at global tokens too.
TEST(Longformer, GlobalRowsHaveProjectionsOfTheirOwnAndOthersDoNot) {
  for (const bool causal : {false, true}) {
    for (const Index tokens : {3, 250}) {
      const Problem problem{.queries = 280,
                            .keys = 300,
                            .dim = 8,
                            .value_dim = 5,
                            .causal = causal,
                            .first_query = 20};
      VariantTrial trial(expression(12, 2, tokens, ",projections=separate,placement=given"),
                         problem);
      fill_normal(trial.tensors.writable("query_projection"), 1);
      fill_normal(trial.tensors.writable("key_projection"), 2);
      fill_normal(trial.tensors.writable("value_projection"), 3);
      const auto drawn = trial.tensors.integers("positions");
      const Positions globals(drawn.begin(), drawn.end());
      const Mask mask = longformer_mask(problem, 12, 2, globals);

      DrawnMapTensors& tensors = trial.tensors;
      const Rows global_q = times(trial.q, tensors.matrix("query_projection"));
      const Rows global_k = times(trial.k, tensors.matrix("key_projection"));
      const Rows global_v = times(trial.v, tensors.matrix("value_projection"));
      const auto plain = [](VariantTrial::Matrix& matrix) {
        Rows rows;
        for (Index i = 0; i < matrix.rows; ++i) {
          rows.emplace_back(matrix.view().row(i), matrix.view().row(i) + matrix.cols);
        }
        return rows;
      };
      const Rows q = plain(trial.q), k = plain(trial.k), v = plain(trial.v);
      const std::vector<float> out = trial.forward();
      Index global_rows = 0;
      for (Index i = 0; i < problem.queries; ++i) {
        const Index position = problem.position(i);
        const bool global = globals.contains(position);
        global_rows += global;
        const Index last = causal ? position : problem.keys - 1;
        const auto seen = [&](Index j) { return mask(i, j); };
        const std::vector<double> want =
            global ? attend(global_q[i], global_k, global_v, last, problem.score_scale(), seen)
                   : attend(q[i], k, v, last, problem.score_scale(), seen);
        for (Index c = 0; c < 5; ++c) {
          ASSERT_NEAR(out[i * 5 + c], want[c], 2e-5) << "row " << i << (global ? ", global" : "");
        }
      }
      EXPECT_GT(global_rows, 0);
      EXPECT_LT(trial.error(), 1e-5);
      EXPECT_EQ(trial.variant->target(problem), Target::operation);
    }
  }
}

TEST(Longformer, SeparateProjectionsBeginAsCopies) {
  const Problem problem = self_problem(150, 8, 8);
  VariantTrial shared(expression(20, 1, 4), problem);
  VariantTrial separate(expression(20, 1, 4, ",projections=separate"), problem);
  EXPECT_LT(VariantTrial::difference(separate.forward(), shared.forward()), 1e-5);
  EXPECT_LT(VariantTrial::difference(separate.log_sum_exp, shared.log_sum_exp), 1e-5);
  EXPECT_EQ(shared.variant->target(problem), Target::restriction);
}

TEST(Longformer, HidesTheFuture) {
  for (const std::string text : {"", ",projections=separate", ",placement=even"}) {
    const std::string whole = expression(8, 2, 6, text);
    EXPECT_EQ(rows_that_see_the_future(whole, self_problem(150, 8, 8, true)), 0) << whole;
  }
}

}  // namespace
}  // namespace subquad

// What lsh finds as rounds are added: on real and clustered input, and in the duplication task of
// the Reformer paper (arXiv:2001.04451, section 5 and table 2), without training.

#include <gtest/gtest.h>

#include "inputs/input.h"
#include "support/variant_trial.h"

namespace subquad {
namespace {

constexpr int kSeeds = 20;

void copy(ConstView from, VariantTrial::Matrix& to) {
  for (Index i = 0; i < to.rows; ++i) std::copy_n(from.row(i), to.cols, &to(i, 0));
}

struct Found {
  double kept_mass = 0;  ///< of the weight that the dense target gives to all keys, mean over rows
  double nearest = 0;    ///< rows that see the key with the largest weight but their own
};

/// The dense target of one head of an input.
class Aim {
 public:
  Aim(const std::string& input, Index n, bool causal)
      : input_(make_input(parse_expression(input), {.queries = n, .keys = n, .seed = 3})),
        problem_(self_problem(n, input_.dim, input_.value_dim, causal)) {
    VariantTrial dense("dense(keys=normalised_queries,self_penalty=1e5)", problem_);
    fill(dense);
    dense.reference();
    log_sum_exp_ = dense.reference_log_sum_exp;
    const std::vector<double> weights = dense.weights();
    for (Index i = 0; i < n; ++i) {
      const auto row = weights.begin() + i * n;
      nearest_.push_back(std::max_element(row, row + n) - row);
    }
  }

  Found found(Index rounds, std::uint64_t seed) const {
    VariantTrial trial("lsh(bucket=16,rounds=" + std::to_string(rounds) + ")", problem_, seed);
    fill(trial);
    trial.forward();
    const std::vector<double> weights = trial.weights();
    Found sum;
    // The first of a causal head sees only itself.
    const Index n = problem_.keys, first = problem_.causal ? 1 : 0;
    for (Index i = first; i < n; ++i) {
      sum.kept_mass += std::exp(double{trial.log_sum_exp[i]} - log_sum_exp_[i]);
      sum.nearest += weights[i * n + nearest_[i]] > 0;
    }
    const auto rows = static_cast<double>(n - first);
    return {sum.kept_mass / rows, sum.nearest / rows};
  }

 private:
  void fill(VariantTrial& trial) const {
    copy(input_.q_of(0, 0), trial.q);
    copy(input_.v_of(0, 0), trial.v);
  }

  LayerInput input_;
  Problem problem_;
  std::vector<double> log_sum_exp_;
  std::vector<Index> nearest_;
};

std::string real_input(const std::string& name) {
  return "file(path=" SUBQUAD_SOURCE_DIR "/experiments/data/" + name + ".safetensors,batch=0)";
}

TEST(LshRecall, MassAndNearestKeysGrowWithRounds) {
  for (const Aim& aim :
       {Aim(real_input("ocr_n320"), 320, false), Aim(real_input("causal_lm_n2048"), 256, true),
        Aim("clustered", 256, false)}) {
    Found before;
    for (const Index rounds : {1, 2, 4, 8, 16}) {
      Found mean;
      for (int seed = 1; seed <= kSeeds; ++seed) {
        const Found found = aim.found(rounds, seed);
        mean.kept_mass += found.kept_mass / kSeeds;
        mean.nearest += found.nearest / kSeeds;
      }
      EXPECT_GT(mean.kept_mass, before.kept_mass) << rounds;
      EXPECT_LT(mean.kept_mass, 1 + 1e-5) << rounds;
      EXPECT_GT(mean.nearest, before.nearest) << rounds;
      before = mean;
    }
    EXPECT_GT(before.nearest, 0.9);
  }
}

/// 0 w 0 w, of 127 symbols and |w| = 511, under causal shared-QK attention whose queries are codes
/// of their positions: a token and the one half a sequence before it have codes in common but for
/// noise of their own (cosine 0.8), all others random ones. Values name symbols.
class Duplication {
 public:
  static constexpr Index kHalf = 512, kLength = 2 * kHalf, kSymbols = 127, kDim = 64;

  explicit Duplication(std::uint64_t seed) : codes_(kLength, Code(kDim)) {
    Generator random(seed);
    std::vector<Code> shared(kHalf, Code(kDim));
    for (Code& code : shared) random.normals(code, 1);
    for (Index i = 0; i < kLength; ++i) {
      for (Index c = 0; c < kDim; ++c) {
        const double noise = random.normal();
        codes_[i][c] = kSharpness * static_cast<float>(shared[i % kHalf][c] + 0.5 * noise);
      }
    }
    for (Index i = 0; i < kHalf; ++i) {
      symbols_.push_back(i == 0 ? 0 : static_cast<Index>(random.below(kSymbols)));
    }
  }

  /// Share of the second w that attention names rightly.
  double recall(const std::string& expression, std::uint64_t seed) const {
    VariantTrial trial(expression, self_problem(kLength, kDim, kSymbols, true), seed);
    for (Index i = 0; i < kLength; ++i) {
      std::copy_n(codes_[i].data(), kDim, &trial.q(i, 0));
      for (Index s = 0; s < kSymbols; ++s) trial.v(i, s) = s == symbols_[i % kHalf] ? 1.0f : 0.0f;
    }
    const std::vector<float> out = trial.forward();
    double right = 0;
    for (Index i = kHalf + 1; i < kLength; ++i) {
      const auto row = out.begin() + i * kSymbols;
      right += std::max_element(row, row + kSymbols) - row == symbols_[i % kHalf];
    }
    return right / (kHalf - 1);
  }

 private:
  using Code = std::vector<float>;
  /// Makes a score of 0.8 x 20 of the match, and of 20 / sqrt(dim) at random.
  static constexpr float kSharpness = 20 / 1.118f;

  std::vector<Code> codes_;
  std::vector<Index> symbols_;
};

TEST(LshRecall, DuplicationIsRememberedWithRounds) {
  const std::vector<Index> rounds = {1, 2, 4, 8};
  std::vector<std::vector<double>> gains(rounds.size() - 1);
  double full = 0, most = 0;
  for (int seed = 1; seed <= kSeeds; ++seed) {
    const Duplication task(seed);
    full += task.recall("dense(keys=normalised_queries,self_penalty=1e5)", seed) / kSeeds;
    double before = 0;
    for (std::size_t r = 0; r < rounds.size(); ++r) {
      const double recall =
          task.recall("lsh(bucket=32,rounds=" + std::to_string(rounds[r]) + ")", seed);
      if (r > 0) gains[r - 1].push_back(recall - before);
      before = recall;
    }
    most += before / kSeeds;
  }
  EXPECT_GE(full, 0.999);
  EXPECT_GT(most, 0.9);
  // Paired: each gain lies above 0 by more than three standard errors.
  for (const std::vector<double>& gain : gains) {
    double mean = 0, squares = 0;
    for (double value : gain) mean += value / kSeeds;
    for (double value : gain) squares += (value - mean) * (value - mean);
    EXPECT_GT(mean, 3 * std::sqrt(squares / (kSeeds - 1) / kSeeds));
  }
}

}  // namespace
}  // namespace subquad

#include <gtest/gtest.h>

#include <bit>
#include <map>
#include <set>

#include "inputs/input.h"
#include "support/variant_trial.h"

namespace subquad {
namespace {

constexpr double kEpsilon = std::numeric_limits<float>::epsilon();
// Scores stay below 5; up to 9 parts are merged with a few roundings each.
constexpr double kTolerance = 5 * 32 * kEpsilon;

/// Words of so many bits, each unlike the one before in one bit: the list of one bit fewer, and the
/// same backwards with the highest bit set.
std::vector<Index> gray_list(Index bits) {
  std::vector<Index> list = {0};
  for (Index b = 0; b < bits; ++b) {
    for (Index i = static_cast<Index>(list.size()); i-- > 0;) {
      list.push_back(list[i] + (Index{1} << b));
    }
  }
  return list;
}

struct Setting {
  Index block = 16, samples = 10, bits = 4, min_length = 20;
  bool all = false;

  std::string expression() const {
    return "hyper(block=" + std::to_string(block) + ",samples=" + std::to_string(samples) +
           ",bits=" + std::to_string(bits) + ",min_length=" + std::to_string(min_length) +
           ",weight=" + (all ? "all" : "outside") + ")";
  }
};

/// How often each key counts for each query, [queries, keys], in the naive way. Nothing is taken
/// from the variant but planes, samples, and the place of a hash where a bit is too near to call.
class Definition {
 public:
  Definition(const Setting& setting, VariantTrial& trial)
      : setting_(setting),
        trial_(trial),
        counts_(static_cast<std::size_t>(trial.problem.queries * trial.problem.keys)) {
    if (!trial.problem.causal) {
      square({0, trial.problem.queries}, {0, trial.problem.keys}, 0);
    } else {
      halve({0, trial.problem.keys}, 0);
    }
  }

  std::vector<double> output() const {
    const Problem& p = trial_.problem;
    std::vector<double> out(static_cast<std::size_t>(p.queries * p.value_dim));
    for (Index i = 0; i < p.queries; ++i) {
      double sum = 0;
      for (Index j = 0; j < p.keys; ++j) {
        double dot = 0;
        for (Index c = 0; c < p.dim; ++c) dot += double{trial_.q(i, c)} * trial_.k(j, c);
        const double weight = counts_[i * p.keys + j] * std::exp(p.score_scale() * dot);
        sum += weight;
        for (Index c = 0; c < p.value_dim; ++c) out[i * p.value_dim + c] += weight * trial_.v(j, c);
      }
      for (Index c = 0; c < p.value_dim; ++c) out[i * p.value_dim + c] /= sum;
    }
    return out;
  }

 private:
  using Pair = std::pair<Index, Index>;  ///< begin, end

  double& count(Index i, Index j) { return counts_[i * trial_.problem.keys + j]; }

  /// Squares are numbered like a heap: the halves of `number` are 2 number + 1 and + 2.
  void halve(Pair range, Index number) {
    const auto [begin, end] = range;
    if (end - begin <= setting_.min_length) {
      for (Index i = begin; i < end; ++i) {
        for (Index j = begin; j <= i; ++j) count(i, j) = 1;
      }
      return;
    }
    const Index middle = begin + (end - begin) / 2;
    square({middle, end}, {begin, middle}, number);
    halve({begin, middle}, 2 * number + 1);
    halve({middle, end}, 2 * number + 2);
  }

  void square(Pair queries, Pair keys, Index number) {
    const Index size = keys.second - keys.first;
    const Index blocks = (size + setting_.block - 1) / setting_.block;
    auto query_blocks = cut(trial_.q, "query_places", queries, blocks);
    auto key_blocks = cut(trial_.k, "key_places", keys, blocks);
    std::set<Index> drawn;
    if (setting_.samples > 0) {
      const auto samples = trial_.tensors.integers("samples");
      const Index largest = trial_.problem.causal ? trial_.problem.keys / 2 : trial_.problem.keys;
      const Index width = std::min(setting_.samples, largest);
      for (Index s = 0; s < std::min(width, size); ++s) {
        drawn.insert(keys.first + samples[number * width + s]);
      }
      EXPECT_EQ(static_cast<Index>(drawn.size()), std::min(width, size));
    }
    for (Index i = queries.first; i < queries.second; ++i) {
      double in_block = 0, sampled_outside = 0;
      for (Index j = keys.first; j < keys.second; ++j) {
        const bool own = key_blocks[j] == query_blocks[i];
        in_block += own;
        sampled_outside += !own && drawn.contains(j);
      }
      const double share = setting_.all
                               ? static_cast<double>(size) / static_cast<double>(drawn.size())
                               : (static_cast<double>(size) - in_block) / sampled_outside;
      for (Index j = keys.first; j < keys.second; ++j) {
        count(i, j) = key_blocks[j] == query_blocks[i] ? 1 : drawn.contains(j) ? share : 0;
      }
    }
  }

  std::map<Index, Index> cut(VariantTrial::Matrix& rows, const char* choice, Pair range,
                             Index blocks) {
    std::set<Pair> sorted;  // by place, then position
    for (Index i = range.first; i < range.second; ++i) {
      sorted.insert({place(rows, i, trial_.tensors.integers(choice)[i]), i});
    }
    std::map<Index, Index> result;
    const Index size = range.second - range.first;
    Index at = 0, block = 0;
    for (const auto& [hash, token] : sorted) {
      while (at >= (block + 1) * size / blocks) ++block;
      result[token] = block;
      ++at;
    }
    return result;
  }

  Index place(VariantTrial::Matrix& rows, Index row, Index given) {
    const ConstView planes = trial_.tensors.matrix("planes");
    const std::vector<Index> list = gray_list(setting_.bits);
    Index word = 0;
    for (Index b = 0; b < setting_.bits; ++b) {
      double projection = 0;
      for (Index c = 0; c < rows.cols; ++c) projection += double{rows(row, c)} * planes(c, b);
      const bool near = std::abs(projection) < 1e-5;
      if (near ? (list[given] >> b & 1) != 0 : projection > 0) word += Index{1} << b;
    }
    return std::find(list.begin(), list.end(), word) - list.begin();
  }

  Setting setting_;
  VariantTrial& trial_;
  std::vector<double> counts_;
};

Problem cross(Index queries, Index keys) {
  return {.queries = queries, .keys = keys, .dim = 8, .value_dim = 5};
}

TEST(Hyper, OutputIsWhatBlocksAndSamplesDefine) {
  for (const Problem& problem :
       {self_problem(131, 8, 5), self_problem(131, 8, 5, true), self_problem(64, 8, 5, true),
        self_problem(21, 8, 5, true), cross(40, 131), cross(131, 40), cross(3, 70)}) {
    for (const Setting& setting :
         {Setting(), Setting{.samples = 0}, Setting{.all = true}, Setting{.samples = 100},
          Setting{.block = 5, .samples = 1, .bits = 7, .min_length = 1},
          Setting{.block = 200, .min_length = 7}, Setting{.bits = 1, .min_length = 64}}) {
      VariantTrial trial(setting.expression(), problem, 3, 1, 2);
      const std::vector<float> out = trial.forward();
      EXPECT_LT(VariantTrial::difference(out, Definition(setting, trial).output()), kTolerance)
          << setting.expression() << " " << problem.queries << " x " << problem.keys << " "
          << problem.causal;
    }
  }
}

TEST(Hyper, NeighboursInTheOrderDifferByOneBit) {
  // Queries are the corners of a cube, planes its axes: place p holds the p-th word of the list.
  constexpr Index kBits = 6, kCorners = 1 << kBits;
  VariantTrial trial("hyper(block=8,bits=6)",
                     {.queries = kCorners, .keys = kCorners, .dim = kBits, .value_dim = 1});
  const View planes = trial.tensors.writable("planes");
  for (Index b = 0; b < kBits; ++b) {
    for (Index c = 0; c < kBits; ++c) planes(c, b) = b == c ? 1.0f : 0.0f;
    for (Index i = 0; i < kCorners; ++i) trial.q(i, b) = (i >> b & 1) != 0 ? 1.0f : -1.0f;
  }
  trial.forward();
  const auto places = trial.tensors.integers("query_places");
  std::vector<Index> word_at(kCorners, -1);
  for (Index i = 0; i < kCorners; ++i) word_at[places[i]] = i;
  for (Index p = 1; p < kCorners; ++p) {
    ASSERT_GE(word_at[p], 0);
    EXPECT_EQ(std::popcount(static_cast<unsigned>(word_at[p] ^ word_at[p - 1])), 1);
  }
}

TEST(Hyper, AllKeysAsSamplesAreDense) {
  for (const bool causal : {false, true}) {
    const Problem problem = self_problem(131, 8, 5, causal);
    VariantTrial dense("dense", problem);
    const std::vector<double> expected = dense.reference();
    for (const char* weight : {"outside", "all"}) {
      // Were keys of the block counted twice, blocks of 50 would show.
      VariantTrial trial(
          std::string("hyper(block=50,samples=131,min_length=20,weight=") + weight + ")", problem);
      EXPECT_LT(VariantTrial::difference(trial.forward(), expected), kTolerance) << weight;
    }
  }
}

TEST(Hyper, SamplesStandForTheKeysOutsideTheBlock) {
  // Where all scores are equal, weights are the counts over their sum.
  constexpr Index kLength = 120, kBlock = 30, kSamples = 20;
  for (const bool all : {false, true}) {
    VariantTrial trial(
        std::string("hyper(block=30,samples=20,weight=") + (all ? "all" : "outside") + ")",
        self_problem(kLength, 8, 2));
    std::fill(trial.q.values.begin(), trial.q.values.end(), 0.0f);
    trial.forward();
    const std::vector<double> weights = trial.weights();
    const auto drawn = trial.tensors.integers("samples");
    for (Index i = 0; i < kLength; ++i) {
      const auto row = weights.begin() + i * kLength;
      const double smallest = *std::max_element(
          row, row + kLength, [](double a, double b) { return b != 0 && (a == 0 || b < a); });
      double seen = 0, heavy = 0;
      for (Index j = 0; j < kLength; ++j) {
        seen += row[j] != 0;
        heavy += row[j] > 1.5 * smallest;
        if (row[j] > 1.5 * smallest) {
          EXPECT_NE(std::find(drawn.begin(), drawn.end(), j), drawn.end());
        }
      }
      EXPECT_EQ(seen, kBlock + heavy);
      const double share = all ? kLength / double{kSamples} : (kLength - kBlock) / heavy;
      EXPECT_NEAR(1 / smallest, kBlock + heavy * share, 1e-9);
      if (!all) {
        EXPECT_NEAR(1 / smallest, kLength, 1e-9);
      }
    }
  }
}

TEST(Hyper, OnlyCausalPiecesAreExactBecauseTheyAreShort) {
  const auto error = [](bool causal) {
    const Problem problem = self_problem(100, 8, 5, causal);
    VariantTrial trial("hyper(block=10,samples=10,min_length=100)", problem);
    return VariantTrial::difference(trial.forward(), VariantTrial("dense", problem).reference());
  };
  EXPECT_LT(error(true), kTolerance);
  EXPECT_GT(error(false), 0.05);
}

TEST(Hyper, SamplesCanBeGiven) {
  const Problem problem = self_problem(60, 8, 5);
  const Setting setting{.block = 10, .samples = 3};
  VariantTrial trial(setting.expression(), problem);
  const std::vector<float> drawn = trial.forward();
  const auto samples = trial.tensors.choices("samples");
  samples[0] = 7, samples[1] = 30, samples[2] = 59;
  const std::vector<float> given = trial.forward();
  EXPECT_NE(given, drawn);
  EXPECT_LT(VariantTrial::difference(given, Definition(setting, trial).output()), kTolerance);
}

TEST(Hyper, RefusesWrongSamples) {
  VariantTrial trial("hyper(block=10,samples=3)", self_problem(60, 8, 5));
  const auto samples = trial.tensors.choices("samples");
  for (const auto& [wrong, named] :
       std::map<std::vector<std::int32_t>, const char*>{{{7, 7, 9}, "holds 7 after 7"},
                                                        {{9, 7, 8}, "holds 7 after 9"},
                                                        {{1, 2, 60}, "holds 60 after 2"},
                                                        {{-1, 2, 3}, "holds -1 after -1"}}) {
    std::copy(wrong.begin(), wrong.end(), samples.begin());
    try {
      trial.forward();
      ADD_FAILURE() << named;
    } catch (const Error& error) {
      const std::string text = error.what();
      EXPECT_NE(text.find("'samples' " + std::string(named)), std::string::npos) << text;
      EXPECT_NE(text.find("[0, 60)"), std::string::npos) << text;
    }
  }
}

TEST(Hyper, ErrorFallsWithTheBudget) {
  for (const bool causal : {false, true}) {
    constexpr Index kLength = 512;
    const Problem problem = self_problem(kLength, 64, 64, causal);
    double before = std::numeric_limits<double>::infinity();
    for (const char* budget : {"8", "32", "128"}) {
      double mean = 0;
      for (std::uint64_t seed = 1; seed <= 8; ++seed) {
        const LayerInput input = make_input(parse_expression("clustered"),
                                            {.queries = kLength, .keys = kLength, .seed = seed});
        VariantTrial trial(
            std::string("hyper(block=") + budget + ",samples=" + budget + ",min_length=32)",
            problem, seed);
        VariantTrial dense("dense", problem);
        for (VariantTrial* one : {&trial, &dense}) {
          std::copy(input.q.begin(), input.q.end(), one->q.values.begin());
          std::copy(input.k.begin(), input.k.end(), one->k.values.begin());
          std::copy(input.v.begin(), input.v.end(), one->v.values.begin());
        }
        double error = 0;
        const std::vector<float> out = trial.forward(), expected = dense.forward();
        for (std::size_t i = 0; i < out.size(); ++i) {
          error += (out[i] - expected[i]) * (out[i] - expected[i]);
        }
        mean += std::sqrt(error);
      }
      EXPECT_LT(mean, 0.8 * before) << budget << " causal=" << causal;
      before = mean;
    }
  }
}

TEST(Hyper, RefusesCausalQueriesThatAreNotTheKeys) {
  const auto refusal = [](const Problem& problem) {
    return make_variant(parse_expression("hyper"), problem)->refuses(problem);
  };
  Problem late = self_problem(20, 8, 5, true);
  late.queries = 10, late.first_query = 10;
  EXPECT_NE(refusal(late), "");
  EXPECT_EQ(refusal(self_problem(20, 8, 5, true)), "");
  EXPECT_EQ(refusal(cross(4, 20)), "");
}

TEST(Hyper, ValuesOfTheFutureStayOut) {
  EXPECT_EQ(rows_that_see_the_future("hyper(block=8,samples=8,min_length=400)",
                                     self_problem(150, 6, 7, true)),
            0);
  // Keys of the future leave alone what the past attends to; only squares after them change.
  const Problem problem = self_problem(128, 6, 7, true);
  VariantTrial clean("hyper(block=8,samples=8,min_length=8)", problem),
      poisoned("hyper(block=8,samples=8,min_length=8)", problem);
  for (Index j = 64; j < 128; ++j) {
    for (Index c = 0; c < 6; ++c) poisoned.k(j, c) = NAN;
    for (Index c = 0; c < 7; ++c) poisoned.v(j, c) = NAN;
  }
  const std::vector<float> expected = clean.forward(), out = poisoned.forward();
  EXPECT_TRUE(std::equal(out.begin(), out.begin() + 64 * 7, expected.begin()));
}

}  // namespace
}  // namespace subquad

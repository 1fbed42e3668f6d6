#include <gtest/gtest.h>

#include <array>

#include "support/variant_trial.h"

namespace subquad {
namespace {

// |k + w| stays below 6 here; means of positive weights lose a few roundings for each of the tiles
// of 64 keys on the way.
constexpr double kTolerance = 6 * 16 * std::numeric_limits<float>::epsilon();

const char* const kExpressions[] = {"aft",
                                    "aft(rank=5)",
                                    "aft(kind=simple)",
                                    "aft(kind=local,window=1)",
                                    "aft(kind=local,window=20)",
                                    "aft(kind=local,window=20,rank=3)",
                                    "aft(kind=local,window=150)",
                                    "aft(kind=conv,window=1)",
                                    "aft(kind=conv,window=20)",
                                    "aft(kind=conv,window=150)"};

/// The tensors of biases that an expression has.
std::vector<std::string> bias_tensors(const std::string& expression) {
  if (expression.find("simple") != std::string::npos) return {};
  if (expression.find("rank") != std::string::npos) return {"w_u", "w_v"};
  return {"w"};
}

/// Replaces small initial biases by numbers of standard deviation `std`.
void draw_bias(VariantTrial& trial, const std::string& expression, double std) {
  Generator random(99);
  for (const std::string& name : bias_tensors(expression)) {
    const View w = trial.tensors.writable(name);
    random.normals({w.data, static_cast<std::size_t>(w.rows * w.cols)}, std);
  }
}

/// Weighted means of equation 2 with biases and keys that a test gives, in double and without any
/// care for range.
template <class Bias, class Key>
std::vector<double> by_definition(VariantTrial& trial, Bias bias, Key key) {
  const Problem& p = trial.problem;
  std::vector<double> out;
  for (Index i = 0; i < p.queries; ++i) {
    for (Index c = 0; c < p.dim; ++c) {
      double sum = 0, norm = 0;
      for (Index j = 0; j < p.keys; ++j) {
        if (!p.sees(i, j)) continue;
        const double weight = std::exp(key(j, c) + bias(p.position(i), j));
        sum += weight * trial.v(j, c);
        norm += weight;
      }
      out.push_back(sum / norm / (1 + std::exp(-double{trial.q(i, c)})));
    }
  }
  return out;
}

class AftShapes : public testing::TestWithParam<Problem> {};

TEST_P(AftShapes, EqualsReference) {
  for (const char* expression : kExpressions) {
    VariantTrial trial(expression, GetParam());
    EXPECT_LT(trial.error(), kTolerance) << expression;
    draw_bias(trial, expression, 1);
    EXPECT_LT(trial.error(), kTolerance) << expression << " with a large bias";
    EXPECT_LT(VariantTrial(expression, GetParam(), 2, 1, 3).error(), kTolerance) << expression;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Aft, AftShapes,
    testing::Values(self_problem(1, 3, 3), self_problem(1, 3, 3, true), self_problem(17, 8, 8),
                    self_problem(17, 8, 8, true), self_problem(131, 5, 5),
                    self_problem(131, 5, 5, true), self_problem(400, 4, 4),
                    self_problem(400, 4, 4, true),
                    Problem{.queries = 200, .keys = 70, .dim = 3, .value_dim = 3},
                    Problem{.queries = 9, .keys = 170, .dim = 3, .value_dim = 3},
                    Problem{.queries = 9,
                            .keys = 170,
                            .dim = 3,
                            .value_dim = 3,
                            .causal = true,
                            .first_query = 161},
                    Problem{.queries = 90,
                            .keys = 170,
                            .dim = 3,
                            .value_dim = 3,
                            .causal = true,
                            .first_query = 31}));

TEST(Aft, EqualKeysGiveTheGatedMean) {
  VariantTrial trial("aft(kind=simple)", self_problem(100, 2, 2, true));
  std::fill(trial.k.values.begin(), trial.k.values.end(), 3.0f);
  std::fill(trial.q.values.begin(), trial.q.values.end(), 0.0f);
  const std::vector<float> out = trial.forward();
  double sum = 0;
  for (Index i = 0; i < 100; ++i) {
    sum += trial.v(i, 1);
    EXPECT_NEAR(out[i * 2 + 1], sum / static_cast<double>(i + 1) / 2, 1e-6);
  }
}

TEST(Aft, OutsideTheWindowTheBiasIsZeroAndTheKeyStays) {
  // A bias of -60 within the window leaves all weight to the keys outside.
  VariantTrial trial("aft(kind=local,window=3)", self_problem(200, 1, 1));
  std::fill(trial.k.values.begin(), trial.k.values.end(), 0.0f);
  std::fill(trial.q.values.begin(), trial.q.values.end(), 0.0f);
  const View w = trial.tensors.writable("w");
  std::fill_n(w.data, w.rows * w.cols, -60.0f);
  const std::vector<float> out = trial.forward();
  for (const Index t : {0, 1, 70, 199}) {
    double sum = 0, count = 0;
    for (Index j = 0; j < 200; ++j) {
      if (std::abs(t - j) < 3) continue;
      sum += trial.v(j, 0);
      count += 1;
    }
    EXPECT_NEAR(out[t], sum / count / 2, 1e-6);
  }
}

TEST(Aft, LocalWithAWindowOverEverythingIsFull) {
  for (const bool causal : {false, true}) {
    const Problem problem = self_problem(90, 4, 4, causal);
    VariantTrial full("aft", problem), local("aft(kind=local,window=90)", problem);
    draw_bias(full, "aft", 1);
    for (Index t = 0; t < 90; ++t) {
      for (Index j = 0; j < 90; ++j) {
        local.tensors.writable("w")(t, j - t + 89) = full.tensors.matrix("w")(t, j);
      }
    }
    EXPECT_LT(VariantTrial::difference(local.forward(), full.forward()), kTolerance);
  }
}

TEST(Aft, FullIsEquation2) {
  for (const bool causal : {false, true}) {
    VariantTrial trial("aft", self_problem(75, 3, 3, causal));
    draw_bias(trial, "aft", 1);
    const auto bias = [&](Index t, Index j) { return double{trial.tensors.matrix("w")(t, j)}; };
    const auto key = [&](Index j, Index c) { return double{trial.k(j, c)}; };
    EXPECT_LT(VariantTrial::difference(trial.forward(), by_definition(trial, bias, key)),
              kTolerance);
  }
}

TEST(Aft, OfFullRankIsFull) {
  // w_v = identity, so that w = w_u.
  for (const bool causal : {false, true}) {
    const Problem problem = self_problem(90, 4, 4, causal);
    VariantTrial full("aft", problem), factorised("aft(rank=90)", problem);
    draw_bias(full, "aft", 1);
    const View u = factorised.tensors.writable("w_u"), v = factorised.tensors.writable("w_v");
    for (Index t = 0; t < 90; ++t) {
      for (Index j = 0; j < 90; ++j) {
        u(t, j) = full.tensors.matrix("w")(t, j);
        v(t, j) = t == j ? 1 : 0;
      }
    }
    EXPECT_LT(VariantTrial::difference(factorised.forward(), full.forward()), kTolerance);
  }
}

TEST(Aft, FactorisedLocalMasksTheProduct) {
  for (const bool causal : {false, true}) {
    const Problem problem = self_problem(150, 4, 4, causal);
    const std::string expression = "aft(kind=local,window=10,rank=7)";
    VariantTrial local("aft(kind=local,window=10)", problem), factorised(expression, problem);
    draw_bias(factorised, expression, 0.5);
    const ConstView u = factorised.tensors.matrix("w_u"), v = factorised.tensors.matrix("w_v");
    const View band = local.tensors.writable("w");
    for (Index t = 0; t < 150; ++t) {
      for (Index column = 0; column < band.cols; ++column) {
        const Index j = t + column - 9;
        double product = 0;
        for (Index r = 0; r < 7 && j >= 0 && j < 150; ++r) product += double{u(t, r)} * v(j, r);
        band(t, column) = static_cast<float>(product);
      }
    }
    EXPECT_LT(VariantTrial::difference(factorised.forward(), local.forward()), kTolerance);
  }
}

TEST(Aft, WithoutBiasesEveryKindIsSimple) {
  for (const bool causal : {false, true}) {
    const Problem problem = self_problem(150, 4, 4, causal);
    for (const std::string expression : kExpressions) {
      VariantTrial simple("aft(kind=simple)", problem), trial(expression, problem);
      draw_bias(trial, expression, 0);
      if (expression.find("conv") != std::string::npos) {
        // Its one key is that of every channel of the other.
        for (Index j = 0; j < 150; ++j) {
          double sum = 0;
          for (Index c = 0; c < 4; ++c) sum += simple.k(j, c);
          for (Index c = 0; c < 4; ++c) simple.k(j, c) = static_cast<float>(sum / 4);
        }
      }
      EXPECT_LT(VariantTrial::difference(trial.forward(), simple.forward()), kTolerance)
          << expression;
    }
  }
}

/// The paper's form of AFT-conv: sums over all keys, corrected by a convolution with exp(w) - 1,
/// whose filter meets no key ahead where it is causal.
std::vector<double> convolution(VariantTrial& trial, Index window) {
  const Problem& p = trial.problem;
  const ConstView w = trial.tensors.matrix("w");
  std::vector<double> out;
  for (Index t = 0; t < p.queries; ++t) {
    for (Index c = 0; c < p.dim; ++c) {
      double sum = 0, norm = 0;
      for (Index j = 0; j < (p.causal ? t + 1 : p.keys); ++j) {
        double key = 0;
        for (Index column = 0; column < p.dim; ++column) {
          key += trial.k(j, column) / static_cast<double>(p.dim);
        }
        const Index place = j - t + window - 1;
        const double filter = place >= 0 && place < w.cols ? std::exp(w(0, place)) - 1 : 0;
        sum += filter * std::exp(key) * trial.v(j, c) + std::exp(key) * trial.v(j, c);
        norm += filter * std::exp(key) + std::exp(key);
      }
      out.push_back(sum / norm / (1 + std::exp(-double{trial.q(t, c)})));
    }
  }
  return out;
}

TEST(Aft, ConvIsTheConvolutionOfThePaper) {
  for (const bool causal : {false, true}) {
    for (const Index window : {1, 2, 6, 70, 200}) {
      const std::string expression = "aft(kind=conv,window=" + std::to_string(window) + ")";
      for (const Index dim : {1, 5}) {
        VariantTrial trial(expression, self_problem(150, dim, dim, causal));
        draw_bias(trial, expression, 1);
        EXPECT_LT(VariantTrial::difference(trial.forward(), convolution(trial, window)), kTolerance)
            << expression;
      }
    }
  }
}

TEST(Aft, ConvWithAWindowOverEverythingIsFullWithBiasesOfDistances) {
  for (const bool causal : {false, true}) {
    VariantTrial conv("aft(kind=conv,window=90)", self_problem(90, 3, 3, causal));
    draw_bias(conv, "conv", 1);
    const auto bias = [&](Index t, Index j) {
      return double{conv.tensors.matrix("w")(0, j - t + 89)};
    };
    const auto key = [&](Index j, Index) {
      return (double{conv.k(j, 0)} + conv.k(j, 1) + conv.k(j, 2)) / 3;
    };
    EXPECT_LT(VariantTrial::difference(conv.forward(), by_definition(conv, bias, key)), kTolerance);
  }
}

TEST(Aft, NumbersOfParameters) {
  struct Count final : TensorVisitor {
    Index sum = 0;
    void declare(TensorDeclaration declaration) override {
      sum += element_count(declaration.shape);
    }
  };
  const auto parameters = [](const char* expression, Index n) {
    const Problem problem = self_problem(n, 8, 8);
    Count count;
    make_variant(parse_expression(expression), problem)->tensors(problem, count);
    return count.sum;
  };
  // CIFAR-10 as bytes, the paper's longest sequence: 9.4 million and 0.4 million numbers.
  EXPECT_EQ(parameters("aft", 3072), 3072 * 3072);
  EXPECT_EQ(parameters("aft(rank=64)", 3072), 2 * 3072 * 64);
  EXPECT_EQ(parameters("aft(kind=local,window=256,rank=64)", 3072), 2 * 3072 * 64);
  EXPECT_EQ(parameters("aft(kind=local,window=256)", 3072), 3072 * 511);
  EXPECT_EQ(parameters("aft(kind=conv,window=6)", 3072), 11);
  EXPECT_EQ(parameters("aft(kind=simple)", 3072), 0);
}

TEST(Aft, SeesNoFuture) {
  for (const char* expression : kExpressions) {
    EXPECT_EQ(rows_that_see_the_future(expression, self_problem(200, 5, 5, true)), 0) << expression;
  }
}

TEST(Aft, SimpleIgnoresTheOrderOfKeys) {
  const Problem problem = self_problem(150, 4, 4);
  VariantTrial trial("aft(kind=simple)", problem), reversed("aft(kind=simple)", problem);
  ASSERT_TRUE(trial.variant->ignores_key_order(problem));
  for (Index j = 0; j < 150; ++j) {
    for (Index c = 0; c < 4; ++c) {
      reversed.k(j, c) = trial.k(149 - j, c);
      reversed.v(j, c) = trial.v(149 - j, c);
    }
  }
  EXPECT_LT(VariantTrial::difference(reversed.forward(), trial.forward()), kTolerance);
}

TEST(Aft, SurvivesExtremeKeys) {
  for (const bool causal : {false, true}) {
    for (const char* expression : kExpressions) {
      VariantTrial trial(expression, self_problem(150, 5, 5, causal), 4, 1e4);
      // One part in 10^7 of a score of 4e4 is a relative error of 4e-3 of its exponential.
      EXPECT_LT(trial.error(), 4e4 * 4 * std::numeric_limits<float>::epsilon()) << expression;
    }
  }
}

TEST(Aft, SurvivesExtremeKeysAndBiases) {
  // Keys, biases or both of +-1e4, some of the biases large, some small: exp overflows, or leaves
  // nothing, for most terms. A score has a rounding of 2e4, and so has the largest one.
  const double tolerance = 2e4 * 4 * std::numeric_limits<float>::epsilon();
  for (const bool causal : {false, true}) {
    for (const std::string expression : kExpressions) {
      for (const auto& [keys, low, high] :
           {std::array{1e4, 0.0, 0.0}, std::array{0.0, -1e4, -1e4}, std::array{0.0, 1e4, 1e4},
            std::array{1e4, -1e4, 1e4}, std::array{1e4, -1e4, -1e4}, std::array{0.0, -1e4, 1e4}}) {
        VariantTrial trial(expression, self_problem(140, 3, 3, causal));
        Generator random(5);
        for (float& k : trial.k.values) {
          k = static_cast<float>(k + (random.uniform() < 0.5 ? -keys : keys));
        }
        for (const std::string& name : bias_tensors(expression)) {
          const View w = trial.tensors.writable(name);
          // A product of factors is to have that size, too.
          const double size = name == "w" ? 1 : 0.01;
          for (Index i = 0; i < w.rows * w.cols; ++i) {
            w.data[i] = static_cast<float>((random.uniform() < 0.5 ? low : high) * size);
          }
        }
        EXPECT_LT(trial.error(), tolerance)
            << expression << " " << keys << " " << low << " " << high;
      }
    }
  }
}

TEST(Aft, ALaterKeyOf10000ChangesNoBitBeforeIt) {
  for (const char* expression : kExpressions) {
    for (const Index later : {1, 63, 64, 100}) {
      VariantTrial trial(expression, self_problem(140, 3, 3, true));
      const std::vector<float> before = trial.forward();
      for (Index c = 0; c < 3; ++c) trial.k(later, c) = 1e4f;
      const std::vector<float> after = trial.forward();
      EXPECT_TRUE(std::equal(before.begin(), before.begin() + later * 3, after.begin()))
          << expression << " " << later;
      EXPECT_NE(before, after);
    }
  }
}

TEST(Aft, BiasesOfMinusInfinityHideKeys) {
  VariantTrial trial("aft", self_problem(150, 2, 2));
  const View w = trial.tensors.writable("w");
  for (Index t = 0; t < 150; ++t) {
    for (Index j = 0; j < 150; ++j) {
      w(t, j) = j == 140 ? 0 : -std::numeric_limits<float>::infinity();
    }
  }
  const std::vector<float> out = trial.forward();
  for (Index t = 0; t < 150; ++t) {
    EXPECT_NEAR(out[t * 2], trial.v(140, 0) / (1 + std::exp(-trial.q(t, 0))), 1e-6);
  }
}

TEST(Aft, SurvivesBiasesThatUndoTheKeys) {
  // The largest key has a bias of -200, the largest bias a key of -150: neither shift alone keeps
  // the terms that count in range.
  for (const bool causal : {false, true}) {
    for (const char* expression : {"aft", "aft(kind=local,window=70)"}) {
      VariantTrial trial(expression, self_problem(70, 2, 2, causal));
      const View w = trial.tensors.writable("w");
      for (Index t = 0; t < 70; ++t) {
        for (Index j = 0; j < 70; ++j) {
          const Index column = w.cols == 70 ? j : j - t + 69;
          w(t, column) = j == 0 ? -200.0f : j == 1 ? 0.0f : -100.0f;
        }
      }
      for (Index j = 0; j < 70; ++j) {
        for (Index c = 0; c < 2; ++c) trial.k(j, c) = j == 0 ? 0.0f : j == 1 ? -150.0f : -55.0f;
      }
      EXPECT_LT(trial.error(), 200 * 4 * std::numeric_limits<float>::epsilon()) << expression;
    }
  }
}

TEST(Aft, RefusesUnlikeWidthsAndARankOfNothing) {
  const auto refusal = [](const char* expression, const Problem& problem) {
    return make_variant(parse_expression(expression), problem)->refuses(problem);
  };
  EXPECT_NE(refusal("aft", self_problem(8, 4, 5)), "");
  EXPECT_NE(refusal("aft(kind=simple,rank=2)", self_problem(8, 4, 4)), "");
  EXPECT_NE(refusal("aft(kind=conv,rank=2)", self_problem(8, 4, 4)), "");
  EXPECT_EQ(refusal("aft(kind=local,rank=2)", self_problem(8, 4, 4)), "");
}

TEST(Aft, UsefulWorkCountsPairsInTheWindow) {
  const auto exponentials = [](const char* expression, const Problem& problem) {
    return make_variant(parse_expression(expression), problem)->cost(problem).useful.exponentials;
  };
  // exp of 10 x 2 keys and 10 x 2 gates, and of every biased pair.
  EXPECT_EQ(exponentials("aft", self_problem(10, 2, 2)), 40 + 100);
  EXPECT_EQ(exponentials("aft", self_problem(10, 2, 2, true)), 40 + 55);
  EXPECT_EQ(exponentials("aft(kind=simple)", self_problem(10, 2, 2)), 40);
  EXPECT_EQ(exponentials("aft(kind=local,window=2)", self_problem(10, 2, 2)), 40 + 28);
  EXPECT_EQ(exponentials("aft(kind=local,window=2)", self_problem(10, 2, 2, true)), 40 + 19);
  // One key, and a filter of 3 biases of which the causal one has 2.
  EXPECT_EQ(exponentials("aft(kind=conv,window=2)", self_problem(10, 2, 2)), 30 + 3);
  EXPECT_EQ(exponentials("aft(kind=conv,window=2)", self_problem(10, 2, 2, true)), 30 + 2);
}

TEST(Aft, UsefulWorkIsThatOfThePaper) {
  const auto multiply_adds = [](const char* expression, const Problem& problem) {
    return make_variant(parse_expression(expression), problem)->cost(problem).useful.multiply_adds;
  };
  // exp(k) v once; of each biased pair a normaliser and a value for each channel; conv has one
  // normaliser for all channels. 28 pairs of 10 tokens are less than 2 apart.
  EXPECT_EQ(multiply_adds("aft(kind=simple)", self_problem(10, 2, 2)), 20);
  EXPECT_EQ(multiply_adds("aft", self_problem(10, 2, 2)), 20 + 100 * 4);
  EXPECT_EQ(multiply_adds("aft(rank=3)", self_problem(10, 2, 2)), 20 + 100 * (4 + 3));
  EXPECT_EQ(multiply_adds("aft(kind=local,window=2)", self_problem(10, 2, 2)), 20 + 28 * 4);
  EXPECT_EQ(multiply_adds("aft(kind=local,window=2,rank=3)", self_problem(10, 2, 2)), 20 + 28 * 7);
  EXPECT_EQ(multiply_adds("aft(kind=conv,window=2)", self_problem(10, 2, 2)), 20 + 28 * 3);
}

TEST(Aft, DoesAtLeastTheUsefulWork) {
  for (const char* expression : kExpressions) {
    for (const bool causal : {false, true}) {
      for (const Index n : {1, 17, 150}) {
        VariantTrial trial(expression, self_problem(n, 5, 5, causal));
        trial.forward();
        const Work useful = trial.variant->cost(trial.problem).useful;
        EXPECT_GE(trial.executed.multiply_adds, useful.multiply_adds) << expression << n;
        EXPECT_GE(trial.executed.exponentials, useful.exponentials) << expression << n;
      }
    }
  }
}

}  // namespace
}  // namespace subquad

#include <gtest/gtest.h>

#include <map>

#include "support/variant_trial.h"

namespace subquad {
namespace {

// Scores reach about 5: sums of `dim` products of order one.
constexpr double kTolerance = 5 * 16 * std::numeric_limits<float>::epsilon();

const char* const kKinds[] = {"dense", "random", "fixed", "factorised_dense", "factorised_random",
                              "dot"};
const char* const kMixtures[] = {"random+dot", "dense+factorised_random+dot",
                                 "dense+fixed+factorised_dense",
                                 "dense+random+fixed+factorised_dense+factorised_random+dot"};

std::vector<std::string> all_kinds() {
  std::vector<std::string> kinds(std::begin(kKinds), std::end(kKinds));
  kinds.insert(kinds.end(), std::begin(kMixtures), std::end(kMixtures));
  return kinds;
}

std::string expression(const std::string& kind, const std::string& more = "") {
  return "synthesizer(kind=" + kind + more + ")";
}

double relu(double value) { return value > 0 ? value : 0; }

/// Element `row` of W relu(W1 x_i).
double two_layers(VariantTrial& trial, const char* first, const char* second, Index i, Index row) {
  const ConstView w1 = trial.tensors.matrix(first), w = trial.tensors.matrix(second);
  double sum = 0;
  for (Index h = 0; h < w1.rows; ++h) {
    double hidden = 0;
    for (Index c = 0; c < w1.cols; ++c) hidden += double{w1(h, c)} * trial.x(i, c);
    sum += w(row, h) * relu(hidden);
  }
  return sum;
}

double dot(ConstView a, Index i, ConstView b, Index j) {
  double sum = 0;
  for (Index c = 0; c < a.cols; ++c) sum += double{a(i, c)} * b(j, c);
  return sum;
}

/// Score (i, j) of one source, from the paper's formulas.
double score(VariantTrial& trial, const std::string& kind, Index i, Index j) {
  if (kind == "dense") return two_layers(trial, "w1", "w2", i, j);
  if (kind == "random") return trial.tensors.matrix("r")(i, j);
  if (kind == "fixed") return trial.tensors.matrix("fixed")(i, j);
  if (kind == "factorised_random") {
    return dot(trial.tensors.matrix("r1"), i, trial.tensors.matrix("r2"), j);
  }
  if (kind == "dot") {
    return dot(trial.q.view(), i, trial.k.view(), j) / std::sqrt(double(trial.problem.dim));
  }
  const Index b = trial.tensors.matrix("w_b").rows;
  return two_layers(trial, "factor_w1", "w_a", i, j / b) *
         two_layers(trial, "factor_w1", "w_b", i, j % b);
}

using Shares = std::map<std::string, double>;

/// softmax(sum of share * score) V.
std::vector<double> expected(VariantTrial& trial, const Shares& shares) {
  const Problem& p = trial.problem;
  std::vector<double> out(static_cast<std::size_t>(p.queries * p.value_dim));
  for (Index i = 0; i < p.queries; ++i) {
    const Index seen = p.causal ? i + 1 : p.keys;
    std::vector<double> scores(static_cast<std::size_t>(seen));
    double largest = -1e300, norm = 0;
    for (Index j = 0; j < seen; ++j) {
      for (const auto& [kind, share] : shares) scores[j] += share * score(trial, kind, i, j);
      largest = std::max(largest, scores[j]);
    }
    for (Index j = 0; j < seen; ++j) {
      const double weight = std::exp(scores[j] - largest);
      norm += weight;
      for (Index c = 0; c < p.value_dim; ++c) out[i * p.value_dim + c] += weight * trial.v(j, c);
    }
    for (Index c = 0; c < p.value_dim; ++c) out[i * p.value_dim + c] /= norm;
  }
  return out;
}

TEST(Synthesizer, EqualsReference) {
  for (const bool causal : {false, true}) {
    for (const Problem& problem :
         {self_problem(1, 3, 2, causal), self_problem(17, 8, 5, causal),
          self_problem(131, 16, 16, causal), self_problem(1201, 4, 3, causal)}) {
      for (const std::string& kind : all_kinds()) {
        EXPECT_LT(VariantTrial(expression(kind), problem).error(), kTolerance) << kind;
        EXPECT_LT(VariantTrial(expression(kind), problem, 2, 1, 3).error(), kTolerance) << kind;
      }
    }
  }
}

TEST(Synthesizer, EqualsThePapersFormulas) {
  for (const bool causal : {false, true}) {
    for (const Index n : {1, 19, 131}) {
      const Problem problem = self_problem(n, 6, 5, causal);
      for (const char* kind : kKinds) {
        for (const char* more : {"", ",rank=3,factor=1", ",max_length=150,factor=7,rank=11"}) {
          VariantTrial trial(expression(kind, more), problem);
          const std::vector<double> formula = expected(trial, {{kind, 1}});
          EXPECT_LT(VariantTrial::difference(trial.forward(), formula), kTolerance) << kind << more;
          EXPECT_LT(VariantTrial::difference(trial.reference(), formula), 1e-12) << kind << more;
        }
      }
      VariantTrial mixture(expression("dense+factorised_random+dot"), problem);
      const View logs = mixture.tensors.writable("mixture");
      logs(0, 0) = std::log(3.0f), logs(0, 1) = std::log(2.0f), logs(0, 2) = std::log(5.0f);
      const std::vector<double> formula =
          expected(mixture, {{"dense", 0.3}, {"factorised_random", 0.2}, {"dot", 0.5}});
      EXPECT_LT(VariantTrial::difference(mixture.forward(), formula), kTolerance);
      // The logarithms above are floats.
      EXPECT_LT(VariantTrial::difference(mixture.reference(), formula), 1e-6);
    }
  }
}

TEST(Synthesizer, DenseScoresDependOnTheTokenAlone) {
  // With W2 = [1, -1, ...; ...] set by hand: score_j = w2_j relu(w1 x).
  VariantTrial trial("synthesizer", self_problem(3, 1, 1));
  const View w1 = trial.tensors.writable("w1"), w2 = trial.tensors.writable("w2");
  w1(0, 0) = 2;
  w2(0, 0) = 1, w2(1, 0) = 0, w2(2, 0) = -1;
  trial.x(0, 0) = 0.5f, trial.x(1, 0) = -0.5f, trial.x(2, 0) = 1;
  trial.v(0, 0) = 1, trial.v(1, 0) = 10, trial.v(2, 0) = 100;
  const std::vector<float> out = trial.forward();
  const auto expected = [](double s) {
    return (std::exp(s) + 10 + 100 * std::exp(-s)) / (std::exp(s) + 1 + std::exp(-s));
  };
  EXPECT_NEAR(out[0], expected(1), 1e-4);
  EXPECT_NEAR(out[1], expected(0), 1e-4);  // relu cut the negative one off
  EXPECT_NEAR(out[2], expected(2), 1e-4);
}

TEST(Synthesizer, RandomScoresAreTheTensor) {
  VariantTrial trial("synthesizer(kind=random)", self_problem(4, 2, 3, true));
  const View r = trial.tensors.writable("r");
  // Row 2 sees keys 0 to 2 and ignores the large score of key 3.
  r(2, 0) = 0, r(2, 1) = std::log(2.0f), r(2, 2) = std::log(3.0f), r(2, 3) = 50;
  const std::vector<float> out = trial.forward();
  for (Index c = 0; c < 3; ++c) {
    EXPECT_NEAR(out[2 * 3 + c], (trial.v(0, c) + 2 * trial.v(1, c) + 3 * trial.v(2, c)) / 6, 1e-6);
  }
}

TEST(Synthesizer, DotAloneIsDenseAttention) {
  for (const bool causal : {false, true}) {
    const Problem problem = self_problem(211, 8, 5, causal);
    EXPECT_LT(expressions_difference("synthesizer(kind=dot)", "dense", problem), kTolerance);
  }
}

TEST(Synthesizer, FullRankFactorsAreAnyMatrix) {
  const Problem problem = self_problem(40, 4, 3);
  VariantTrial random(expression("random"), problem);
  VariantTrial factors(expression("factorised_random", ",rank=40"), problem);
  const View r1 = factors.tensors.writable("r1"), r2 = factors.tensors.writable("r2");
  for (Index i = 0; i < 40; ++i) {
    for (Index j = 0; j < 40; ++j) {
      r1(i, j) = random.tensors.matrix("r")(i, j);
      r2(i, j) = i == j ? 1.0f : 0.0f;
    }
  }
  EXPECT_LT(VariantTrial::difference(factors.forward(), random.forward()), kTolerance);
}

TEST(Synthesizer, FactorisedDenseWithOneFactorThatIsOneIsDense) {
  // b has the length 1, and a last channel of x that is 1 makes it 1.
  const Problem problem = self_problem(30, 5, 4);
  VariantTrial dense("synthesizer", problem);
  VariantTrial factorised(expression("factorised_dense", ",factor=1"), problem);
  for (VariantTrial* trial : {&dense, &factorised}) {
    for (Index i = 0; i < 30; ++i) trial->x(i, 3) = 1;
    const View w1 = trial->tensors.writable(trial == &dense ? "w1" : "factor_w1");
    for (Index h = 0; h < 5; ++h) {
      for (Index c = 0; c < 4; ++c) {
        w1(h, c) = h == 4 ? (c == 3 ? 1.0f : 0.0f) : dense.tensors.matrix("w1")(h, c);
      }
    }
  }
  const View a = factorised.tensors.writable("w_a"), b = factorised.tensors.writable("w_b");
  ASSERT_EQ(a.rows, 30);
  ASSERT_EQ(b.rows, 1);
  for (Index j = 0; j < 30; ++j) {
    for (Index h = 0; h < 5; ++h) a(j, h) = dense.tensors.matrix("w2")(j, h);
  }
  for (Index h = 0; h < 5; ++h) b(0, h) = h == 4 ? 1.0f : 0.0f;
  EXPECT_LT(VariantTrial::difference(factorised.forward(), dense.forward()), kTolerance);
}

TEST(Synthesizer, EachPairOfFactorsMeetsOnce) {
  // Lengths 4 and 6 have a common divisor. With log a = 7 s and log b = t the weights tell apart
  // which met.
  VariantTrial trial(expression("factorised_dense", ",factor=6"), self_problem(24, 1, 1));
  trial.tensors.writable("factor_w1")(0, 0) = 1;
  trial.x(0, 0) = 1;
  const View a = trial.tensors.writable("w_a"), b = trial.tensors.writable("w_b");
  ASSERT_EQ(a.rows, 4);
  ASSERT_EQ(b.rows, 6);
  for (Index s = 0; s < 4; ++s) a(s, 0) = std::exp(0.7f * static_cast<float>(s));
  for (Index t = 0; t < 6; ++t) b(t, 0) = std::exp(0.1f * static_cast<float>(t));
  const std::vector<double> weights = trial.weights();
  std::vector<bool> met(24);
  for (Index j = 0; j < 24; ++j) {
    const double product = std::log(weights[j] / weights[0]) + 1;  // a_0 b_0 = 1
    const auto code = static_cast<Index>(std::lround(std::log(product) * 10));
    ASSERT_LT(code % 7, 6);
    ASSERT_LT(code / 7, 4);
    EXPECT_FALSE(met[code / 7 * 6 + code % 7]);
    met[code / 7 * 6 + code % 7] = true;
  }
}

TEST(Synthesizer, EqualScoresAtEqualWeightsAreOneSource) {
  const Problem problem = self_problem(50, 4, 3, true);
  VariantTrial random(expression("random"), problem), both(expression("random+fixed"), problem);
  const ConstView r = random.tensors.matrix("r");
  for (const char* name : {"r", "fixed"}) {
    std::copy_n(r.data, 50 * 50, both.tensors.writable(name).data);
  }
  EXPECT_LT(VariantTrial::difference(both.forward(), random.forward()), kTolerance);
}

TEST(Synthesizer, LargeMixtureWeightsPickOneSource) {
  const Problem problem = self_problem(50, 4, 3);
  const Index count = 6;
  for (Index picked = 0; picked < count; ++picked) {
    VariantTrial mixture(expression(kMixtures[3]), problem);
    for (Index s = 0; s < count; ++s) {
      mixture.tensors.writable("mixture")(0, s) = s == picked ? 500.0f : -500.0f;
    }
    EXPECT_LT(VariantTrial::difference(mixture.forward(), expected(mixture, {{kKinds[picked], 1}})),
              kTolerance);
  }
}

TEST(Synthesizer, ShorterSequencesReadTheLeadingPart) {
  for (const std::string& kind : all_kinds()) {
    const Problem full = self_problem(90, 4, 3, true), part = self_problem(37, 4, 3, true);
    VariantTrial whole(expression(kind, ",max_length=90"), full);
    VariantTrial shorter(expression(kind, ",max_length=90"), part);
    for (Index i = 0; i < 37; ++i) {
      for (Index c = 0; c < 4; ++c) {
        shorter.q(i, c) = whole.q(i, c);
        shorter.k(i, c) = whole.k(i, c);
      }
      for (Index c = 0; c < 3; ++c) {
        shorter.v(i, c) = whole.v(i, c);
        if (shorter.x.rows > 0) shorter.x(i, c) = whole.x(i, c);
      }
    }
    std::vector<float> leading = whole.forward();
    leading.resize(37 * 3);
    EXPECT_LT(VariantTrial::difference(shorter.forward(), leading), kTolerance) << kind;
  }
}

TEST(Synthesizer, SeesNoFuture) {
  for (const std::string& kind : all_kinds()) {
    EXPECT_EQ(rows_that_see_the_future(expression(kind), self_problem(250, 6, 7, true)), 0) << kind;
  }
}

TEST(Synthesizer, WeightsTimesValuesIsTheOutput) {
  for (const std::string& kind : all_kinds()) {
    VariantTrial trial(expression(kind), self_problem(30, 4, 1, true));
    EXPECT_LE(trial.weights_error(), 1e-12) << kind;
  }
}

TEST(Synthesizer, RefusesWhatItCannotDo) {
  const auto refusal = [](const std::string& expression, const Problem& problem) {
    return make_variant(parse_expression(expression), problem)->refuses(problem);
  };
  const Problem cross{.queries = 4, .keys = 8, .dim = 4, .value_dim = 4};
  EXPECT_NE(refusal("synthesizer", cross), "");
  EXPECT_NE(refusal("synthesizer(kind=dot)", cross), "");
  EXPECT_EQ(refusal("synthesizer(max_length=9)", self_problem(9, 4, 4)), "");
  EXPECT_EQ(refusal("synthesizer(max_length=9)", self_problem(10, 4, 4)),
            "10 tokens are more than max_length 9");
  EXPECT_EQ(refusal("synthesizer(kind=factorised_dense,factor=11)", self_problem(10, 4, 4)),
            "factor 11 exceeds the length 10");
  EXPECT_EQ(refusal("synthesizer(kind=random,factor=11)", self_problem(10, 4, 4)), "");
  for (const char* kind : {"dense", "factorised_dense"}) {
    VariantTrial trial(expression(kind), self_problem(8, 4, 4));
    trial.x.cols = 3;
    EXPECT_THROW(trial.forward(), Error);
    EXPECT_THROW(trial.reference(), Error);
  }
}

TEST(Synthesizer, SurvivesScoresOfTenThousand) {
  const std::map<std::string, const char*> scaled = {{"dense", "w2"},
                                                     {"random", "r"},
                                                     {"fixed", "fixed"},
                                                     {"factorised_dense", "w_a"},
                                                     {"factorised_random", "r1"}};
  for (const bool causal : {false, true}) {
    for (const std::string& kind : all_kinds()) {
      VariantTrial trial(expression(kind), self_problem(40, 4, 4, causal), 3);
      for (float& value : trial.q.values) value *= 1e4f;
      for (const auto& [part, tensor] : scaled) {
        if (("+" + kind + "+").find("+" + part + "+") == std::string::npos) continue;
        const View matrix = trial.tensors.writable(tensor);
        for (Index i = 0; i < matrix.rows * matrix.cols; ++i) matrix.data[i] *= 1e4f;
      }
      for (const float value : trial.forward()) ASSERT_TRUE(std::isfinite(value)) << kind;
      // Where two scores come within a rounding of 5e4, so much of either weight.
      EXPECT_LT(trial.error(), 1e4 * kTolerance) << kind;
    }
  }
}

TEST(Synthesizer, OfScoresTwentyThousandApartTheLargerCount) {
  VariantTrial trial(expression("random"), self_problem(40, 4, 1));
  const View r = trial.tensors.writable("r");
  for (Index i = 0; i < 40; ++i) {
    for (Index j = 0; j < 40; ++j) r(i, j) = (i + j) % 4 == 0 ? 1e4f : -1e4f;
  }
  const std::vector<float> out = trial.forward();
  for (Index i = 0; i < 40; ++i) {
    double sum = 0;
    for (Index j = (40 - i) % 4; j < 40; j += 4) sum += trial.v(j, 0);
    EXPECT_NEAR(out[i], sum / 10, 1e-6);
  }
}

TEST(Synthesizer, DoesAtLeastTheUsefulWork) {
  for (const std::string& kind : all_kinds()) {
    for (const bool causal : {false, true}) {
      VariantTrial trial(expression(kind), self_problem(100, 8, 5, causal));
      trial.forward();
      const Work useful = trial.variant->cost(trial.problem).useful;
      EXPECT_EQ(useful.exponentials, causal ? 5050 : 10000);
      EXPECT_GE(trial.executed.multiply_adds, useful.multiply_adds) << kind;
      EXPECT_GE(trial.executed.exponentials, useful.exponentials) << kind;
    }
  }
}

/// Sizes of the tensors.
class TensorSizes final : public TensorVisitor {
 public:
  TensorSizes(const std::string& expression, const Problem& problem) {
    make_variant(parse_expression(expression), problem)->tensors(problem, *this);
  }
  std::map<std::string, Index> elements;
  std::map<std::string, Role> roles;

  Index sum() const {
    Index total = 0;
    for (const auto& [name, size] : elements) total += size;
    return total;
  }
  void declare(TensorDeclaration declaration) override {
    elements[declaration.name] = element_count(declaration.shape);
    roles[declaration.name] = declaration.role;
  }
};

TEST(Synthesizer, ParametersAreAsManyAsInThePaper) {
  // Its table counts those of a head; 2 d^2 of dot are the projections to q and k, which are no
  // part of the variant.
  const Index n = 48, d = 16, a = 7, b = 7;
  const Problem problem = self_problem(n, d, d);
  const auto count = [&](const std::string& kind, const std::string& more = "") {
    return TensorSizes(expression(kind, more), problem).sum();
  };
  EXPECT_EQ(count("random"), n * n);
  EXPECT_EQ(count("fixed"), n * n);
  EXPECT_EQ(count("factorised_random"), 2 * n * 8);
  EXPECT_EQ(count("factorised_random", ",rank=5"), 2 * n * 5);
  EXPECT_EQ(count("dense"), d * d + d * n);
  EXPECT_EQ(count("factorised_dense"), d * d + d * (a + b));
  EXPECT_EQ(count("factorised_dense", ",factor=4"), d * d + d * (12 + 4));
  EXPECT_EQ(count("dot"), 0);
  EXPECT_EQ(count("random+dot"), n * n + 2);
  EXPECT_EQ(count("dense+factorised_dense+dot"), 2 * d * d + d * n + d * (a + b) + 3);
  EXPECT_EQ(count("random", ",max_length=100"), 100 * 100);
  EXPECT_EQ(count("dense", ",max_length=100"), d * d + d * 100);
  const TensorSizes fixed(expression("random+fixed"), problem);
  EXPECT_EQ(fixed.roles.at("fixed"), Role::random);
  EXPECT_EQ(fixed.roles.at("r"), Role::learned);
}

/// log2 of what a quantity grows by when the length is doubled.
template <class Quantity>
double exponent(const std::string& kind, Index n, const Quantity& quantity) {
  return std::log2(quantity(kind, self_problem(2 * n, 16, 16)) /
                   quantity(kind, self_problem(n, 16, 16)));
}

TEST(Synthesizer, TimeIsQuadraticWhateverTheKind) {
  const auto multiply_adds = [](const std::string& kind, const Problem& problem) {
    const std::string text = expression(kind);
    return make_variant(parse_expression(text), problem)->cost(problem).useful.multiply_adds;
  };
  for (const std::string& kind : all_kinds()) {
    EXPECT_NEAR(exponent(kind, 1 << 16, multiply_adds), 2, 0.01) << kind;
  }
}

TEST(Synthesizer, MemoryIsThatOfTheTensorsAndLinear) {
  const auto bytes = [](const std::string& kind, const Problem& problem) {
    const TensorSizes tensors(expression(kind), problem);
    const Scratch scratch =
        make_variant(parse_expression(expression(kind)), problem)->scratch(problem);
    return static_cast<double>(tensors.sum()) * sizeof(float) +
           static_cast<double>(scratch.shared_bytes + scratch.worker_bytes);
  };
  for (const char* kind : {"random", "fixed", "random+dot"}) {
    EXPECT_NEAR(exponent(kind, 1 << 16, bytes), 2, 0.01) << kind;
  }
  for (const char* kind : {"dense", "factorised_random", "dot", "dense+factorised_random+dot"}) {
    EXPECT_NEAR(exponent(kind, 1 << 18, bytes), 1, 0.01) << kind;
  }
  // Rows of a and b in tiles, of the length sqrt(n); a byte for 64 keys.
  EXPECT_LT(exponent("factorised_dense", 1 << 18, bytes), 0.6);
}

}  // namespace
}  // namespace subquad

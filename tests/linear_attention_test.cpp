// The shared kernel of linear attention, with maps and gates that are made for the test: every kind
// of scale, of gates and of normaliser, in float and in double, against sums over pairs in double.

#include "kernels/linear_attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "support/variant_trial.h"

namespace subquad {
namespace {

/// Features written down in double: value(row, f) * exp(log(row, f)).
struct Feature {
  double value, log;
};

/// phi_f(x) for the tests: 1.5 dim + 1 features of whatever kind.
Feature feature(FeatureScale scale, const float* x, Index dim, Index f, Index position) {
  const double shift = 0.01 * static_cast<double>(position % 7);
  double a = x[f % dim] + 0.5 * x[(f + 1) % dim] + shift;
  if (scale == FeatureScale::none) return {std::abs(a) + 0.1, 0};
  if (scale == FeatureScale::row) {
    double squares = 0;
    for (Index c = 0; c < dim; ++c) squares += 0.5 * x[c] * x[c];
    return {1.5 + std::sin(a), squares};
  }
  return {1, 3 * a};
}

Index feature_count(Index dim) { return dim + dim / 2 + 1; }

template <class T>
class TestMap final : public FeatureMap<T> {
 public:
  explicit TestMap(FeatureScale scale) : scale_(scale) {}
  Index features(Index dim) const override { return feature_count(dim); }
  FeatureScale scale() const override { return scale_; }
  void map_queries(ConstView rows, Index first, MatrixView<T> to, T* logs, Worker&) const override {
    for (Index i = 0; i < rows.rows; ++i) {
      for (Index f = 0; f < to.cols; ++f) {
        const Feature one = feature(scale_, rows.row(i), rows.cols, f, first + i);
        to(i, f) = static_cast<T>(scale_ == FeatureScale::feature ? one.log : one.value);
        if (scale_ == FeatureScale::row) logs[i] = static_cast<T>(one.log);
      }
    }
  }
  void map_keys(ConstView rows, Index first, MatrixView<T> to, T* logs,
                Worker& worker) const override {
    map_queries(rows, first, to, logs, worker);
  }

 private:
  FeatureScale scale_;
};

/// Gates from keys; some of them nearly closed.
double log_gate(const float* key, Index dim, Index g) {
  return -0.2 * std::abs(key[g % dim]) - (g % 5 == 3 ? 2.0 : 0.0);
}

template <class T>
class TestGates final : public Forgetting<T> {
 public:
  explicit TestGates(bool single) : single_(single) {}
  Index width(Index features) const override { return single_ ? 1 : features; }
  void log_gates(ConstView keys, ConstView, Index, MatrixView<T> logs, Worker&) const override {
    for (Index i = 0; i < logs.rows; ++i) {
      for (Index g = 0; g < logs.cols; ++g) {
        logs(i, g) = static_cast<T>(log_gate(keys.row(i), keys.cols, g));
      }
    }
  }

 private:
  bool single_;
};

enum class Gates { none, single, each };

struct Setting {
  FeatureScale scale = FeatureScale::none;
  Gates gates = Gates::none;
  Normaliser normaliser = Normaliser::weights;
  double epsilon = 0, least = 0;
  Index chunk = 64;
};

/// One head of inputs, and what the kernel makes of them.
struct Head {
  Head(const Problem& problem, double std = 1, std::uint64_t seed = 1)
      : problem(problem), inputs("mean", problem, seed, std) {}

  template <class T>
  std::vector<float> forward(const Setting& setting, bool prepared = false) {
    const TestMap<T> map(setting.scale);
    const TestGates<T> gates(setting.gates == Gates::single);
    const LinearAttention<T> kernel{.map = map,
                                    .chunk = setting.chunk,
                                    .normaliser = setting.normaliser,
                                    .epsilon = setting.epsilon,
                                    .least = setting.least,
                                    .forgetting = setting.gates == Gates::none ? nullptr : &gates};
    std::vector<float> out(static_cast<std::size_t>(problem.queries * problem.value_dim), NAN);
    SimpleRun run(kernel.scratch(problem)), preparing(kernel.scratch(problem));
    Call call{.problem = problem,
              .q = inputs.q.view(),
              .k = inputs.k.view(),
              .v = inputs.v.view(),
              .x = {},
              .out = View(out.data(), problem.queries, problem.value_dim),
              .row_log_sum_exp = nullptr,
              .tensors = inputs.tensors,
              .prepared = {},
              .run = preparing};
    std::vector<std::byte> state(prepared ? kernel.prepared_bytes(problem) : 0);
    if (prepared) kernel.prepare(call, state);
    Call real{problem, call.q, call.k, call.v, {}, call.out, nullptr, call.tensors, state, run};
    kernel.forward(real);
    executed = run.executed();
    return out;
  }

  template <class T>
  std::vector<float> streamed(const Setting& setting) {
    const auto map = std::make_shared<TestMap<T>>(setting.scale);
    const auto gates = setting.gates == Gates::none
                           ? nullptr
                           : std::make_shared<TestGates<T>>(setting.gates == Gates::single);
    const LinearAttention<T> options{.map = *map,
                                     .normaliser = setting.normaliser,
                                     .epsilon = setting.epsilon,
                                     .least = setting.least};
    const auto stream = linear_stream<T>(map, gates, options, problem);
    std::vector<float> out(static_cast<std::size_t>(problem.queries * problem.value_dim));
    for (Index i = 0; i < problem.queries; ++i) {
      stream->step(inputs.token(i, View(out.data(), problem.queries, problem.value_dim)));
    }
    return out;
  }

  /// Sum of the logarithms of the gates after key j and up to position i.
  double gates_between(const Setting& setting, Index j, Index i, Index f) {
    if (setting.gates == Gates::none) return 0;
    const Index gate = setting.gates == Gates::single ? 0 : f;
    std::vector<double>& sums = gate_sums_[gate];
    if (sums.empty()) {
      sums.push_back(0);
      for (Index t = 0; t < problem.keys; ++t) {
        sums.push_back(sums.back() + log_gate(&inputs.k(t, 0), problem.dim, gate));
      }
    }
    return sums[std::min(i + 1, problem.keys)] - sums[j + 1];
  }

  /// Sums over pairs, as the header defines them.
  std::vector<double> definition(const Setting& setting) {
    const Index features = feature_count(problem.dim), columns = problem.value_dim;
    std::vector<double> out;
    std::vector<double> norms(static_cast<std::size_t>(features));
    const auto key = [&](Index j, Index f) {
      return feature(setting.scale, &inputs.k(j, 0), problem.dim, f, j);
    };
    for (Index f = 0; f < features; ++f) {
      for (Index j = 0; j < problem.keys; ++j)
        norms[f] += key(j, f).value * std::exp(key(j, f).log);
    }
    for (Index i = 0; i < problem.queries; ++i) {
      std::vector<double> mixed(static_cast<std::size_t>(columns));
      double sum = 0, seen = 0;
      // Relative to the largest log of any pair, so that nothing overflows.
      std::vector<Feature> query;
      for (Index f = 0; f < features; ++f) {
        query.push_back(
            feature(setting.scale, &inputs.q(i, 0), problem.dim, f, problem.position(i)));
      }
      double largest = setting.scale == FeatureScale::none ? 0 : -INFINITY;
      for (Index j = 0; j < problem.keys && setting.scale != FeatureScale::none; ++j) {
        if (!problem.sees(i, j)) continue;
        for (Index f = 0; f < features; ++f) {
          largest = std::max(largest, query[f].log + key(j, f).log);
        }
      }
      for (Index j = 0; j < problem.keys; ++j) {
        if (!problem.sees(i, j)) continue;
        ++seen;
        double weight = 0;
        for (Index f = 0; f < features; ++f) {
          const double log = gates_between(setting, j, problem.position(i), f);
          const Feature own = key(j, f);
          if (setting.normaliser == Normaliser::positions) {
            weight += (setting.scale == FeatureScale::feature ? query[f].log : query[f].value) *
                      own.value * std::exp(own.log) / norms[f];
          } else {
            weight += query[f].value * own.value * std::exp(query[f].log + own.log + log - largest);
          }
        }
        sum += weight;
        for (Index c = 0; c < columns; ++c) mixed[c] += weight * inputs.v(j, c);
      }
      const double norm = setting.normaliser == Normaliser::weights
                              ? std::max(sum + setting.epsilon, setting.least)
                          : setting.normaliser == Normaliser::count ? seen
                                                                    : 1;
      for (const double value : mixed) out.push_back(value / norm);
    }
    return out;
  }

  Problem problem;
  VariantTrial inputs;
  Work executed;

 private:
  std::map<Index, std::vector<double>> gate_sums_;  ///< [keys + 1] of each gate
};

const std::vector<Problem>& problems() {
  static const std::vector<Problem> all = {
      self_problem(1, 3, 2),
      self_problem(1, 3, 2, true),
      self_problem(17, 8, 5, true),
      self_problem(131, 8, 70),
      self_problem(131, 8, 70, true),
      self_problem(389, 5, 33, true),
      {.queries = 70, .keys = 300, .dim = 4, .value_dim = 16},
      {.queries = 90, .keys = 200, .dim = 4, .value_dim = 7, .causal = true, .first_query = 110},
      {.queries = 90, .keys = 120, .dim = 4, .value_dim = 7, .causal = true, .first_query = 50},
      {.queries = 1, .keys = 150, .dim = 4, .value_dim = 16, .causal = true, .first_query = 149}};
  return all;
}

constexpr FeatureScale kScales[] = {FeatureScale::none, FeatureScale::row, FeatureScale::feature};
// Logarithms of features reach 20 here, and an exponential is off by epsilon times that.
constexpr double kFloatTolerance = 20 * 16 * std::numeric_limits<float>::epsilon();

template <class T>
double error(Head& head, const Setting& setting) {
  return VariantTrial::difference(head.forward<T>(setting), head.definition(setting));
}

TEST(LinearAttention, EqualsSumsOverPairs) {
  for (const Problem& problem : problems()) {
    Head head(problem);
    for (const FeatureScale scale : kScales) {
      for (const Index chunk : {1, 7, 64, 200}) {
        const Setting setting{.scale = scale, .chunk = chunk};
        EXPECT_LT(error<float>(head, setting), kFloatTolerance)
            << problem.queries << ' ' << problem.keys << ' ' << static_cast<int>(scale) << ' '
            << chunk;
      }
    }
  }
}

TEST(LinearAttention, DoubleHasTheDigitsOfItsOutput) {
  // The output is float: nothing is left but its own rounding.
  for (const Problem& problem : problems()) {
    Head head(problem, 1, 3);
    for (const FeatureScale scale : kScales) {
      for (const Gates gates : {Gates::none, Gates::single, Gates::each}) {
        if (gates != Gates::none && (!problem.causal || scale != FeatureScale::none)) continue;
        const Setting setting{.scale = scale, .gates = gates, .chunk = 48};
        const std::vector<double> want = head.definition(setting);
        const std::vector<float> got = head.forward<double>(setting);
        std::size_t off = 0;
        for (std::size_t i = 0; i < want.size(); ++i) {
          // One rounding, and for what lies half-way between two floats either of them.
          off += std::abs(got[i] - want[i]) > 0x1.00001p-24 * std::abs(want[i]) + 1e-40;
        }
        EXPECT_EQ(off, 0u) << problem.queries << ' ' << static_cast<int>(scale)
                           << static_cast<int>(gates);
      }
    }
  }
}

TEST(LinearAttention, ForgetsAsTheRecurrenceSays) {
  for (const Problem& problem : problems()) {
    if (!problem.causal) continue;
    Head head(problem);
    for (const Gates gates : {Gates::single, Gates::each}) {
      for (const Normaliser normaliser :
           {Normaliser::none, Normaliser::weights, Normaliser::count}) {
        for (const Index chunk : {1, 15, 64}) {
          const Setting setting{.gates = gates, .normaliser = normaliser, .chunk = chunk};
          EXPECT_LT(error<float>(head, setting), kFloatTolerance)
              << problem.queries << ' ' << static_cast<int>(gates) << ' ' << chunk;
        }
      }
    }
  }
}

TEST(LinearAttention, Normalisers) {
  for (const Problem& problem : problems()) {
    Head head(problem, 0.5);
    for (const FeatureScale scale : {FeatureScale::none, FeatureScale::feature}) {
      if (problem.causal) continue;
      const Setting setting{.scale = scale, .normaliser = Normaliser::positions};
      EXPECT_LT(error<float>(head, setting), kFloatTolerance);
    }
    for (const Setting& setting :
         {Setting{.normaliser = Normaliser::count}, Setting{.normaliser = Normaliser::none},
          Setting{.epsilon = 3}, Setting{.least = 1e3}}) {
      EXPECT_LT(error<float>(head, setting), kFloatTolerance);
    }
  }
}

TEST(LinearAttention, StreamsEqualForward) {
  for (const Index n : {1, 130}) {
    Head head(self_problem(n, 6, 11, true));
    for (const FeatureScale scale : kScales) {
      for (const Gates gates : {Gates::none, Gates::single, Gates::each}) {
        for (const Normaliser normaliser : {Normaliser::weights, Normaliser::count}) {
          // Sums of features with a scale are known up to that scale alone.
          if (normaliser == Normaliser::count && scale != FeatureScale::none) continue;
          if (gates != Gates::none && scale != FeatureScale::none) continue;
          const Setting setting{.scale = scale, .gates = gates, .normaliser = normaliser};
          EXPECT_LT(
              VariantTrial::difference(head.streamed<float>(setting), head.forward<float>(setting)),
              kFloatTolerance);
          EXPECT_LT(VariantTrial::difference(head.streamed<double>(setting),
                                             head.forward<double>(setting)),
                    2e-7);
        }
      }
    }
  }
}

TEST(LinearAttention, ScalesThatGrowWithoutEndOverflowNowhere) {
  // Logarithms of features grow from -300 to 300 and back along the sequence: any fixed scale would
  // overflow or lose all digits, and chunks have to end early again and again.
  for (const bool causal : {false, true}) {
    for (const FeatureScale scale : {FeatureScale::row, FeatureScale::feature}) {
      Head head(self_problem(300, 4, 5, causal));
      for (Index j = 0; j < 300; ++j) {
        const float size = scale == FeatureScale::row
                               ? 0.1f * static_cast<float>(150 - std::abs(j - 150))
                               : static_cast<float>(150 - std::abs(j - 150)) - 75;
        for (Index c = 0; c < 4; ++c) head.inputs.k(j, c) = size + 0.3f * head.inputs.k(j, c);
      }
      const Setting setting{.scale = scale};
      const double most = 500 * 16 * std::numeric_limits<float>::epsilon();
      EXPECT_LT(error<float>(head, setting), most) << causal << static_cast<int>(scale);
      EXPECT_LT(error<double>(head, setting), 1e-6) << causal << static_cast<int>(scale);
    }
  }
}

TEST(LinearAttention, NoLaterTokenChangesABit) {
  const Problem problem = self_problem(200, 6, 20, true);
  for (const FeatureScale scale : kScales) {
    for (const Gates gates : {Gates::none, Gates::single, Gates::each}) {
      if (gates != Gates::none && scale != FeatureScale::none) continue;
      const Setting setting{.scale = scale, .gates = gates};
      Head clean(problem);
      const std::vector<float> expected = clean.forward<float>(setting);
      for (const float poison : {std::numeric_limits<float>::quiet_NaN(), 1e17f, -1e17f,
                                 std::numeric_limits<float>::infinity()}) {
        for (const Index row : {0, 3, 63, 64, 100}) {
          Head head(problem);
          for (Index j = row + 1; j < problem.keys; ++j) {
            for (Index c = 0; c < 6; ++c) head.inputs.k(j, c) = head.inputs.q(j, c) = poison;
            for (Index c = 0; c < 20; ++c) head.inputs.v(j, c) = poison;
          }
          const std::vector<float> out = head.forward<float>(setting);
          EXPECT_TRUE(std::equal(out.begin(), out.begin() + (row + 1) * 20, expected.begin()))
              << static_cast<int>(scale) << static_cast<int>(gates) << ' ' << poison << ' ' << row;
        }
      }
    }
  }
}

TEST(LinearAttention, ANotANumberIsNotHidden) {
  Head head(self_problem(200, 6, 20, true));
  head.inputs.v(70, 3) = NAN;
  const std::vector<float> out = head.forward<float>({});
  for (Index i = 0; i < 200; ++i) EXPECT_EQ(std::isnan(out[i * 20]), i >= 70) << i;
}

TEST(LinearAttention, PreparedStateGivesTheSameBits) {
  for (const Problem& problem : problems()) {
    if (problem.causal) continue;
    Head head(problem);
    for (const FeatureScale scale : kScales) {
      EXPECT_EQ(head.forward<float>({.scale = scale}), head.forward<float>({.scale = scale}, true));
    }
  }
}

/// phi(x) = x: weights of either sign.
class SignedMap final : public FeatureMap<float> {
 public:
  Index features(Index dim) const override { return dim; }
  void map_queries(ConstView rows, Index, View to, float*, Worker&) const override {
    for (Index i = 0; i < rows.rows; ++i) std::copy_n(rows.row(i), rows.cols, to.row(i));
  }
  void map_keys(ConstView rows, Index first, View to, float* logs, Worker& worker) const override {
    map_queries(rows, first, to, logs, worker);
  }
};

TEST(LinearAttention, CountsNegativeDenominators) {
  for (const bool causal : {false, true}) {
    const Problem problem = self_problem(150, 4, 3, causal);
    VariantTrial trial("mean", problem);
    double expected = 0;
    for (Index i = 0; i < 150; ++i) {
      double sum = 0;
      for (Index j = 0; j < (causal ? i + 1 : 150); ++j) {
        for (Index c = 0; c < 4; ++c) sum += double{trial.q(i, c)} * trial.k(j, c);
      }
      expected += sum < 0;
    }
    const SignedMap map;
    const LinearAttention<float> kernel{.map = map};
    SimpleRun run(kernel.scratch(problem));
    std::vector<float> out(450);
    kernel.forward({problem,
                    trial.q.view(),
                    trial.k.view(),
                    trial.v.view(),
                    {},
                    View(out.data(), 150, 3),
                    nullptr,
                    trial.tensors,
                    {},
                    run});
    EXPECT_GT(expected, 20);
    EXPECT_EQ(run.executed().negative_denominators, expected);
  }
}

}  // namespace
}  // namespace subquad

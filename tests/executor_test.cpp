#include "layers/executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "measuring/allocation_hooks.h"
#include "subquad/error.h"
#include "support/test_plugins.h"

namespace subquad {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

struct Shape {
  Index batch = 2, heads = 4, key_heads = 4, queries = 13, keys = 13, dim = 3, value_dim = 5;
};

LayerInput input_of(const Shape& shape, std::vector<Index> lengths = {}) {
  LayerInput input{.batch = shape.batch,
                   .heads = shape.heads,
                   .key_heads = shape.key_heads,
                   .queries = shape.queries,
                   .keys = shape.keys,
                   .dim = shape.dim,
                   .value_dim = shape.value_dim,
                   .lengths = std::move(lengths)};
  Generator random(5);
  const auto fill = [&](AlignedFloats& values, Index heads, Index rows, Index cols) {
    values.resize(static_cast<std::size_t>(shape.batch * heads * rows * cols));
    for (float& value : values) value = static_cast<float>(random.normal());
  };
  fill(input.q, shape.heads, shape.queries, shape.dim);
  fill(input.k, shape.key_heads, shape.keys, shape.dim);
  fill(input.v, shape.key_heads, shape.keys, shape.value_dim);
  return input;
}

Problem problem_of(const LayerInput& input, bool causal = false) {
  return {.queries = input.queries,
          .keys = input.keys,
          .dim = input.dim,
          .value_dim = input.value_dim,
          .causal = causal};
}

/// A layer on an input, ready to run.
struct Trial {
  Trial(const std::string& text, LayerInput data, int threads = 1, bool causal = false)
      : Trial(text, problem_of(data, causal), std::move(data), threads) {}
  Trial(const std::string& text, const Problem& problem, LayerInput data, int threads)
      : input((load_probes(), std::move(data))),
        layer(parse_expression(text), problem, input.heads),
        tensors(layer, 1),
        executor(layer, input, tensors, threads) {}

  const LayerOutput& run(bool want_log_sum_exp = false) {
    executor.run(output, want_log_sum_exp);
    return output;
  }

  LayerInput input;
  Layer layer;
  DrawnTensors tensors;
  Executor executor;
  LayerOutput output;
};

template <class Made>
std::string error_of(Made made) {
  try {
    made();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

/// Mean of the values that count and that the query may see, straight from the arrays.
double mean_value(const LayerInput& input, bool causal, Index sequence, Index head, Index row,
                  Index col) {
  const Index key_head = head / (input.heads / input.key_heads);
  const Index length = input.length(sequence);
  if (row >= length) return 0;
  const Index end = causal ? row + 1 : length;
  double sum = 0;
  for (Index j = 0; j < end; ++j) {
    const Index at = (sequence * input.key_heads + key_head) * input.keys + j;
    sum += input.v[static_cast<std::size_t>(at * input.value_dim + col)];
  }
  return sum / static_cast<double>(end);
}

void expect_means(const LayerInput& input, bool causal, const LayerOutput& output) {
  for (Index s = 0; s < input.batch; ++s) {
    for (Index h = 0; h < input.heads; ++h) {
      const ConstView out = output.of(s, h);
      for (Index i = 0; i < input.queries; ++i) {
        for (Index c = 0; c < input.value_dim; ++c) {
          // Sums in double, rounded once: half an epsilon of a value below 4.
          EXPECT_NEAR(out(i, c), mean_value(input, causal, s, h, i, c), 2.4e-7)
              << s << " " << h << " " << i << " " << c;
        }
      }
    }
  }
}

TEST(Executor, EverySequenceAndHeadGetsItsOwnMean) {
  for (const int threads : {1, 2, 3, 16}) {
    for (const bool causal : {false, true}) {
      Trial trial("mean", input_of({}), threads, causal);
      expect_means(trial.input, causal, trial.run());
    }
  }
}

TEST(Executor, GroupedHeadsReadTheirKeyHead) {
  for (const Index key_heads : {1, 2}) {
    Trial trial("mean", input_of({.key_heads = key_heads}), 2);
    expect_means(trial.input, false, trial.run());
  }
}

TEST(Executor, PaddingIsNeverSeenAndLeavesZeros) {
  LayerInput input = input_of({.batch = 3, .key_heads = 2}, {13, 1, 7});
  for (Index s = 0; s < 3; ++s) {
    for (Index h = 0; h < input.key_heads; ++h) {
      for (Index j = input.length(s); j < input.keys; ++j) {
        for (Index c = 0; c < input.value_dim; ++c) {
          const Index at = ((s * input.key_heads + h) * input.keys + j) * input.value_dim + c;
          input.v[static_cast<std::size_t>(at)] = std::numeric_limits<float>::quiet_NaN();
        }
      }
    }
  }
  for (const int threads : {1, 16}) {
    for (const bool causal : {false, true}) {
      Trial trial("mean", input, threads, causal);
      trial.output.out.assign(3 * 4 * 13 * 5, std::numeric_limits<float>::quiet_NaN());
      expect_means(trial.input, causal, trial.run());
    }
  }
}

TEST(Executor, ShorterSequenceIsAsIfAlone) {
  const LayerInput ragged = input_of({.batch = 2}, {13, 6});
  LayerInput alone = input_of({.batch = 1, .queries = 6, .keys = 6});
  const auto cut = [](const AlignedFloats& from, AlignedFloats& to, Index cols) {
    for (Index h = 0; h < 4; ++h) {
      std::copy_n(from.begin() + (4 + h) * 13 * cols, 6 * cols, to.begin() + h * 6 * cols);
    }
  };
  cut(ragged.q, alone.q, 3);
  cut(ragged.k, alone.k, 3);
  cut(ragged.v, alone.v, 5);
  for (const char* text : {"dense", "local(radius=2)", "probe_tensors"}) {
    Trial both(text, ragged), single(text, alone);
    const bool softmax = both.layer.gives_log_sum_exp();
    both.run(softmax);
    single.run(softmax);
    for (Index h = 0; h < 4; ++h) {
      EXPECT_EQ(0, std::memcmp(both.output.of(1, h).data, single.output.of(0, h).data,
                               6 * 5 * sizeof(float)))
          << text;
      if (!softmax) continue;
      const float* log_sum_exp = both.output.log_sum_exp.data() + (4 + h) * 13;
      EXPECT_EQ(
          0, std::memcmp(log_sum_exp, single.output.log_sum_exp.data() + h * 6, 6 * sizeof(float)));
      EXPECT_EQ(log_sum_exp[6], -std::numeric_limits<float>::infinity());
    }
  }
}

TEST(Executor, QueriesBeyondTheLastKeyAreLeftOut) {
  // Queries are positions 9 ... 12; sequences of 11 and 4 keys leave two and none of them.
  const LayerInput input =
      input_of({.batch = 3, .heads = 1, .key_heads = 1, .queries = 4}, {13, 11, 4});
  Problem problem = problem_of(input, true);
  problem.first_query = 9;
  Trial trial("dense", problem, input, 1);
  const LayerOutput& output = trial.run();
  const auto zero_rows = [&](Index sequence) {
    Index zeros = 0;
    for (Index i = 0; i < 4; ++i) zeros += output.of(sequence, 0)(i, 0) == 0;
    return zeros;
  };
  EXPECT_EQ(zero_rows(0), 0);
  EXPECT_EQ(zero_rows(1), 2);
  EXPECT_EQ(zero_rows(2), 4);
}

TEST(Executor, SameBitsForAnyNumberOfThreads) {
  for (const char* text : {"dense", "naive", "local(radius=3)", "random_pattern", "mean",
                           "probe_tiles(rows=1)", "probe_layer", "heads(dense,mean)"}) {
    // Two heads on three threads, eight on two and three: with a rest.
    for (const Index batch : {1, 4}) {
      const LayerInput input =
          input_of({.batch = batch, .heads = 2, .key_heads = 2, .queries = 131, .keys = 131});
      Trial one(text, input, 1);
      one.run();
      for (const int threads : {2, 3}) {
        Trial many(text, input, threads);
        EXPECT_EQ(one.output.out, many.run().out) << text << " on " << threads;
        EXPECT_EQ(one.output.out, many.run().out) << text << " once more";
        EXPECT_EQ(one.executor.executed(), many.executor.executed()) << text;
        EXPECT_LE(many.executor.threads_used(), threads);
        EXPECT_GE(many.executor.threads_used(), 1);
      }
      EXPECT_EQ(one.executor.threads_used(), 1);
    }
  }
}

TEST(Executor, AgreesWithTheReference) {
  for (const char* text : {"dense", "local(radius=2)", "heads(mean,dense)", "probe_layer"}) {
    Trial trial(text, input_of({.key_heads = 2}, {13, 9}));
    trial.run();
    const Index width = trial.layer.problem().value_dim;
    for (Index s = 0; s < 2; ++s) {
      for (Index call = 0; call < trial.layer.calls(); ++call) {
        std::vector<double> expected(static_cast<std::size_t>(13 * width), -1);
        run_reference(trial.layer, trial.input, trial.tensors, s, call,
                      {expected.data(), 13, width}, nullptr);
        for (Index i = 0; i < 13; ++i) {
          for (Index c = 0; c < width; ++c) {
            const Index head = call + c / 5;
            // 16 epsilon x (largest |value| < 4): the logits are small.
            EXPECT_NEAR(trial.output.of(s, head)(i, c % 5), expected[i * width + c], 4 * 1.9e-6)
                << text;
          }
        }
      }
    }
  }
}

TEST(Executor, ReferenceReadsTheChoicesOfItsOwnSequenceAndHead) {
  for (const int threads : {1, 3}) {
    Trial trial("probe_tensors", input_of({}, {13, 8}), threads);
    trial.run();
    for (Index s = 0; s < 2; ++s) {
      for (Index head = 0; head < 4; ++head) {
        std::vector<double> out(13 * 5, -1);
        run_reference(trial.layer, trial.input, trial.tensors, s, head, {out.data(), 13, 5},
                      nullptr);
        EXPECT_EQ(out[0], std::trunc(100 * trial.input.v_of(s, head)(0, 0)));
        EXPECT_EQ(out[12 * 5], s == 0 ? out[0] : 0);
      }
    }
  }
}

TEST(Executor, LayerScopeMixesTheHeads) {
  const Shape shape{.key_heads = 2};
  for (const int threads : {1, 2, 3}) {
    Trial trial("probe_layer", input_of(shape, {13, 6}), threads);
    trial.run(true);
    for (Index s = 0; s < 2; ++s) {
      for (Index h = 0; h < 4; ++h) {
        for (Index i = 0; i < 13; ++i) {
          const bool counts = i < trial.input.length(s);
          for (Index c = 0; c < 5; ++c) {
            EXPECT_EQ(trial.output.of(s, h)(i, c),
                      counts ? trial.input.v_of(s, 3 - h)(i, 4 - c) : 0.0f);
          }
          EXPECT_EQ(trial.output.log_sum_exp[(s * 4 + h) * 13 + i],
                    counts ? static_cast<float>(i) : -std::numeric_limits<float>::infinity());
        }
      }
    }
  }
}

TEST(Executor, LayerInputXIsReadWhereItIsThere) {
  LayerInput input = input_of({.batch = 1, .heads = 2, .key_heads = 2});
  input.x_dim = 5;
  input.x.resize(input.v.size());
  for (std::size_t i = 0; i < input.x.size(); ++i) input.x[i] = static_cast<float>(i);
  Trial trial("probe_layer", input);
  EXPECT_EQ(trial.run().of(0, 0)(2, 1), input.x_of(0, 1)(2, 3));
}

TEST(Executor, WithoutXTheValuesStandForItOnlyInSelfAttention) {
  EXPECT_THAT(error_of([] { Trial("probe_layer", input_of({.queries = 4})); }),
              HasSubstr("reads x and the input has none"));
}

TEST(Executor, PreparesOncePerKeyHead) {
  const LayerInput grouped = input_of({.batch = 1, .key_heads = 2});
  for (const int threads : {1, 16}) {
    Trial trial("probe_prepare", grouped, threads);
    trial.run();
    for (Index h = 0; h < 4; ++h) {
      EXPECT_EQ(trial.output.of(0, h)(0, 0), grouped.k_of(0, h)(0, 0) + 1000);
    }
    EXPECT_EQ(trial.executor.executed().multiply_adds, 2);
    EXPECT_EQ(trial.executor.arena().high_water, 2 * kArenaAlignment);
  }
}

TEST(Executor, NothingIsPreparedWhereNoHeadWouldShareIt) {
  const LayerInput grouped = input_of({.batch = 1, .key_heads = 2});
  const LayerInput own = input_of({.batch = 1});
  for (const auto& [text, input] : {std::pair{"probe_prepare", &own},
                                    {"probe_prepare(own=true)", &grouped},
                                    {"heads(probe_prepare,mean)", &grouped}}) {
    Trial trial(text, *input);
    trial.run();
    EXPECT_EQ(trial.output.of(0, 0)(0, 0), input->k_of(0, 0)(0, 0)) << text;
    EXPECT_EQ(trial.executor.executed().multiply_adds, 0) << text;
  }
}

TEST(Executor, ArenasAreWhatIsDeclaredAndTheirUseIsMeasured) {
  // 13 rows in tiles of 3: a shared float per tile, worker scratch of 5 (and spare) floats.
  Trial plain("probe_tiles", input_of({}));
  plain.run();
  EXPECT_EQ(plain.executor.arena().declared, 2 * kArenaAlignment);
  EXPECT_EQ(plain.executor.arena().high_water, 2 * kArenaAlignment);
  Trial spare("probe_tiles(spare=100)", input_of({}));
  spare.run();
  EXPECT_EQ(spare.executor.arena().declared, kArenaAlignment + padded_bytes(105 * 4));
  EXPECT_EQ(spare.executor.arena().high_water, 2 * kArenaAlignment);
  // Eight calls on three threads: three arenas of each kind. On sixteen: eight shared ones.
  EXPECT_EQ(Trial("probe_tiles", input_of({}), 3).executor.arena().declared, 6 * kArenaAlignment);
  EXPECT_EQ(Trial("probe_tiles", input_of({}), 16).executor.arena().declared, 24 * kArenaAlignment);
}

TEST(Executor, WorkIsThatOfTheLastRun) {
  Trial trial("probe_tiles", input_of({}));  // 5 tiles, 8 calls
  trial.run();
  trial.run();
  EXPECT_EQ(trial.executor.executed(), (Work{400, 40}));
}

TEST(Executor, ErrorsOfAVariantReachTheCallerAndTheNextRunIsSound) {
  for (const int threads : {1, 2, 16}) {
    Trial trial("probe_tiles(fail=3)", input_of({}), threads);
    for (int again = 0; again < 3; ++again) {
      EXPECT_THAT(error_of([&] { trial.run(); }), HasSubstr("tile 3 throws"));
    }
  }
}

TEST(Executor, ParallelWithinParallelIsABug) {
  for (const int threads : {1, 16}) {
    Trial trial("probe_tiles(nested=true)", input_of({}), threads);
    EXPECT_THROW(trial.run(), std::logic_error);
  }
}

TEST(Executor, RunAllocatesNothingOnceTheOutputIsSized) {
  for (const char* text : {"mean", "dense", "local(radius=3)", "probe_layer", "probe_prepare"}) {
    Trial trial(text, input_of({.key_heads = 2}, {13, 7}));
    trial.run();
    const AllocationScope scope(AllocationScope::Of::process);
    trial.run();
    EXPECT_EQ(scope.counts().allocations, 0) << text;
  }
}

/// The same matrices with heads beside one another.
LayerInput by_row(const LayerInput& input) {
  LayerInput turned = input;
  turned.layout = turned.x_layout = Layout::by_row;
  const auto turn = [&](const AlignedFloats& from, AlignedFloats& to, Index heads, Index cols) {
    const Index rows = input.queries;
    for (Index i = 0; i < static_cast<Index>(from.size()); ++i) {
      const Index c = i % cols, row = i / cols % rows, head = i / (cols * rows) % heads;
      const Index sequence = i / (cols * rows * heads);
      to[static_cast<std::size_t>(((sequence * rows + row) * heads + head) * cols + c)] =
          from[static_cast<std::size_t>(i)];
    }
  };
  turn(input.q, turned.q, input.heads, input.dim);
  turn(input.k, turned.k, input.key_heads, input.dim);
  turn(input.v, turned.v, input.key_heads, input.value_dim);
  return turned;
}

TEST(Executor, HeadsMayLieBesideOneAnother) {
  for (const char* text : {"mean", "dense", "heads(mean,dense)", "fnet", "probe_layer"}) {
    const LayerInput input = input_of({}, {13, 6}), turned = by_row(input);
    Trial trial(text, input);
    const LayerOutput& expected = trial.run();
    Team team(2);
    Executor executor(trial.layer, turned, trial.tensors, team, Layout::by_row);
    LayerOutput output;
    executor.poison(output);
    executor.run(output);
    for (Index s = 0; s < input.batch; ++s) {
      for (Index h = 0; h < input.heads; ++h) {
        const ConstView got = std::as_const(output).of(s, h), want = expected.of(s, h);
        EXPECT_EQ(got.stride, input.heads * input.value_dim);
        for (Index i = 0; i < want.rows; ++i) {
          for (Index c = 0; c < want.cols; ++c) EXPECT_EQ(got(i, c), want(i, c)) << text;
        }
      }
    }
    EXPECT_TRUE(executor.intact());
  }
}

TEST(Executor, RefusalsAndMisfitsAreErrors) {
  EXPECT_THAT(error_of([] {
                Trial("probe_tensors(refused=10)", input_of({}, {13, 9}));
              }),
              HasSubstr("probe_tensors refuses sequence 1 of 9 keys: too few keys"));
  EXPECT_THAT(error_of([] {
                Trial("mean", input_of({}, {13, 14}));
              }),
              HasSubstr("lengths[1] = 14 is out of range (from 1 to 13)"));
  EXPECT_THAT(error_of([] { Trial("mean", input_of({}, {13})); }),
              HasSubstr("1 lengths for 2 sequences"));
  EXPECT_THAT(error_of([] { Trial("mean", input_of({.key_heads = 3})); }),
              HasSubstr("key_heads = 3 does not divide heads = 4"));
  EXPECT_THAT(error_of([] { Trial("mean", input_of({}), 0); }), HasSubstr("threads = 0"));
  const LayerInput input = input_of({});
  Problem longer = problem_of(input);
  longer.keys = 14;
  EXPECT_THAT(error_of([&] { Trial("mean", longer, input, 1); }),
              HasSubstr("the input has keys = 13, the layer was made for 14"));
  Trial mean("mean", input);
  EXPECT_THROW(mean.run(true), std::logic_error);
}

}  // namespace
}  // namespace subquad

#include "measuring/measure.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "experiments/points.h"
#include "layers/drawn_tensors.h"
#include "layers/executor.h"
#include "measuring/arithmetic.h"
#include "measuring/errors.h"
#include "measuring/metrics.h"
#include "support/temporary_folder.h"
#include "support/test_plugins.h"

namespace subquad {
namespace {

class Measure : public testing::Test {
 protected:
  void SetUp() override { ::setenv("SUBQUAD_CACHE", folder_.path().c_str(), 1); }
  void TearDown() override { ::unsetenv("SUBQUAD_CACHE"); }

  static Experiment single(const std::string& variant) {
    Experiment e;
    e.anchor = parse_expression("dense");
    e.variants = {parse_expression(variant)};
    e.inputs = {parse_expression("gaussian")};
    e.lengths = {61};
    e.batch = 2;
    e.heads = 2;
    e.dim = 8;
    e.min_time_s = 1e-4;
    e.reference_rows = 1000;
    return e;
  }
  static Record measured(const Experiment& experiment) {
    PointMeasurement point(experiment);
    point.check();
    return point.record();
  }

  TemporaryFolder folder_;
};

TEST_F(Measure, DenseIsExact) {
  const Record record = measured(single("dense"));
  EXPECT_EQ(record.status, Status::ok) << record.reason;
  EXPECT_EQ(record.target, "exact");
  EXPECT_EQ(record.reference_rows, 61);
  EXPECT_FALSE(record.sampled);
  ASSERT_EQ(record.error.at("relative_error").size(), 4u);
  for (const double error : record.error.at("relative_error")) EXPECT_LT(error, 1e-6);
  for (const double mass : record.error.at("dropped_mass")) EXPECT_NEAR(mass, 0, 1e-6);
  EXPECT_GE(record.arithmetic_error, 0);
  EXPECT_LE(record.arithmetic_error, record.arithmetic_tolerance);
  EXPECT_TRUE(record.target_error.empty());
}

TEST_F(Measure, SamplesWhereThereAreMoreRows) {
  Experiment e = single("dense");
  e.reference_rows = 10;
  const Record record = measured(e);
  EXPECT_EQ(record.reference_rows, 10);
  EXPECT_TRUE(record.sampled);
}

// By the textbook: what share of a row's softmax lies outside of the window.
TEST_F(Measure, DroppedMassIsWhatTheWindowLeavesOut) {
  const Experiment e = single("local(radius=3)");
  const Record record = measured(e);
  const LayerInput input = make_input_of(e);
  for (Index index = 0; index < 4; ++index) {
    const ConstView q = input.q_of(index / 2, index % 2), k = input.k_of(index / 2, index % 2);
    double dropped = 0;
    for (Index i = 0; i < q.rows; ++i) {
      double all = 0, outside = 0;
      for (Index j = 0; j < k.rows; ++j) {
        double score = 0;
        for (Index c = 0; c < q.cols; ++c) score += static_cast<double>(q(i, c)) * k(j, c);
        const double weight = std::exp(score / std::sqrt(8.0));
        all += weight;
        if (std::abs(i - j) > 3) outside += weight;
      }
      dropped += outside / all;
    }
    EXPECT_NEAR(record.error.at("dropped_mass")[static_cast<std::size_t>(index)],
                dropped / static_cast<double>(q.rows), 1e-6);
  }
}

TEST_F(Measure, AnotherDenseTargetHasFiguresOfItsOwn) {
  const Record record = measured(single("lsh(rounds=2,bucket=16)"));
  EXPECT_NE(record.dense_target, "dense");
  EXPECT_EQ(record.error.size(), record.target_error.size() - 1);
  EXPECT_EQ(record.error.count("dropped_mass"), 0u);
  for (const double mass : record.target_error.at("dropped_mass")) {
    EXPECT_GT(mass, 0);
    EXPECT_LT(mass, 1);
  }
}

TEST_F(Measure, AVariantThatIsNoSoftmaxHasNoDroppedMass) {
  for (const char* variant : {"mean", "fnet", "linear", "heads(local(radius=3),mean)"}) {
    const Record record = measured(single(variant));
    EXPECT_EQ(record.status, Status::ok) << variant << ": " << record.reason;
    EXPECT_EQ(record.error.count("dropped_mass"), 0u) << variant;
    EXPECT_GE(record.arithmetic_error, 0) << variant;
  }
}

TEST_F(Measure, RowsWithNegativeSumsOfWeightsAreCounted) {
  load_probes();
  for (const int threads : {1, 2}) {
    Experiment e = single("probe_negative");
    e.threads = {threads};
    // 21 of 61 rows, in two sequences of two heads.
    EXPECT_EQ(measured(e).negative_denominators, 21 * 4);
  }
  EXPECT_EQ(measured(single("dense")).negative_denominators, 0);
  const Experiment e = single("dense");
  EXPECT_EQ(
      blank_record(e, make_input_of(e), problem_of(e, make_input_of(e))).negative_denominators, -1);
}

TEST_F(Measure, AttentionFiguresAreTakenWhereTheyAreAskedFor) {
  Experiment e = single("mean");
  EXPECT_TRUE(measured(e).attention_figures.empty());
  EXPECT_EQ(measured(e).attention_rows, 0);
  e.spectrum = 20;
  const Record record = measured(e);
  EXPECT_EQ(record.attention_rows, 20);
  for (const double rank : record.attention_figures.at("effective_rank")) {
    EXPECT_GT(rank, 1);
    EXPECT_LT(rank, 20);
  }
  // They belong to the input.
  Experiment other = single("local(radius=2)");
  other.spectrum = 20;
  EXPECT_EQ(measured(other).attention_figures, record.attention_figures);
}

TEST_F(Measure, ABoundOfTheWorkIsNoMoreThanWhatWasDone) {
  Experiment e = single("lsh(rounds=1,bucket=8)");
  Record declared = blank_record(e, make_input_of(e), problem_of(e, make_input_of(e)));
  declare_point(declared);
  const Record record = measured(e);
  EXPECT_FALSE(record.cost_exact);
  EXPECT_LT(record.useful_multiply_adds, declared.useful_multiply_adds);
  EXPECT_EQ(record.useful_multiply_adds, record.executed_multiply_adds);
  // Exact work stays what it is, less than what whole tiles take.
  const Record window = measured(single("local(radius=3)"));
  EXPECT_LT(window.useful_multiply_adds, window.executed_multiply_adds);
}

TEST_F(Measure, MemoryFiguresAgree) {
  for (const char* variant : {"dense", "naive", "linformer(rank=8)", "lsh(rounds=1,bucket=16)"}) {
    for (const int threads : {1, 2}) {
      Experiment e = single(variant);
      e.threads = {threads};
      const Record record = measured(e);
      EXPECT_LE(record.scratch_bytes, record.scratch_declared_bytes);
      EXPECT_EQ(record.input_bytes, sizeof(float) * 3 * 2 * 2 * 61 * 8u);
      const bool has_mass = record.error.count("dropped_mass") + record.target_error.size() > 0;
      EXPECT_EQ(record.output_bytes, sizeof(float) * 2 * 2 * 61 * (has_mass ? 9u : 8u)) << variant;
      EXPECT_EQ(record.predicted_bytes - record.input_bytes - record.output_bytes -
                    record.parameter_bytes - record.random_bytes - record.choice_bytes,
                record.scratch_declared_bytes)
          << variant << " on " << threads;
    }
  }
}

// Predicted before, allocated, and taken: one figure. Hooks see nothing beside it, and resident
// memory grows by it and the output, in whole pages.
TEST_F(Measure, EveryVariantTakesTheMemoryThatItDeclares) {
  for (const CatalogueEntry& entry : Catalogue::instance().entries()) {
    if (entry.origin != "built-in") continue;
    for (const bool causal : {false, true}) {
      for (const Index length : {61, 64, 300}) {
        Experiment e = single(std::string(entry.info().name));
        e.lengths = {length};
        e.causal = {causal};
        e.rounds = 0;
        Record declared = blank_record(e, make_input_of(e), problem_of(e, make_input_of(e)));
        declare_point(declared);
        if (declared.status == Status::refused) continue;
        const Record record = measured(e);
        const std::string what =
            record.resolved + (causal ? ", causal, n = " : ", n = ") + std::to_string(length);
        EXPECT_EQ(record.predicted_bytes, declared.predicted_bytes) << what;
        EXPECT_EQ(record.scratch_declared_bytes, record.scratch_bytes) << what;
        EXPECT_EQ(record.heap_allocations, 0u) << what;
        EXPECT_EQ(record.heap_bytes, 0u) << what;
        EXPECT_EQ(record.status, Status::ok) << what << ": " << record.reason;
      }
    }
  }
}

TEST_F(Measure, TensorBytesAreThoseThatAreDrawn) {
  for (const char* variant : {"linformer(rank=8)", "lsh(rounds=2,bucket=16)",
                              "random_pattern(keys=8)", "heads(linformer(rank=8),mean)"}) {
    const Experiment e = single(variant);  // of two sequences
    const LayerInput input = make_input_of(e);
    Record record = blank_record(e, input, problem_of(e, input));
    declare_point(record);
    ASSERT_EQ(record.status, Status::ok) << record.reason;
    const Layer layer(e.variants.front(), problem_of(e, input), input.heads);
    const DrawnTensors tensors(layer, 0);
    Executor executor(layer, input, tensors, 1);
    LayerOutput output;
    executor.run(output);
    EXPECT_EQ(record.parameter_bytes, tensors.bytes(Role::learned) + tensors.bytes(Role::running));
    EXPECT_EQ(record.random_bytes, tensors.bytes(Role::random)) << variant;
    EXPECT_EQ(record.choice_bytes, tensors.bytes(Role::choice)) << variant;
    EXPECT_EQ(record.scratch_declared_bytes, executor.arena().declared) << variant;
  }
}

TEST_F(Measure, RedrawsTensorsWhereTheyAreRandom) {
  Experiment e = single("linformer(rank=8)");
  e.draws = 3;
  const Record record = measured(e);
  ASSERT_EQ(record.draws.size(), 2u);
  const LayerInput input = make_input_of(e);
  const Layer layer(e.variants.front(), problem_of(e, input), input.heads);
  for (const Draw& draw : record.draws) {
    const DrawnTensors tensors(layer, draw.seed);
    Executor executor(layer, input, tensors, 1);
    LayerOutput output;
    executor.run(output);
    const auto dense =
        compute_reference(parse_expression("dense"), input, problem_of(e, input), 61);
    const OutputErrors errors = errors_against(*dense, output, input, problem_of(e, input), false);
    EXPECT_EQ(draw.error, errors.figures.at("relative_error"));
    EXPECT_NE(draw.error, record.error.at("relative_error"));
  }
  EXPECT_NE(record.draws[0].error, record.draws[1].error);

  e.variants = {parse_expression("local(radius=3)")};
  EXPECT_TRUE(measured(e).draws.empty());
}

TEST_F(Measure, WithoutRoundsNothingIsTimed) {
  Experiment e = single("mean");
  e.rounds = 0;
  const Record record = measured(e);
  EXPECT_EQ(record.status, Status::ok);
  EXPECT_TRUE(record.rounds.empty());
  EXPECT_GT(record.scratch_bytes, 0u);
}

TEST_F(Measure, PassesAreTimed) {
  PointMeasurement point(single("mean"));
  point.check();
  const TimedPass first = point.time(), second = point.time();
  EXPECT_GT(first.time_ns, 0);
  EXPECT_EQ(first.iterations, second.iterations);
  EXPECT_GE(second.unix_time, first.unix_time);
}

// Two sequences of 100 tokens, two heads over one of keys, of which the last 64 are decoded.
class MeasureDecoding : public Measure {
 protected:
  static Experiment decoding(const std::string& variant) {
    Experiment e = single(variant);
    e.lengths = {100};
    e.key_heads = 1;
    e.modes = {Mode::decode};
    e.causal = {true};
    return e;
  }
};

TEST_F(MeasureDecoding, DenseIsExactOnTheDecodedRows) {
  const Record record = measured(decoding("dense"));
  EXPECT_EQ(record.status, Status::ok) << record.reason;
  EXPECT_EQ(record.direction, "decode");
  EXPECT_EQ(record.decoded_tokens, 64);
  EXPECT_EQ(record.reference_rows, 64);
  EXPECT_FALSE(record.sampled);
  ASSERT_EQ(record.error.at("relative_error").size(), 4u);
  for (const double error : record.error.at("relative_error")) EXPECT_LT(error, 1e-6);
  EXPECT_EQ(record.error.count("dropped_mass"), 0u);
  EXPECT_GE(record.arithmetic_error, 0);
  EXPECT_LE(record.arithmetic_error, record.arithmetic_tolerance);
  EXPECT_EQ(record.state_bytes, 2 * 100 * (8 + 8) * sizeof(float));
  EXPECT_EQ(record.output_bytes, 2 * 2 * 64 * 8 * sizeof(float));
  EXPECT_EQ(record.heap_allocations, 0u);
  EXPECT_EQ(record.scratch_bytes, 0u);
}

TEST_F(MeasureDecoding, WorkIsThatOfAToken) {
  const Record record = measured(decoding("dense"));
  double pairs = 0;
  for (int position = 36; position < 100; ++position) pairs += position + 1;
  const double per_token = 2 * 2 * pairs / 64;
  EXPECT_DOUBLE_EQ(record.useful_exponentials, per_token);
  EXPECT_DOUBLE_EQ(record.useful_multiply_adds, per_token * (8 + 8));
  // A token's own q, k, v and output, of two heads and two sequences, and the caches.
  EXPECT_DOUBLE_EQ(record.useful_bytes,
                   4.0 * 2 * 2 * (8 + 8 + 8 + 8) + static_cast<double>(record.state_bytes));
  EXPECT_EQ(record.executed_multiply_adds, 0);
}

TEST_F(MeasureDecoding, ErrorsAreOfTheDecodedRowsOfTheForwardPass) {
  Experiment e = decoding("local(radius=3)");
  const Record record = measured(e);
  const LayerInput input = make_input_of(e);
  const Problem problem = problem_of(e, input);
  const Layer layer(e.variants.front(), problem, input.heads);
  const DrawnTensors tensors(layer, 0);
  Executor executor(layer, input, tensors, 1);
  LayerOutput output;
  executor.run(output);
  Reference dense = *compute_reference(parse_expression("dense"), input, problem, 100);
  for (ReferenceHead& head : dense.heads) {
    head.rows.erase(head.rows.begin(), head.rows.begin() + 36);
    head.out.erase(head.out.begin(), head.out.begin() + 36 * 8);
  }
  const OutputErrors errors = errors_against(dense, output, input, problem, false);
  const auto& wanted = errors.figures.at("relative_error");
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    EXPECT_NEAR(record.error.at("relative_error")[i], wanted[i], 1e-6);
  }
  e.reference_rows = 10;
  const Record sampled = measured(e);
  EXPECT_TRUE(sampled.sampled);
  EXPECT_EQ(sampled.reference_rows, 10);
  EXPECT_EQ(sampled.error_deviation.at("relative_error").size(), 4u);
}

TEST_F(MeasureDecoding, EveryVariantThatStreamsIsDecodedWell) {
  for (const CatalogueEntry& entry : Catalogue::instance().entries()) {
    if (entry.origin != "built-in" || !entry.registration->powers.stream) continue;
    for (const Index length : {1, 17, 100}) {
      Experiment e = decoding(std::string(entry.info().name));
      e.lengths = {length};
      e.rounds = 0;
      const LayerInput input = make_input_of(e);
      Record record = blank_record(e, input, problem_of(e, input));
      declare_point(record);
      if (record.status == Status::refused) continue;
      const std::uint64_t predicted = record.predicted_bytes;
      record = measured(e);
      EXPECT_EQ(record.status, Status::ok) << record.resolved << ": " << record.reason;
      EXPECT_EQ(record.decoded_tokens, std::min<Index>(length, 64));
      EXPECT_EQ(record.predicted_bytes, predicted);
      EXPECT_GT(record.state_bytes, 0u) << record.resolved;
    }
  }
}

TEST_F(MeasureDecoding, AStreamThatIsNotItsReferenceIsMistrusted) {
  load_probes();
  const Record record = measured(decoding("probe_stream"));
  EXPECT_EQ(record.status, Status::mistrusted);
  EXPECT_NE(record.reason.find("arithmetic error"), std::string::npos) << record.reason;
}

TEST_F(MeasureDecoding, PassesAreOfTokens) {
  PointMeasurement point(decoding("linear"));
  point.check();
  const TimedPass pass = point.time();
  EXPECT_EQ(pass.iterations % 64, 0);
  EXPECT_GT(pass.time_ns, 0);
  // Single calls are per token too: their mean, where all are there, is the time.
  if (pass.iterations <= 64 * static_cast<std::int64_t>(kCallTimes)) {
    double sum = 0;
    for (const double call : pass.call_ns) sum += call;
    EXPECT_NEAR(pass.time_ns, sum / static_cast<double>(pass.call_ns.size()),
                1e-5 * pass.time_ns + 1);
  } else {
    EXPECT_GE(pass.time_ns, pass.call_ns.front());
  }
}

TEST_F(MeasureDecoding, WhatCannotBeDecodedIsRefused) {
  load_probes();
  for (const auto& [variant, words] : {std::pair{"mean", "no stream"},
                                       {"fnet", "mixes all positions"},
                                       {"linformer(rank=8)", "causal"},
                                       {"heads(dense,mean)", "head 1 (mean)"},
                                       {"dense(self_penalty=2)", "self_penalty"},
                                       {"probe_stream(refused=true)", "was told to"}}) {
    const Experiment e = decoding(variant);
    const LayerInput input = make_input_of(e);
    Record record = blank_record(e, input, problem_of(e, input));
    declare_point(record);
    EXPECT_EQ(record.status, Status::refused) << variant;
    EXPECT_NE(record.reason.find(words), std::string::npos) << variant << ": " << record.reason;
  }
}

TEST_F(MeasureDecoding, OneTokenIsNoPrompt) {
  Experiment e = decoding("dense");
  e.lengths = {1};
  const Record record = measured(e);
  EXPECT_EQ(record.status, Status::ok) << record.reason;
  EXPECT_EQ(record.decoded_tokens, 1);
  EXPECT_DOUBLE_EQ(record.useful_exponentials, 2 * 2);
}

TEST(Arithmetic, OfDecodingKeepsTheSharingOfKeys) {
  load_probes();
  const Problem problem{.queries = 300, .keys = 300, .dim = 8, .value_dim = 8, .causal = true};
  for (const Index key_heads : {1, 2, 6}) {
    const LayerInput input = make_input(parse_expression("gaussian"), {.heads = 6,
                                                                       .key_heads = key_heads,
                                                                       .queries = 300,
                                                                       .keys = 300,
                                                                       .dim = 8,
                                                                       .value_dim = 8});
    for (const char* text : {"dense", "heads(dense,local(radius=9),linear)"}) {
      const Layer layer(parse_expression(text), problem, 6);
      const ArithmeticCheck check = check_arithmetic(layer, input, DrawnTensors(layer, 0), 0, 64);
      EXPECT_EQ(check.queries, kArithmeticRows);
      EXPECT_GT(check.error, 0);
      EXPECT_LT(check.error, check.tolerance) << text << " over " << key_heads;
    }
  }
}

TEST(Arithmetic, IsNotTakenWhereTheProblemIsTooSmall) {
  // Rank 300 fits 512 keys, but not the 256 of the check.
  const LayerInput input = make_input(parse_expression("gaussian"), {.queries = 512, .keys = 512});
  const Problem problem{.queries = 512, .keys = 512, .dim = 64, .value_dim = 64};
  const Layer large(parse_expression("linformer(rank=300)"), problem, 1);
  EXPECT_EQ(check_arithmetic(large, input, DrawnTensors(large, 0), 0).error, -1);
  const Layer small(parse_expression("linformer(rank=100)"), problem, 1);
  const ArithmeticCheck check = check_arithmetic(small, input, DrawnTensors(small, 0), 0);
  EXPECT_EQ(check.queries, kArithmeticRows);
  EXPECT_LT(check.error, check.tolerance);
}

}  // namespace
}  // namespace subquad

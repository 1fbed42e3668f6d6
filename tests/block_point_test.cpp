#include "measuring/block_point.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "experiments/points.h"
#include "measuring/measure.h"
#include "models/block_reference.h"
#include "support/temporary_folder.h"

namespace subquad {
namespace {

using ::testing::HasSubstr;

class BlockPoint : public testing::Test {
 protected:
  void SetUp() override { ::setenv("SUBQUAD_CACHE", folder_.path().c_str(), 1); }
  void TearDown() override { ::unsetenv("SUBQUAD_CACHE"); }

  static Experiment single(const std::string& variant) {
    Experiment e;
    e.anchor = parse_expression("dense");
    e.variants = {parse_expression(variant)};
    e.inputs = {parse_expression("gaussian")};
    e.modes = {Mode::block};
    e.lengths = {61};
    e.batch = 2;
    e.heads = 2;
    e.dim = 8;
    e.feed_forward = {40, false};
    e.feed_forward_chunks = {50};
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

TEST_F(BlockPoint, DenseIsExact) {
  const Record record = measured(single("dense"));
  EXPECT_EQ(record.status, Status::ok) << record.reason;
  EXPECT_EQ(record.direction, "block");
  EXPECT_EQ(record.feed_forward, 40);
  EXPECT_EQ(record.feed_forward_chunk, 50);
  EXPECT_EQ(record.reference_rows, 61);
  EXPECT_FALSE(record.sampled);
  ASSERT_EQ(record.error.at("relative_error").size(), 2u) << "one for each sequence";
  for (const double error : record.error.at("relative_error")) EXPECT_LT(error, 1e-6);
  EXPECT_EQ(record.error.count("dropped_mass"), 0u);
  EXPECT_GE(record.arithmetic_error, 0);
  EXPECT_LE(record.arithmetic_error, record.arithmetic_tolerance);
  EXPECT_EQ(record.arithmetic_queries, 61);
}

TEST_F(BlockPoint, CountsWhatStandsAroundAttention) {
  // Per row of width 16: as many weights as multiply-adds, in four, two and no projections.
  const std::pair<const char*, double> projections[] = {{"dense", 4}, {"mean", 2}, {"fnet", 0}};
  for (const auto& [variant, count] : projections) {
    const Record record = measured(single(variant));
    const double weights = count * 16 * 16 + 2 * 16 * 40;
    const Layer layer(parse_expression(variant), record.problem, 2);
    EXPECT_EQ(record.parameter_bytes, 4 * (weights + 2 * 16 + 40 + 16)) << variant;
    EXPECT_EQ(record.useful_multiply_adds, 2 * (61 * weights + layer.cost().useful.multiply_adds));
    EXPECT_EQ(record.useful_exponentials, 2 * (61 * 40 + layer.cost().useful.exponentials));
    EXPECT_GE(record.executed_multiply_adds,
              record.useful_multiply_adds * (variant == projections[2].first ? 0.5 : 1));
    const std::uint64_t matrix = 2 * 61 * 16 * 4;
    EXPECT_EQ(record.input_bytes, matrix);
    EXPECT_EQ(record.output_bytes, matrix);
    EXPECT_EQ(record.useful_bytes, 2 * matrix + record.parameter_bytes);
    EXPECT_EQ(record.layout_bytes, 0u);
    EXPECT_EQ(record.scratch_bytes, record.scratch_declared_bytes);
    EXPECT_GE(record.scratch_bytes, 2 * matrix + 50 * 40 * 4) << "norm(x), attention, hidden layer";
    EXPECT_EQ(record.heap_allocations, 0u);
  }
}

TEST_F(BlockPoint, ErrorsAreOfTheWholeBlock) {
  const Experiment e = single("mean");
  const Record record = measured(e);
  const LayerInput input = make_input_of(e);
  const BlockShape shape = block_shape_of(record);
  const DrawnBlock drawn(shape, 0);
  for (Index s = 0; s < 2; ++s) {
    DoubleMatrix x(61, 16);
    for (Index head = 0; head < 2; ++head) {
      x.middleCols(8 * head, 8) = as_eigen(input.v_of(s, head)).cast<double>();
    }
    const auto z = [&](const char* text) {
      const Layer layer(parse_expression(text), record.problem, 2);
      return block_in_double(layer, DrawnTensors(layer, 0), shape, drawn.tensors(), x);
    };
    const DoubleMatrix dense = z("dense"), mean = z("mean");
    EXPECT_NEAR(record.error.at("relative_error")[static_cast<std::size_t>(s)],
                (mean - dense).norm() / dense.norm(), 1e-6);
  }
}

TEST_F(BlockPoint, SamplesRowsOfEachSequence) {
  Experiment e = single("dense");
  e.reference_rows = 10;
  const Record record = measured(e);
  EXPECT_EQ(record.reference_rows, 10);
  EXPECT_TRUE(record.sampled);
  for (const double error : record.error.at("relative_error")) EXPECT_LT(error, 1e-6);
  EXPECT_EQ(record.error_deviation.at("relative_error").size(), 2u);
}

TEST_F(BlockPoint, OtherDenseTargetsStandInTheSameBlock) {
  const Record record = measured(single("routing(qk=shared,clusters=1,window=0)"));
  EXPECT_EQ(record.status, Status::ok) << record.reason;
  for (const double error : record.target_error.at("relative_error")) EXPECT_LT(error, 1e-6);
  for (const double error : record.error.at("relative_error")) EXPECT_GT(error, 1e-3);
}

TEST_F(BlockPoint, ChunksAndThreadsChangeNoError) {
  Experiment e = single("local(radius=3)");
  const Record chunks = measured(e);
  e.feed_forward_chunks = {0};
  e.threads = {3};
  const Record whole = measured(e);
  EXPECT_EQ(chunks.error, whole.error);
  EXPECT_EQ(chunks.arithmetic_error, whole.arithmetic_error);
  EXPECT_GT(whole.scratch_declared_bytes, chunks.scratch_declared_bytes);
}

TEST_F(BlockPoint, OfRandomTensorsAreDrawnAnew) {
  Experiment e = single("performer(features=8)");
  e.draws = 3;
  const Record record = measured(e);
  ASSERT_EQ(record.draws.size(), 2u);
  EXPECT_EQ(record.draws[0].error.size(), 2u);
  EXPECT_NE(record.draws[0].error, record.draws[1].error);
}

TEST_F(BlockPoint, RefusalsSayWhy) {
  const auto declared = [](const std::string& variant, bool causal) {
    Experiment e = single(variant);
    e.causal = {causal};
    const LayerInput input = make_input_of(e);
    Record record = blank_record(e, input, problem_of(e, input));
    declare_point(record);
    EXPECT_EQ(record.status, Status::refused);
    return record.reason;
  };
  EXPECT_THAT(declared("fnet", true), HasSubstr("mixes all positions"));
  EXPECT_THAT(declared("fitted(linformer(rank=4),seed=1)", false),
              HasSubstr("attention in a block meets projections"));
}

TEST_F(BlockPoint, PassesAreTimed) {
  PointMeasurement point(single("fnet"));
  point.check();
  const TimedPass first = point.time(), second = point.time();
  EXPECT_GT(first.time_ns, 0);
  EXPECT_EQ(first.iterations, second.iterations);
  EXPECT_EQ(point.complaint(), "");
}

}  // namespace
}  // namespace subquad

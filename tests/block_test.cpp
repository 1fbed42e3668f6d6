#include "models/block.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "layers/team.h"
#include "measuring/allocation_hooks.h"
#include "models/block_reference.h"
#include "models/drawn_block.h"
#include "models/rotary.h"
#include "subquad/error.h"
#include "subquad/random.h"

namespace subquad {
namespace {

std::vector<float> normals(Index count, std::uint64_t seed, double std = 1) {
  std::vector<float> values(static_cast<std::size_t>(count));
  Generator random(seed);
  random.normals(values, std);
  return values;
}

/// Every tensor of a block at random, biases and gains too.
struct RandomBlock {
  RandomBlock(const BlockShape& shape, std::uint64_t seed)
      : width(shape.width()), hidden(shape.feed_forward) {
    for (std::size_t i = 0; i < 4; ++i) norms[i] = normals(width, seed + i);
    for (std::size_t i = 0; i < 4; ++i) {
      squares[i] = normals(width * width, seed + 10 + i, 1 / std::sqrt(width));
      biases[i] = normals(width, seed + 20 + i);
    }
    up = normals(hidden * width, seed + 30, 1 / std::sqrt(width));
    down = normals(hidden * width, seed + 31, 1 / std::sqrt(hidden + 1));
    up_bias = normals(hidden, seed + 32);
    down_bias = normals(width, seed + 33);
  }
  BlockTensors tensors() const {
    const auto square = [&](std::size_t i) {
      return LinearTensors{{squares[i].data(), width, width}, biases[i]};
    };
    return {.attention_norm = {norms[0], norms[1]},
            .feed_forward_norm = {norms[2], norms[3]},
            .q = square(0),
            .k = square(1),
            .v = square(2),
            .out = square(3),
            .up = {{up.data(), hidden, width}, up_bias},
            .down = {{down.data(), width, hidden}, down_bias}};
  }

  Index width, hidden;
  std::vector<float> norms[4], squares[4], biases[4];
  std::vector<float> up, down, up_bias, down_bias;
};

/// A block around a variant, with all that it needs.
struct Trial {
  Trial(const std::string& text, BlockShape of, int threads = 1, bool causal = false)
      : shape(of),
        problem{.queries = of.tokens,
                .keys = of.tokens,
                .dim = of.dim,
                .value_dim = of.dim,
                .causal = causal},
        layer(parse_expression(text), problem, of.heads),
        tensors(layer, 3),
        random(of, 100),
        weights(of, projections_of(layer.consumes()), random.tensors()),
        memory(of, projections_of(layer.consumes()), layer.scope()),
        team(threads),
        block(layer, tensors, shape, weights, memory, team),
        x(normals(of.rows() * of.width(), 7)),
        z(x.size(), std::numeric_limits<float>::quiet_NaN()) {}

  const std::vector<float>& run() {
    block.run(view(x), {z.data(), shape.rows(), shape.width()});
    return z;
  }
  ConstView view(const std::vector<float>& values) const {
    return {values.data(), shape.rows(), shape.width()};
  }
  DoubleMatrix x_of(Index sequence) const {
    return as_eigen(view(x).row_range(sequence * shape.tokens, shape.tokens)).cast<double>();
  }

  BlockShape shape;
  Problem problem;
  Layer layer;
  DrawnTensors tensors;
  RandomBlock random;
  BlockWeights weights;
  BlockMemory memory;
  Team team;
  Block block;
  std::vector<float> x, z;
};

using Doubles = std::vector<double>;

/// The formulas of a block, once more and element by element.
struct Plain {
  explicit Plain(const Trial& trial) : trial(trial), t(trial.random.tensors()) {}

  Doubles norm(const Doubles& row, const NormTensors& n) const {
    const double count = static_cast<double>(row.size());
    const double mean = std::accumulate(row.begin(), row.end(), 0.0) / count;
    double squares = 0;
    for (const double value : row) squares += (value - mean) * (value - mean);
    Doubles result;
    for (std::size_t c = 0; c < row.size(); ++c) {
      result.push_back((row[c] - mean) / std::sqrt(squares / count + 1e-5) * n.gain[c] + n.bias[c]);
    }
    return result;
  }
  Doubles linear(const Doubles& row, const LinearTensors& l) const {
    Doubles result;
    for (Index o = 0; o < l.weight.rows; ++o) {
      double sum = l.bias[static_cast<std::size_t>(o)];
      for (Index i = 0; i < l.weight.cols; ++i) {
        sum += row[static_cast<std::size_t>(i)] * l.weight(o, i);
      }
      result.push_back(sum);
    }
    return result;
  }
  Doubles x_row(Index row) const {
    const float* from = trial.x.data() + row * trial.shape.width();
    return {from, from + trial.shape.width()};
  }
  Doubles finish(const Doubles& x, const Doubles& mixed) const {
    Doubles y = x;
    for (std::size_t c = 0; c < y.size(); ++c) y[c] += mixed[c];
    Doubles hidden = linear(norm(y, t.feed_forward_norm), t.up);
    for (double& h : hidden) h = h / 2 * (1 + std::erf(h / std::sqrt(2.0)));
    const Doubles more = linear(hidden, t.down);
    for (std::size_t c = 0; c < y.size(); ++c) y[c] += more[c];
    return y;
  }

  const Trial& trial;
  BlockTensors t;
};

void turn(Doubles& row, Index position, Index dim) {
  for (std::size_t c = 0; c < row.size(); c += 2) {
    const double within = static_cast<double>(static_cast<Index>(c) % dim);
    const double angle = position * std::pow(10000.0, -within / static_cast<double>(dim));
    const double a = row[c], b = row[c + 1];
    row[c] = a * std::cos(angle) - b * std::sin(angle);
    row[c + 1] = a * std::sin(angle) + b * std::cos(angle);
  }
}

/// Softmax attention of one query row, over the keys up to `end`.
Doubles attend(const Doubles& query, const std::vector<Doubles>& keys,
               const std::vector<Doubles>& values, Index end, Index heads) {
  const std::size_t dim = query.size() / static_cast<std::size_t>(heads);
  Doubles result(query.size());
  for (std::size_t first = 0; first < query.size(); first += dim) {
    Doubles weights;
    double sum = 0;
    for (Index j = 0; j < end; ++j) {
      double score = 0;
      for (std::size_t c = first; c < first + dim; ++c) {
        score += query[c] * keys[static_cast<std::size_t>(j)][c];
      }
      weights.push_back(std::exp(score / std::sqrt(static_cast<double>(dim))));
      sum += weights.back();
    }
    for (std::size_t c = first; c < first + dim; ++c) {
      for (Index j = 0; j < end; ++j) {
        const auto at = static_cast<std::size_t>(j);
        result[c] += weights[at] / sum * values[at][c];
      }
    }
  }
  return result;
}

/// Largest difference of a block around dense attention from the formulas.
double worst_of_dense(Trial& trial) {
  const Plain plain(trial);
  const BlockShape& shape = trial.shape;
  const std::vector<float>& z = trial.run();
  double worst = 0;
  for (Index s = 0; s < shape.batch; ++s) {
    std::vector<Doubles> q, k, v;
    for (Index i = 0; i < shape.tokens; ++i) {
      const Doubles normed = plain.norm(plain.x_row(s * shape.tokens + i), plain.t.attention_norm);
      q.push_back(plain.linear(normed, plain.t.q));
      k.push_back(plain.linear(normed, plain.t.k));
      v.push_back(plain.linear(normed, plain.t.v));
      if (shape.rotary) turn(q.back(), i, shape.dim);
      if (shape.rotary) turn(k.back(), i, shape.dim);
    }
    for (Index i = 0; i < shape.tokens; ++i) {
      const Index end = trial.problem.causal ? i + 1 : shape.tokens;
      const Doubles mixed =
          plain.linear(attend(q[static_cast<std::size_t>(i)], k, v, end, shape.heads), plain.t.out);
      const Index row = s * shape.tokens + i;
      const Doubles exact = plain.finish(plain.x_row(row), mixed);
      for (Index c = 0; c < shape.width(); ++c) {
        const double got = z[static_cast<std::size_t>(row * shape.width() + c)];
        const double difference = std::abs(got - exact[static_cast<std::size_t>(c)]);
        EXPECT_TRUE(std::isfinite(got));
        worst = std::max(worst, difference);
      }
    }
  }
  return worst;
}

// Elements of z are of size 1 to 10 after some 300 roundings of half an epsilon (6e-8) each, of
// either sign: about 1e-6 for a random walk, and four times that for the worst of thousands.
constexpr double kTolerance = 1e-5;

TEST(Block, AroundDenseAttentionIsItsFormula) {
  for (const int threads : {1, 3}) {
    for (const bool causal : {false, true}) {
      Trial trial("dense", {.batch = 2, .tokens = 101, .heads = 3, .dim = 10, .feed_forward = 70},
                  threads, causal);
      EXPECT_LT(worst_of_dense(trial), kTolerance) << threads << " threads, causal " << causal;
    }
  }
}

TEST(Block, WithRotaryPositionsIsItsFormula) {
  Trial trial("dense", {.tokens = 40, .heads = 2, .dim = 64, .feed_forward = 130, .rotary = true},
              1, true);
  EXPECT_LT(worst_of_dense(trial), kTolerance);
}

TEST(Block, OfHeadsThatStraddlePanelsIsItsFormula) {
  Trial trial("dense", {.tokens = 13, .heads = 5, .dim = 48, .feed_forward = 33});
  EXPECT_LT(worst_of_dense(trial), kTolerance);
}

/// Relative difference of a trial's output from the harness's own block in double.
double error_of(Trial& trial) {
  trial.run();
  double difference = 0, size = 0;
  for (Index s = 0; s < trial.shape.batch; ++s) {
    const DoubleMatrix exact = block_in_double(trial.layer, trial.tensors, trial.shape,
                                               trial.random.tensors(), trial.x_of(s), s);
    const ConstView rows =
        trial.view(trial.z).row_range(s * trial.shape.tokens, trial.shape.tokens);
    difference += (as_eigen(rows).cast<double>() - exact).squaredNorm();
    size += exact.squaredNorm();
  }
  return std::sqrt(difference / size);
}

TEST(Block, AroundAnyVariantIsTheSameInDouble) {
  const BlockShape shape{.batch = 2, .tokens = 50, .heads = 4, .dim = 16, .feed_forward = 64};
  for (const char* text : {"dense", "mean", "fnet", "mixer", "local(radius=5)", "lsh", "gmlp",
                           "linear", "synthesizer", "performer", "heads(dense,mean)"}) {
    Trial trial(text, shape);
    EXPECT_LT(error_of(trial), 2e-6) << text;
  }
  for (const char* text : {"gated", "delta(gate=learned)", "heads(gated,dense)"}) {
    Trial trial(text, shape, 2, true);
    EXPECT_LT(error_of(trial), 2e-6) << text;
  }
}

TEST(Block, WithoutFeedForwardIsAttentionAndResidual) {
  Trial trial("fnet", {.tokens = 20, .heads = 2, .dim = 8});
  EXPECT_LT(error_of(trial), 2e-6);
  EXPECT_EQ(trial.weights.parameter_bytes(), 2 * 16 * sizeof(float));  // gain and bias of a norm
}

TEST(Block, ProjectsOnlyWhatIsConsumed) {
  const BlockShape shape{.tokens = 24, .heads = 2, .dim = 16, .feed_forward = 40};
  const std::size_t width = 32, square = width * width, around = 2 * 40 * width;
  const auto parameters = [&](const char* text) {
    const Trial trial(text, shape);
    // Two norms of two rows each, biases of the products and of the feed-forward layer.
    return trial.weights.parameter_bytes() / sizeof(float) - around - (4 * width + 40 + width);
  };
  EXPECT_EQ(parameters("dense"), 4 * (square + width));
  EXPECT_EQ(parameters("dense(keys=normalised_queries)"), 3 * (square + width));
  EXPECT_EQ(parameters("mean"), 2 * (square + width));
  EXPECT_EQ(parameters("fnet"), 0);
  EXPECT_EQ(parameters("heads(mean,local(radius=2))"), 4 * (square + width));
}

TEST(Block, CountsItsProducts) {
  const BlockShape shape{.batch = 2, .tokens = 96, .heads = 1, .dim = 64, .feed_forward = 128};
  for (const char* text : {"mean", "fnet", "dense"}) {
    Trial trial(text, shape);
    trial.run();
    const double products = static_cast<double>(projections_of(trial.layer.consumes()).count());
    const Work useful = block_work(trial.layer, shape), layer = trial.layer.cost().useful;
    EXPECT_EQ(useful.multiply_adds,
              2 * layer.multiply_adds + 192 * (products * 64 * 64 + 2 * 64 * 128));
    EXPECT_EQ(useful.exponentials, 2 * layer.exponentials + 192 * 128);
    EXPECT_GE(trial.block.executed().multiply_adds, useful.multiply_adds);
  }
  // Of whole tiles nothing is done in vain.
  Trial trial("mean", shape);
  trial.run();
  const double attention = 2 * trial.layer.cost().useful.multiply_adds;
  EXPECT_GE(trial.block.executed().multiply_adds - attention,
            block_work(trial.layer, shape).multiply_adds - attention);
}

TEST(Block, InChunksGivesTheSameBits) {
  const BlockShape whole{.batch = 2, .tokens = 151, .heads = 2, .dim = 20, .feed_forward = 77};
  Trial all("dense", whole);
  const std::vector<float> expected = all.run();
  for (const Index chunk : {1, 5, 7, 96, 100, 128, 301, 302, 1000}) {
    for (const int threads : {1, 2}) {
      BlockShape shape = whole;
      shape.feed_forward_chunk = chunk;
      Trial trial("dense", shape, threads);
      EXPECT_EQ(trial.run(), expected) << "chunk " << chunk << ", " << threads << " threads";
      EXPECT_EQ(trial.memory.hidden.bytes(),
                sizeof(float) * 77 * ((std::min<std::size_t>(chunk, 302) + 5) / 6 * 6));
    }
  }
}

TEST(Block, MayWriteOverItsInput) {
  const BlockShape shape{.tokens = 130, .heads = 2, .dim = 8, .feed_forward = 20};
  Trial trial("dense", shape);
  const std::vector<float> expected = trial.run();
  std::vector<float> both = trial.x;
  const View view(both.data(), shape.rows(), shape.width());
  trial.block.run(view, view);
  EXPECT_EQ(both, expected);
}

TEST(Block, TakesWhatItDeclaresAndAllocatesNothing) {
  for (const char* text : {"dense", "mean", "fnet", "linear", "heads(dense,mean)"}) {
    for (const Index chunk : {0, 50}) {
      Trial trial(text, {.batch = 2,
                         .tokens = 113,
                         .heads = 4,
                         .dim = 16,
                         .feed_forward = 96,
                         .feed_forward_chunk = chunk});
      trial.run();
      AllocationCounts heap;
      {
        const AllocationScope scope(AllocationScope::Of::process);
        trial.run();
        heap = scope.counts();
      }
      EXPECT_EQ(heap.allocations, 0) << text;
      const std::size_t memory =
          BlockMemory::bytes(trial.shape, projections_of(trial.layer.consumes()));
      const LayerInput& input = trial.memory.input;
      EXPECT_EQ(memory, sizeof(float) * (input.q.size() + input.k.size() + input.v.size() +
                                         input.x.size() + trial.memory.attended.out.size()) +
                            trial.memory.hidden.bytes());
      EXPECT_EQ(memory + trial.block.arena().declared, block_scratch(trial.layer, trial.shape, 1));
      EXPECT_EQ(trial.block.arena().high_water, trial.block.arena().declared) << text;
      EXPECT_TRUE(trial.block.intact());
    }
  }
}

TEST(Block, SaysWhichTensorDoesNotFit) {
  const BlockShape shape{.tokens = 4, .heads = 2, .dim = 4, .feed_forward = 12};
  const RandomBlock random(shape, 1);
  BlockTensors tensors = random.tensors();
  tensors.up.weight.rows = 11;
  try {
    const BlockWeights weights(shape, {false, false, false, false}, tensors);
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "block: the weight of 'up' is [11, 8] ([12, 8] is needed)");
  }
  Trial even("dense", shape);
  BlockShape odd{.tokens = 4, .heads = 2, .dim = 3, .rotary = true};
  EXPECT_THROW(Trial("dense", odd), Error);
}

TEST(Rotary, TurnsPairsByTheirPosition) {
  std::vector<float> table(3 * 4), rows = {1, 0, 0, 1};
  fill_rotary_table(3, 4, table.data());
  rotate_rows({rows.data(), 1, 4}, table.data(), 2);
  EXPECT_NEAR(rows[0], std::cos(2.0), 1e-7);
  EXPECT_NEAR(rows[1], std::sin(2.0), 1e-7);
  EXPECT_NEAR(rows[2], -std::sin(0.02), 1e-7);
  EXPECT_NEAR(rows[3], std::cos(0.02), 1e-7);
}

TEST(DrawnBlock, HasTheBytesThatItSaysAndUnitGain) {
  const BlockShape shape{.tokens = 4, .heads = 4, .dim = 32, .feed_forward = 300};
  const DrawnBlock drawn(shape, 5);
  for (const Projections& p : {Projections{}, Projections{false, false, true, true},
                               Projections{false, false, false, false}}) {
    EXPECT_EQ(BlockWeights(shape, p, drawn.tensors()).parameter_bytes(),
              DrawnBlock::bytes(shape, p));
  }
  // Variance 1 / in, from 300 x 128 draws: within four standard errors of the estimate.
  const ConstView down = drawn.tensors().down.weight;
  const double mean_square = as_eigen(down).cast<double>().squaredNorm() / (300 * 128);
  EXPECT_NEAR(mean_square * 300, 1, 4 * std::sqrt(2.0 / (300 * 128)));
  EXPECT_NE(drawn.tensors().q.weight(0, 0), drawn.tensors().k.weight(0, 0));
  EXPECT_EQ(drawn.tensors().q.weight(0, 0), DrawnBlock(shape, 5).tensors().q.weight(0, 0));
  EXPECT_NE(drawn.tensors().q.weight(0, 0), DrawnBlock(shape, 6).tensors().q.weight(0, 0));
}

}  // namespace
}  // namespace subquad

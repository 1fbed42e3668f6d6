#include "layers/decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "layers/shared_keys.h"
#include "measuring/allocation_hooks.h"
#include "subquad/error.h"
#include "support/test_plugins.h"

namespace subquad {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Shape {
  Index batch = 2, heads = 4, key_heads = 2, length = 37, dim = 3, value_dim = 5;
};

void fill(AlignedFloats& values, Index count, Generator& random) {
  values.resize(static_cast<std::size_t>(count));
  for (float& value : values) value = static_cast<float>(random.normal());
}

LayerInput input_of(const Shape& shape) {
  LayerInput input{.batch = shape.batch,
                   .heads = shape.heads,
                   .key_heads = shape.key_heads,
                   .queries = shape.length,
                   .keys = shape.length,
                   .dim = shape.dim,
                   .value_dim = shape.value_dim};
  Generator random(5);
  const Index rows = shape.batch * shape.length;
  fill(input.q, rows * shape.heads * shape.dim, random);
  fill(input.k, rows * shape.key_heads * shape.dim, random);
  fill(input.v, rows * shape.key_heads * shape.value_dim, random);
  return input;
}

Problem problem_of(const LayerInput& input) {
  return {.queries = input.queries,
          .keys = input.keys,
          .dim = input.dim,
          .value_dim = input.value_dim,
          .causal = true};
}

/// A layer on an input, whose last tokens are to be decoded.
struct Trial {
  Trial(const std::string& text, LayerInput data, Index tokens, int threads = 1)
      : input((load_probes(), std::move(data))),
        layer(parse_expression(text), problem_of(input), input.heads),
        tensors(layer, 1),
        decoder(layer, input, tensors, tokens, threads) {
    decoder.read_prompt();
  }

  const LayerOutput& run() {
    decoder.rewind();
    decoder.poison(output);
    decoder.run(output);
    return output;
  }

  LayerInput input;
  Layer layer;
  DrawnTensors tensors;
  Decoder decoder;
  LayerOutput output;
};

/// Largest difference from the variants' own double references, over what the contract allows of a
/// value: 32 epsilon x max(1, largest |score|) x largest |value|.
double over_tolerance(const Trial& trial) {
  const LayerInput& input = trial.input;
  const Problem problem = problem_of(input);
  const Index tokens = trial.output.queries, width = input.value_dim;
  std::vector<double> exact(static_cast<std::size_t>(input.queries * width));
  double difference = 0, largest_score = 1, largest_value = 0;
  for (Index s = 0; s < input.batch; ++s) {
    for (Index h = 0; h < input.heads; ++h) {
      run_reference(trial.layer, input, trial.tensors, s, h, {exact.data(), input.queries, width},
                    nullptr);
      const ConstView got = trial.output.of(s, h);
      for (Index i = 0; i < tokens * width; ++i) {
        const double want = exact[static_cast<std::size_t>((input.queries - tokens) * width + i)];
        difference = std::max(difference, std::abs(got.data[i] - want));
        largest_value = std::max(largest_value, std::abs(want));
      }
      for (Index i = 0; i < input.queries; ++i) {
        for (Index j = 0; j <= i; ++j) {
          double score = 0;
          for (Index c = 0; c < input.dim; ++c) {
            score += double{input.q_of(s, h)(i, c)} * input.k_of(s, h)(j, c);
          }
          largest_score = std::max(largest_score, std::abs(problem.score_scale() * score));
        }
      }
    }
  }
  return difference / (32 * std::numeric_limits<float>::epsilon() * largest_score * largest_value);
}

TEST(Decoder, EqualsTheReferenceOfEveryVariant) {
  for (const char* text :
       {"dense", "dense(scale=none)", "local(radius=5)", "local(radius=2,dilation=3)",
        "sinks(sinks=2,window=4)", "linear", "heads(dense,linear)"}) {
    for (const Shape& shape : {Shape{}, Shape{.key_heads = 4}, Shape{.key_heads = 1},
                               Shape{.heads = 12, .key_heads = 2, .dim = 1, .value_dim = 17},
                               Shape{.batch = 1, .length = 131}, Shape{.length = 1}}) {
      for (const Index tokens : {Index{1}, std::min<Index>(7, shape.length), shape.length}) {
        Trial trial(text, input_of(shape), tokens);
        EXPECT_EQ(trial.run().queries, tokens);
        EXPECT_LE(over_tolerance(trial), 1)
            << text << ", " << tokens << " of " << shape.length << " tokens, " << shape.heads
            << " heads over " << shape.key_heads;
      }
    }
  }
}

TEST(Decoder, GroupedQueriesAreSeparateHeadsWithEqualKeys) {
  const LayerInput grouped = input_of({});
  LayerInput separate = grouped;
  separate.key_heads = separate.heads;
  separate.k.clear();
  separate.v.clear();
  for (Index s = 0; s < grouped.batch; ++s) {
    for (Index h = 0; h < grouped.heads; ++h) {
      const ConstView k = grouped.k_of(s, h), v = grouped.v_of(s, h);
      separate.k.insert(separate.k.end(), k.data, k.data + k.rows * k.cols);
      separate.v.insert(separate.v.end(), v.data, v.data + v.rows * v.cols);
    }
  }
  for (const char* text : {"dense", "local(radius=5)", "linear"}) {
    Trial shared(text, grouped, 9), apart(text, separate, 9);
    shared.run();
    apart.run();
    for (std::size_t i = 0; i < shared.output.out.size(); ++i) {
      EXPECT_NEAR(shared.output.out[i], apart.output.out[i], 1e-5) << text;
    }
    EXPECT_EQ(2 * shared.decoder.state_bytes(), apart.decoder.state_bytes()) << text;
  }
}

/// The first element of each head's last token in sequence 1.
std::vector<float> last_values(const std::string& text, const Shape& shape) {
  Trial trial(text, input_of(shape), 3);
  trial.run();
  std::vector<float> values;
  for (Index h = 0; h < shape.heads; ++h) values.push_back(trial.output.of(1, h)(2, 0));
  return values;
}

// The probe tells how many queries came with a token, and how many tokens came before: 36.
TEST(Decoder, HeadsShareAStreamWhereKeysAndVariantAreTheSame) {
  EXPECT_THAT(last_values("probe_stream", {}), Each(3602));
  EXPECT_THAT(last_values("probe_stream", {.key_heads = 4}), Each(3601));
  EXPECT_THAT(last_values("probe_stream", {.key_heads = 1}), Each(3604));
  EXPECT_THAT(last_values("probe_stream(own=true)", {}), Each(3601));
  EXPECT_THAT(last_values("heads(probe_stream,probe_stream(own=true))", {.key_heads = 1}),
              ElementsAre(3602, 3601, 3602, 3601));
  EXPECT_THAT(last_values("heads(probe_stream,probe_stream)", {}), Each(3601));
}

TEST(Decoder, HeadsThatReadXHaveStreamsOfTheirOwn) {
  LayerInput input = input_of({.batch = 1});
  input.x_dim = 1;
  input.x.resize(static_cast<std::size_t>(input.heads * input.keys));
  for (Index h = 0; h < input.heads; ++h) {
    for (Index i = 0; i < input.keys; ++i) input.x[h * input.keys + i] = static_cast<float>(h);
  }
  Trial trial("probe_stream(reads_x=true)", std::move(input), 3);
  trial.run();
  for (Index h = 0; h < 4; ++h) {
    EXPECT_EQ(trial.output.of(0, h)(2, 0), 3601 + 10000 * static_cast<float>(h));
  }
}

TEST(Decoder, StateIsWhatStreamsHold) {
  const Shape shape;
  const auto bytes = [&](const char* text) {
    Trial trial(text, input_of(shape), 5);
    trial.run();
    return trial.decoder.state_bytes();
  };
  constexpr std::size_t kStreams = 2 * 2, kWidths = 3 + 5;
  EXPECT_EQ(bytes("dense"), kStreams * 37 * kWidths * 4);
  EXPECT_EQ(bytes("local(radius=5)"), kStreams * 6 * kWidths * 4);
  EXPECT_EQ(bytes("sinks(sinks=2,window=4)"), kStreams * 6 * kWidths * 4);
  EXPECT_EQ(bytes("linear"), kStreams * (3 * 5 + 3) * 4);
}

TEST(Decoder, EveryCallGoesOnFromThePrompt) {
  Trial trial("dense", input_of({}), 5);
  const LayerOutput first = trial.run();
  const LayerOutput& second = trial.run();
  EXPECT_EQ(std::memcmp(first.out.data(), second.out.data(), first.out.size() * sizeof(float)), 0);
  EXPECT_THROW(trial.decoder.run(trial.output), std::logic_error);
}

TEST(Decoder, ThreadsChangeNoBit) {
  for (const char* text : {"dense", "linear", "heads(dense,local(radius=5))"}) {
    Trial one(text, input_of({}), 9);
    one.run();
    EXPECT_EQ(one.decoder.threads_used(), 1);
    for (const int threads : {2, 3, 9}) {
      Trial several(text, input_of({}), 9, threads);
      several.run();
      EXPECT_EQ(std::memcmp(one.output.out.data(), several.output.out.data(),
                            one.output.out.size() * sizeof(float)),
                0)
          << text << " on " << threads;
      EXPECT_LE(several.decoder.threads_used(), threads);
    }
  }
}

TEST(Decoder, StepsAllocateNothing) {
  for (const char* text : {"dense", "local(radius=5)", "sinks(sinks=2,window=4)"}) {
    Trial trial(text, input_of({}), 5);
    trial.decoder.poison(trial.output);
    trial.decoder.rewind();
    const AllocationScope scope(AllocationScope::Of::process);
    trial.decoder.run(trial.output);
    EXPECT_EQ(scope.counts().allocations, 0) << text;
  }
}

TEST(Decoder, LetsExceptionsThrough) {
  Trial trial("probe_stream(fail=36)", input_of({}), 5, 2);
  trial.decoder.rewind();
  EXPECT_THROW(trial.decoder.run(trial.output), Error);
}

TEST(Decoder, LayersSayWhyTheyCannotBeDecoded) {
  load_probes();
  const auto reason = [](const char* text) {
    return Layer(parse_expression(text), problem_of(input_of({})), 4).refuses_decoding();
  };
  for (const char* text : {"dense", "dense(scale=none)", "local", "sinks", "linear"}) {
    EXPECT_EQ(reason(text), "") << text;
  }
  EXPECT_THAT(reason("mean"), HasSubstr("no stream"));
  EXPECT_THAT(reason("probe_layer"), HasSubstr("whole width"));
  EXPECT_THAT(reason("probe_stream(refused=true)"), HasSubstr("was told to"));
  EXPECT_THAT(reason("dense(keys=normalised_queries)"), HasSubstr("normalised_queries"));
  EXPECT_THAT(reason("dense(self_penalty=1)"), HasSubstr("self_penalty"));
  EXPECT_THAT(reason("heads(dense,mean)"), AllOf(HasSubstr("head 1 (mean)"), HasSubstr("stream")));
  EXPECT_THROW(Trial("mean", input_of({}), 3), Error);
}

TEST(SharedKeys, GroupCallsByKeysVariantAndTensors) {
  load_probes();
  const auto groups = [](const char* text, Index heads, Index key_heads) {
    const LayerInput input = input_of({.heads = heads, .key_heads = key_heads});
    return calls_sharing_keys(Layer(parse_expression(text), problem_of(input), heads), key_heads);
  };
  EXPECT_THAT(groups("dense", 4, 2), ElementsAre(ElementsAre(0, 1), ElementsAre(2, 3)));
  EXPECT_THAT(groups("dense", 2, 2), ElementsAre(ElementsAre(0), ElementsAre(1)));
  EXPECT_THAT(groups("heads(dense,mean)", 4, 1), ElementsAre(ElementsAre(0, 2), ElementsAre(1, 3)));
  EXPECT_THAT(groups("heads(dense,mean,linear)", 4, 2),
              ElementsAre(ElementsAre(0), ElementsAre(1), ElementsAre(2), ElementsAre(3)));
  EXPECT_THAT(groups("probe_prepare(own=true)", 2, 1), ElementsAre(ElementsAre(0), ElementsAre(1)));
  EXPECT_THAT(groups("probe_layer", 4, 2), ElementsAre(ElementsAre(0)));
}

}  // namespace
}  // namespace subquad

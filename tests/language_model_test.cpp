#include "models/language_model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <memory>

#include "measuring/allocation_hooks.h"
#include "models/language_reference.h"
#include "subquad/error.h"
#include "support/small_model.h"
#include "support/temporary_folder.h"

namespace subquad {
namespace {

TextWindows windows(Index batch, Index length, std::uint64_t seed = 7) {
  TextWindows text{.batch = batch, .length = length, .bytes = {}, .provenance = {}};
  Generator random(seed);
  for (Index i = 0; i < batch * (length + 1); ++i) {
    text.bytes.push_back(static_cast<std::uint8_t>(random.below(kVocabulary)));
  }
  return text;
}

std::vector<std::uint8_t> bytes_of(const TextWindows& text, Index window) {
  const auto read = text.read(window);
  return {read.begin(), read.end()};
}

/// A model with one layer expression for each of its layers, all that it stands on kept alive.
class Built {
 public:
  Built(const std::string& folder, const std::vector<std::string>& expressions, Index batch,
        Index length, int threads = 1, Index chunk = 0)
      : weights(folder) {
    const Problem problem = attention_problem(weights.shape(), length);
    for (std::size_t i = 0; i < expressions.size(); ++i) {
      owned.push_back(std::make_unique<Layer>(parse_expression(expressions[i]), problem,
                                              weights.shape().heads));
      tensors.push_back(
          std::make_unique<DrawnTensors>(*owned[i], 0, nullptr, static_cast<Index>(i)));
      layers.push_back(owned[i].get());
      attention.push_back({layers[i], tensors[i].get()});
    }
    packed = std::make_unique<PackedLanguageModel>(weights, layers);
    model = std::make_unique<LanguageModel>(*packed, attention, batch, length, chunk, threads);
  }

  LanguageWeights weights;
  std::vector<std::unique_ptr<Layer>> owned;
  std::vector<std::unique_ptr<DrawnTensors>> tensors;
  std::vector<const Layer*> layers;
  std::vector<ModelAttention> attention;
  std::unique_ptr<PackedLanguageModel> packed;
  std::unique_ptr<LanguageModel> model;
};

LayerOutput logits_of(const Built& built, const TextWindows& text) {
  LayerOutput logits;
  built.model->poison(logits);
  built.model->run(text, logits);
  return logits;
}

class SmallModel : public testing::Test {
 protected:
  void SetUp() override { write_model(folder_.path(), file_); }
  std::string folder() const { return folder_.path().string(); }

  /// Logits of float32 may differ from those by the book by six times what one rounding of every
  /// weight changes in their row: a logit goes through some thirty operations, whose errors are of
  /// either sign.
  void expect_by_the_book(const LayerOutput& logits, Index window, const TextWindows& text,
                          const NaiveModel::Sees& sees) const {
    const std::vector<std::uint8_t> bytes = bytes_of(text, window);
    const NaiveModel::Matrix expected = naive_.logits(bytes, sees);
    const NaiveModel::Matrix moved = shaken_.logits(bytes, sees);
    const ConstView actual = logits.of(window, 0);
    ASSERT_EQ(actual.rows, static_cast<Index>(expected.size()));
    for (Index i = 0; i < actual.rows; ++i) {
      double move = 0;
      for (Index c = 0; c < kVocabulary; ++c) {
        move = std::max(move, std::abs(moved[i][c] - expected[i][c]));
      }
      ASSERT_LT(move, 1e-4) << "row " << i << " is too sensitive to say anything";
      for (Index c = 0; c < kVocabulary; ++c) {
        ASSERT_NEAR(actual(i, c), expected[i][c], 6 * move) << "row " << i << ", byte " << c;
      }
    }
  }

  TemporaryFolder folder_;
  const TensorFile file_ = small_model_file();
  const NaiveModel naive_{file_};
  const TensorFile shaken_file_ = shaken(file_);
  const NaiveModel shaken_{shaken_file_};
};

const NaiveModel::Sees kAll = [](Index, Index, Index) { return true; };

TEST_F(SmallModel, IsTheModelByTheBook) {
  const TextWindows text = windows(2, 37);
  const Built built(folder(), {"dense", "dense"}, 2, 37);
  const LayerOutput logits = logits_of(built, text);
  for (const Index window : {0, 1}) {
    expect_by_the_book(logits, window, text, kAll);
  }
}

TEST_F(SmallModel, ItsReferenceIsTheModelByTheBook) {
  const TextWindows text = windows(1, 150);  // more than one block of queries
  const auto expected = naive_.logits(bytes_of(text, 0), kAll);
  const std::vector<Index> rows = {0, 1, 77, 128, 149};
  std::vector<double> logits(rows.size() * kVocabulary);
  reference_logits(LanguageWeights(folder()), text.read(0), rows,
                   {logits.data(), static_cast<Index>(rows.size()), kVocabulary});
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (Index c = 0; c < kVocabulary; ++c) {
      ASSERT_NEAR(logits[i * kVocabulary + c], expected[rows[i]][c], 1e-10) << "row " << rows[i];
    }
  }
}

TEST_F(SmallModel, AReplacedLayerSeesWhatItsVariantSees) {
  const TextWindows text = windows(1, 41);
  for (const Index replaced : {0, 1}) {
    std::vector<std::string> expressions = {"dense", "dense"};
    expressions[replaced] = "sinks(sinks=2,window=5)";
    const Built built(folder(), expressions, 1, 41);
    const auto sees = [&](Index layer, Index query, Index key) {
      return layer != replaced || key < 2 || query - key < 5;
    };
    expect_by_the_book(logits_of(built, text), 0, text, sees);
  }
}

TEST_F(SmallModel, WithoutAttentionTheResidualStreamGoesBy) {
  const TextWindows text = windows(1, 20);
  const Built built(folder(), {"zero", "zero"}, 1, 20);
  const auto nothing = [](Index, Index, Index) { return false; };
  expect_by_the_book(logits_of(built, text), 0, text, nothing);
  const Built dense(folder(), {"dense", "dense"}, 1, 20);
  const std::size_t projections = 4 * kSmallWidth * kSmallWidth * sizeof(float);
  EXPECT_EQ(built.packed->parameter_bytes() + kSmallLayers * projections,
            dense.packed->parameter_bytes());
  EXPECT_EQ(dense.packed->parameter_bytes(), dense.weights.bytes());
}

TEST_F(SmallModel, ALaterByteChangesNoEarlierLogit) {
  for (const char* variant : {"dense", "local(radius=3)", "linear", "topk(keys=4)", "mean",
                              "performer(features=8)", "pool", "aft", "gmlp"}) {
    const Built built(folder(), {variant, variant}, 1, 64);
    TextWindows text = windows(1, 64);
    const LayerOutput before = logits_of(built, text);
    text.bytes[40] ^= 1;
    const LayerOutput after = logits_of(built, text);
    EXPECT_TRUE(
        std::equal(before.out.begin(), before.out.begin() + 40 * kVocabulary, after.out.begin()))
        << variant;
    EXPECT_FALSE(std::equal(before.out.begin() + 40 * kVocabulary, before.out.end(),
                            after.out.begin() + 40 * kVocabulary))
        << variant;
  }
}

TEST_F(SmallModel, ThreadsChunksAndOtherWindowsChangeNoBit) {
  const TextWindows text = windows(3, 130);
  const Built one(folder(), {"local(radius=9)", "dense"}, 3, 130);
  const LayerOutput expected = logits_of(one, text);
  const Built threads(folder(), {"local(radius=9)", "dense"}, 3, 130, 3);
  EXPECT_EQ(logits_of(threads, text).out, expected.out);
  const Built chunks(folder(), {"local(radius=9)", "dense"}, 3, 130, 1, 100);
  EXPECT_EQ(logits_of(chunks, text).out, expected.out);
  TextWindows other = text;
  for (std::size_t i = 0; i < 2 * 131; ++i) other.bytes[i] ^= 1;
  const LayerOutput mates = logits_of(one, other);
  EXPECT_TRUE(std::equal(expected.out.end() - 130 * kVocabulary, expected.out.end(),
                         mates.out.end() - 130 * kVocabulary));
}

TEST_F(SmallModel, ATextOfAnotherShapeIsRefused) {
  const Built built(folder(), {"dense", "dense"}, 2, 16);
  LayerOutput logits;
  EXPECT_THROW(built.model->run(windows(1, 16), logits), Error);
  EXPECT_THROW(built.model->run(windows(2, 17), logits), Error);
}

TEST_F(SmallModel, TakesTheMemoryThatItDeclaresAndNoMore) {
  const std::vector<std::vector<std::string>> cases = {
      {"dense", "dense"}, {"local(radius=4)", "dense"}, {"mean", "dense"}, {"zero", "pool"}};
  for (const std::vector<std::string>& expressions : cases) {
    for (const int threads : {1, 2}) {
      const Built built(folder(), expressions, 2, 70, threads, 32);
      const TextWindows text = windows(2, 70);
      LayerOutput logits = logits_of(built, text);
      AllocationCounts counts;
      {
        const AllocationScope scope(AllocationScope::Of::process);
        built.model->run(text, logits);
        counts = scope.counts();
      }
      EXPECT_EQ(counts.allocations, 0) << expressions[0];
      const ArenaUse use = built.model->arena();
      EXPECT_EQ(use.declared,
                language_scratch(built.weights.shape(), built.layers, 2, 70, 32, threads))
          << expressions[0];
      EXPECT_LE(use.high_water, use.declared);
      if (threads == 1) {
        EXPECT_EQ(use.high_water, use.declared) << expressions[0];
      }
      EXPECT_TRUE(built.model->intact());
    }
  }
}

TEST_F(SmallModel, CountsItsWork) {
  const Built built(folder(), {"dense", "mean"}, 2, 50);
  const Work work = language_work(built.weights.shape(), built.layers, 2, 50);
  const double rows = 2 * 50, width = kSmallWidth;
  const double pairs = 2 * kSmallHeads * 50 * 51 / 2;
  const double projections = rows * width * width * (4 + 2);  // mean has neither queries nor keys
  const double feed_forward = kSmallLayers * 2 * rows * width * kSmallHidden;
  EXPECT_EQ(work.multiply_adds,
            projections + feed_forward + pairs * 2 * kSmallDim + rows * width * kVocabulary);
  EXPECT_EQ(work.exponentials, pairs + kSmallLayers * rows * kSmallHidden);
}

TEST_F(SmallModel, ShowsWhatTheAttentionOfALayerReads) {
  const TextWindows text = windows(2, 30);
  const Built built(folder(), {"dense", "dense"}, 2, 30);
  LayerOutput logits;
  std::vector<Index> seen;
  built.model->run_observed(text, logits, [&](Index number, const LayerInput& input) {
    seen.push_back(number);
    if (number > 0) return;
    // norm(x) of the first layer is the embedding's, at every place of the byte alike.
    const std::vector<float>&gain = file_.tensors.at("layers.0.attention_norm.weight").floats,
          &bias = file_.tensors.at("layers.0.attention_norm.bias").floats;
    const std::uint8_t byte = text.read(1)[11];
    const float* x = file_.tensors.at("embedding.weight").floats.data() + byte * kSmallWidth;
    double mean = 0, variance = 0;
    for (Index c = 0; c < kSmallWidth; ++c) mean += x[c] / kSmallWidth;
    for (Index c = 0; c < kSmallWidth; ++c) variance += std::pow(x[c] - mean, 2) / kSmallWidth;
    for (Index c = 0; c < kSmallDim; ++c) {
      const auto column = static_cast<std::size_t>(kSmallDim + c);
      const double normed =
          (x[column] - mean) / std::sqrt(variance + 1e-5) * gain[column] + bias[column];
      EXPECT_NEAR(input.x_of(1, 1)(11, c), normed, 1e-5);
    }
  });
  EXPECT_EQ(seen, (std::vector<Index>{0, 1}));
  EXPECT_EQ(logits.out, logits_of(built, text).out);
}

// The logits that PyTorch gave for 128 bytes, and bits per character of eight windows of 2048
// bytes, which the end-to-end test checks: experiments/data/README.md.
TEST(CausalModel, GivesTheLogitsThatItsTrainingProgramGave) {
  const std::string folder = std::string(SUBQUAD_SOURCE_DIR) + "/experiments/data/causal_lm";
  const TensorFile check = read_tensor_file(folder + "/check.safetensors");
  const std::vector<float>&tokens = check.tensors.at("tokens").floats,
        &expected = check.tensors.at("logits").floats;
  TextWindows text{.batch = 1, .length = 128, .bytes = {}, .provenance = {}};
  for (const float token : tokens) text.bytes.push_back(static_cast<std::uint8_t>(token));
  text.bytes.push_back(0);
  const Built built(folder, {"dense", "dense", "dense", "dense"}, 1, 128, 2);
  const LayerOutput logits = logits_of(built, text);
  ASSERT_EQ(logits.out.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) ASSERT_NEAR(logits.out[i], expected[i], 1e-4);

  std::vector<Index> rows;
  for (Index i = 0; i < 128; ++i) rows.push_back(i);
  std::vector<double> exact(expected.size());
  reference_logits(built.weights, text.read(0), rows, {exact.data(), 128, kVocabulary});
  for (std::size_t i = 0; i < exact.size(); ++i) ASSERT_NEAR(exact[i], expected[i], 1e-4);
}

}  // namespace
}  // namespace subquad

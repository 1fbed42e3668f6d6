#include "models/language_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "subquad/error.h"
#include "support/small_model.h"
#include "support/temporary_folder.h"

namespace subquad {
namespace {

using ::testing::HasSubstr;

class Weights : public testing::Test {
 protected:
  /// What is said of a small model after a change.
  std::string error_after(const std::function<void(TensorFile&)>& change) const {
    TensorFile file = small_model_file();
    change(file);
    write_model(folder_.path(), file);
    try {
      const LanguageWeights weights(folder_.path().string());
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr((folder_ / "weights.safetensors").string()));
      return error.what();
    }
    return "no error";
  }

  TemporaryFolder folder_;
};

TEST_F(Weights, TellTheShapeOfTheModel) {
  const TensorFile file = small_model_file();
  write_model(folder_.path(), file);
  const LanguageWeights weights(folder_.path().string());
  EXPECT_EQ(weights.shape().layers, kSmallLayers);
  EXPECT_EQ(weights.shape().heads, kSmallHeads);
  EXPECT_EQ(weights.shape().dim, kSmallDim);
  EXPECT_EQ(weights.shape().feed_forward, kSmallHidden);
  std::size_t elements = 0;
  for (const auto& [name, array] : file.tensors) elements += array.floats.size();
  EXPECT_EQ(weights.bytes(), 4 * elements);
  EXPECT_EQ(weights.matrix(1, "attention.qkv.weight")(2, 3),
            file.tensors.at("layers.1.attention.qkv.weight").floats[2 * kSmallWidth + 3]);
}

TEST_F(Weights, MissingTensorsAreNamedWithTheirShape) {
  EXPECT_THAT(error_after([](TensorFile& f) { f.tensors.erase("layers.1.feed_forward.up.bias"); }),
              HasSubstr("tensor 'layers.1.feed_forward.up.bias' is missing: [20] is needed"));
  EXPECT_THAT(error_after([](TensorFile& f) { f.tensors.erase("embedding.weight"); }),
              HasSubstr("tensor 'embedding.weight' is missing: [256, width] is needed"));
  EXPECT_THAT(error_after([](TensorFile& f) { f.tensors.erase("layers.0.attention.qkv.weight"); }),
              HasSubstr("tensor 'layers.0.attention.qkv.weight' is missing"));
}

TEST_F(Weights, MisshapenTensorsAreNamedWithBothShapes) {
  EXPECT_THAT(error_after([](TensorFile& f) {
                f.tensors["layers.0.attention.output.weight"] = random_array({12, 13}, 1, 1, 0);
              }),
              HasSubstr("tensor 'layers.0.attention.output.weight' has shape [12, 13]: [12, 12] is "
                        "needed"));
  EXPECT_THAT(error_after([](TensorFile& f) {
                f.tensors["embedding.weight"] = random_array({12}, 1, 1, 0);
              }),
              HasSubstr("tensor 'embedding.weight' has shape [12]: [256, width] is needed"));
  EXPECT_THAT(error_after([](TensorFile& f) {
                f.tensors["head.weight"] = random_array({100, 12}, 1, 1, 0);
              }),
              HasSubstr("tensor 'head.weight' has shape [100, 12]: [256, 12] is needed"));
}

TEST_F(Weights, ValuesThatAreNoNumbersAreRefused) {
  EXPECT_THAT(error_after([](TensorFile& f) {
                f.tensors["final_norm.bias"].floats[5] = std::numeric_limits<float>::infinity();
              }),
              HasSubstr("tensor 'final_norm.bias' holds inf (element 5), which is not finite"));
  EXPECT_THAT(error_after([](TensorFile& f) {
                Array& array = f.tensors["final_norm.bias"];
                array.is_integer = true;
                array.floats.clear();
                array.integers.assign(kSmallWidth, 1);
              }),
              HasSubstr("tensor 'final_norm.bias' holds integers: floats are needed"));
}

// A bias that nobody adds would make another model of it without a word.
TEST_F(Weights, TensorsThatTheModelDoesNotHaveAreRefused) {
  EXPECT_THAT(
      error_after([](TensorFile& f) {
        f.tensors["layers.0.attention.qkv.bias"] = random_array({36}, 1, 1, 0);
      }),
      HasSubstr("tensor 'layers.0.attention.qkv.bias': a model of 2 layers has none of this "
                "name"));
}

TEST_F(Weights, MetadataMustSayTheHeadsAndAgreeWithTheTensors) {
  EXPECT_THAT(error_after([](TensorFile& f) { f.metadata.erase("heads"); }),
              HasSubstr("__metadata__ does not say 'heads'"));
  EXPECT_THAT(error_after([](TensorFile& f) { f.metadata["heads"] = "two"; }),
              HasSubstr("'heads' = 'two' in __metadata__ is no whole number from 1"));
  EXPECT_THAT(error_after([](TensorFile& f) { f.metadata["heads"] = "5"; }),
              HasSubstr("'heads' = 5 in __metadata__ does not share a width of 12"));
  EXPECT_THAT(error_after([](TensorFile& f) { f.metadata["heads"] = "4"; }),
              HasSubstr("heads of even width"));
  EXPECT_THAT(error_after([](TensorFile& f) { f.metadata["layers"] = "3"; }),
              HasSubstr("'layers' = '3' in __metadata__: 2 is needed"));
  EXPECT_THAT(error_after([](TensorFile& f) { f.metadata["rotary_base"] = "500"; }),
              HasSubstr("'rotary_base' = '500' in __metadata__: 10000 is needed"));
}

TEST_F(Weights, AFolderWithoutThemIsNamed) {
  try {
    const LanguageWeights weights((folder_ / "nowhere").string());
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("nowhere/weights.safetensors"));
  }
}

}  // namespace
}  // namespace subquad

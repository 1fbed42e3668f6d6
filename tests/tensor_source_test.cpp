#include "layers/tensor_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "layers/layer.h"
#include "subquad/error.h"

namespace subquad {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TensorSource source_of(const char* text) { return TensorSource::of(parse_expression(text)); }

std::string error_of(const char* text) {
  try {
    source_of(text);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

std::string windows_error(const char* text, const char* input) {
  try {
    source_of(text).windows(parse_expression(input), {.queries = 8, .keys = 8});
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

constexpr const char* kFile =
    "file(path=" SUBQUAD_SOURCE_DIR "/experiments/data/ocr_n320.safetensors,batch=0)";

TEST(TensorSource, WordsAroundALayer) {
  const TensorSource drawn = source_of("linformer(rank=8)");
  EXPECT_EQ(drawn.from, TensorSource::From::initialisers);
  EXPECT_EQ(drawn.around(drawn.layer).text(), "linformer(rank=8)");
  const TensorSource fitted = source_of("fitted(heads(linformer,mean),batch=0:8)");
  EXPECT_EQ(fitted.from, TensorSource::From::windows);
  EXPECT_EQ(fitted.layer.text(), "heads(linformer,mean)");
  EXPECT_EQ(fitted.around(parse_expression("mean")).text(), "fitted(mean,batch=0:8)");
  const TensorSource loaded = source_of("loaded(linformer,path=t.safetensors)");
  EXPECT_EQ(loaded.from, TensorSource::From::file);
  EXPECT_THAT(loaded.files(parse_expression("gaussian")), ElementsAre("t.safetensors"));
}

TEST(TensorSource, FamilyIsTheLayers) {
  EXPECT_EQ(family_of(parse_expression("mean")), "mean");
  EXPECT_EQ(family_of(parse_expression("fitted(linformer(rank=8),batch=0)")), "linformer");
  EXPECT_EQ(family_of(parse_expression("loaded(heads(mean,local),path=t)")), "heads");
}

TEST(TensorSource, RefusesWhatCannotStandAroundALayer) {
  EXPECT_THAT(error_of("fitted(batch=0)"), HasSubstr("names no layer"));
  EXPECT_THAT(error_of("fitted(mean,local)"), HasSubstr("'local' is another"));
  EXPECT_THAT(error_of("fitted(fitted(mean))"), HasSubstr("cannot stand inside fitted(...)"));
  EXPECT_THAT(error_of("loaded(mean)"), HasSubstr("path=FILE"));
  EXPECT_THAT(error_of("loaded(mean,path=t,seed=3)"), HasSubstr("path=FILE"));
}

TEST(TensorSource, WindowsAreTheInputWithOtherArguments) {
  const auto windows = [](const char* text, const char* input) {
    return source_of(text).windows(parse_expression(input), {.queries = 320, .keys = 320});
  };
  EXPECT_EQ(windows("fitted(mean)", kFile).q, windows("fitted(mean,batch=0)", kFile).q);
  const LayerInput other = windows("fitted(mean,batch=1,heads=2:4)", kFile);
  EXPECT_EQ(other.heads, 2);
  EXPECT_NE(other.v, windows("fitted(mean,heads=2:4)", kFile).v);
  const std::string elsewhere = std::string("fitted(mean,on=") + kFile + ",heads=3)";
  EXPECT_EQ(windows(elsewhere.c_str(), "gaussian").q, windows("fitted(mean,heads=3)", kFile).q);
  EXPECT_THAT(source_of(elsewhere.c_str()).files(parse_expression("gaussian")),
              ElementsAre(HasSubstr("ocr_n320")));
}

TEST(TensorSource, GeneratorsMakeWindowsOfAnotherSeed) {
  const InputRequest request{.queries = 16, .keys = 16, .dim = 4, .value_dim = 4, .seed = 3};
  const auto windows = [&](const char* text) {
    return source_of(text).windows(parse_expression("clustered(clusters=2)"), request);
  };
  EXPECT_EQ(windows("fitted(mean)").k, windows("fitted(mean,seed=3)").k);
  EXPECT_NE(windows("fitted(mean)").k, windows("fitted(mean,seed=4)").k);
  EXPECT_NE(windows("fitted(mean)").k, windows("fitted(mean,clusters=3)").k);
  const LayerInput others = windows("fitted(mean,batch=5)");
  EXPECT_EQ(others.batch, 5);
  // They follow the one that the layer meets.
  const LayerInput six =
      make_input(parse_expression("clustered(clusters=2)"),
                 {.batch = 6, .queries = 16, .keys = 16, .dim = 4, .value_dim = 4, .seed = 3});
  EXPECT_TRUE(std::equal(others.k.begin(), others.k.end(), six.k.begin() + 16 * 4));
  EXPECT_TRUE(std::equal(others.q.begin(), others.q.end(), six.q.begin() + 16 * 4));
  const LayerInput elsewhere = windows("fitted(mean,batch=1,seed=4)");
  EXPECT_EQ(elsewhere.k, windows("fitted(mean,seed=4)").k);
}

TEST(TensorSource, NamesWhatTheInputDoesNotHave) {
  EXPECT_THAT(windows_error("fitted(mean,bach=0)", kFile),
              AllOf(HasSubstr("has no parameter 'bach'"), HasSubstr("did you mean 'batch'")));
  EXPECT_THAT(windows_error("fitted(mean,seed=1)", kFile), HasSubstr("no parameter 'seed'"));
  EXPECT_THAT(windows_error("fitted(mean,std=2)", "gaussian"), HasSubstr("no error"));
  EXPECT_THAT(windows_error("fitted(mean,seed=-1)", "gaussian"),
              HasSubstr("seed = -1 is no whole number"));
  EXPECT_THAT(windows_error("fitted(mean,batch=0)", "gaussian"),
              HasSubstr("batch = 0 is no whole number from 1"));
  EXPECT_THAT(windows_error("fitted(mean,on=nothing)", "gaussian"),
              HasSubstr("unknown input 'nothing'"));
}

TEST(TensorSource, LayersAreWhatStandsInside) {
  const Problem problem{.queries = 32, .keys = 32, .dim = 4, .value_dim = 4};
  const Layer layer(parse_expression("fitted(routing(clusters=4),seed=2)"), problem, 2);
  EXPECT_EQ(layer.refuses(), "");
  EXPECT_EQ(layer.variant_name(0), "routing");
  EXPECT_THAT(layer.resolved(),
              AllOf(HasSubstr("fitted(routing(clusters=4,"), HasSubstr("seed=2)")));
  EXPECT_EQ(layer.resolved_layer().name, "routing");
  const Layer nothing(parse_expression("fitted(mean)"), problem, 2);
  EXPECT_THAT(nothing.refuses(), HasSubstr("nothing in it is fitted"));
  EXPECT_THROW(Layer(parse_expression("heads(fitted(routing),mean)"), problem, 2), Error);
  EXPECT_THROW(Layer(parse_expression("union(fitted(local),strided)"), problem, 2), Error);
}

}  // namespace
}  // namespace subquad

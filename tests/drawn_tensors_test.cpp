#include "layers/drawn_tensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <stdexcept>

#include "subquad/error.h"
#include "support/test_plugins.h"

namespace subquad {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Problem problem(Index keys = 8) {
  return {.queries = keys, .keys = keys, .dim = 4, .value_dim = 4};
}

Layer layer(const std::string& text, Index heads = 3, Index keys = 8) {
  load_probes();
  return Layer(parse_expression(text), problem(keys), heads);
}

std::vector<float> floats(const Tensors& tensors, std::string_view name) {
  const ConstView matrix = tensors.matrix(name);
  EXPECT_EQ(matrix.stride, matrix.cols);
  return {matrix.data, matrix.data + matrix.rows * matrix.cols};
}

std::vector<std::int32_t> integers(const Tensors& tensors, std::string_view name) {
  const auto values = tensors.integers(name);
  return {values.begin(), values.end()};
}

std::string error_of(const Layer& layer, const TensorFile& given) {
  try {
    DrawnTensors(layer, 1, &given);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

Array array(std::vector<Index> shape, float first = 0) {
  Array array{.shape = std::move(shape)};
  for (Index i = 0; i < array.count(); ++i) array.floats.push_back(first + static_cast<float>(i));
  return array;
}

TEST(DrawnTensors, InfosTellTheDeclaration) {
  const Layer probe = layer("probe_tensors(rank=3)");
  const auto infos = tensor_infos(probe.variant(0), probe.problem());
  ASSERT_EQ(infos.size(), 5u);
  EXPECT_EQ(infos[0].name, "own");
  EXPECT_EQ(infos[0].element, "float32");
  EXPECT_EQ(infos[0].initialiser, "normal(0, 1)");
  EXPECT_EQ(infos[0].bytes(), 3u * 8 * 4);
  EXPECT_EQ(infos[3].element, "int32");
  EXPECT_STREQ(to_string(infos[3].role), "random");
  EXPECT_STREQ(to_string(infos[1].sharing), "layer");
  EXPECT_STREQ(to_string(infos[4].role), "choice");
}

TEST(DrawnTensors, SameSeedSameBitsWhateverElseThereIs) {
  const Layer three = layer("probe_tensors", 3), five = layer("probe_tensors", 5);
  const Layer mixed = layer("heads(mean,probe_tensors,mean)", 3);
  const DrawnTensors a(three, 7), b(five, 7), c(mixed, 7), other(three, 8);
  for (const char* name : {"own", "shared", "model"}) {
    for (const Index head : {0, 1, 2}) {
      EXPECT_EQ(floats(a.of(head), name), floats(b.of(head), name));
    }
    EXPECT_EQ(floats(a.of(1), name), floats(c.of(1), name)) << "in a mixture, head for head";
    EXPECT_NE(floats(a.of(1), name), floats(other.of(1), name));
  }
  EXPECT_EQ(integers(a.of(2), "picks"), integers(b.of(2), "picks"));
  EXPECT_NE(integers(a.of(2), "picks"), integers(other.of(2), "picks"));
}

TEST(DrawnTensors, HeadsHaveTheirOwnAndShareWhatIsShared) {
  const Layer probe = layer("probe_tensors");
  const DrawnTensors drawn(probe, 1);
  EXPECT_NE(floats(drawn.of(0), "own"), floats(drawn.of(1), "own"));
  EXPECT_NE(integers(drawn.of(0), "picks"), integers(drawn.of(1), "picks"));
  EXPECT_NE(floats(drawn.of(0), "own"), floats(drawn.of(0), "shared"));
  EXPECT_EQ(drawn.of(0).matrix("shared").data, drawn.of(2).matrix("shared").data);
  EXPECT_EQ(drawn.of(0).matrix("model").data, drawn.of(2).matrix("model").data);
  for (const char* name : {"own", "shared", "model"}) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(drawn.of(1).matrix(name).data) % 64, 0u);
  }
}

// The generator of a tensor is the documented one: these bits are those of the first release.
TEST(DrawnTensors, KeysAreTheDocumentedHashes) {
  const Layer probe = layer("probe_tensors");
  const DrawnTensors drawn(probe, 0);
  // XXH64("layer=0;head=1;own"), ("layer=0;shared"), ("model;model") with seed 0, by an
  // implementation apart from ours.
  const std::pair<const char*, std::uint64_t> cases[] = {{"own", 0x41ff0985acdd0d90u},
                                                         {"shared", 0x9297a3e076794e3au},
                                                         {"model", 0x82f8256a8e25d628u}};
  for (const auto& [name, key] : cases) {
    Generator generator(key);
    for (const float value : floats(drawn.of(1), name)) {
      ASSERT_EQ(value, static_cast<float>(generator.normal())) << name;
    }
  }
}

TEST(DrawnTensors, BytesCountSharedTensorsOnce) {
  const Layer probe = layer("probe_tensors");  // rank 2, 8 keys, 3 heads
  const DrawnTensors drawn(probe, 1);
  EXPECT_EQ(drawn.bytes(Role::learned), (3u + 1u) * 2 * 8 * 4);
  EXPECT_EQ(drawn.bytes(Role::running), 2u * 4);
  EXPECT_EQ(drawn.bytes(Role::random), 3u * 8 * 4);
  EXPECT_EQ(drawn.bytes(Role::choice), 3u * 4);
  drawn.of(0, 1, problem());  // a second sequence chooses for itself and shares the rest
  EXPECT_EQ(drawn.bytes(Role::learned), (3u + 1u) * 2 * 8 * 4);
  EXPECT_EQ(drawn.bytes(Role::choice), 2u * 3 * 4);
  EXPECT_EQ(drawn.bytes(Role::saved), 0u);
}

TEST(DrawnTensors, NamesAndKindsThatWereNotDeclaredAreBugs) {
  const Layer probe = layer("probe_tensors");
  const DrawnTensors drawn(probe, 1);
  const Tensors& tensors = drawn.of(0);
  EXPECT_THROW(tensors.matrix("absent"), std::logic_error);
  EXPECT_THROW(tensors.matrix("picks"), std::logic_error);
  EXPECT_THROW(tensors.integers("own"), std::logic_error);
  EXPECT_THROW(tensors.choices("picks"), std::logic_error);
  EXPECT_THROW(tensors.writable("chosen"), std::logic_error);
  tensors.writable("own")(1, 2) = 42;
  EXPECT_EQ(tensors.matrix("own")(1, 2), 42);
}

TEST(DrawnTensors, ShorterSequencesReadLeadingPartsAndRandomOnesOfTheirOwn) {
  const Layer whole = layer("probe_tensors"), alone = layer("probe_tensors", 3, 5);
  const DrawnTensors drawn(whole, 3), own(alone, 3);
  const Tensors& cut = drawn.of(1, 4, problem(5));
  EXPECT_EQ(&cut, &drawn.of(1, 4, problem(5)));
  for (const char* name : {"own", "shared"}) {
    const ConstView full = drawn.of(1).matrix(name), part = cut.matrix(name);
    ASSERT_EQ(part.rows, 2);
    ASSERT_EQ(part.cols, 5);
    for (Index i = 0; i < 2; ++i) {
      for (Index j = 0; j < 5; ++j) EXPECT_EQ(part(i, j), full(i, j));
    }
  }
  EXPECT_EQ(cut.matrix("model").data, drawn.of(1).matrix("model").data);
  EXPECT_EQ(cut.matrix("shared").data, drawn.of(2, 4, problem(5)).matrix("shared").data);
  EXPECT_EQ(integers(cut, "picks"), integers(own.of(1), "picks"));
  EXPECT_EQ(integers(cut, "picks"), integers(drawn.of(1, 9, problem(5)), "picks"));
  EXPECT_NE(cut.choices("chosen").data(), drawn.of(1).choices("chosen").data());
}

TEST(DrawnTensors, WhatIsSavedComesBack) {
  const Layer probe = layer("probe_tensors");
  const DrawnTensors first(probe, 1);
  for (Index head = 0; head < 3; ++head) first.of(head).choices("chosen")[0] = 10 + int(head);
  const TensorFile file = first.save();
  EXPECT_THAT(file.tensors.at("own").shape, ElementsAre(3, 2, 8));
  EXPECT_THAT(file.tensors.at("shared").shape, ElementsAre(2, 8));
  EXPECT_THAT(file.tensors.at("chosen").integers, ElementsAre(10, 11, 12));
  const DrawnTensors second(probe, 2, &file);
  for (Index head = 0; head < 3; ++head) {
    for (const char* name : {"own", "shared", "model"}) {
      EXPECT_EQ(floats(first.of(head), name), floats(second.of(head), name));
    }
    EXPECT_EQ(integers(first.of(head), "picks"), integers(second.of(head), "picks"));
  }
}

TEST(DrawnTensors, GivenTensorsReplaceDrawnOnes) {
  const Layer probe = layer("probe_tensors");
  const DrawnTensors plain(probe, 1);
  const TensorFile for_all{.tensors = {{"own", array({2, 8})}}};
  const DrawnTensors same(probe, 1, &for_all);
  EXPECT_EQ(floats(same.of(2), "own"), for_all.tensors.at("own").floats);
  EXPECT_EQ(floats(same.of(2), "shared"), floats(plain.of(2), "shared"));
  const TensorFile by_head{.tensors = {{"own", array({3, 2, 8})}}};
  const DrawnTensors different(probe, 1, &by_head);
  EXPECT_EQ(floats(different.of(0), "own")[0], 0);
  EXPECT_EQ(floats(different.of(2), "own")[0], 32);
}

TEST(DrawnTensors, MixturesNumberTheirVariants) {
  const Layer mixed = layer("heads(probe_tensors(rank=1),probe_tensors(rank=4))");
  const TensorFile saved = DrawnTensors(mixed, 1).save();
  EXPECT_THAT(saved.tensors.at("0.own").shape, ElementsAre(2, 1, 8));  // heads 0 and 2
  EXPECT_THAT(saved.tensors.at("1.own").shape, ElementsAre(1, 4, 8));
  const DrawnTensors again(mixed, 2, &saved);
  EXPECT_EQ(floats(again.of(2), "own"),
            std::vector<float>(saved.tensors.at("0.own").floats.begin() + 8,
                               saved.tensors.at("0.own").floats.end()));
}

TEST(DrawnTensors, GivenMistakesAreRefused) {
  const Layer probe = layer("probe_tensors");
  EXPECT_THAT(error_of(probe, {.tensors = {{"owm", array({2, 8})}}}),
              HasSubstr("declares no such tensor (did you mean 'own'?)"));
  EXPECT_THAT(error_of(probe, {.tensors = {{"own", array({8, 2})}}}),
              HasSubstr("tensor 'own' has shape [8, 2]; declared is [2, 8] or [3, 2, 8]"));
  EXPECT_THAT(error_of(probe, {.tensors = {{"shared", array({3, 2, 8})}}}),
              HasSubstr("declared is [2, 8]"));
  EXPECT_THAT(error_of(probe, {.tensors = {{"picks", array({8})}}}),
              HasSubstr("tensor 'picks' holds floats; declared is int32"));
  TensorFile broken{.tensors = {{"own", array({2, 8})}}};
  broken.tensors["own"].floats[5] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(error_of(probe, broken), HasSubstr("element 5 is not finite"));
}

TEST(DrawnTensors, GivenRandomTensorsCannotBeCut) {
  const Layer probe = layer("probe_tensors");
  TensorFile given;
  given.tensors["picks"] = {.shape = {8}, .integers = {0, 1, 2, 3, 4, 5, 6, 7}, .is_integer = true};
  const DrawnTensors drawn(probe, 1, &given);
  EXPECT_THAT(integers(drawn.of(2), "picks"), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
  EXPECT_THROW(drawn.of(0, 1, problem(5)), Error);
}

}  // namespace
}  // namespace subquad

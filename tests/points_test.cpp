#include "experiments/points.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "experiments/options.h"
#include "subquad/error.h"
#include "support/temporary_folder.h"
#include "tensor_files/tensor_file.h"

namespace subquad {
namespace {

Experiment experiment() {
  Experiment e;
  e.anchor = parse_expression("dense");
  e.variants = {parse_expression("mean"), parse_expression("local(radius=4)")};
  e.inputs = {parse_expression("gaussian")};
  e.lengths = {64, 128};
  return e;
}

Experiment first_point(const Experiment& e) {
  const Group group = groups_of(e).front();
  return single_point(e, group, group.variants.back());
}

std::string key(const Experiment& e) { return point_key(first_point(e), "build", false); }

TEST(Groups, HoldTheAnchorFirstAndEveryVariantOnce) {
  Experiment e = experiment();
  e.causal = {false, true};
  e.variants.push_back(parse_expression("dense"));
  e.variants.push_back(parse_expression("mean"));
  const std::vector<Group> groups = groups_of(e);
  ASSERT_EQ(groups.size(), 4u);
  for (const Group& group : groups) {
    ASSERT_EQ(group.variants.size(), 3u);
    EXPECT_EQ(group.variants[0].text(), "dense");
  }
  EXPECT_FALSE(groups[0].causal);
  EXPECT_TRUE(groups[1].causal);
  EXPECT_EQ(groups[2].length, 128);
}

TEST(Groups, HaveNoAnchorBeyondItsLength) {
  Experiment e = experiment();
  e.anchor_max_length = 64;
  const std::vector<Group> groups = groups_of(e);
  EXPECT_TRUE(groups[0].anchor);
  EXPECT_FALSE(groups[1].anchor);
  EXPECT_EQ(groups[1].variants.size(), 2u);
}

TEST(Groups, TakeLengthAndMaskFromAFile) {
  Experiment e = experiment();
  const std::string data = std::string(SUBQUAD_SOURCE_DIR) + "/experiments/data/";
  e.inputs = {parse_expression("file(path=" + data + "ocr_n320.safetensors)"),
              parse_expression("file(path=" + data + "causal_lm_n2048.safetensors,batch=0)")};
  apply_settings(e, {{"length", {{"whole", "x"}}}, {"causal", {{"trained", "x"}}}});
  const std::vector<Group> groups = groups_of(e);
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_EQ(groups[0].length, 320);
  EXPECT_FALSE(groups[0].causal);
  EXPECT_EQ(groups[1].length, 2048);
  EXPECT_TRUE(groups[1].causal);
  const Experiment single = single_point(e, groups[1], groups[1].variants.front());
  EXPECT_THAT(repeat_command(single), testing::HasSubstr("--length 2048"));
  EXPECT_THAT(repeat_command(single), testing::HasSubstr("--causal true"));
}

TEST(Groups, OfGeneratorsHaveNoWholeLengthAndNoTrainedMask) {
  Experiment e = experiment();
  apply_settings(e, {{"causal", {{"trained", "x"}}}});
  EXPECT_FALSE(groups_of(e).front().causal);
  EXPECT_THAT(e.resolved_config(), testing::HasSubstr("causal = trained"));
  apply_settings(e, {{"length", {{"whole", "x"}, {"64", "x"}}}});
  EXPECT_THAT(e.resolved_config(), testing::HasSubstr("length = whole 64"));
  EXPECT_THROW(groups_of(e), Error);
}

TEST(Groups, NeverHoldForwardPassesAndDecodingTogether) {
  Experiment e = experiment();
  e.modes = {Mode::forward, Mode::decode};
  e.causal = {true};
  const std::vector<Group> groups = groups_of(e);
  ASSERT_EQ(groups.size(), 4u);
  EXPECT_EQ(groups[0].mode, Mode::forward);
  EXPECT_EQ(groups[1].mode, Mode::decode);
  EXPECT_EQ(groups[1].text(), "gaussian, n = 64, causal, decode");
  const Experiment decode = single_point(e, groups[1], groups[1].variants.back());
  EXPECT_THAT(repeat_command(decode), testing::HasSubstr("--mode decode"));
  EXPECT_THAT(repeat_command(single_point(e, groups[0], groups[0].variants.back())),
              testing::Not(testing::HasSubstr("--mode")));
  EXPECT_EQ(decoded_tokens(decode, {.keys = 100}), 64);
  EXPECT_EQ(decoded_tokens(decode, {.keys = 3}), 3);
  EXPECT_EQ(decoded_tokens(single_point(e, groups[0], e.variants[0]), {.keys = 100}), 0);
}

TEST(Groups, OfBlocksStandApartByTheirChunks) {
  Experiment e = experiment();
  e.modes = {Mode::forward, Mode::block};
  apply_settings(e, {{"feed-forward", {{"2x", "x"}}}, {"feed-forward-chunk", {{"0 16", "x"}}}});
  const std::vector<Group> groups = groups_of(e);
  ASSERT_EQ(groups.size(), 6u);
  EXPECT_EQ(groups[1].text(), "gaussian, n = 64, block");
  EXPECT_EQ(groups[2].text(), "gaussian, n = 64, block in chunks of 16");
  const Experiment block = single_point(e, groups[2], groups[2].variants.back());
  EXPECT_EQ(block.feed_forward.of(100), 200);
  EXPECT_THAT(repeat_command(block), testing::AllOf(testing::HasSubstr("--mode block"),
                                                    testing::HasSubstr("--feed-forward 2x"),
                                                    testing::HasSubstr("--feed-forward-chunk 16")));
  EXPECT_THAT(repeat_command(single_point(e, groups[0], groups[0].variants.back())),
              testing::Not(testing::HasSubstr("feed-forward")));
}

TEST(Blocks, NeedSelfAttentionOfOneWidth) {
  const auto error_with = [](const char* option, const char* value) -> std::string {
    Experiment e = experiment();
    e.modes = {Mode::block};
    apply_settings(e, {{option, {{value, "x"}}}});
    try {
      check_modes(e);
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_EQ(error_with("queries", "3"),
            "mode = block needs queries = 0, as many as keys (queries = 3 is set)");
  EXPECT_THAT(error_with("key-heads", "1"), testing::HasSubstr("key-heads = 1 is set"));
  EXPECT_THAT(error_with("value-dim", "3"), testing::HasSubstr("value-dim = 3 is set"));
  EXPECT_EQ(error_with("value-dim", "64"), "accepted");

  const TemporaryFolder folder;
  const std::string path = (folder / "grouped.safetensors").string();
  TensorFile file;
  file.tensors["q"] = {.shape = {1, 2, 3, 1}, .floats = std::vector<float>(6, 1)};
  file.tensors["k"] = {.shape = {1, 1, 3, 1}, .floats = std::vector<float>(3, 1)};
  file.tensors["v"] = file.tensors["k"];
  write_safetensors(path, file);
  Experiment e = experiment();
  e.inputs = {parse_expression("file(path=" + path + ")")};
  e.lengths = {3};
  EXPECT_NO_THROW(make_input_of(first_point(e)));
  e.modes = {Mode::block};
  try {
    make_input_of(first_point(e));
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("as many key heads as heads, not 1 and 2"));
  }
}

TEST(Groups, OfDecodingAreCausal) {
  Experiment e = experiment();
  e.modes = {Mode::decode};
  e.causal_as_trained = true;  // a generator has no model
  try {
    groups_of(e);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::AllOf(testing::HasSubstr("mode = decode"),
                                             testing::HasSubstr("causal = true")));
  }
}

TEST(Inputs, OfDecodingHaveSequencesOfOneLength) {
  const TemporaryFolder folder;
  const std::string path = (folder / "lengths.safetensors").string();
  TensorFile file;
  file.tensors["q"] = {.shape = {2, 1, 3, 1}, .floats = std::vector<float>(6, 1)};
  file.tensors["k"] = file.tensors["v"] = file.tensors["q"];
  file.tensors["lengths"] = {.shape = {2}, .integers = {3, 2}, .is_integer = true};
  write_safetensors(path, file);
  Experiment e = experiment();
  e.inputs = {parse_expression("file(path=" + path + ")")};
  e.lengths = {3};
  e.causal = {true};
  EXPECT_NO_THROW(make_input_of(first_point(e)));
  e.modes = {Mode::decode};
  EXPECT_THROW(make_input_of(first_point(e)), Error);
  std::filesystem::remove(path);
}

TEST(SinglePoint, AsksForTheInputsFiguresOnce) {
  Experiment e = experiment();
  e.spectrum = 64;
  e.anchor_max_length = 64;
  const std::vector<Group> groups = groups_of(e);
  const auto asked = [&](const Group& group) {
    std::vector<Index> all;
    for (const Expression& variant : group.variants) {
      all.push_back(single_point(e, group, variant).spectrum);
    }
    return all;
  };
  EXPECT_THAT(asked(groups[0]), testing::ElementsAre(64, 0, 0));  // the anchor
  EXPECT_THAT(asked(groups[1]), testing::ElementsAre(64, 0));     // there is none
  // So nothing else has to be measured again when it is asked for.
  e.anchor_max_length = 0;
  EXPECT_EQ(key(e), key(experiment()));
}

TEST(PointKey, ChangesWithWhatDefinesThePoint) {
  const std::string original = key(experiment());
  Experiment e = experiment();
  EXPECT_EQ(key(e), original);
  e.rounds = 3;
  EXPECT_NE(key(e), original);
  e = experiment();
  e.heads = 2;
  EXPECT_NE(key(e), original);
  e = experiment();
  e.variants.back() = parse_expression("local(radius=5)");
  EXPECT_NE(key(e), original);
  e = experiment();
  e.causal = {true};
  const std::string forward = key(e);
  e.modes = {Mode::decode};
  EXPECT_NE(key(e), forward);
  EXPECT_NE(point_key(first_point(experiment()), "other build", false), original);
}

TEST(PointKey, DoesNotChangeWithNeighboursAndPlaces) {
  const std::string original = key(experiment());
  Experiment e = experiment();
  e.lengths.push_back(256);
  e.variants.insert(e.variants.begin(), parse_expression("naive"));
  e.results = "elsewhere";
  e.question = "why?";
  e.time_limit_s = 1;
  EXPECT_EQ(key(e), original);
}

TEST(PointKey, HoldsTheLimitsWhereTheyEndedThePoint) {
  Experiment e = experiment();
  const std::string original = point_key(first_point(e), "build", true);
  EXPECT_NE(original, key(e));
  e.time_limit_s *= 2;
  EXPECT_NE(point_key(first_point(e), "build", true), original);
}

TEST(PointKey, ChangesWithTheContentsOfAFile) {
  const TemporaryFolder folder;
  const std::string path = (folder / "input.npy").string();
  Experiment e = experiment();
  e.inputs = {parse_expression("file(path=" + path + ")")};
  std::ofstream(path) << "one";
  const std::string original = key(e);
  std::ofstream(path) << "other";
  EXPECT_NE(key(e), original);
  std::filesystem::remove(path);
  EXPECT_THROW(key(e), Error);
}

TEST(RepeatArguments, GiveTheSamePointAgain) {
  Experiment e = experiment();
  e.dim = 16;
  e.seeds = {7};
  e.rounds = 4;
  e.min_time_s = 0.125;
  e.modes = {Mode::decode};
  e.causal = {true};
  const Experiment point = first_point(e);
  const Experiment again =
      load_experiment("", parse_options(repeat_arguments(point), experiment_option_specs()));
  EXPECT_EQ(point_definition(again), point_definition(point));
  EXPECT_THAT(repeat_command(point),
              testing::StartsWith("subquad measure --variant 'local(radius=4)'"));
}

TEST(RequireSingle, NamesTheListThatIsLonger) {
  Experiment e = first_point(experiment());
  EXPECT_NO_THROW(require_single(e));
  e.lengths = {1, 2};
  try {
    require_single(e);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("length has 2 values"));
  }
}

}  // namespace
}  // namespace subquad

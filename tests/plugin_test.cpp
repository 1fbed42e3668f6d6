#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "layers/catalogue.h"
#include "layers/executor.h"
#include "subquad/error.h"
#include "support/temporary_folder.h"
#include "support/test_plugins.h"

namespace subquad {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

std::string refusal(const std::string& path) {
  const std::vector<std::string> before = Catalogue::instance().names();
  try {
    Catalogue::instance().load_plugin(path);
  } catch (const Error& error) {
    EXPECT_EQ(Catalogue::instance().names(), before) << "what is refused leaves nothing behind";
    EXPECT_THAT(error.what(), HasSubstr(path));
    return error.what();
  }
  return "no error";
}

TEST(Plugin, IsInTheCatalogueOnceLoaded) {
  Catalogue& catalogue = Catalogue::instance();
  catalogue.load_plugin(test_plugin("example"));
  const CatalogueEntry& entry = catalogue.find("own_value");
  EXPECT_EQ(entry.origin, test_plugin("example"));
  EXPECT_EQ(entry.info().citation, "control");
  EXPECT_FALSE(entry.registration->powers.prepare);
  const std::vector<std::string> names = catalogue.names();
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
  catalogue.load_plugin(test_plugin("example"));  // once more changes nothing
  EXPECT_EQ(catalogue.names(), names);
}

TEST(Plugin, ComputesThroughTheProgramsHarness) {
  Catalogue::instance().load_plugin(test_plugin("example"));
  const Problem problem{.queries = 2, .keys = 2, .dim = 1, .value_dim = 2};
  const Layer layer(parse_expression("own_value(mix=dim/2)"), problem, 1);
  LayerInput input{.queries = 2, .keys = 2, .dim = 1, .value_dim = 2};
  input.q = input.k = {0, 0};
  input.v = {1, 2, 3, 6};
  const DrawnTensors tensors(layer, 0);
  Executor executor(layer, input, tensors, 1);
  LayerOutput output;
  executor.run(output);
  EXPECT_EQ(output.out, (LayerOutput::Floats{1.5, 3, 2.5, 5}));  // half own value, half mean (2, 4)
}

TEST(Plugin, ErrorsThrownInsideAreCaughtOutside) {
  load_probes();
  const Problem problem{.queries = 2, .keys = 2, .dim = 1, .value_dim = 1};
  const Layer layer(parse_expression("probe_tiles(fail=0)"), problem, 1);
  LayerInput input{.queries = 2, .keys = 2, .dim = 1, .value_dim = 1};
  input.q = input.k = input.v = {0, 0};
  const DrawnTensors tensors(layer, 0);
  Executor executor(layer, input, tensors, 1);
  LayerOutput output;
  EXPECT_THROW(executor.run(output), Error);
}

TEST(Plugin, TwoOfThemKeepTheirOwnVariants) {
  Catalogue::instance().load_plugin(test_plugin("example"));
  load_probes();
  EXPECT_EQ(Catalogue::instance().find("own_value").origin, test_plugin("example"));
  EXPECT_EQ(Catalogue::instance().find("probe_layer").origin, test_plugin("probes"));
}

TEST(Plugin, AnotherVersionIsRefusedNamingBoth) {
  EXPECT_THAT(refusal(test_plugin("other_abi")),
              AllOf(HasSubstr("version 999"), HasSubstr("version " + std::to_string(kAbiVersion))));
}

TEST(Plugin, AnotherToolchainIsRefusedNamingBoth) {
  EXPECT_THAT(refusal(test_plugin("other_toolchain")),
              AllOf(HasSubstr("'libc++ 99, cxxabi 7'"), HasSubstr(SUBQUAD_TOOLCHAIN)));
}

TEST(Plugin, WhatIsNoPluginIsRefused) {
  EXPECT_THAT(refusal(test_plugin("no_entry")), HasSubstr("exports no function subquad_plugin"));
  EXPECT_THAT(refusal(test_plugin("no_variant")), HasSubstr("registers no variant"));
  EXPECT_THAT(refusal(test_plugin("not_there")), HasSubstr("no such file"));
  EXPECT_THAT(refusal("."), HasSubstr("no such file"));
  const TemporaryFolder folder;
  const std::string text = (folder / "text.so").string();
  std::ofstream(text) << std::string(4096, 'x');
  EXPECT_THAT(refusal(text), HasSubstr("ELF"));
}

TEST(Plugin, NamesThatAreTakenOrCannotBeWrittenAreRefused) {
  EXPECT_THAT(refusal(test_plugin("taken_name")),
              HasSubstr("the name 'mean' is taken by 'built-in'"));
  EXPECT_THAT(refusal(test_plugin("bad_name")), HasSubstr("cannot be named 'Bad-Name'"));
}

TEST(Plugin, SameVariantsFromAnotherFileAreRefusedNamingTheFirst) {
  namespace fs = std::filesystem;
  Catalogue::instance().load_plugin(test_plugin("example"));
  const TemporaryFolder folder;
  const std::string copy = (folder / "copy_of_example.so").string();
  fs::copy_file(test_plugin("example"), copy);
  EXPECT_THAT(refusal(copy), HasSubstr("'own_value' is taken by '" + test_plugin("example") + "'"));
}

TEST(Plugin, IsNotTouchedIfTheCheckBeforeLoadingThrows) {
  std::string asked;
  Catalogue::instance().before_loading([&](const std::string& path) {
    asked = path;
    throw Error(path + ": had better not be loaded");
  });
  // Which would end this process.
  EXPECT_THAT(refusal(test_plugin("exits_at_load")), HasSubstr("better not"));
  EXPECT_EQ(asked, test_plugin("exits_at_load"));
  Catalogue::instance().before_loading(nullptr);
}

TEST(Plugin, PathNamesFilesAndFolders) {
  namespace fs = std::filesystem;
  const TemporaryFolder temporary;
  const std::string folder = temporary.path().string();
  fs::create_symlink(test_plugin("example"), folder + "/example.so");
  std::ofstream(folder + "/notes.txt") << "left alone\n";
  setenv("SUBQUAD_PLUGIN_PATH", (folder + "::" + test_plugin("probes")).c_str(), 1);
  Catalogue::instance().load_plugin_path();
  EXPECT_THAT(Catalogue::instance().names(), AllOf(Contains("own_value"), Contains("probe_layer")));
  setenv("SUBQUAD_PLUGIN_PATH", (folder + "/missing").c_str(), 1);
  EXPECT_THROW(Catalogue::instance().load_plugin_path(), Error);
  unsetenv("SUBQUAD_PLUGIN_PATH");
}

}  // namespace
}  // namespace subquad

#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "experiments/options.h"
#include "layers/layer.h"

namespace subquad {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> configs() {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(SUBQUAD_SOURCE_DIR "/experiments")) {
    if (entry.path().extension() == ".cfg") found.push_back(entry.path());
  }
  return found;
}

/// As written: names of variants are looked up below, since peers are plugins that this program has
/// not loaded.
Experiment load(const fs::path& path) {
  Experiment experiment;
  apply_settings(experiment, read_config(path.string()));
  return experiment;
}

/// Lengths to try: the experiment's, or that of the shortest and the longest file in
/// experiments/data.
std::vector<Index> lengths_of(const Experiment& experiment) {
  std::set<Index> lengths;
  for (const Index length : experiment.lengths) {
    if (length > 0) lengths.insert(length);
  }
  if (lengths.empty()) lengths = {128, 4096};
  return {lengths.begin(), lengths.end()};
}

TEST(Experiments, AreReadAndAskAQuestion) {
  ASSERT_GT(configs().size(), 20u);
  for (const fs::path& path : configs()) {
    const Experiment experiment = load(path);
    EXPECT_NE(experiment.question.find('?'), std::string::npos) << path;
    EXPECT_FALSE(experiment.variants.empty()) << path;
    EXPECT_FALSE(experiment.inputs.empty()) << path;
  }
}

TEST(Experiments, HaveNoVariantTwice) {
  for (const fs::path& path : configs()) {
    std::set<std::string> seen;
    for (const Expression& variant : load(path).variants) {
      EXPECT_TRUE(seen.insert(variant.text()).second) << path << ": " << variant.text();
    }
  }
}

TEST(Experiments, HaveVariantsThatCanBeBuilt) {
  for (const fs::path& path : configs()) {
    const Experiment experiment = load(path);
    for (const Expression& variant : experiment.variants) {
      if (variant.name.rfind("peer_", 0) == 0 || variant.text() == kEveryVariant) continue;
      for (const Index n : lengths_of(experiment)) {
        const Index queries = experiment.queries > 0 ? experiment.queries : n;
        const Problem problem = {.queries = queries, .keys = n, .dim = 64, .value_dim = 64};
        EXPECT_NO_THROW(Layer(variant, problem, 4))
            << path << ": " << variant.text() << " at n = " << n;
      }
    }
  }
}

}  // namespace
}  // namespace subquad

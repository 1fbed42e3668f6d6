#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include "report/figures.h"
#include "report/report.h"
#include "report_records.h"
#include "support/temporary_folder.h"

namespace subquad {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Optional;

const std::string kPlots = std::string(SUBQUAD_SOURCE_DIR) + "/plots";

bool matplotlib_is_there() {
  return std::system("/usr/bin/python3 -c 'import matplotlib, pandas' 2>/dev/null") == 0;
}

class Plots : public ::testing::Test {
 protected:
  void write_points(const std::string& text) { std::ofstream(folder_ / "points.jsonl") << text; }
  /// Runs the scripts' own tests, and shows what they say if they fail.
  int run_python_tests(const fs::path& figures) const {
    const std::string log = (folder_ / "log").string();
    const std::string command =
        "SUBQUAD_REPORT='" + (folder_ / "report.json").string() + "' SUBQUAD_FIGURES='" +
        figures.string() + "' /usr/bin/python3 -B '" + kPlots + "/test_plots.py' 2> '" + log + "'";
    const int status = std::system(command.c_str());
    if (status != 0) std::ifstream(log) >> std::cerr.rdbuf();
    return status;
  }

  TemporaryFolder temporary_;
  const fs::path& folder_ = temporary_.path();
};

TEST_F(Plots, DrawEveryFigureOfARun) {
  if (!matplotlib_is_there()) GTEST_SKIP() << "matplotlib or pandas is not installed";
  std::string lines;
  for (const Record& record : testing::synthetic_run()) lines += to_json(record).dump() + "\n";
  // A run killed while it wrote leaves a torn line.
  write_points(lines + "{\"schema\": 1, \"var");
  std::ofstream(folder_ / "report.json")
      << report(testing::synthetic_run(), {.format = ReportFormat::json});
  EXPECT_EQ(draw_figures(folder_.string(), kPlots), std::nullopt);
  EXPECT_EQ(run_python_tests(folder_ / "figures"), 0);
}

TEST_F(Plots, DecodingAndBlocksHaveFiguresOfTheirOwn) {
  if (!matplotlib_is_there()) GTEST_SKIP() << "matplotlib or pandas is not installed";
  const auto drawn = [&](const std::vector<Record>& records) {
    std::string lines;
    for (const Record& record : records) lines += to_json(record).dump() + "\n";
    write_points(lines);
    fs::remove_all(folder_ / "figures");
    EXPECT_EQ(draw_figures(folder_.string(), kPlots), std::nullopt);
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_ / "figures")) {
      names.insert(entry.path().stem().string());
    }
    return names;
  };
  const std::set<std::string> of_blocks = {"block_memory_vs_length", "block_time_vs_length"};
  EXPECT_EQ(drawn(testing::block_run()), of_blocks);
  std::vector<Record> records = testing::decoded_run();
  const std::set<std::string> of_tokens = {"state_vs_context", "token_time_vs_context"};
  EXPECT_EQ(drawn(records), of_tokens);
  for (const Record& record : testing::synthetic_run()) records.push_back(record);
  std::set<std::string> all = of_tokens;
  all.insert({"time_vs_length", "memory_vs_length", "error_vs_time", "error_vs_budget"});
  EXPECT_EQ(drawn(records), all);
}

TEST_F(Plots, SayWhyThereAreNone) {
  if (!matplotlib_is_there()) GTEST_SKIP() << "matplotlib or pandas is not installed";
  const std::string folder = folder_.string();
  EXPECT_THAT(draw_figures(folder, kPlots), Optional(HasSubstr("points.jsonl: No such file")));
}

TEST_F(Plots, MissingScriptsAreAMessage) {
  EXPECT_THAT(draw_figures(folder_.string(), folder_.string()),
              Optional(HasSubstr("all.py is missing")));
}

}  // namespace
}  // namespace subquad

#include "records/machine.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "records/peak_probe.h"
#include "support/temporary_folder.h"

namespace subquad {
namespace {

std::string contents(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(Machine, KnowsItself) {
  const Machine machine = describe_machine();
  EXPECT_FALSE(machine.cpu.empty());
  EXPECT_GE(machine.processors, machine.usable_processors);
  EXPECT_GE(machine.usable_processors, 1);
  EXPECT_GT(machine.memory_bytes, std::uint64_t{1} << 28);
  EXPECT_FALSE(machine.compiler.empty());
  EXPECT_EQ(machine.build.size(), 16u);
  for (const auto& [name, version] : machine.libraries) EXPECT_FALSE(version.empty()) << name;
  EXPECT_EQ(to_json(machine)["cpu"], machine.cpu);
  EXPECT_NE(to_text(machine).find(machine.build), std::string::npos);
}

TEST(Machine, FileIsWrittenAnewOnlyWhereItDiffers) {
  const TemporaryFolder temporary;
  const std::filesystem::path& folder = temporary.path();
  const auto path = folder / "machine.json";
  write_machine(folder);
  const std::string first = contents(path);
  EXPECT_GT(nlohmann::json::parse(first)["peak"]["float32_gflops"]["one_core"], 0);
  write_machine(folder);
  EXPECT_EQ(contents(path), first);  // the peak, measured again, would have differed
  std::ofstream(path) << "torn";
  write_machine(folder);
  EXPECT_EQ(nlohmann::json::parse(contents(path))["cpu"], describe_machine().cpu);
}

TEST(Machine, PeakHasEveryFigureOfOneCoreAndOfAll) {
  const Peak peak = measure_peak();
  const auto expect_rate = [](const Rate& rate, const char* what) {
    EXPECT_GT(rate.one_core, 0) << what;
    EXPECT_GT(rate.all_cores, 0) << what;
  };
  expect_rate(peak.float32_gflops, "float32");
  expect_rate(peak.float64_gflops, "float64");
  expect_rate(peak.triad_bytes_per_s, "triad");
  EXPECT_EQ(peak.bf16_gflops.one_core > 0, has_bf16_units());
  EXPECT_GT(peak.exponentials_per_s, 0);
  ASSERT_FALSE(peak.reading.empty());
  EXPECT_EQ(peak.reading.back().level, 0);
  for (std::size_t i = 0; i < peak.reading.size(); ++i) {
    expect_rate(peak.reading[i].bytes_per_s, "reading");
    EXPECT_GT(peak.reading[i].block_bytes, i > 0 ? peak.reading[i - 1].block_bytes : 0);
  }
}

TEST(Machine, PeakIsReadAsWritten) {
  const Peak peak{.float32_gflops = {200, 390},
                  .float64_gflops = {100, 195},
                  .bf16_gflops = {2000, 3900},
                  .exponentials_per_s = 5e9,
                  .reading = {{1, 24576, {200e9, 400e9}}, {0, 1 << 27, {15e9, 20e9}}},
                  .triad_bytes_per_s = {12e9, 18e9}};
  const auto json = to_json(peak);
  const auto back = peak_from_json(nlohmann::ordered_json::parse(json.dump()));
  ASSERT_TRUE(back);
  EXPECT_EQ(to_json(*back), json);
  EXPECT_FALSE(peak_from_json(nlohmann::ordered_json()));
  EXPECT_FALSE(peak_from_json({{"fma_gflops", 158.0}}));
  auto wrong = json;
  wrong["reading"][0]["bytes_per_s"] = "fast";
  EXPECT_FALSE(peak_from_json(wrong));
}

TEST(Machine, BytesAreReadFromTheFirstLevelThatHoldsThem) {
  const Peak peak{.reading = {{1, 1000, {100, 300}}, {2, 10000, {50, 90}}, {0, 90000, {20, 30}}}};
  EXPECT_EQ(read_bytes_per_s(peak, 1000, 1), 100);
  EXPECT_EQ(read_bytes_per_s(peak, 1001, 1), 50);
  EXPECT_EQ(read_bytes_per_s(peak, 1e9, 1), 20);
  // Each of two threads has a cache of its own.
  EXPECT_EQ(read_bytes_per_s(peak, 2000, 2), 200);
  EXPECT_EQ(read_bytes_per_s(peak, 20000, 2), 90);
  EXPECT_EQ(read_bytes_per_s(peak, 1e9, 4), 30);
  EXPECT_EQ(read_bytes_per_s({}, 1, 1), 0);
}

TEST(Machine, DescriptionOfAnotherIsKept) {
  const TemporaryFolder temporary;
  const std::filesystem::path& folder = temporary.path();
  const std::string others = R"({"identity":"elsewhere","cpu":"That"})";
  std::ofstream(folder / "machine.json") << others;
  write_machine(folder);
  EXPECT_EQ(contents(folder / "machine.json"), others);
  const auto mine = folder / ("machine-" + machine_identity() + ".json");
  EXPECT_EQ(nlohmann::json::parse(contents(mine))["identity"], machine_identity());
  EXPECT_EQ(machine_name(folder, "elsewhere"), "That");
  EXPECT_EQ(machine_name(folder, machine_identity()), describe_machine().cpu);
  EXPECT_EQ(machine_name(folder, "nobody"), "nobody");
}

}  // namespace
}  // namespace subquad

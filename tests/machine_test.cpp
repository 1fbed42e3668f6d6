#include "records/machine.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

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
  const std::filesystem::path folder =
      testing::TempDir() + "machine_test_" + std::to_string(::getpid());
  std::filesystem::create_directories(folder);
  const auto path = folder / "machine.json";
  write_machine(folder);
  const std::string first = contents(path);
  EXPECT_GT(nlohmann::json::parse(first)["peak"]["fma_gflops"], 0);
  write_machine(folder);
  EXPECT_EQ(contents(path), first);  // the peak, measured again, would have differed
  std::ofstream(path) << "torn";
  write_machine(folder);
  EXPECT_EQ(nlohmann::json::parse(contents(path))["cpu"], describe_machine().cpu);
  std::filesystem::remove_all(folder);
}

TEST(Machine, DescriptionOfAnotherIsKept) {
  const std::filesystem::path folder =
      testing::TempDir() + "machine_test_others_" + std::to_string(::getpid());
  std::filesystem::create_directories(folder);
  const std::string others = R"({"identity":"elsewhere","cpu":"That"})";
  std::ofstream(folder / "machine.json") << others;
  write_machine(folder);
  EXPECT_EQ(contents(folder / "machine.json"), others);
  const auto mine = folder / ("machine-" + machine_identity() + ".json");
  EXPECT_EQ(nlohmann::json::parse(contents(mine))["identity"], machine_identity());
  EXPECT_EQ(machine_name(folder, "elsewhere"), "That");
  EXPECT_EQ(machine_name(folder, machine_identity()), describe_machine().cpu);
  EXPECT_EQ(machine_name(folder, "nobody"), "nobody");
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace subquad

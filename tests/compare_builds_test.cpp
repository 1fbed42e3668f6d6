#include "comparing/builds.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "subquad/error.h"
#include "support/temporary_folder.h"

namespace subquad {
namespace {

namespace fs = std::filesystem;

TEST(SidesInARound, GoFirstEquallyOften) {
  int orders_that_differ = 0;
  for (std::size_t point = 0; point < 50; ++point) {
    const std::vector<bool> b_first = rounds_with_b_first(12, point);
    EXPECT_EQ(std::count(b_first.begin(), b_first.end(), true), 6);
    EXPECT_EQ(b_first, rounds_with_b_first(12, point)) << "the same whenever it is asked for";
    orders_that_differ += b_first != rounds_with_b_first(12, point + 1);
  }
  EXPECT_GE(orders_that_differ, 45);
  int odd = 0;
  for (std::size_t point = 0; point < 50; ++point) {
    const std::vector<bool> b_first = rounds_with_b_first(11, point);
    const auto count = std::count(b_first.begin(), b_first.end(), true);
    EXPECT_TRUE(count == 5 || count == 6) << count;
    odd += count == 6;
  }
  EXPECT_GT(odd, 10);
  EXPECT_LT(odd, 40);
}

TEST(FindBuild, TakesAProgramOrTheFolderThatItWasBuiltIn) {
  const TemporaryFolder folder;
  EXPECT_THROW(find_build(folder.path().string()), Error);
  const fs::path program = folder / "build/release/subquad";
  fs::create_directories(program.parent_path());
  std::ofstream(program) << "#!/bin/sh\n";
  EXPECT_THROW(find_build(program.string()), Error) << "nobody may execute it";
  fs::permissions(program, fs::perms::owner_exec, fs::perm_options::add);
  EXPECT_EQ(find_build(program.string()).program, program.string());
  EXPECT_EQ(find_build(folder.path().string()).program, program.string());
  EXPECT_EQ(find_build(folder.path().string()).name, folder.path().string());
}

}  // namespace
}  // namespace subquad

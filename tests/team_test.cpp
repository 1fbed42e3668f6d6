#include "layers/team.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <thread>
#include <vector>

namespace subquad {
namespace {

TEST(Team, EveryJobIsDoneOnceByAMemberOfTheTeam) {
  for (const int size : {1, 2, 3, 8}) {
    Team team(size);
    EXPECT_EQ(team.size(), size);
    for (const Index jobs : {0, 1, 2, 1000}) {
      std::vector<std::atomic<int>> done(static_cast<std::size_t>(jobs));
      std::atomic<bool> within = true;
      team.each(jobs, [&](Index job, int member) {
        ++done[static_cast<std::size_t>(job)];
        if (member < 0 || member >= size) within = false;
      });
      for (const auto& times : done) EXPECT_EQ(times, 1);
      EXPECT_TRUE(within);
    }
  }
}

TEST(Team, OneMemberIsOneThreadAtATime) {
  Team team(3);
  std::vector<std::atomic<int>> busy(3);
  std::atomic<bool> alone = true;
  team.each(300, [&](Index, int member) {
    std::atomic<int>& mine = busy[static_cast<std::size_t>(member)];
    if (++mine != 1) alone = false;
    std::this_thread::yield();
    --mine;
  });
  EXPECT_TRUE(alone);
}

TEST(Team, AllItsThreadsTakePart) {
  // More of them than this machine may have processors: each holds its job until all have one.
  Team team(4);
  std::atomic<int> begun = 0;
  std::vector<std::atomic<int>> jobs_of(4);
  team.each(4, [&](Index, int member) {
    ++jobs_of[static_cast<std::size_t>(member)];
    ++begun;
    while (begun < 4) std::this_thread::yield();
  });
  for (const auto& jobs : jobs_of) EXPECT_EQ(jobs, 1);
}

TEST(Team, OneMemberRunsInOrderOnTheCallingThread) {
  Team team(1);
  const std::thread::id caller = std::this_thread::get_id();
  Index expected = 0;
  team.each(10, [&](Index job, int) {
    EXPECT_EQ(job, expected++);
    EXPECT_EQ(std::this_thread::get_id(), caller);
  });
  EXPECT_EQ(expected, 10);
}

TEST(Team, TheFirstExceptionIsThrownAndTheRestIsLeftOut) {
  for (const int size : {1, 3}) {
    Team team(size);
    std::atomic<int> done = 0;
    const auto fail = [&] {
      team.each(100000, [&](Index job, int) {
        if (job == 5) throw std::runtime_error("job 5");
        ++done;
        std::this_thread::yield();
      });
    };
    EXPECT_THROW(fail(), std::runtime_error);
    EXPECT_LT(done, 99999);
    done = 0;
    team.each(10, [&](Index, int) { ++done; });
    EXPECT_EQ(done, 10);
  }
}

}  // namespace
}  // namespace subquad

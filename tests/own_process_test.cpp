#include "measuring/own_process.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <string>
#include <thread>

#include "subquad/error.h"

namespace subquad {
namespace {

TEST(Pinning, LeavesAThreadAsManyProcessorsAsAsked) {
  cpu_set_t before;
  CPU_ZERO(&before);
  ASSERT_EQ(::sched_getaffinity(0, sizeof before, &before), 0);
  const int usable = CPU_COUNT(&before);
  // In a thread of its own, since others inherit what is done to this one.
  std::thread([&] {
    const std::string one = pin_to_processors(1);
    cpu_set_t set;
    CPU_ZERO(&set);
    ::sched_getaffinity(0, sizeof set, &set);
    EXPECT_EQ(CPU_COUNT(&set), 1);
    EXPECT_TRUE(CPU_ISSET(std::stoi(one), &set));
    EXPECT_THROW(pin_to_processors(2), Error);
  }).join();
  std::thread([&] { EXPECT_THROW(pin_to_processors(usable + 1), Error); }).join();
}

TEST(Threads, AreCounted) {
  const int before = count_threads();
  std::atomic<bool> done = false;
  std::thread other([&] {
    while (!done) std::this_thread::yield();
  });
  EXPECT_EQ(count_threads(), before + 1);
  done = true;
  other.join();
}

}  // namespace
}  // namespace subquad

#include "measuring/allocation_hooks.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstdlib>
#include <memory>
#include <thread>

namespace subquad {
namespace {

using Of = AllocationScope::Of;

// Calls that an optimiser may not remove.
void* allocate(std::size_t bytes) {
  void* memory = std::malloc(bytes);
  __asm__ volatile("" : : "r"(memory) : "memory");
  return memory;
}

TEST(AllocationScope, CountsWhatTheThreadAsksFor) {
  AllocationCounts counts;
  {
    const AllocationScope scope(Of::thread);
    void* first = allocate(1000);
    std::free(first);
    void* second = allocate(500);
    std::free(second);
    counts = scope.counts();
  }
  EXPECT_EQ(counts.allocations, 2);
  EXPECT_EQ(counts.releases, 2);
  EXPECT_GE(counts.bytes, 1500);
  EXPECT_LT(counts.bytes, 1500 + 64);  // an allocator rounds up
  EXPECT_GE(counts.peak_bytes, 1000);  // never both at once
  EXPECT_LT(counts.peak_bytes, 1000 + 64);
}

TEST(AllocationScope, SeesEveryWayToAllocate) {
  AllocationCounts counts;
  {
    const AllocationScope scope(Of::thread);
    void* blocks[] = {allocate(8), std::calloc(4, 4), std::aligned_alloc(64, 128), nullptr,
                      ::operator new(16)};
    if (posix_memalign(&blocks[3], 64, 64) != 0) std::abort();
    blocks[0] = std::realloc(blocks[0], 4096);
    __asm__ volatile("" : : "r"(blocks) : "memory");
    ::operator delete(blocks[4]);
    for (int i = 0; i < 4; ++i) std::free(blocks[i]);
    counts = scope.counts();
  }
  EXPECT_EQ(counts.allocations, 6);
  EXPECT_EQ(counts.releases, 6);
}

TEST(AllocationScope, OfThreadIgnoresOthersAndOfProcessDoesNot) {
  const auto count = [](Of of) {
    // The thread exists, and its own bookkeeping is done, before the scope begins.
    std::atomic<int> stage{0};
    std::thread other([&] {
      while (stage.load() != 1) std::this_thread::yield();
      std::free(allocate(100000));
      stage.store(2);
    });
    AllocationCounts counts;
    {
      const AllocationScope scope(of);
      stage.store(1);
      while (stage.load() != 2) std::this_thread::yield();
      counts = scope.counts();
    }
    other.join();
    return counts;
  };
  EXPECT_EQ(count(Of::thread).bytes, 0);
  EXPECT_GE(count(Of::process).bytes, 100000);
}

TEST(AllocationScope, CountsNothingOutsideAndReleasesOfOlderMemoryDoNotHide) {
  void* old = allocate(1 << 16);
  AllocationCounts counts;
  {
    const AllocationScope scope(Of::thread);
    std::free(old);
    counts = scope.counts();
  }
  EXPECT_EQ(counts.allocations, 0);
  EXPECT_EQ(counts.releases, 1);
  EXPECT_EQ(counts.peak_bytes, 0);
}

TEST(AllocationScope, RefusesToNest) {
  const AllocationScope scope(Of::thread);
  EXPECT_THROW(AllocationScope{Of::thread}, std::logic_error);
  const AllocationScope process(Of::process);
  EXPECT_THROW(AllocationScope{Of::process}, std::logic_error);
}

TEST(AllocationScope, CountsAnonymousMappings) {
  if (!AllocationScope::counts_mappings()) GTEST_SKIP() << "not under a sanitizer";
  constexpr std::size_t kBytes = 1 << 20;
  const AllocationScope scope(Of::thread);
  void* mapped = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(mapped, MAP_FAILED);
  EXPECT_EQ(scope.counts().bytes, static_cast<std::int64_t>(kBytes));
  munmap(mapped, kBytes);
  EXPECT_EQ(scope.counts().releases, 1);
}

}  // namespace
}  // namespace subquad

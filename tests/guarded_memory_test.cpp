#include "layers/guarded_memory.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <utility>
#include <vector>

namespace subquad {
namespace {

// Under the sanitizer the write itself ends the program.
#ifdef __SANITIZE_ADDRESS__
constexpr bool kGuardsAreRead = false;
#else
constexpr bool kGuardsAreRead = true;
#endif

TEST(GuardedMemory, IsAlignedAndWhole) {
  for (const std::size_t bytes : {1, 63, 64, 1000}) {
    GuardedMemory memory(bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory.data()) % 64, 0u);
    for (std::size_t i = 0; i < bytes; ++i) memory.data()[i] = std::byte{1};
    EXPECT_TRUE(memory.intact());
  }
  EXPECT_TRUE(GuardedMemory().intact());
  EXPECT_EQ(GuardedMemory(0).data(), nullptr);
}

TEST(GuardedMemory, NoticesWhatIsWrittenBesideIt) {
  if (!kGuardsAreRead) GTEST_SKIP();
  for (const std::ptrdiff_t at : {-64, -1, 100, 163}) {
    GuardedMemory memory(100);
    volatile std::byte* const beside = memory.data() + at;
    *beside = std::byte{7};
    EXPECT_FALSE(memory.intact()) << at;
  }
}

TEST(GuardedMemory, MovesWithItsGuards) {
  GuardedMemory first(10);
  GuardedMemory second = std::move(first);
  EXPECT_EQ(second.bytes(), 10u);
  EXPECT_TRUE(second.intact());
  EXPECT_EQ(first.data(), nullptr);
}

TEST(GuardedAllocator, ServesContainers) {
  std::vector<float, GuardedAllocator<float>> values(17, 3.0f);
  values.resize(1000);
  EXPECT_EQ(values[16], 3.0f);
  const auto* const block = reinterpret_cast<const std::byte*>(values.data());
  EXPECT_TRUE(guards_intact(block, values.capacity() * sizeof(float)));
  if (!kGuardsAreRead) return;
  volatile float* const beyond = values.data() + values.capacity();
  *beyond = 1;
  EXPECT_FALSE(guards_intact(block, values.capacity() * sizeof(float)));
}

}  // namespace
}  // namespace subquad

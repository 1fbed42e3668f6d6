#pragma once

// Tiles of Intel AMX: eight registers of 16 rows of 64 bytes, and a product of bf16 tiles that adds
// to a float one. Written as assembly, because compilers disagree about the intrinsics: g++ 12 does
// not say that they touch memory, and clang 14 wants a target attribute on every caller.

// A processor with AMX has AVX-512 BF16 too, whose conversions the packing uses.
#if defined(__x86_64__) && defined(__linux__) && defined(__AVX512BF16__) && \
    defined(__AVX512BW__) && defined(__AVX512VL__)
#define SUBQUAD_HAS_AMX 1

#include <cstddef>
#include <cstdint>

namespace subquad::amx {

inline constexpr std::ptrdiff_t kTileRows = 16;
inline constexpr std::ptrdiff_t kTileBytes = 64;  ///< of a row

/// Configures all tiles of this thread to full size as long as it lives, and releases them then, so
/// that nobody else pays for saving them. `amx_refusal` must have been empty.
class Session {
 public:
  Session() {
    Configuration configuration;
    asm volatile("ldtilecfg %0" : : "m"(configuration));
  }
  ~Session() { asm volatile("tilerelease"); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

 private:
  struct alignas(64) Configuration {
    std::uint8_t palette = 1;
    std::uint8_t start_row = 0;
    std::uint8_t reserved[14] = {};
    std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  };
  static_assert(sizeof(Configuration) == 64);
};

template <int kTile>
[[gnu::always_inline]] inline void zero() {
  asm volatile("tilezero %%tmm%c0" : : "i"(kTile));
}

/// 16 rows of 64 bytes, `stride` bytes apart.
template <int kTile>
[[gnu::always_inline]] inline void load(const void* from, std::ptrdiff_t stride) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(kTile) : "memory");
}

template <int kTile>
[[gnu::always_inline]] inline void store(void* to, std::ptrdiff_t stride) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(stride), "i"(kTile) : "memory");
}

/// sums[i][j] += sum over p < 16 of a[i][2 p] b[p][2 j] + a[i][2 p + 1] b[p][2 j + 1], where a and
/// b are [16][32] of bf16 and sums is [16][16] of float. Each multiply-add rounds to nearest even;
/// subnormal numbers count as 0 on the way in and out, whatever the floating point mode says.
template <int kSums, int kA, int kB>
[[gnu::always_inline]] inline void multiply_add() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSums), "i"(kA), "i"(kB));
}

}  // namespace subquad::amx

#else
#define SUBQUAD_HAS_AMX 0
#endif

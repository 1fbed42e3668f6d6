#include "records/bf16_units.h"

#include <stdexcept>

#include "records/peak_probe.h"

#if defined(__x86_64__) && defined(__linux__)

#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <iterator>

namespace subquad {
namespace {

constexpr int kTileBytes = 1024;

/// Palette 1, eight tiles of 16 rows of 64 bytes. The processor fixes the layout.
struct alignas(64) TileConfig {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfig) == 64);

/// The state of tiles is large: a process has to ask before it may use them.
bool permitted() {
  constexpr long kRequest = 0x1023, kTileData = 18;
  return ::syscall(SYS_arch_prctl, kRequest, kTileData) == 0;
}

bool present() {
  constexpr unsigned kBf16 = 1U << 22, kTiles = 1U << 24;
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d & kBf16) != 0 && (d & kTiles) != 0;
}

}  // namespace

bool has_bf16_units() {
  static const bool has = present() && permitted();
  return has;
}

__attribute__((target("amx-tile,amx-bf16"))) double multiply_bf16_tiles() {
  constexpr int kSteps = 256, kProducts = 8;
  const TileConfig config;
  alignas(64) std::uint16_t ones[kTileBytes / 2];
  std::fill(std::begin(ones), std::end(ones), std::uint16_t{0x3F80});
  // GCC 12 believes that only the first eight bytes of the configuration are read.
  asm volatile("" ::"r"(&config) : "memory");
  _tile_loadconfig(&config);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_loadd(4, ones, 64);
  _tile_loadd(5, ones, 64);
  _tile_loadd(6, ones, 64);
  _tile_loadd(7, ones, 64);
  for (int step = 0; step < kSteps; ++step) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_release();
  return 2.0 * 16 * 16 * 32 * kProducts * kSteps;
}

}  // namespace subquad

#else

namespace subquad {

bool has_bf16_units() { return false; }

double multiply_bf16_tiles() { throw std::logic_error("this processor has no bf16 units"); }

}  // namespace subquad

#endif

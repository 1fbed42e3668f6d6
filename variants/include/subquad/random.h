#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "subquad/view.h"

namespace subquad {

/// Counter-based random numbers: Philox 4x32 with 10 rounds (Salmon et al., "Parallel random
/// numbers: as easy as 1, 2, 3", SC 2011). The same key gives the same numbers on every machine
/// and with every standard library, in whatever order keys are used.
class Generator {
 public:
  explicit Generator(std::uint64_t key, std::uint64_t stream = 0)
      : key_{static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32)},
        counter_{0, 0, static_cast<std::uint32_t>(stream),
                 static_cast<std::uint32_t>(stream >> 32)} {}

  /// 32 random bits.
  std::uint32_t bits() {
    if (used_ == 4) {
      block_ = philox(counter_, key_);
      if (++counter_[0] == 0) ++counter_[1];
      used_ = 0;
    }
    return block_[used_++];
  }

  /// Uniform in (0, 1), never either end; 32 bits of resolution.
  double uniform() { return (bits() + 0.5) * 0x1p-32; }
  double uniform(double low, double high) { return low + (high - low) * uniform(); }

  /// Standard normal: the normal quantile of `uniform()`, within 6.3 of zero.
  double normal() { return normal_quantile(uniform()); }
  /// The next `out.size()` of them times `std`, rounded to float: the same as one by one, several
  /// times as fast.
  void normals(std::span<float> out, double std = 1);

  /// Uniform integer in [0, count), without bias (Lemire's multiply-and-reject). 0 < count < 2^32.
  Index below(Index count) {
    const auto range = static_cast<std::uint32_t>(count);
    const std::uint32_t threshold = (0u - range) % range;
    for (;;) {
      const std::uint64_t product = static_cast<std::uint64_t>(bits()) * range;
      if (static_cast<std::uint32_t>(product) >= threshold) {
        return static_cast<Index>(product >> 32);
      }
    }
  }

  using Block = std::array<std::uint32_t, 4>;

  /// The bare function, public so that it can be held against the published test vectors.
  static Block philox(Block counter, std::array<std::uint32_t, 2> key) {
    for (int round = 0; round < 10; ++round) {
      const std::uint64_t p0 = std::uint64_t{0xD2511F53} * counter[0];
      const std::uint64_t p1 = std::uint64_t{0xCD9E8D57} * counter[2];
      counter = {static_cast<std::uint32_t>(p1 >> 32) ^ counter[1] ^ key[0],
                 static_cast<std::uint32_t>(p1),
                 static_cast<std::uint32_t>(p0 >> 32) ^ counter[3] ^ key[1],
                 static_cast<std::uint32_t>(p0)};
      key[0] += 0x9E3779B9;
      key[1] += 0xBB67AE85;
    }
    return counter;
  }

  /// Inverse of the standard normal distribution function to about 1e-15 relatively, for
  /// probabilities in [2^-33, 1 - 2^-33] (Wichura, "Algorithm AS 241: the percentage points of the
  /// normal distribution", Applied Statistics 37, 1988, routine PPND16).
  static double normal_quantile(double probability);

 private:
  std::array<std::uint32_t, 2> key_;
  Block counter_;
  Block block_{};
  int used_ = 4;
};

}  // namespace subquad

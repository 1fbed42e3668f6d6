#pragma once

#include <cstdint>
#include <span>

#include "subquad/run.h"
#include "subquad/view.h"

namespace subquad {

inline constexpr Index kMaxSignBits = 64;

/// One word for each row of x: bit b is set where column b of x P is positive (Charikar 2002,
/// "Similarity estimation techniques from rounding algorithms"). `planes` is P [dim, bits], at most
/// kMaxSignBits; words differ in a share of bits that is the angle between rows over pi, in the
/// mean.
void sign_bits(ConstView rows, ConstView planes, std::span<std::uint64_t> words, Worker& worker);

/// Place of a word in the reflected Gray code, in which neighbours differ by one bit.
inline std::uint64_t gray_place(std::uint64_t word) {
  for (int shift = 1; shift < 64; shift *= 2) word ^= word >> shift;
  return word;
}

/// Worker scratch that `sign_bits` takes.
std::size_t sign_bits_scratch_bytes(Index rows, Index dim, Index bits);

/// Writes the Gray place of the sign bits of each row, tile by tile; places fit 32 bits if `planes`
/// has fewer columns.
void gray_places(ConstView rows, ConstView planes, std::span<std::int32_t> places, Run& run);

/// Worker scratch that `gray_places` takes for so many rows at the most.
std::size_t gray_places_scratch_bytes(Index rows, Index dim, Index bits);

/// K-means of words under the Hamming distance (Vyas et al. 2020, arXiv:2007.04825, section 3.2):
/// `iterations` times, each word goes to the nearest centre (of equally near ones the first), and
/// each centre becomes the majority of its words, bit by bit (0 for a tie); a centre without words
/// stays. Then words go to their nearest centre once more.
struct HammingKMeans {
  Index clusters;  ///< at most as many as words
  Index iterations;

  void declare_scratch(Scratch& scratch) const;
  /// Centres start at evenly spaced words. Writes a label in [0, clusters) for each word.
  void run(std::span<const std::uint64_t> words, std::span<std::int32_t> labels, Run& run) const;
};

}  // namespace subquad

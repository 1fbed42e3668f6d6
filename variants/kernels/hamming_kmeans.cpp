#include "kernels/hamming_kmeans.h"

#include <algorithm>
#include <bit>

#include "kernels/product.h"

namespace subquad {
namespace {

/// Words that one tile labels.
constexpr Index kLabelRows = 1024;
/// Rows that one tile finds the places of.
constexpr Index kPlaceRows = 128;
/// Binary digits of a count of words.
constexpr Index kDigits = 32;

/// How many of some words have each bit, for all 64 bits at once: digit d of all counts is one
/// word. Adding takes two steps in the mean, as counting up by one carries rarely.
class BitCounts {
 public:
  explicit BitCounts(std::uint64_t* digits) : digits_(digits) {}

  void add(std::uint64_t word) {
    for (std::uint64_t* digit = digits_; word != 0; ++digit) {
      const std::uint64_t carry = *digit & word;
      *digit ^= word;
      word = carry;
    }
  }
  /// Bits that more than half of `words` have.
  std::uint64_t majority(Index words) const {
    std::uint64_t result = 0;
    for (int bit = 0; bit < 64; ++bit) {
      Index count = 0;
      for (Index d = 0; d < kDigits; ++d) count |= static_cast<Index>(digits_[d] >> bit & 1) << d;
      if (2 * count > words) result |= std::uint64_t{1} << bit;
    }
    return result;
  }

 private:
  std::uint64_t* digits_;
};

void label_words(std::span<const std::uint64_t> words, std::span<const std::uint64_t> centres,
                 std::span<std::int32_t> labels, Run& run) {
  const auto count = static_cast<Index>(words.size());
  run.parallel((count + kLabelRows - 1) / kLabelRows, [&](Index tile, Worker&) {
    const Index end = std::min((tile + 1) * kLabelRows, count);
    for (Index i = tile * kLabelRows; i < end; ++i) {
      // Distance and number in one word: their minimum, without a branch, is the first nearest.
      std::uint64_t best = ~std::uint64_t{0};
      for (std::size_t c = 0; c < centres.size(); ++c) {
        const auto distance = static_cast<std::uint64_t>(std::popcount(words[i] ^ centres[c]));
        best = std::min(best, distance << 32 | c);
      }
      labels[i] = static_cast<std::int32_t>(best & 0xffffffff);
    }
  });
}

}  // namespace

std::size_t sign_bits_scratch_bytes(Index rows, Index dim, Index bits) {
  return Scratch()
      .worker<float>(rows * bits)
      .worker<std::byte>(static_cast<Index>(product_scratch_bytes(rows, bits, dim)))
      .worker_bytes;
}

void sign_bits(ConstView rows, ConstView planes, std::span<std::uint64_t> words, Worker& worker) {
  const std::size_t mark = worker.scratch.used();
  const View projected = worker.scratch.take_matrix(rows.rows, planes.cols);
  multiply(rows, planes, projected, worker);
  for (Index i = 0; i < rows.rows; ++i) {
    words[i] = 0;
    for (Index b = 0; b < planes.cols; ++b) {
      words[i] |= static_cast<std::uint64_t>(projected(i, b) > 0) << b;
    }
  }
  worker.scratch.rewind(mark);
}

void gray_places(ConstView rows, ConstView planes, std::span<std::int32_t> places, Run& run) {
  run.parallel((rows.rows + kPlaceRows - 1) / kPlaceRows, [&](Index tile, Worker& worker) {
    const Index begin = tile * kPlaceRows, count = std::min(kPlaceRows, rows.rows - begin);
    const std::span<std::uint64_t> words = worker.scratch.take<std::uint64_t>(count);
    sign_bits(rows.row_range(begin, count), planes, words, worker);
    for (Index i = 0; i < count; ++i) {
      places[begin + i] = static_cast<std::int32_t>(gray_place(words[i]));
    }
  });
}

std::size_t gray_places_scratch_bytes(Index rows, Index dim, Index bits) {
  const Index tile = std::min(kPlaceRows, rows);
  return Scratch().worker<std::uint64_t>(tile).worker_bytes +
         sign_bits_scratch_bytes(tile, dim, bits);
}

void HammingKMeans::declare_scratch(Scratch& scratch) const {
  scratch.shared<std::uint64_t>(clusters)
      .shared<std::uint64_t>(clusters * kDigits)
      .shared<std::int32_t>(clusters);
}

void HammingKMeans::run(std::span<const std::uint64_t> words, std::span<std::int32_t> labels,
                        Run& run) const {
  const std::span<std::uint64_t> centres = run.shared().take<std::uint64_t>(clusters);
  const std::span<std::uint64_t> digits = run.shared().take<std::uint64_t>(clusters * kDigits);
  const std::span<std::int32_t> sizes = run.shared().take<std::int32_t>(clusters);
  const auto count = static_cast<Index>(words.size());
  for (Index c = 0; c < clusters; ++c) centres[c] = words[c * count / clusters];
  for (Index iteration = 0; iteration < iterations; ++iteration) {
    label_words(words, centres, labels, run);
    std::fill(digits.begin(), digits.end(), 0);
    std::fill(sizes.begin(), sizes.end(), 0);
    for (Index i = 0; i < count; ++i) {
      BitCounts(&digits[labels[i] * kDigits]).add(words[i]);
      ++sizes[labels[i]];
    }
    for (Index c = 0; c < clusters; ++c) {
      if (sizes[c] > 0) centres[c] = BitCounts(&digits[c * kDigits]).majority(sizes[c]);
    }
  }
  label_words(words, centres, labels, run);
}

}  // namespace subquad

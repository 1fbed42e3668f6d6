#include "kernels/top_k.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

namespace subquad {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
/// Scores that a bound is guessed from. Passing the bound by takes a small part of the time that
/// partial sorting of all scores does.
constexpr Index kSample = 512;

/// A score that `count` of the scores probably reach, and not many more: taken from a sample, where
/// the wanted rank is uncertain by a few times its root.
float probable_bound(std::span<const float> scores, Index count) {
  const auto all = static_cast<Index>(scores.size());
  const double expected =
      static_cast<double>(count) * static_cast<double>(kSample) / static_cast<double>(all);
  const auto rank = static_cast<Index>(expected + 3 * std::sqrt(expected) + 3);
  if (all < 2 * kSample || rank >= kSample / 2) return kMinusInfinity;
  std::array<float, kSample> sample;
  for (Index i = 0; i < kSample; ++i) sample[i] = scores[i * all / kSample];
  std::nth_element(sample.begin(), sample.begin() + rank, sample.end(), std::greater<>());
  return sample[rank];
}

/// Writes the numbers of scores that reach the bound, in order; returns how many there are.
Index at_least_bound(std::span<const float> scores, float bound, std::span<std::int32_t> numbers) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    numbers[count] = static_cast<std::int32_t>(i);
    count += scores[i] >= bound;
  }
  return static_cast<Index>(count);
}

}  // namespace

void choose_largest(std::span<float> scores, std::span<std::int32_t> order,
                    std::span<std::int32_t> chosen) {
  for (float& score : scores) score = std::isnan(score) ? kMinusInfinity : score;
  const auto count = static_cast<Index>(chosen.size());
  Index candidates = at_least_bound(scores, probable_bound(scores, count), order);
  if (candidates < count) candidates = at_least_bound(scores, kMinusInfinity, order);
  if (count < candidates) {
    std::nth_element(order.begin(), order.begin() + count, order.begin() + candidates,
                     LargerScore{scores.data()});
    std::sort(order.begin(), order.begin() + count);
  }
  std::copy_n(order.begin(), count, chosen.begin());
}

}  // namespace subquad

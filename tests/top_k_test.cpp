#include "kernels/top_k.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "subquad/random.h"

namespace subquad {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// By sorting everything; what is not a number counts as the least.
std::vector<std::int32_t> sorted_choice(std::vector<float> scores, std::size_t count) {
  for (float& score : scores) score = std::isnan(score) ? -kInfinity : score;
  std::vector<std::int32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::int32_t a, std::int32_t b) { return scores[a] > scores[b]; });
  order.resize(count);
  std::sort(order.begin(), order.end());
  return order;
}

std::vector<std::int32_t> choice(std::vector<float> scores, std::size_t count) {
  std::vector<std::int32_t> order(scores.size()), chosen(count, -1);
  choose_largest(scores, order, chosen);
  return chosen;
}

void expect_choices(const std::vector<float>& scores) {
  for (const std::size_t count : {0, 1, 2, 7, 32, 300, 1000, 5000}) {
    if (count > scores.size()) continue;
    EXPECT_EQ(choice(scores, count), sorted_choice(scores, count))
        << count << " of " << scores.size();
  }
  EXPECT_EQ(choice(scores, scores.size()), sorted_choice(scores, scores.size()));
}

TEST(ChooseLargest, ChoosesTheLargestInOrder) {
  for (const std::size_t count : {1, 2, 31, 1000, 1024, 1025, 5000, 20000}) {
    std::vector<float> scores(count);
    Generator random(count);
    random.normals(scores);
    expect_choices(scores);
    // Steps, so many are equal.
    for (float& score : scores) score = std::round(score * 2);
    expect_choices(scores);
  }
}

TEST(ChooseLargest, SamplesThatMisleadChangeNothing) {
  // Every 10th score is large, and just these, or all others, are sampled out of 5120.
  for (const float every_tenth : {5.0f, -5.0f}) {
    std::vector<float> scores(5120);
    Generator random(1);
    random.normals(scores);
    for (std::size_t i = 0; i < scores.size(); i += 10) scores[i] += every_tenth;
    expect_choices(scores);
  }
}

TEST(ChooseLargest, EqualScoresAndExtremes) {
  expect_choices(std::vector<float>(3000, 1.5f));
  expect_choices(std::vector<float>(3000, -kInfinity));
  std::vector<float> scores(3000);
  Generator random(3);
  random.normals(scores);
  for (std::size_t i = 0; i < scores.size(); i += 3) {
    scores[i] = i % 2 == 0 ? std::numeric_limits<float>::quiet_NaN() : -0.0f;
    scores[i + 1] = i % 4 == 0 ? kInfinity : i % 4 == 1 ? -kInfinity : 0.0f;
  }
  expect_choices(scores);
  expect_choices(std::vector<float>(2000, std::numeric_limits<float>::quiet_NaN()));
}

}  // namespace
}  // namespace subquad

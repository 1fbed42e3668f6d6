#include "measuring/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "subquad/error.h"
#include "subquad/random.h"

namespace subquad {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

double figure(std::string_view key, std::vector<double> output, std::vector<double> reference,
              Index rows) {
  const auto cols = static_cast<Index>(output.size()) / rows;
  return find_metric(key).figure({{output.data(), rows, cols}, {reference.data(), rows, cols}});
}

TEST(Metrics, OfAKnownDifference) {
  // Reference diag(3, 4), output diag(3, 2): the difference is diag(0, 2).
  const std::vector<double> reference = {3, 0, 0, 4}, output = {3, 0, 0, 2};
  EXPECT_DOUBLE_EQ(figure("relative_error", output, reference, 2), 2.0 / 5);
  EXPECT_DOUBLE_EQ(figure("spectral_error", output, reference, 2), 2.0 / 4);
  EXPECT_DOUBLE_EQ(figure("cosine", output, reference, 2), 17 / (std::sqrt(13.0) * 5));
  EXPECT_DOUBLE_EQ(figure("max_abs_error", output, reference, 2), 2);
  // Row errors are 0 and 1/2.
  EXPECT_DOUBLE_EQ(figure("row_error_p50", output, reference, 2), 0.25);
  EXPECT_DOUBLE_EQ(figure("row_error_p90", output, reference, 2), 0.45);
  EXPECT_DOUBLE_EQ(figure("row_error_max", output, reference, 2), 0.5);
}

TEST(Metrics, SpectralNormOfARankOneMatrixIsItsFrobeniusNorm) {
  // 3 x 2, so both Gram matrices are met with the transposed case.
  const std::vector<double> tall = {2, 4, -1, -2, 3, 6}, wide = {2, -1, 3, 4, -2, 6};
  const std::vector<double> zero(6, 0.0);
  for (const Index rows : {2, 3}) {
    const std::vector<double>& reference = rows == 3 ? tall : wide;
    EXPECT_NEAR(figure("spectral_error", zero, reference, rows), 1, 1e-14);
  }
}

TEST(Metrics, ZeroReference) {
  EXPECT_EQ(figure("relative_error", {0, 0}, {0, 0}, 1), 0);
  EXPECT_EQ(figure("relative_error", {0, 1}, {0, 0}, 1), kInfinity);
  EXPECT_EQ(figure("row_error_p90", {0, 1, 2, 2}, {0, 1, 0, 0}, 2), kInfinity);
}

TEST(Metrics, NotANumberStaysNotANumber) {
  const std::vector<double> reference = {1, 2, 3, 4};
  for (const double bad : {std::nan(""), kInfinity, -kInfinity}) {
    const std::vector<double> output = {1, 2, bad, 4};
    HeadFigures figures;
    add_figures({{output.data(), 2, 2}, {reference.data(), 2, 2}}, figures);
    for (const auto& [key, values] : figures) {
      ASSERT_EQ(values.size(), 1u);
      EXPECT_TRUE(std::isnan(values[0])) << key;
    }
  }
}

TEST(Metrics, RecallCountsRowsThatAreNearestToTheirOwn) {
  // The third row lies where the first belongs; the size of an error does not matter.
  const std::vector<double> reference = {1, 0, 0, 1, -1, 0, 0, -1};
  EXPECT_EQ(figure("row_recall", reference, reference, 4), 1);
  EXPECT_EQ(figure("row_recall", {9, 1, 0.1, 0.2, 0.5, 0, 0, -3}, reference, 4), 0.75);
  EXPECT_EQ(figure("row_recall", {-1, 0, 0, -1, 1, 0, 0, 1}, reference, 4), 0);
  // Rows that are alike cannot be told apart, and nobody is blamed for it.
  EXPECT_EQ(figure("row_recall", {0.1, 0.3, 0.1, 0.3}, {0.1, 0.3, 0.1, 0.3}, 2), 1);
}

TEST(Metrics, RecallIsThatOfAllPairsCompared) {
  constexpr Index kRows = 150, kCols = 3;
  Generator random(4);
  std::vector<double> output(kRows * kCols), reference(kRows * kCols);
  for (std::size_t i = 0; i < reference.size(); ++i) {
    reference[i] = random.normal();
    output[i] = reference[i] + 0.2 * random.normal();
  }
  const auto distance = [&](Index i, Index j) {
    double sum = 0;
    for (Index c = 0; c < kCols; ++c) {
      const double difference = output[i * kCols + c] - reference[j * kCols + c];
      sum += difference * difference;
    }
    return sum;
  };
  double right = 0;
  for (Index i = 0; i < kRows; ++i) {
    bool nearest = true;
    for (Index j = 0; j < kRows; ++j) nearest = nearest && distance(i, i) <= distance(i, j);
    right += nearest;
  }
  EXPECT_GT(right, kRows / 4);
  EXPECT_LT(right, kRows);
  EXPECT_EQ(figure("row_recall", output, reference, kRows), right / kRows);
}

TEST(Metrics, DroppedMass) {
  const std::vector<double> rows = {0, 0, 0};
  const std::vector<double> full = {std::log(4.0), 1000, -kInfinity};
  const std::vector<double> kept = {std::log(1.0), 1000 + std::log(0.5), -kInfinity};
  HeadFigures figures;
  add_figures({{rows.data(), 3, 1}, {rows.data(), 3, 1}, kept.data(), full.data()}, figures);
  EXPECT_NEAR(figures.at("dropped_mass")[0], 1 - (0.25 + 0.5) / 2, 1e-12);

  const std::vector<double> nothing(3, -kInfinity);
  figures.clear();
  add_figures({{rows.data(), 3, 1}, {rows.data(), 3, 1}, nothing.data(), full.data()}, figures);
  EXPECT_EQ(figures.at("dropped_mass")[0], 1);
}

TEST(Metrics, AreLeftOutWithoutALogSumExp) {
  const std::vector<double> rows = {1, 2};
  HeadFigures figures;
  add_figures({{rows.data(), 2, 1}, {rows.data(), 2, 1}}, figures);
  EXPECT_EQ(figures.count("dropped_mass"), 0u);
  EXPECT_EQ(figures.at("relative_error")[0], 0);
  EXPECT_EQ(figures.size(), metrics().size() - 1);
}

TEST(Metrics, KeysAreDistinctAndTheHeadlineIsFirst) {
  std::set<std::string_view> keys;
  for (const Metric& metric : metrics()) EXPECT_TRUE(keys.insert(metric.key).second) << metric.key;
  EXPECT_EQ(metrics().front().key, kHeadlineMetric);
  try {
    find_metric("rmse");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("dropped_mass"));
  }
}

// Over many samples the standard errors that are told must be what the estimates spread by.
TEST(Deviations, AreThoseOfSampledEstimates) {
  constexpr Index kPopulation = 300, kSample = 60, kDim = 4;
  constexpr int kRepeats = 3000;
  Generator random(3);
  std::vector<double> output(kPopulation * kDim), reference(kPopulation * kDim);
  std::vector<double> kept(kPopulation), full(kPopulation, 0.0);
  for (Index i = 0; i < kPopulation; ++i) {
    const double size = random.uniform(0.5, 2), error = random.uniform(0, 0.6);
    kept[static_cast<std::size_t>(i)] = std::log(random.uniform(0.2, 1));
    for (Index c = 0; c < kDim; ++c) {
      const auto at = static_cast<std::size_t>(i * kDim + c);
      reference[at] = size * random.normal();
      output[at] = reference[at] + error * random.normal();
    }
  }
  std::map<std::string, std::vector<double>> estimates, deviations;
  std::vector<Index> order(kPopulation);
  std::iota(order.begin(), order.end(), Index{0});
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    std::vector<double> some_output, some_reference, some_kept, some_full(kSample, 0.0);
    for (Index i = 0; i < kSample; ++i) {
      std::swap(order[static_cast<std::size_t>(i)],
                order[static_cast<std::size_t>(i + random.below(kPopulation - i))]);
      const auto row = static_cast<std::size_t>(order[static_cast<std::size_t>(i)]);
      some_kept.push_back(kept[row]);
      for (std::size_t c = 0; c < kDim; ++c) {
        some_output.push_back(output[row * kDim + c]);
        some_reference.push_back(reference[row * kDim + c]);
      }
    }
    const Comparison comparison{.output = {some_output.data(), kSample, kDim},
                                .reference = {some_reference.data(), kSample, kDim},
                                .kept_log_sum_exp = some_kept.data(),
                                .full_log_sum_exp = some_full.data()};
    HeadFigures figures, errors;
    add_figures(comparison, figures);
    add_deviations(comparison, kPopulation, errors);
    for (const auto& [metric, values] : errors) {
      estimates[metric].push_back(figures.at(metric).front());
      deviations[metric].push_back(values.front());
    }
  }
  ASSERT_EQ(estimates.size(), 2u);
  for (const auto& [metric, values] : estimates) {
    double mean = 0, squares = 0, told = 0;
    for (const double value : values) mean += value / kRepeats;
    for (const double value : values) squares += (value - mean) * (value - mean) / kRepeats;
    for (const double value : deviations[metric]) told += value / kRepeats;
    // 3000 samples give a standard deviation to 1.3 %; the estimate itself is of first order.
    EXPECT_NEAR(told / std::sqrt(squares), 1, 0.06) << metric;
  }
}

}  // namespace
}  // namespace subquad

#include "measuring/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>
#include <vector>

#include "subquad/error.h"

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

}  // namespace
}  // namespace subquad

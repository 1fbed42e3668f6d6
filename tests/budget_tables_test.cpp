// Published tables whose columns are budgets: variants with a variable of the column, powers of it,
// paired recall, and figures over draws.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "inputs/input.h"
#include "report_records.h"
#include "reproducing/judge.h"
#include "reproducing/measured.h"
#include "reproducing/rules.h"
#include "subquad/error.h"
#include "support/temporary_folder.h"

namespace subquad {
namespace {

using Json = nlohmann::json;
using ::testing::HasSubstr;
using testing::make_record;

const std::string kFolder = std::string(SUBQUAD_SOURCE_DIR) + "/experiments/papers";

/// `features(count=M)`, with these errors of its two heads and half of them in a further draw.
Record record_of(int features, std::vector<double> errors) {
  Record record =
      make_record("features(count=" + std::to_string(features) + ")", "estimator", {}, {});
  record.heads = record.key_heads = 2;
  record.error = {{"relative_error", errors}};
  record.random_bytes = 1;
  for (double& error : errors) error /= 2;
  record.draws = {{.seed = 1, .error = errors}};
  return record;
}

class BudgetTables : public ::testing::Test {
 protected:
  JudgedTable judged(const Json& row, std::vector<Record> records,
                     const std::string& figure = "squared_error") {
    Json panel = {{"title", "Errors"}, {"figure", figure}};
    for (const int m : {16, 64, 256}) {
      panel["columns"].push_back({{"name", std::to_string(m)}, {"with", {{"m", m}}}});
    }
    panel["rows"] = Json::array({row});
    return judged_panel(panel, std::move(records));
  }

  JudgedTable judged_panel(const Json& panel, std::vector<Record> records) {
    const Json json = {{"title", "Synthetic"},
                       {"source", {{"paper", "P"}, {"place", "Table 1"}, {"arxiv", "0"}}},
                       {"judged", "everything"},
                       {"minutes", 1},
                       {"panels", Json::array({panel})}};
    const auto path = folder_ / "synthetic.published.json";
    std::ofstream(path) << json.dump();
    table_ = read_published_table(path.string());
    records_ = std::move(records);
    summary_ = summarise(records_, {});
    return judge(table_, summary_);
  }

  TemporaryFolder folder_;
  PublishedTable table_;
  std::vector<Record> records_;
  Summary summary_;
};

Json row_with(const Json& rules) {
  return {{"name", "Features"}, {"variant", "features(count={m})"}, {"rules", rules}};
}

/// Squared errors that fall as 1 / m.
std::vector<Record> falling() {
  std::vector<Record> records;
  for (const int m : {16, 64, 256}) {
    const double error = 1 / std::sqrt(m);
    records.push_back(record_of(m, {error, 3 * error}));
  }
  return records;
}

TEST_F(BudgetTables, AColumnsVariableStandsInVariants) {
  const JudgedTable table = judged(row_with(Json::array()), falling());
  for (std::size_t column = 0; column < 3; ++column) {
    const JudgedCell& cell = table.panels[0].cells[0][column];
    ASSERT_TRUE(cell.measured);
    // Mean of e^2, (3 e)^2 and a quarter of both, e^2 = 1 / m.
    EXPECT_NEAR(*cell.measured * std::pow(4, 2 + static_cast<double>(column)), 10 * 1.25 / 4, 1e-9);
  }
}

TEST_F(BudgetTables, AVariableThatNobodyHasIsAMistake) {
  try {
    judged({{"name", "Features"}, {"variant", "features(count={k})"}}, falling());
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("Features, 16: features(count={k}) names a variable"));
  }
}

TEST_F(BudgetTables, PowerIsFittedOverAVariable) {
  const auto verdict = [&](double power, double first, double last) {
    const Json rule = {{"kind", "power"}, {"in", "m"},      {"first", first},
                       {"last", last},    {"power", power}, {"within", 0.01}};
    const auto cells = judged(row_with(Json::array({rule})), falling()).panels[0].cells[0];
    EXPECT_EQ(cells[0].verdict, CellVerdict::shown);
    return cells[last == 256 ? 2 : 1].verdict;
  };
  EXPECT_EQ(verdict(-1, 16, 256), CellVerdict::pass);
  EXPECT_EQ(verdict(-1, 16, 64), CellVerdict::pass);
  EXPECT_EQ(verdict(-2, 16, 256), CellVerdict::differs);
  EXPECT_EQ(verdict(-1, 100, 256), CellVerdict::shown) << "one value has no power";
}

TEST_F(BudgetTables, NegativeDenominatorsAreAShareOfRows) {
  Record record = record_of(16, {1, 1});
  record.negative_denominators = 256;  // of two heads of 512 queries
  const JudgedTable table = judged(row_with(Json::array()), {record}, "negative_denominators");
  EXPECT_EQ(table.panels[0].cells[0][0].measured, 0.25);
}

class PairedRecall : public BudgetTables {
 protected:
  /// `more` and `less` differ by these gains on four heads, which differ among themselves by more.
  CellVerdict verdict(std::vector<double> gains) {
    Record less = make_record("less", "restriction", {}, {});
    Record more = make_record("more", "restriction", {}, {});
    less.error = {{"row_recall", {0.1, 0.4, 0.6, 0.3}}};
    for (std::size_t head = 0; head < 4; ++head) {
      more.error["row_recall"].push_back(less.error["row_recall"][head] + gains[head]);
    }
    more.error.erase("relative_error");
    const Json rule = {
        {"kind", "paired"}, {"over", "Less"}, {"metric", "row_recall"}, {"errors", 3}};
    const Json panel = {{"title", "Recall"},
                        {"figure", "row_recall"},
                        {"columns", Json::array({{{"name", "recall"}}})},
                        {"rows",
                         {{{"name", "More"}, {"variant", "more"}, {"rules", Json::array({rule})}},
                          {{"name", "Less"}, {"variant", "less"}}}}};
    return judged_panel(panel, {less, more}).panels[0].cells[0][0].verdict;
  }
};

TEST_F(PairedRecall, LooksAtDifferencesHeadByHead) {
  // Mean 0.02; standard error 0.0041 in pairs, and 0.1 without.
  EXPECT_EQ(verdict({0.01, 0.02, 0.02, 0.03}), CellVerdict::pass);
  EXPECT_EQ(verdict({-0.01, -0.02, -0.02, -0.03}), CellVerdict::differs);
  // Mean 0.02, standard error 0.013.
  EXPECT_EQ(verdict({-0.01, 0.05, 0.01, 0.03}), CellVerdict::differs);
}

double dot(const float* a, const float* b) {
  double sum = 0;
  for (int c = 0; c < 4; ++c) sum += double{a[c]} * b[c];
  return sum;
}

// The formulas of the table on the numbers that its input holds.
TEST(PerformerLemma2, FormulasAreThoseOfTheLemmaOnItsInput) {
  const PublishedTable table = find_published_table(kFolder, "performer_lemma2");
  const LayerInput input = read_layer_input(kFolder + "/performer_lemma2.safetensors");
  ASSERT_EQ(input.heads, 4);
  for (Index pair = 0; pair < 2; ++pair) {
    const Variables& variables = table.panels[0].columns[static_cast<std::size_t>(pair)].variables;
    const auto of = [&](const char* formula) { return table.value_of(formula, variables); };
    const float *x = input.q_of(0, 2 * pair).row(0), *y = input.k_of(0, 2 * pair).row(0);
    const double kernel = std::exp(dot(x, y));
    const double sum = std::exp(dot(x, x) + dot(y, y) + 2 * dot(x, y));
    const double difference = std::exp(dot(x, x) + dot(y, y) - 2 * dot(x, y));
    // Mean squared errors of the lemma, over the square of the kernel. Floats hold the numbers.
    const double positive = sum * kernel * kernel * (1 - 1 / sum) / 64;
    const double trigonometric =
        sum / (kernel * kernel) * std::pow(1 - 1 / difference, 2) / (2 * 64);
    constexpr double kWithin = 1e-6;
    EXPECT_NEAR(of("positive") / (positive / kernel / kernel), 1, kWithin);
    EXPECT_NEAR(of("hyperbolic") / (of("positive") * (1 - 1 / sum) / 2), 1, kWithin);
    EXPECT_NEAR(of("trigonometric") / (trigonometric / kernel / kernel), 1, kWithin);
    EXPECT_NEAR(of("kernel") / kernel, 1, kWithin);
    EXPECT_NEAR(of("against") / (255 * std::exp(-dot(x, x))), 1, kWithin);
    EXPECT_NEAR(of("along") / (255 * std::exp(dot(x, x))), 1, kWithin);
    // All keys but the first have the kernel that has no variance.
    for (Index key = 1; key < 256; ++key) {
      for (Index c = 0; c < 4; ++c) {
        EXPECT_EQ(input.k_of(0, 2 * pair)(key, c), -x[c]);
        EXPECT_EQ(input.k_of(0, 2 * pair + 1)(key, c), x[c]);
      }
      EXPECT_EQ(input.v_of(0, 2 * pair)(key, 0), 0);
    }
    EXPECT_EQ(input.v_of(0, 2 * pair)(0, 0), 1);
  }
}

TEST(Kdeformer, CountsAreProductsOfTheShapes) {
  const PublishedTable table = find_published_table(kFolder, "kdeformer");
  const Panel& counts = table.panels[0];
  EXPECT_NEAR(*counts.rows[0].values[0].number, 8.0 * 4096 * 1024 * (64 + 256) / 1e9, 1e-3);
  EXPECT_NEAR(*counts.rows[1].values[0].number, 128.0 * 3136 * 3136 * (64 + 64) / 1e9, 0.05);
}

}  // namespace
}  // namespace subquad

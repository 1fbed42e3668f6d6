// The published tables that the project holds.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <set>
#include <sstream>

#include "experiments/options.h"
#include "reproducing/judge.h"

namespace subquad {
namespace {

using ::testing::HasSubstr;

const std::string kFolder = std::string(SUBQUAD_SOURCE_DIR) + "/experiments/papers";

std::vector<PublishedTable> all_tables() {
  std::vector<PublishedTable> tables;
  for (const std::string& name : table_names(kFolder)) {
    tables.push_back(find_published_table(kFolder, name));
  }
  return tables;
}

const PublishedRow& row_of(const Panel& panel, const std::string& name) {
  return panel.rows.at(row_named(panel, name));
}

TEST(PublishedTables, AreReadAndTheirFormulasGiveThePrintedNumbers) {
  const std::vector<PublishedTable> tables = all_tables();
  EXPECT_GE(tables.size(), 2U);
  for (const PublishedTable& table : tables) {
    const Summary nothing;
    const JudgedTable judged = judge(table, nothing);
    const JudgedTable::Counts counts = judged.counts();
    EXPECT_EQ(counts.formulas_right, counts.formulas) << table.name;
    int computed = 0;
    for (const JudgedPanel& panel : judged.panels) {
      for (const auto& cells : panel.cells) {
        computed += static_cast<int>(std::ranges::count_if(
            cells, [](const JudgedCell& cell) { return cell.computed && !cell.rules.empty(); }));
      }
      computed += static_cast<int>(panel.claims.size());
    }
    EXPECT_EQ(counts.judged, computed) << table.name << ": nothing was measured";
  }
}

TEST(PublishedTables, MeasureWhatTheirCellsAskFor) {
  for (const PublishedTable& table : all_tables()) {
    std::set<std::string> variants;
    for (const PublishedRun& run : table.runs) {
      ParsedOptions settings;
      for (const auto& [key, value] : run.settings) settings.values[key] = {{value, "set"}};
      const Experiment experiment = load_experiment(run.config, settings);
      for (const Expression& variant : experiment.variants) variants.insert(variant.text());
      variants.insert(experiment.anchor.text());
    }
    for (const Panel& panel : table.panels) {
      for (std::size_t row = 0; row < panel.rows.size(); ++row) {
        for (std::size_t column = 0; column < panel.columns.size(); ++column) {
          const auto variant = panel.selector_of(row, column).variant;
          if (!variant) continue;
          EXPECT_EQ(variants.count(*variant), 1U)
              << table.name << ", " << panel.rows[row].name << ": no run measures " << *variant;
        }
      }
    }
  }
}

TEST(PublishedTables, EveryKindAndFigureIsDocumented) {
  std::ifstream file(std::string(SUBQUAD_SOURCE_DIR) + "/docs/reproduce.md");
  std::ostringstream page;
  page << file.rdbuf();
  for (const RuleKind& kind : rule_kinds()) {
    EXPECT_THAT(page.str(), HasSubstr(fmt::format("| `{}` |", kind.name)));
  }
  for (const MeasuredFigure& figure : measured_figures()) {
    EXPECT_THAT(page.str(), HasSubstr(fmt::format("`{}`", figure.key)));
  }
}

// Table 21 of FlashAttention, by integer arithmetic of its own: bytes of B = 16, H = 8, d = 64.
TEST(PublishedTables, FlashAttentionsBytesAreThoseOfItsTensors) {
  const PublishedTable table = find_published_table(kFolder, "flash_attention_memory");
  const Panel& panel = table.panels.front();
  constexpr std::int64_t kHeads = 16 * 8, kMebibyte = 1 << 20;
  int dense = 0, flash = 0;
  for (std::size_t column = 0; column < panel.columns.size(); ++column) {
    const std::int64_t n = *panel.columns[column].selector.length;
    const std::int64_t tensor = kHeads * n * 64 * 2, matrix = kHeads * n * n * 2;
    if (const auto printed = row_of(panel, "PyTorch").values[column].number) {
      EXPECT_EQ(*printed, static_cast<double>((4 * matrix + 10 * tensor) / kMebibyte));
      ++dense;
    }
    if (n < 512) continue;
    const auto printed = row_of(panel, "FlashAttention").values[column].number;
    EXPECT_EQ(printed, static_cast<double>((13 * tensor + 2 * kHeads * n * 4) / kMebibyte));
    ++flash;
  }
  EXPECT_EQ(dense, 6);
  EXPECT_EQ(flash, 8);
}

TEST(PublishedTables, NystromformersRatiosAreThoseOfItsText) {
  const PublishedTable table = find_published_table(kFolder, "nystromformer_table1");
  const auto last = [&](std::size_t panel, const char* row) {
    return *row_of(table.panels[panel], row).values.back().number;
  };
  EXPECT_NEAR(last(0, "Transformer") / last(0, "Nystrom-64"), 22.8, 0.1);
  EXPECT_NEAR(last(1, "Transformer") / last(1, "Nystrom-64"), 12.7, 0.1);
}

TEST(PublishedTables, LongRangeArenasAveragesAreMeansButForSinkhorns) {
  const PublishedTable table = find_published_table(kFolder, "lra_scores");
  std::vector<std::string> misprinted;
  for (const PublishedRow& row : table.panels.front().rows) {
    double sum = 0;
    for (std::size_t task = 0; task < 5; ++task) sum += *row.values[task].number;
    if (std::abs(sum / 5 - *row.values[5].number) > 0.006) misprinted.push_back(row.name);
  }
  EXPECT_THAT(misprinted, ::testing::ElementsAre("Sinkhorn"));
  const PublishedTable efficiency = find_published_table(kFolder, "lra_efficiency");
  const Panel& speed = efficiency.panels.front();
  EXPECT_EQ(*row_of(speed, "Synthesizer").values[2].number,
            *row_of(speed, "Sinkhorn").values[2].number)
      << "kept as printed";
}

// Its two formulas by integer arithmetic of its own: width 768, 2 x 3072 beside 4 x 768 of weights.
TEST(PublishedTables, LinformersRatiosBeyondMeasuredLengthsAreThoseOfItsWork) {
  const PublishedTable table = find_published_table(kFolder, "linformer_table3");
  const Panel& panel = table.panels.front();
  const JudgedTable judged = judge(table, Summary());
  const auto dense = [](std::int64_t n) {
    return n * 768 * (4 * 768 + 2 * 3072) + 2 * n * n * 768;
  };
  int computed = 0;
  for (std::size_t row = 0; row < panel.rows.size(); ++row) {
    const std::int64_t n = *panel.rows[row].selector.length;
    for (std::size_t column = 0; column < panel.columns.size(); ++column) {
      const auto& cell = judged.panels.front().cells[row][column];
      EXPECT_EQ(cell.measured.has_value(), n > 16384);
      if (!cell.measured) continue;
      const std::int64_t k = std::int64_t{128} << column;
      const std::int64_t linformer = n * 768 * (4 * 768 + 2 * 3072) + 4 * n * k * 768;
      EXPECT_DOUBLE_EQ(*cell.measured,
                       static_cast<double>(dense(n)) / static_cast<double>(linformer));
      ++computed;
    }
  }
  EXPECT_EQ(computed, 10);
}

}  // namespace
}  // namespace subquad

#include "report/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "report/render.h"
#include "report/summary.h"
#include "report/units.h"
#include "report_records.h"
#include "subquad/error.h"

namespace subquad {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using testing::make_anchor;
using testing::make_ending;
using testing::make_record;
using ::testing::Not;
using testing::synthetic_run;

const Row& row_of(const Summary& summary, const std::string& variant) {
  for (const Table& table : summary.tables) {
    for (const Row& row : table.rows) {
      if (row.first().variant == variant) return row;
    }
  }
  throw std::out_of_range(variant);
}

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

/// The line that holds `part`, which must be one.
std::string line_with(const std::string& text, const std::string& part) {
  std::vector<std::string> found;
  for (const std::string& line : lines_of(text)) {
    if (line.find(part) != std::string::npos) found.push_back(line);
  }
  EXPECT_EQ(found.size(), 1u) << part << " in\n" << text;
  return found.empty() ? "" : found.front();
}

std::string report_as(ReportFormat format, const std::vector<Record>& records,
                      std::vector<std::string> builds = {}) {
  return report(records, {.format = format, .builds = std::move(builds)});
}

TEST(ReportSummary, SpeedUpIsTheMedianOfRatiosWithinRounds) {
  // Ratios 10, 1, 4; the ratio of medians is 40 / 4 = 10.
  const std::vector<Record> records = {
      make_anchor({40, 4, 400}), make_record("fast", "restriction", {4, 4, 100}, {40, 4, 400})};
  const Summary summary = summarise(records, {});
  const Row& row = row_of(summary, "fast");
  EXPECT_DOUBLE_EQ(row.time_ns->median, 4);
  EXPECT_DOUBLE_EQ(row.speed_up->median, 4);
  EXPECT_DOUBLE_EQ(row.speed_up->low, 1);
  EXPECT_DOUBLE_EQ(row.speed_up->high, 10);
  // Three values: smallest to largest holds the median unless all lie on one side, 1 - 2 / 8.
  EXPECT_DOUBLE_EQ(row.speed_up->coverage, 0.75);
  EXPECT_DOUBLE_EQ(row_of(summary, "dense").speed_up->median, 1);
}

TEST(ReportSummary, RatesCountTwoOperationsPerMultiplyAdd) {
  const std::vector<Record> records = {
      make_anchor({1e6, 1e6, 1e6}),
      make_record("r", "restriction", {5e5, 5e5, 5e5}, {1e6, 1e6, 1e6})};
  const Summary summary = summarise(records, {});
  const Row& row = row_of(summary, "r");
  EXPECT_DOUBLE_EQ(*row.useful_flops, 2 * 1e6 / 5e-4);
  EXPECT_DOUBLE_EQ(*row.executed_flops, 2 * 2e6 / 5e-4);
  // An eighth of the work at half the time.
  EXPECT_DOUBLE_EQ(*row.efficiency, 2.0 / 8.0);
  EXPECT_DOUBLE_EQ(*row_of(summary, "dense").efficiency, 1);
}

TEST(ReportSummary, ErrorIsTheMedianAndRangeOverHeads) {
  const std::vector<Record> records = {make_record("r", "restriction", {1}, {0})};
  const Summary summary = summarise(records, {});
  const Row& row = row_of(summary, "r");
  EXPECT_DOUBLE_EQ(row.error->median, 0.25);
  EXPECT_DOUBLE_EQ(row.error->low, 0.1);
  EXPECT_DOUBLE_EQ(row.error->high, 0.4);
  EXPECT_FALSE(row.speed_up) << "there is no anchor";
}

TEST(ReportSummary, AHeadThatIsNotANumberShows) {
  Record record = make_record("r", "restriction", {1}, {1});
  record.error = {{"relative_error", {0.1, std::nan(""), 0.1}}};
  const std::vector<Record> records = {record};
  EXPECT_TRUE(std::isnan(summarise(records, {}).tables[0].rows[0].error->median));
}

TEST(ReportSummary, SeedsBecomeOneRow) {
  std::vector<Record> records = {make_anchor({10, 10, 10})};
  for (const std::uint64_t seed : {3, 1, 2}) {
    const double time = 10.0 / static_cast<double>(seed);
    records.push_back(make_record("r", "restriction", {time, time, time}, {10, 10, 10}));
    records.back().seed = seed;
  }
  const Summary summary = summarise(records, {});
  ASSERT_EQ(summary.tables.size(), 1u);
  EXPECT_EQ(summary.tables[0].rows.size(), 2u);
  const Row& row = row_of(summary, "r");
  EXPECT_EQ(row.records.size(), 3u);
  EXPECT_DOUBLE_EQ(row.speed_up->median, 2);
  EXPECT_DOUBLE_EQ(row.speed_up->low, 1);
  EXPECT_DOUBLE_EQ(row.speed_up->high, 3);
  EXPECT_EQ(row.speed_up->coverage, 0) << "a range, no interval";
}

TEST(ReportSummary, OneSeedThatCrashedIsRemarkedUpon) {
  Record crashed = make_ending("r", Status::crashed, "signal 11");
  crashed.seed = 7;
  const std::vector<Record> records = {
      make_anchor({10, 10, 10}), make_record("r", "restriction", {5, 5, 5}, {10, 10, 10}), crashed};
  const Summary summary = summarise(records, {});
  const Row& row = row_of(summary, "r");
  EXPECT_EQ(row.status, Status::ok);
  EXPECT_DOUBLE_EQ(row.speed_up->median, 2);
  EXPECT_EQ(row.remark, "crashed (seed 7): signal 11");
}

TEST(ReportSummary, AnchorFirstThenTargetsThenTimes) {
  const std::vector<Record> records = {
      make_record("mean", "control", {1}, {9}),      make_record("op", "operation", {2}, {9}),
      make_record("slow", "restriction", {8}, {9}),  make_record("fast", "restriction", {3}, {9}),
      make_record("quick_exact", "exact", {4}, {9}), make_anchor({9}),
      make_ending("never", Status::refused, "no")};
  const Summary summary = summarise(records, {});
  std::vector<std::string> order;
  for (const Row& row : summary.tables[0].rows) order.push_back(row.first().variant);
  EXPECT_THAT(
      order, ::testing::ElementsAre("dense", "quick_exact", "fast", "slow", "never", "op", "mean"));
}

TEST(ReportSummary, OneTablePerInputLengthMaskAndThreads) {
  std::vector<Record> records(5, make_record("r", "restriction", {1}, {1}));
  records[1].input = "smooth";
  records[2].problem.keys = 1024;
  records[3].problem.causal = true;
  records[4].threads = 2;
  EXPECT_EQ(summarise(records, {}).tables.size(), 5u);
}

TEST(ReportSummary, TheLastRecordOfAPointCounts) {
  std::vector<Record> records = {make_record("r", "restriction", {5}, {5}),
                                 make_record("r", "restriction", {7}, {7})};
  records[1].build = "build-b";
  const Summary latest = summarise(records, {});
  EXPECT_DOUBLE_EQ(latest.tables[0].rows.at(0).time_ns->median, 7);
  EXPECT_THAT(latest.notices, ::testing::ElementsAre(HasSubstr("1 earlier record")));
  const Summary of_a = summarise(records, {.builds = {"build-a"}});
  EXPECT_DOUBLE_EQ(of_a.tables[0].rows.at(0).time_ns->median, 5);
  EXPECT_FALSE(of_a.tables[0].rows[0].stale);
}

TEST(ReportSummary, WhatAnEarlierBuildLeftIsStale) {
  std::vector<Record> records = {make_record("again", "restriction", {5}, {5}),
                                 make_record("left", "restriction", {5}, {5}),
                                 make_record("again", "restriction", {7}, {7}),
                                 make_record("plugin", "restriction", {7}, {7})};
  records[2].build = "build-b";
  records[3].build = "build-c";
  const Summary summary = summarise(records, {});
  EXPECT_FALSE(row_of(summary, "again").stale);
  EXPECT_TRUE(row_of(summary, "left").stale);
  EXPECT_FALSE(row_of(summary, "plugin").stale) << "builds side by side";
}

TEST(ReportText, MistrustedShowsNoSpeedUp) {
  Record record = make_record("doubtful", "restriction", {1e6, 1e6}, {7e6, 7e6});
  record.status = Status::mistrusted;
  record.reason = "output is not finite";
  const std::vector<Record> records = {make_anchor({7e6, 7e6}), record};
  EXPECT_FALSE(row_of(summarise(records, {}), "doubtful").speed_up);
  for (const auto format : {ReportFormat::text, ReportFormat::markdown, ReportFormat::latex}) {
    const std::string line = line_with(report_as(format, records), "doubtful");
    EXPECT_THAT(line, AllOf(HasSubstr("1.00 ms"), HasSubstr("mistrusted"), Not(HasSubstr("7.00"))));
  }
  EXPECT_THAT(report_as(ReportFormat::text, records),
              HasSubstr("[1] mistrusted: output is not finite"));
  EXPECT_THAT(report_as(ReportFormat::csv, {record}), Not(HasSubstr("speed_up")));
}

TEST(ReportText, EveryEndingIsNamedWithItsReason) {
  std::vector<Record> records = {make_anchor({10})};
  for (const Status status :
       {Status::refused, Status::failed, Status::timeout, Status::out_of_memory, Status::crashed}) {
    const std::string name = to_string(status);
    records.push_back(make_ending("v_" + name, status, "because of " + name));
  }
  const std::string text = report_as(ReportFormat::text, records);
  for (std::size_t i = 1; i < records.size(); ++i) {
    std::string words = to_string(records[i].status);
    std::replace(words.begin(), words.end(), '_', ' ');
    EXPECT_THAT(line_with(text, records[i].variant + " ["), HasSubstr("  " + words));
    line_with(text, std::string("] ") + to_string(records[i].status) + ": " + records[i].reason);
  }
}

TEST(ReportText, SameReasonIsOneFootnote) {
  const std::string text =
      report_as(ReportFormat::text, {make_ending("a", Status::refused, "not causal"),
                                     make_ending("b", Status::refused, "not causal")});
  EXPECT_THAT(text, AllOf(HasSubstr("a [1]"), HasSubstr("b [1]"), Not(HasSubstr("[2]"))));
}

TEST(ReportText, FitsThePageAndAligns) {
  const std::vector<std::string> lines = lines_of(report_as(ReportFormat::text, synthetic_run()));
  EXPECT_GT(lines.size(), 100u);
  for (const std::string& line : lines) {
    const auto columns =
        static_cast<std::size_t>(std::count_if(line.begin(), line.end(), [](char c) {
          return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
        }));
    EXPECT_LE(columns, 120u) << line;
  }
}

TEST(ReportText, ALongNameIsNotCut) {
  const std::string name = "lsh(rounds=4,bucket=64," + std::string(150, 'x') + ")";
  const std::string text =
      report_as(ReportFormat::text, {make_record(name, "restriction", {1}, {1})});
  EXPECT_THAT(text, HasSubstr(name + "\n"));
}

TEST(ReportText, SampledRowsAndOwnTargetsAreMarked) {
  Record record = make_record("lsh", "restriction", {1}, {1});
  record.sampled = true;
  record.dense_target = "dense(keys=normalised_queries)";
  record.target_error = {{"relative_error", {0.05}}, {"dropped_mass", {0.125}}};
  const std::string text = report_as(ReportFormat::text, {record});
  const std::string line = line_with(text, "  lsh [1]");
  EXPECT_THAT(line, AllOf(HasSubstr("~0.25 [0.10 0.40]"), HasSubstr("0.125")));
  EXPECT_THAT(text, AllOf(HasSubstr("[1] own target: dense(keys=normalised_queries); error against "
                                    "it: ~0.0500 [0.0500 0.0500]"),
                          HasSubstr("sample of 256 query")));
}

TEST(ReportText, RoundingIsNoDroppedMass) {
  Record record = make_anchor({1});
  record.error["dropped_mass"] = {-2e-9, 3e-9};
  EXPECT_THAT(line_with(report_as(ReportFormat::text, {record}), "  dense"), EndsWith("  0"));
}

TEST(ReportText, OperationsAreHeadedAsDistances) {
  const std::string text =
      report_as(ReportFormat::text, {make_record("op", "operation", {1}, {1})});
  EXPECT_THAT(text,
              HasSubstr("operation: computes something else by design; the figure is a distance"));
}

TEST(ReportText, NothingToShowSaysSo) {
  for (const auto format : {ReportFormat::text, ReportFormat::markdown, ReportFormat::latex}) {
    EXPECT_THAT(report_as(format, {}), HasSubstr("nothing has been measured"));
  }
  EXPECT_THAT(report_as(ReportFormat::text, {make_anchor({1})}, {"build-z"}),
              AllOf(HasSubstr("Every record is stale"), HasSubstr("dense (stale)")));
}

TEST(ReportText, ControlCharactersDoNotReachTheTerminal) {
  const std::string text =
      report_as(ReportFormat::text, {make_ending("v", Status::failed, "line\nand \x1b[31mred")});
  EXPECT_THAT(text, HasSubstr("failed: line\\x0aand \\x1b[31mred"));
}

TEST(ReportEscaping, OfEachFormat) {
  const std::string name = "<script>|&_";
  EXPECT_EQ(markdown_escaped(name), "&lt;script&gt;\\|&amp;\\_");
  EXPECT_EQ(latex_escaped(name), "\\textless{}script\\textgreater{}\\textbar{}\\&\\_");
  EXPECT_EQ(latex_escaped("50% of ~{x}^2\\"),
            "50\\% of \\textasciitilde{}\\{x\\}\\textasciicircum{}2\\textbackslash{}");
  EXPECT_EQ(csv_escaped("a,\"b\"\nc"), "\"a,\"\"b\"\"\nc\"");
  EXPECT_EQ(csv_escaped(name), name);
  const std::vector<Record> records = {make_record(name, "restriction", {1}, {1})};
  for (const auto format : {ReportFormat::markdown, ReportFormat::latex}) {
    EXPECT_THAT(report_as(format, records), Not(HasSubstr(name)));
  }
}

TEST(ReportMarkdown, EveryLineOfATableHasTheSameCells) {
  std::vector<std::size_t> bars;
  for (const std::string& line : lines_of(report_as(ReportFormat::markdown, synthetic_run()))) {
    if (line.empty() || line[0] != '|') {
      bars.clear();
      continue;
    }
    std::size_t count = 0;
    for (std::size_t i = 0; i < line.size(); ++i)
      count += line[i] == '|' && (i == 0 || line[i - 1] != '\\');
    bars.push_back(count);
    EXPECT_THAT(bars, Each(bars.front())) << line;
  }
}

TEST(ReportJson, HoldsFiguresInBaseUnits) {
  const std::vector<Record> records = {
      make_anchor({4e6, 4e6, 4e6}),
      make_record("r", "restriction", {1e6, 2e6, 1e6}, {4e6, 4e6, 4e6})};
  const auto json = nlohmann::json::parse(report_as(ReportFormat::json, records));
  const auto& row = json.at("tables").at(0).at("rows").at(1);
  EXPECT_EQ(row.at("variant"), "r");
  EXPECT_EQ(row.at("time_ns").at("median"), 1e6);
  EXPECT_EQ(row.at("speed_up").at("low"), 2);
  EXPECT_EQ(row.at("scratch_bytes"), 1536);
  EXPECT_TRUE(row.at("dropped_mass").is_null());
  EXPECT_TRUE(nlohmann::json::parse(report_as(ReportFormat::json, {})).at("tables").empty());
}

TEST(ReportCsv, OneLinePerRawFigure) {
  Record refused = make_ending("no", Status::refused, "needs a, b");
  const std::string text = report_as(
      ReportFormat::csv, {make_record("r", "restriction", {1e6, 2e6}, {4e6, 4e6}), refused});
  EXPECT_THAT(text, HasSubstr(",time,ns,round 1,2000000\n"));
  EXPECT_THAT(text, HasSubstr(",speed_up,1,round 1,2\n"));
  EXPECT_THAT(text, HasSubstr(",relative_error,1,head 2,0.4\n"));
  EXPECT_THAT(text, HasSubstr(",refused,\"needs a, b\",false,false,false,,,,,\n"));
  EXPECT_EQ(lines_of(report_as(ReportFormat::csv, {})).size(), 1u);
}

TEST(ReportFormats, AreNamed) {
  EXPECT_EQ(report_format_from_string("latex"), ReportFormat::latex);
  EXPECT_STREQ(to_string(ReportFormat::markdown), "markdown");
  EXPECT_THROW(report_format_from_string("html"), Error);
}

TEST(ReportUnits, KeepThreeDigits) {
  EXPECT_EQ(significant(9.996), "10.0");
  EXPECT_EQ(significant(0.00123456), "0.00123");
  EXPECT_EQ(significant(1.2345e-7, 2), "1.2e-7");
  EXPECT_EQ(significant(123456), "123456");
  EXPECT_EQ(significant(0), "0");
  EXPECT_EQ(significant(std::nan("")), "nan");
  EXPECT_EQ(human_time(999.9), "1.00 µs");
  EXPECT_EQ(human_time(12.34e6), "12.3 ms");
  EXPECT_EQ(human_bytes(1023), "1023 B");
  EXPECT_EQ(human_bytes(1.5 * 1024 * 1024), "1.50 MiB");
  EXPECT_EQ(short_bytes(1.5 * 1024 * 1024), "1.50M");
  EXPECT_EQ(short_bytes(12), "12");
  EXPECT_EQ(human_time_with_margin({2e6, 1.9e6, 2.2e6, 0.9}), "2.00 ms ±10%");
  EXPECT_EQ(human_time_with_bounds({1e6, 9e5, 1.2e6, 0.9}), "1.00 ms [0.900 1.20]");
}

}  // namespace
}  // namespace subquad

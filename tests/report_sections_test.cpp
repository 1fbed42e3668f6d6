#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "report/report.h"
#include "report/summary.h"
#include "report_records.h"

namespace subquad {
namespace {

using ::testing::AllOf;
using testing::block_run;
using testing::decoded_run;
using ::testing::HasSubstr;
using testing::make_anchor;
using testing::make_record;
using ::testing::Not;
using ::testing::StartsWith;
using testing::synthetic_run;

/// The synthetic run as draws, sampling, a heap, single calls and another machine leave it.
std::vector<Record> rich_run() {
  std::vector<Record> records = synthetic_run();
  for (Record& record : records) {
    record.machine = record.problem.dim == 64 ? "0123456789abcdef" : "fedcba9876543210";
    record.exponential_flops = 30;
    record.memory_bytes_per_s = 1e10;
    for (Round& round : record.rounds) {
      round.call_ns = {round.time_ns};
      round.peak_gflops = 200;
    }
    if (record.family != "lsh") continue;
    const std::vector<double> error = record.error["relative_error"];
    record.error_deviation = {{"relative_error", std::vector(error.size(), 0.01)}};
    for (const std::uint64_t seed : {11, 12, 13}) {
      record.draws.push_back({seed, error});
      for (double& value : record.draws.back().error) value *= 1 + 0.01 * (seed % 3);
    }
    record.heap_allocations = 3;
    record.heap_bytes = 4096;
    record.heap_kept_bytes = 64;
    for (std::size_t i = 0; i < record.rounds.size(); i += 2) {
      record.rounds[i].call_ns = {3 * record.rounds[i].time_ns};
    }
  }
  return records;
}

std::string text_of(const std::vector<Record>& records, ReportOptions options = {}) {
  return report(records, options);
}

/// Characters as a terminal shows them.
std::size_t longest_line(const std::string& text) {
  std::istringstream stream(text);
  std::size_t longest = 0;
  for (std::string line; std::getline(stream, line);) {
    const auto columns = std::count_if(line.begin(), line.end(), [](char c) {
      return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    });
    longest = std::max(longest, static_cast<std::size_t>(columns));
  }
  return longest;
}

TEST(ReportSections, ErrorByHeadIsAMedianOverSequences) {
  Record record = make_record("one", "operation", {1e6}, {4e6});
  record.batch = 3;
  record.heads = record.key_heads = 2;
  record.error = {{"relative_error", {0.1, 0.6, 0.25, 0.7, 0.3, 0.9}}};
  const std::string text = text_of({record}, {.details = true});
  const std::size_t begin = text.find("Error by head");
  ASSERT_NE(begin, std::string::npos);
  const std::size_t line = text.find("  one ", begin);
  EXPECT_THAT(text.substr(line, text.find('\n', line) - line),
              AllOf(HasSubstr("0.25"), HasSubstr("0.7"), Not(HasSubstr("0.3"))));
  EXPECT_THAT(text_of({record}),
              AllOf(Not(HasSubstr("Error by head\n")), HasSubstr("the error of each head")));
  record.heads = record.key_heads = 1;
  record.error = {{"relative_error", {0.1, 0.2, 0.3}}};
  EXPECT_THAT(text_of({record}, {.details = true}), Not(HasSubstr("Error by head")));
}

TEST(ReportSections, FitAPage) {
  EXPECT_LE(longest_line(text_of(rich_run(), {.details = true})), 120u);
  EXPECT_LE(longest_line(text_of(rich_run(), {.budget = Budget{0.5, 0x1p20}})), 120u);
}

TEST(ReportSections, NegativeSumsOfWeightsAreSaidInEveryFormat) {
  Record some = make_record("features", "estimator", {1e6}, {4e6});
  some.negative_denominators = 12;  // 4 heads of 512 rows
  Record none = make_record("others", "estimator", {1e6}, {4e6});
  none.negative_denominators = 0;
  const std::vector<Record> records = {make_anchor({4e6}), some, none};
  const std::string note =
      "12 of 2048 output rows have weights that sum to less than 0: they are no averages";
  for (const ReportFormat format :
       {ReportFormat::text, ReportFormat::markdown, ReportFormat::latex}) {
    const std::string text = report(records, {.format = format});
    EXPECT_THAT(text, HasSubstr(note));
    EXPECT_EQ(text.find("output rows"), text.rfind("output rows"));
  }
  const auto rows = nlohmann::json::parse(report(records, {.format = ReportFormat::json}))
                        .at("tables")
                        .at(0)
                        .at("rows");
  for (const auto& row : rows) {
    if (row.at("variant") == "dense") {
      EXPECT_TRUE(row.at("negative_denominators").is_null());
      EXPECT_TRUE(row.at("output_rows").is_null());
    } else {
      EXPECT_EQ(row.at("negative_denominators"), row.at("variant") == "features" ? 12 : 0);
      EXPECT_EQ(row.at("output_rows"), 2048);
    }
  }
  const std::string csv = report(records, {.format = ReportFormat::csv});
  EXPECT_THAT(
      csv, AllOf(HasSubstr(",negative_denominators,1,,12\n"),
                 HasSubstr(",negative_denominators,1,,0\n"), HasSubstr(",output_rows,1,,2048\n")));
}

TEST(ReportSections, AttentionFiguresAreOfTheInput) {
  Record anchor = make_anchor({4e6});
  anchor.batch = 1;
  anchor.attention_figures = {
      {"effective_rank", {40, 10, 20, 30}}, {"rank_90", {4, 1, 2, 3}}, {"rank_99", {8, 5, 6, 7}}};
  anchor.attention_rows = 256;
  const std::vector<Record> records = {anchor, make_record("r", "restriction", {1e6}, {4e6})};
  const std::string text = text_of(records);
  EXPECT_THAT(
      text, AllOf(HasSubstr("What the attention matrices are like"), HasSubstr("25.0 [10.0 40.0]"),
                  HasSubstr("2.50 [1.00 4.00]"), HasSubstr("6.50 [5.00 8.00]"),
                  HasSubstr("~256 of 512"), Not(HasSubstr("head 2"))));
  const std::string details = text_of(records, {.details = true});
  EXPECT_THAT(details,
              AllOf(HasSubstr("25.0 [10.0 40.0]"), HasSubstr("head 2"), HasSubstr("head 3")));
  EXPECT_LE(longest_line(details), 120u);
  EXPECT_THAT(report(records, {.format = ReportFormat::markdown}),
              AllOf(HasSubstr("| heads |  n |"), HasSubstr("25.0 \\[10.0 40.0\\]")));
  EXPECT_THAT(report(records, {.format = ReportFormat::latex}), HasSubstr("25.0 {[}10.0 40.0{]}"));
  const auto attention = nlohmann::json::parse(report(records, {.format = ReportFormat::json}))
                             .at("tables")
                             .at(0)
                             .at("attention");
  EXPECT_EQ(attention.at("query_rows"), 256);
  EXPECT_EQ(attention.at("effective_rank").at("median"), 25);
  EXPECT_EQ(attention.at("rank_99").at("high"), 8);
  EXPECT_THAT(report(records, {.format = ReportFormat::csv}),
              HasSubstr(",attention_effective_rank,1,head 1,10\n"));
  EXPECT_THAT(text_of({make_anchor({4e6})}), Not(HasSubstr("attention matrices")));
}

TEST(ReportSections, MarksStandBeforeNamesAndNotesSayWhy) {
  const std::string text = text_of(rich_run());
  EXPECT_THAT(text, AllOf(HasSubstr("\n*  dense "), HasSubstr("\n*  local(radius=16) "),
                          HasSubstr("!  lsh(rounds=4,bucket=64) ["),
                          HasSubstr("unstable: 50% of the calls take more than 1.5 x as long")));
  EXPECT_THAT(text, HasSubstr("allocates beside its arenas: 3 allocations, 4.00 KiB at the most "
                              "(counted as scratch); leaks: still holds 64 B"));
  EXPECT_THAT(text, HasSubstr("Hypervolume: "));
}

TEST(ReportSections, MachinesAreNamedWhereThereAreSeveral) {
  EXPECT_THAT(text_of(rich_run()),
              AllOf(HasSubstr("machine 01234567"), HasSubstr("machine fedcba98")));
  EXPECT_THAT(text_of(synthetic_run()), Not(HasSubstr("machine")));
  std::vector<Record> records(2, make_record("r", "restriction", {1, 2}, {3, 4}));
  records[1].machine = "other";
  EXPECT_EQ(summarise(records, {}).tables.size(), 2u);
  EXPECT_TRUE(summarise(records, {}).notices.empty()) << "neither replaces the other";
}

TEST(ReportSections, ScalingFollowsTheTables) {
  const std::string text = text_of(synthetic_run());
  const std::string scaling = text.substr(text.find("Scaling: "));
  EXPECT_THAT(scaling, AllOf(HasSubstr("n = 512 1024 2048 4096"), HasSubstr("2.00 ±"),
                             HasSubstr("nowhere, up to 4096"), HasSubstr("everywhere, from 512"),
                             HasSubstr("over n = 512 1024 2048 alone")));
  EXPECT_THAT(text_of({make_anchor({1, 1})}), Not(HasSubstr("Scaling")));
}

TEST(ReportSections, SpreadIsADetail) {
  EXPECT_THAT(text_of(rich_run()),
              AllOf(Not(HasSubstr("Where the spread comes from")), HasSubstr("--details")));
  EXPECT_THAT(text_of(rich_run(), {.details = true}),
              AllOf(HasSubstr("Where the spread comes from"), HasSubstr("random effects")));
  EXPECT_THAT(text_of(synthetic_run(), {.details = true}), Not(HasSubstr("spread")));
}

TEST(ReportSections, WhatIsMadeOfTheMachineIsADetail) {
  EXPECT_THAT(text_of(rich_run()), AllOf(Not(HasSubstr("% of peak")),
                                         HasSubstr("--details also says what is made of the")));
  // 4 and 5 multiply-adds a nanosecond, but for the noise: 8 and 10 GFLOP/s of 200.
  const std::string text = text_of(rich_run(), {.details = true});
  EXPECT_THAT(text, HasSubstr("What is made of the machine"));
  EXPECT_THAT(text.substr(text.find("What is made")),
              ::testing::ContainsRegex("dense +512 +7[.]8. +9[.]8. +200 +3[.]9. .3[.]8. 4[.]00. "));
  EXPECT_THAT(text_of(synthetic_run(), {.details = true}), Not(HasSubstr("% of peak")));
}

TEST(ReportSections, RooflinesAreInJsonAndCsv) {
  std::vector<Record> records = {make_anchor(std::vector<double>(6, 1e6))};
  records[0].memory_bytes_per_s = 1e10;
  records[0].useful_bytes = 5e6;  // half a millisecond
  for (Round& round : records[0].rounds) round.peak_gflops = 160;
  // 16e6 flops in a millisecond.
  const auto json = nlohmann::json::parse(report(records, {.format = ReportFormat::json}));
  const auto& roofline = json["tables"][0]["rows"][0]["roofline"];
  EXPECT_DOUBLE_EQ(roofline["useful_share_of_peak"]["median"], 0.1);
  EXPECT_DOUBLE_EQ(roofline["share_of_attainable"]["median"], 0.5);
  EXPECT_DOUBLE_EQ(roofline["attainable_gflops"], 32);
  EXPECT_DOUBLE_EQ(roofline["flops_per_byte"], 3.2);
  const std::string csv = report(records, {.format = ReportFormat::csv});
  EXPECT_THAT(csv, AllOf(HasSubstr(",peak,GFLOP/s,round 5,160\n"),
                         HasSubstr(",useful_share_of_peak,1,,0.1\n"),
                         HasSubstr(",attainable_rate,GFLOP/s,,32\n")));
  records[0].rounds.front().peak_gflops = 0;  // left out, others stay
  EXPECT_THAT(report(records, {.format = ReportFormat::csv}),
              HasSubstr(",share_of_attainable,1,,0.5\n"));
}

TEST(ReportSections, ABudgetReplacesTheTables) {
  for (const auto format : {ReportFormat::text, ReportFormat::markdown, ReportFormat::latex}) {
    const std::string text =
        text_of(synthetic_run(), {.format = format, .budget = Budget{0.5, {}}});
    EXPECT_THAT(text, AllOf(HasSubstr("Budget: relative error at most 0.500"),
                            HasSubstr("within the budget"), Not(HasSubstr("GFLOP"))));
  }
  EXPECT_THAT(text_of({make_record("far", "restriction", {1}, {1})}, {.budget = Budget{0.01, {}}}),
              AllOf(HasSubstr("Nothing is within the budget."),
                    HasSubstr("\nNot far: error 0.250 > 0.0100.\n")));
}

TEST(ReportSections, OnlyWhatIsAskedForCounts) {
  const std::string text = text_of(synthetic_run(), {.lengths = {1024}});
  EXPECT_THAT(text, AllOf(HasSubstr("n = 1024"), Not(HasSubstr("n = 512"))));
  EXPECT_THAT(text_of(synthetic_run(), {.causal = true}),
              StartsWith("None of the 120 records is of the lengths and mask asked for."));
}

TEST(ReportSections, MemoryAloneShowsNoTimes) {
  std::vector<Record> records = synthetic_run();
  for (Record& record : records) record.rounds.clear();
  for (const auto format : {ReportFormat::text, ReportFormat::markdown}) {
    const std::string text = text_of(records, {.format = format});
    EXPECT_THAT(text, AllOf(HasSubstr("status"), HasSubstr("mistrusted"), HasSubstr("scratch"),
                            Not(HasSubstr("GFLOP")), Not(HasSubstr("median over rounds"))));
  }
}

/// Causal forward passes and decoded tokens of the same variants.
std::vector<Record> both_directions() {
  std::vector<Record> records = decoded_run();
  for (Record record : synthetic_run()) {
    record.problem.causal = true;
    records.push_back(record);
  }
  return records;
}

TEST(ReportSections, DecodingAndForwardPassesShareNoTable) {
  const std::vector<Record> records = both_directions();
  const Summary summary = summarise(records, {});
  EXPECT_EQ(summary.tables.size(), 16u);
  EXPECT_EQ(summary.scaling.size(), 4u);
  for (const Table& table : summary.tables) {
    for (const Row& row : table.rows) EXPECT_EQ(row.decodes(), table.decodes());
  }
  for (const auto& tables : tables_over_lengths(summary.tables)) {
    for (const Table* table : tables) EXPECT_EQ(table->decodes(), tables.front()->decodes());
  }
  EXPECT_TRUE(summary.notices.empty()) << "neither replaces the other";
}

TEST(ReportSections, TablesOfDecodingSayTimePerTokenAndState) {
  EXPECT_LE(longest_line(text_of(both_directions(), {.details = true})), 120u);
  const std::string text = text_of(decoded_run(), {.format = ReportFormat::markdown});
  EXPECT_THAT(
      text, AllOf(HasSubstr("causal, decode, 1 thread"), HasSubstr("decode of the last 64 tokens"),
                  HasSubstr("| time per token |"), HasSubstr("| state |"),
                  HasSubstr("| GFLOP/s useful |"), Not(HasSubstr("| scratch |")),
                  HasSubstr("of one token over all sequences and heads")));
  EXPECT_THAT(text, HasSubstr("time per token \\~ n^"));
  EXPECT_THAT(text_of(synthetic_run()), AllOf(Not(HasSubstr("decode")), Not(HasSubstr("token"))));
  EXPECT_THAT(text_of(decoded_run(), {.budget = Budget{{}, 100e3}}),
              AllOf(HasSubstr("time per"), HasSubstr("Not naive: memory")));
}

TEST(ReportSections, BlocksStandApartByWhatIsAroundAttention) {
  std::vector<Record> records = synthetic_run();
  const std::size_t tables = summarise(records, {}).tables.size();
  for (Record record : block_run()) {
    records.push_back(record);
    record.feed_forward_chunk = 0;
    records.push_back(record);
    record.feed_forward = 0;
    records.push_back(record);
    record.direction = "model";
    record.model = "folder";
    record.replaced = "0 2";
    records.push_back(record);
  }
  const Summary summary = summarise(records, {});
  EXPECT_EQ(summary.tables.size(), 5 * tables);
  EXPECT_TRUE(summary.notices.empty()) << "none replaces another";
  EXPECT_LE(longest_line(text_of(block_run(), {.details = true})), 120u);
  const std::string text = text_of(records, {.format = ReportFormat::markdown});
  EXPECT_THAT(text, AllOf(HasSubstr("block, feed-forward 1024 in chunks of 256, 1 thread"),
                          HasSubstr("block, feed-forward 1024, 1 thread"),
                          HasSubstr("block without feed-forward, 1 thread"),
                          HasSubstr("model folder, layers replaced: 0 2, 1 thread")));
  EXPECT_THAT(text_of(block_run(), {.details = true}), Not(HasSubstr("Error by head")));
  EXPECT_THAT(text_of(block_run(), {.format = ReportFormat::csv}),
              HasSubstr(",block,0,1024,256,,,"));
  const auto json = nlohmann::json::parse(text_of(block_run(), {.format = ReportFormat::json}));
  EXPECT_EQ(json.at("tables").at(0).at("feed_forward"), 1024);
  EXPECT_EQ(json.at("tables").at(0).at("feed_forward_chunk"), 256);
}

TEST(ReportSections, CsvAndJsonNameFiguresOfTokensApart) {
  const std::string csv = text_of(decoded_run(), {.format = ReportFormat::csv});
  EXPECT_THAT(csv, AllOf(HasSubstr(",decode,64,"), HasSubstr(",time_per_token,ns,round 2,"),
                         HasSubstr(",state,B,,65536\n"), Not(HasSubstr(",time,ns,")),
                         Not(HasSubstr(",anchor_time,"))));
  EXPECT_THAT(text_of(synthetic_run(), {.format = ReportFormat::csv}),
              AllOf(Not(HasSubstr("per_token")), Not(HasSubstr(",state,"))));
  const auto json = nlohmann::json::parse(text_of(decoded_run(), {.format = ReportFormat::json}));
  const auto& table = json.at("tables").at(0);
  EXPECT_EQ(table.at("direction"), "decode");
  EXPECT_EQ(table.at("decoded_tokens"), 64);
  EXPECT_EQ(table.at("rows").at(0).at("state_bytes"), 512 * 1024);
  EXPECT_TRUE(table.at("rows").at(0).contains("time_per_token_ns"));
  EXPECT_FALSE(table.at("rows").at(0).contains("time_ns"));
  EXPECT_NEAR(json.at("scaling").at(0).at("variants").at(0).at("state").at("exponent"), 1, 1e-9);
}

TEST(ReportSections, JsonHoldsWhatTextSays) {
  const auto json = nlohmann::json::parse(
      text_of(rich_run(), {.format = ReportFormat::json, .budget = Budget{0.5, {}}}));
  const auto& table = json.at("tables").at(0);
  EXPECT_EQ(table.at("machine"), "0123456789abcdef");
  EXPECT_TRUE(table.at("hypervolume").is_number());
  EXPECT_EQ(table.at("budget").at("within").at(0).at("rank"), 1);
  const auto& rows = table.at("rows");
  const auto lsh = std::find_if(rows.begin(), rows.end(), [](const auto& row) {
    return row.at("variant") == "lsh(rounds=4,bucket=64)";
  });
  EXPECT_EQ(lsh->at("unstable"), true);
  EXPECT_THAT(lsh->at("instability").template get<std::string>(), HasSubstr("50%"));
  EXPECT_EQ(lsh->at("on_frontier"), false);
  EXPECT_EQ(lsh->at("heap_kept_bytes"), 64);
  EXPECT_EQ(lsh->at("spread").at("draws"), 4);
  EXPECT_EQ(lsh->at("relative_error_deviation"), 0.01);
  const auto& dense = json.at("scaling").at(0).at("variants").at(0);
  EXPECT_NEAR(dense.at("time").at("exponent"), 2, 0.05);
  EXPECT_TRUE(dense.at("crossover").is_null());
}

TEST(ReportSections, CsvHasEveryCallAndDraw) {
  const std::string text = text_of(rich_run(), {.format = ReportFormat::csv});
  EXPECT_THAT(text, AllOf(HasSubstr(",call_time,ns,round 2 call 0,"),
                          HasSubstr(",relative_error,1,head 3 draw 12,"),
                          HasSubstr(",deviation_of_relative_error,1,head 0,0.01\n"),
                          HasSubstr(",true,50% of the calls")));
}

}  // namespace
}  // namespace subquad

// Tables whose cells say what stands around attention, are computed, or are misprinted.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "report_records.h"
#include "reproducing/judge.h"
#include "reproducing/render.h"
#include "subquad/error.h"
#include "support/temporary_folder.h"

namespace subquad {
namespace {

using Json = nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::make_anchor;
using testing::make_record;

/// Dense and local at 512 keys, alone (4 and 1 ms) and in a block (6 and 3 ms).
std::vector<Record> alone_and_in_a_block() {
  const auto times = [](double ms) { return std::vector<double>(6, ms * 1e6); };
  std::vector<Record> records = {
      make_anchor(times(4)), make_record("local", "restriction", times(1), times(4)),
      make_anchor(times(6)), make_record("local", "restriction", times(3), times(6))};
  for (std::size_t i = 0; i < records.size(); ++i) {
    Record& record = records[i];
    record.key += std::to_string(i);
    if (i < 2) continue;
    record.direction = "block";
    record.feed_forward = 1024;
  }
  return records;
}

Json table_json(Json rows, Json columns) {
  Json panel = {{"title", "Speed"},
                {"unit", "x"},
                {"figure", "speed_up"},
                {"rows", rows},
                {"columns", columns}};
  return {{"title", "Synthetic"},
          {"source", {{"paper", "P"}, {"place", "Table 1"}, {"arxiv", "0000.00000"}}},
          {"judged", "everything"},
          {"minutes", 1},
          {"shape", {{"batch", 2}}},
          {"panels", {panel}}};
}

class ReproducingBlocks : public ::testing::Test {
 protected:
  PublishedTable read(const Json& json) {
    const auto path = folder_ / "synthetic.published.json";
    std::ofstream(path) << json.dump();
    return read_published_table(path.string());
  }

  JudgedTable judged(const Json& json) {
    table_ = read(json);
    records_ = alone_and_in_a_block();
    summary_ = summarise(records_, {});
    return judge(table_, summary_);
  }

  std::string mistake(const Json& json) {
    try {
      judged(json);
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  }

  TemporaryFolder folder_;
  PublishedTable table_;
  std::vector<Record> records_;
  Summary summary_;
};

const Json kColumns = {{{"name", "alone"}, {"mode", "forward"}},
                       {{"name", "block"}, {"mode", "block"}}};

TEST_F(ReproducingBlocks, CellsTellAttentionFromABlock) {
  const Json rows = {{{"name", "Dense"}, {"variant", "dense"}},
                     {{"name", "Local"}, {"variant", "local"}}};
  const auto cells = judged(table_json(rows, kColumns)).panels[0].cells;
  EXPECT_EQ(cells[1][0].measured, 4);
  EXPECT_EQ(cells[1][1].measured, 2);
  EXPECT_THAT(mistake(table_json(rows, {{{"name", "either"}}})), HasSubstr("means several points"));
  const auto value = [&](Json column) {
    column["name"] = "chosen";
    return judged(table_json(rows, {column})).panels[0].cells[1][0].measured;
  };
  EXPECT_EQ(value({{"feed_forward", 1024}}), 2);
  EXPECT_EQ(value({{"feed_forward", 0}}), 4);
  EXPECT_EQ(value({{"mode", "block"}, {"heads", 4}, {"threads", 1}}), 2);
  EXPECT_EQ(value({{"mode", "block"}, {"heads", 8}}), std::nullopt);
  EXPECT_EQ(value({{"mode", "block"}, {"threads", 2}}), std::nullopt);
  EXPECT_THAT(mistake(table_json(rows, {{{"name", "c"}, {"mode", "bloc"}}})),
              HasSubstr("mode = bloc is none of forward, decode, block"));
}

TEST_F(ReproducingBlocks, RatiosOfSpeedUpsAreNotTurnedOver) {
  const Json rows = {
      {{"name", "Alone"}, {"variant", "local"}, {"mode", "forward"}},
      {{"name", "Block"},
       {"variant", "local"},
       {"mode", "block"},
       {"rules", {{{"kind", "ratio"}, {"over", "Alone"}, {"least", 1.99}, {"most", 2.01}}}}}};
  const auto cells = judged(table_json(rows, {{{"name", "speed"}}})).panels[0].cells;
  EXPECT_EQ(cells[1][0].verdict, CellVerdict::pass) << "4 times alone, 2 times in a block";
}

TEST_F(ReproducingBlocks, WorkRatioAsksForAShareOfWhatLessWorkPromises) {
  // Dense has 8 times local's multiply-adds; alone it takes 4 times as long, in the block twice.
  const auto verdicts = [&](double least) {
    const Json rows = {{{"name", "Dense"}, {"variant", "dense"}},
                       {{"name", "Local"},
                        {"variant", "local"},
                        {"rules",
                         {{{"kind", "work_ratio"},
                           {"over", "Dense"},
                           {"figure", "multiply_adds"},
                           {"least", least}}}}}};
    const auto cells = judged(table_json(rows, kColumns)).panels[0].cells;
    return std::vector{cells[1][0].verdict, cells[1][1].verdict};
  };
  EXPECT_THAT(verdicts(0.51), ElementsAre(CellVerdict::differs, CellVerdict::differs));
  EXPECT_THAT(verdicts(0.49), ElementsAre(CellVerdict::pass, CellVerdict::differs));
  EXPECT_THAT(verdicts(0.25), ElementsAre(CellVerdict::pass, CellVerdict::pass));
}

TEST_F(ReproducingBlocks, ComputedCellsAreJudgedAndSaySo) {
  const Json columns = {{{"name", "short"}, {"length", 512}},
                        {{"name", "long"}, {"length", 4096}},
                        {{"name", "not printed"}, {"length", 8192}}};
  const Json rows = {{{"name", "Ours"},
                      {"figure", "computed"},
                      {"computed", "batch*n/256"},
                      {"values", {4, 30, nullptr}},
                      {"mark", "V"},
                      {"rules", {{{"kind", "like_published"}, {"factor", 1.01}}}}},
                     {{"name", "None"},
                      {"figure", "computed"},
                      {"variant", "local"},
                      {"unmeasured", "does not fit"},
                      {"values", {1, 1, 1}},
                      {"mark", "V"}}};
  const JudgedTable table = judged(table_json(rows, columns));
  const auto& cells = table.panels[0].cells;
  EXPECT_EQ(cells[0][0].measured, 4);
  EXPECT_TRUE(cells[0][0].computed);
  EXPECT_EQ(cells[0][0].verdict, CellVerdict::pass);
  EXPECT_EQ(cells[0][1].verdict, CellVerdict::differs) << "32 is not within 1 % of 30";
  EXPECT_EQ(cells[0][2].verdict, CellVerdict::not_measured);
  EXPECT_EQ(cells[1][0].why_not, "does not fit");
  EXPECT_EQ(table.counts().not_measured, 3);
  const std::string text = text_of(sections(table));
  EXPECT_THAT(text, HasSubstr("(32.0)"));
  EXPECT_THAT(text, HasSubstr("In parentheses: computed, not measured."));
  EXPECT_EQ(to_json(table)["panels"][0]["cells"][0]["computed"], true);

  Json wrong = rows;
  wrong[0]["computed"] = "batch*lengths";
  EXPECT_THAT(mistake(table_json(wrong, columns)), HasSubstr("lengths"));
  wrong[0].erase("computed");
  EXPECT_THAT(mistake(table_json(wrong, columns)), HasSubstr("neither a formula 'computed'"));
}

TEST_F(ReproducingBlocks, MisprintsAreToldAndAreNoFailure) {
  const auto table = [](double average, bool misprint) {
    Json rule = {
        {"kind", "formula"}, {"formula", "mean_left"}, {"within", 0.01}, {"columns", {"mean"}}};
    if (misprint) rule["misprint"] = "an old average";
    return table_json({{{"name", "Row"},
                        {"figure", "printed"},
                        {"values", {1, 4, average}},
                        {"mark", "V"},
                        {"rules", {rule}}}},
                      {{{"name", "a"}}, {{"name", "b"}}, {{"name", "mean"}}});
  };
  const auto right = [&](const Json& json) { return judged(json).counts().formulas_right; };
  EXPECT_EQ(right(table(2.5, false)), 1);
  EXPECT_EQ(right(table(2.6, false)), 0);
  EXPECT_EQ(right(table(2.6, true)), 1);
  EXPECT_EQ(right(table(2.5, true)), 0) << "what is no misprint must not be called one";
  const JudgedTable misprinted = judged(table(2.6, true));
  EXPECT_EQ(misprinted.counts().not_measured, 0) << "nothing was to be measured";
  const std::string text = text_of(sections(misprinted));
  EXPECT_THAT(text, HasSubstr("misprint"));
  EXPECT_THAT(text, HasSubstr("the formula gives 2.50000, 2.6 is printed: an old average."));
}

}  // namespace
}  // namespace subquad

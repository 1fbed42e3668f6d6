// Rules of published tables on records whose figures are known.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
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
using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::make_anchor;
using testing::make_ending;
using testing::make_record;
using ::testing::SizeIs;

constexpr std::array<Index, 4> kLengths = {512, 1024, 2048, 4096};

/// `variant` at every length: time and work grow with `power`, from `first_ns` on; scratch by 3
/// bytes for each key.
std::vector<Record> records_of(const std::string& variant, double first_ns, double power) {
  std::vector<Record> records;
  for (const Index keys : kLengths) {
    const double grown = std::pow(static_cast<double>(keys) / 512, power);
    const double dense_ns = 1e6 * std::pow(static_cast<double>(keys) / 512, 2);
    const std::vector<double> times(6, first_ns * grown), anchor(6, dense_ns);
    Record record = variant == "dense" ? make_anchor(times)
                                       : make_record(variant, "restriction", times, anchor);
    record.key = variant + std::to_string(keys);
    record.problem.queries = record.problem.keys = keys;
    record.useful_multiply_adds = 1e6 * grown;
    for (Round& round : record.rounds) round.cpu_ns = 7e5 * static_cast<double>(keys);
    record.scratch_bytes = static_cast<std::uint64_t>(3 * keys);
    record.input_bytes = record.resident_bytes = static_cast<std::uint64_t>(1000 * keys);
    records.push_back(record);
  }
  return records;
}

/// Dense, with 1 ms at 512 and quadratic, and local, which takes 0.5 ms there and grows linearly.
std::vector<Record> two_variants() {
  std::vector<Record> records = records_of("dense", 1e6, 2);
  for (const Record& record : records_of("local", 5e5, 1)) records.push_back(record);
  return records;
}

/// A table of dense and local over four lengths.
Json table_json() {
  Json json = {{"title", "Synthetic"},
               {"source", {{"paper", "P"}, {"place", "Table 1"}, {"arxiv", "0000.00000"}}},
               {"judged", "everything"},
               {"minutes", 1},
               {"shape", {{"batch", 2}}},
               {"panels", Json::array()}};
  Json panel = {{"title", "Times"}, {"unit", "ms"}, {"figure", "time"}};
  for (const Index length : kLengths) {
    panel["columns"].push_back({{"name", std::to_string(length)}, {"length", length}});
  }
  panel["rows"] = {
      {{"name", "Dense"}, {"variant", "dense"}, {"values", {10, 40, 160, 640}}, {"mark", "V"}},
      {{"name", "Local"}, {"variant", "local"}, {"values", {8, 16, 32, nullptr}}, {"mark", "S"}}};
  json["panels"].push_back(panel);
  return json;
}

class Reproducing : public ::testing::Test {
 protected:
  PublishedTable read(const Json& json) {
    const auto path = folder_ / "synthetic.published.json";
    std::ofstream(path) << json.dump();
    return read_published_table(path.string());
  }

  JudgedTable judged(const Json& json, std::vector<Record> records = two_variants()) {
    table_ = read(json);
    records_ = std::move(records);
    summary_ = summarise(records_, {});
    return judge(table_, summary_);
  }

  /// Verdicts on a row with these rules, from the left: p, d, s(hown), -.
  std::string verdicts(const std::string& row, const Json& rules,
                       std::vector<Record> records = two_variants()) {
    Json json = table_json();
    for (Json& each : json["panels"][0]["rows"]) {
      if (each["name"] == row) each["rules"] = rules;
    }
    const JudgedTable table = judged(json, std::move(records));
    std::string letters;
    for (const JudgedCell& cell : table.panels.front().cells[row == "Dense" ? 0 : 1]) {
      letters += "pds-"[static_cast<std::size_t>(cell.verdict)];
    }
    return letters;
  }

  std::string mistake(const Json& json) {
    try {
      read(json);
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

TEST_F(Reproducing, SlopeAsksEachStepOfTheLaw) {
  EXPECT_EQ(verdicts("Local", {{{"kind", "slope"}, {"law", "n"}, {"within", 0.01}}}), "sppp");
  EXPECT_EQ(verdicts("Local", {{{"kind", "slope"}, {"law", "n^2"}, {"within", 0.5}}}), "sddd");
  EXPECT_EQ(
      verdicts("Dense", {{{"kind", "slope"}, {"law", "n^2"}, {"within", 0.01}, {"from", 1024}}}),
      "sspp");
  EXPECT_EQ(
      verdicts("Dense",
               {{{"kind", "slope"}, {"figure", "processor_time"}, {"law", "n"}, {"within", 0.01}}}),
      "sppp");
  EXPECT_EQ(verdicts("Local", {{{"kind", "slope"}, {"law", "7*n"}, {"within", 0.01}}}), "sppp")
      << "constants do not count";
}

TEST_F(Reproducing, SlopeOverAnotherRowIsBlindToASlowMachine) {
  std::vector<Record> slow = two_variants();  // at 2048
  for (Record& record : slow) {
    if (record.problem.keys != 2048) continue;
    for (Round& round : record.rounds) {
      round.time_ns *= 1.4;
      round.anchor_ns *= 1.4;
    }
  }
  const auto rule = [](const char* law, const char* over) {
    Json json = {{"kind", "slope"}, {"law", law}, {"within", 0.01}};
    if (*over != '\0') json["over"] = over;
    return Json::array({json});
  };
  EXPECT_EQ(verdicts("Local", rule("n", ""), slow), "spdd");
  EXPECT_EQ(verdicts("Local", rule("n/n^2", "Dense"), slow), "sppp");
  EXPECT_EQ(verdicts("Local", rule("n", "Dense"), slow), "sddd");
  Json unknown = table_json();
  unknown["panels"][0]["rows"][1]["rules"] = rule("n", "Nobody");
  EXPECT_THROW(judged(unknown), Error);
}

TEST_F(Reproducing, LawJudgesFittedExponents) {
  for (const auto& [law, verdict] :
       {std::pair("n^2", CellVerdict::pass), {"n", CellVerdict::differs}}) {
    Json json = table_json();
    Json& panel = json["panels"][0];
    panel["columns"] = {{{"name", "power"}, {"exponent_in", "length"}}};
    panel["rows"] = {{{"name", "Dense"},
                      {"variant", "dense"},
                      {"rules", {{{"kind", "law"}, {"law", law}, {"within", 0.05}}}}}};
    const JudgedCell cell = judged(json).panels[0].cells[0][0];
    EXPECT_EQ(cell.verdict, verdict) << law;
    ASSERT_TRUE(cell.measured);
    EXPECT_NEAR(*cell.measured, 2, 1e-9);
  }
}

TEST_F(Reproducing, APowerOfTimesThatDoNotHoldStillSaysSo) {
  Json json = table_json();
  Json& panel = json["panels"][0];
  panel["columns"] = {{{"name", "power"}, {"exponent_in", "length"}}};
  panel["rows"] = {{{"name", "Dense"},
                    {"variant", "dense"},
                    {"rules", {{{"kind", "law"}, {"law", "n"}, {"within", 0.05}}}}}};
  EXPECT_THAT(judged(json).panels[0].cells[0][0].reasons, SizeIs(0)) << "all rounds are alike";
  std::vector<Record> records = two_variants();
  records.front().rounds.front().time_ns *= 1.5;
  const JudgedCell cell = judged(json, records).panels[0].cells[0][0];
  EXPECT_EQ(cell.verdict, CellVerdict::differs);
  ASSERT_THAT(cell.reasons, SizeIs(1));
  EXPECT_THAT(cell.reasons[0], ::testing::HasSubstr("differ by up to 1.5 times"));
}

TEST_F(Reproducing, ExponentsInTheWidthTakeRecordsOfOneLength) {
  std::vector<Record> records;
  for (const Index dim : {16, 32, 64}) {
    Record record = records_of("local", 1e6, 1).front();
    record.key += std::to_string(dim);
    record.problem.dim = dim;
    record.useful_multiply_adds = static_cast<double>(dim * dim);
    records.push_back(record);
  }
  Json json = table_json();
  Json& panel = json["panels"][0];
  panel["figure"] = "multiply_adds";
  panel["columns"] = {{{"name", "in d"}, {"exponent_in", "dim"}, {"length", 512}}};
  panel["rows"] = {{{"name", "Local"},
                    {"variant", "local"},
                    {"rules", {{{"kind", "law"}, {"law", "n*dim^2"}, {"within", 0.01}}}}}};
  EXPECT_EQ(judged(json, records).panels[0].cells[0][0].verdict, CellVerdict::pass);
}

TEST_F(Reproducing, CrossoverIsJudgedAtItsLength) {
  // 0.5 against 1 ms at 512: local is faster at every length.
  EXPECT_EQ(verdicts("Local", {{{"kind", "crossover"}, {"over", "Dense"}, {"by", 1024}}}), "spss");
  EXPECT_EQ(verdicts("Dense", {{{"kind", "crossover"}, {"over", "Local"}, {"by", 4096}}}), "sssd");
}

TEST_F(Reproducing, MonotoneLooksAtNeighbours) {
  const auto rule = [](const char* along, const char* direction, double slack) {
    return Json{
        {{"kind", "monotone"}, {"along", along}, {"direction", direction}, {"slack", slack}}};
  };
  EXPECT_EQ(verdicts("Local", rule("columns", "up", 0)), "sppp");
  EXPECT_EQ(verdicts("Local", rule("columns", "down", 0)), "sddd");
  EXPECT_EQ(verdicts("Local", rule("columns", "down", 1)), "sppp") << "each step doubles";
  EXPECT_EQ(verdicts("Local", rule("rows", "down", 0)), "pppp");
  EXPECT_EQ(verdicts("Dense", rule("rows", "down", 0)), "ssss") << "nothing above the first row";
}

TEST_F(Reproducing, EqualsHoldsAFigureAgainstOurOwnFormula) {
  const auto rule = [](const char* formula, double within) {
    return Json{{{"kind", "equals"},
                 {"figure", "scratch_bytes"},
                 {"formula", formula},
                 {"within", within}}};
  };
  EXPECT_EQ(verdicts("Local", rule("3*n", 0)), "pppp");
  EXPECT_EQ(verdicts("Local", rule("3.05*n", 0.02)), "pppp");
  EXPECT_EQ(verdicts("Local", rule("3.1*n", 0.02)), "dddd");
  EXPECT_EQ(verdicts("Local", rule("batch*3*n", 0)), "pppp") << "batch is the record's own, 1";
}

TEST_F(Reproducing, BoundAndRatio) {
  // Local takes 0.5, 1, 2, 4 ms; dense 2, 4, 8, 16 times as much.
  EXPECT_EQ(verdicts("Local", {{{"kind", "bound"}, {"most", 1.5e6}}}), "ppdd");
  EXPECT_EQ(verdicts("Local", {{{"kind", "bound"}, {"least", 0.9e6}, {"most", 2.5e6}}}), "dppd");
  EXPECT_EQ(verdicts("Local", {{{"kind", "ratio"}, {"over", "Dense"}, {"least", 3.9}}}), "dppp");
  EXPECT_EQ(
      verdicts("Local",
               {{{"kind", "ratio"}, {"over", "Dense"}, {"most", 1}, {"figure", "scratch_bytes"}}}),
      "pppp");
}

TEST_F(Reproducing, LikePublishedComparesRatiosOnly) {
  // Published ratios are 1.25, 2.5, 5; measured 2, 4, 8: a factor of 1.6.
  EXPECT_EQ(verdicts("Local", {{{"kind", "like_published"}, {"over", "Dense"}, {"factor", 1.7}}}),
            "ppps");
  EXPECT_EQ(verdicts("Local", {{{"kind", "like_published"}, {"over", "Dense"}, {"factor", 1.5}}}),
            "ddds");
  Json json = table_json();
  json["panels"][0]["rows"][0]["rules"] = {{{"kind", "like_published"}, {"factor", 2}}};
  EXPECT_THAT(mistake(json), HasSubstr("another machine"));
  json["panels"][0]["figure"] = "speed_up";
  EXPECT_EQ(mistake(json), "accepted");
}

TEST_F(Reproducing, RankCorrelationIsAClaimOfAPanel) {
  Json json = table_json();
  json["panels"][0]["claims"] = {{{"kind", "rank_correlation"}, {"column", "512"}, {"least", 0.9}}};
  EXPECT_TRUE(judged(json).panels[0].claims.at(0).finding.holds);
  json["panels"][0]["rows"][0]["values"][0] = 1;  // printed the other way round
  const JudgedTable table = judged(json);
  EXPECT_FALSE(table.panels[0].claims.at(0).finding.holds);
  EXPECT_EQ(table.counts().judged, 1);
  EXPECT_EQ(table.counts().passed, 0);
  EXPECT_EQ(table.counts().differ_without_reason, 1);
  json["panels"][0]["claims"][0]["known"] = "Turned.";
  const JudgedTable explained = judged(json);
  EXPECT_EQ(explained.counts().differ_without_reason, 0);
  EXPECT_THAT(text_of(sections(explained)), HasSubstr("differs. Why: Turned."));
}

TEST_F(Reproducing, FormulaIsOfTheShapeThatWasPublished) {
  Json json = table_json();
  json["parts"] = {{{"name", "unit"}, {"formula", "batch*5"}}};
  json["panels"][0]["rows"][0]["rules"] = {
      {{"kind", "formula"}, {"formula", "unit*(n/512)^2"}, {"within", 0.1}}};
  json["panels"][0]["rows"][1]["rules"] = {
      {{"kind", "formula"}, {"formula", "2*previous+1"}, {"within", 0.5}, {"from", 1024}}};
  const JudgedTable::Counts counts = judged(json).counts();
  EXPECT_EQ(counts.formulas, 6) << "no printed number, no formula cell";
  EXPECT_EQ(counts.formulas_right, 4);
  EXPECT_EQ(counts.judged, 0) << "formula cells are counted apart";
}

TEST_F(Reproducing, WhatIsNotMeasuredSaysWhy) {
  std::vector<Record> records = records_of("dense", 1e6, 2);
  Record refused = make_ending("local", Status::refused, "needs self attention");
  refused.problem.queries = refused.problem.keys = 1024;
  records.push_back(refused);
  Json json = table_json();
  json["panels"][0]["rows"][1]["unmeasured"] = "too slow";
  json["panels"][0]["rows"].push_back({{"name", "Other"}, {"values", {1, 2, 3, 4}}, {"mark", "V"}});
  const JudgedTable table = judged(json, records);
  const auto& cells = table.panels[0].cells;
  EXPECT_EQ(cells[1][0].why_not, "too slow");
  EXPECT_THAT(cells[1][1].why_not, HasSubstr("needs self attention"));
  EXPECT_THAT(cells[2][0].why_not, HasSubstr("no variant"));
  EXPECT_EQ(table.counts().not_measured, 3 + 4);
}

TEST_F(Reproducing, KnownReasonsShowWhereACellDiffers) {
  Json json = table_json();
  Json& row = json["panels"][0]["rows"][1];
  row["rules"] = {{{"kind", "bound"}, {"most", 1.5e6}}};
  row["known"] = {{{"columns", {"2048"}}, {"why", "Caches end."}}};
  const JudgedTable table = judged(json);
  EXPECT_THAT(table.panels[0].cells[1][0].reasons, SizeIs(0));
  EXPECT_THAT(table.panels[0].cells[1][2].reasons, SizeIs(1));
  EXPECT_EQ(table.counts().differ_without_reason, 1) << "that at 4096";
  const std::string text = text_of(sections(table));
  EXPECT_THAT(text, AllOf(HasSubstr("Local at 2048: is 2.000 ms; asked for: measured at most"),
                          HasSubstr("Why: Caches end.")));
}

TEST_F(Reproducing, MistrustedPointsPassNothing) {
  std::vector<Record> records = two_variants();
  for (Record& record : records) {
    record.status = Status::mistrusted;
    record.reason = "wrote beside its output";
  }
  Json json = table_json();
  json["panels"][0]["rules"] = {{{"kind", "bound"}, {"most", 1e12}}};
  const JudgedTable table = judged(json, records);
  EXPECT_EQ(table.counts().judged, 0);
  EXPECT_THAT(table.panels[0].cells[0][0].why_not, HasSubstr("wrote beside its output"));
}

TEST_F(Reproducing, ACellThatMeansSeveralPointsIsAMistake) {
  std::vector<Record> records = two_variants();
  Record causal = records.front();
  causal.key = "causal";
  causal.problem.causal = true;
  records.push_back(causal);
  EXPECT_THROW(judged(table_json(), records), Error);
  Json json = table_json();
  json["panels"][0]["causal"] = false;
  EXPECT_EQ(judged(json, records).panels[0].cells[0][0].verdict, CellVerdict::shown);
}

TEST_F(Reproducing, MistakesNameFileAndKey) {
  const auto with = [](const std::string& pointer, const Json& value) {
    Json json = table_json();
    json[Json::json_pointer(pointer)] = value;
    return json;
  };
  EXPECT_EQ(mistake(table_json()), "accepted");
  EXPECT_THAT(mistake(with("/panels/0/rows/1/varaint", "local")),
              AllOf(HasSubstr("synthetic.published.json: panels[0].rows[1]"), HasSubstr("varaint"),
                    HasSubstr("did you mean 'variant'")));
  EXPECT_THAT(mistake(with("/nonsense", 1)), HasSubstr("unknown key 'nonsense'"));
  EXPECT_THAT(mistake(with("/panels/0/rows/0/values", {1, 2})),
              HasSubstr("2 elements for 4 columns"));
  EXPECT_THAT(mistake(with("/panels/0/rows/0/mark", "X")), HasSubstr("mark = 'X'"));
  EXPECT_THAT(mistake(with("/panels/0/figure", "tmie")), HasSubstr("did you mean 'time'"));
  EXPECT_THAT(mistake(with("/panels/0/rows/0/variant", "local(")), HasSubstr("variant"));
  EXPECT_THAT(mistake(with("/panels/0/rows/0/rules", {{{"kind", "sloppy"}}})),
              HasSubstr("unknown kind 'sloppy'"));
  EXPECT_THAT(mistake(with("/panels/0/rows/0/rules",
                           {{{"kind", "ratio"}, {"over", "Lokal"}, {"least", 1}}})),
              HasSubstr("unknown row 'Lokal'"));
  EXPECT_THAT(mistake(with("/panels/0/rows/0/rules",
                           {{{"kind", "bound"}, {"most", 1}, {"columns", {"513"}}}})),
              HasSubstr("unknown column '513'"));
  EXPECT_THAT(
      mistake(with("/panels/0/rows/0/rules", {{{"kind", "rank_correlation"}, {"least", 1}}})),
      HasSubstr("belongs to claims"));
  EXPECT_THAT(mistake(with("/panels/0/rows/0/rules",
                           {{{"kind", "slope"}, {"law", "n"}, {"within", "much"}}})),
              HasSubstr("within is no number"));
  EXPECT_THAT(mistake(with("/panels/0/rows/0/rules",
                           {{{"kind", "slope"}, {"law", "n*width"}, {"within", 1}}})),
              AllOf(HasSubstr("Times, Dense, 512"), HasSubstr("unknown variable 'width'")));
  EXPECT_THAT(mistake(with("/panels/0/columns/0/length", 0.5)),
              HasSubstr("length = 0.5 is no whole number"));
}

TEST_F(Reproducing, JsonHoldsEveryCell) {
  const nlohmann::ordered_json json = to_json(judged(table_json()));
  EXPECT_EQ(json["panels"][0]["cells"].size(), 8);
  EXPECT_EQ(json["panels"][0]["cells"][0]["published"], 10);
  EXPECT_EQ(json["panels"][0]["cells"][0]["measured"], 1e6);
  EXPECT_EQ(json["panels"][0]["cells"][7]["published"], nullptr);
}

}  // namespace
}  // namespace subquad

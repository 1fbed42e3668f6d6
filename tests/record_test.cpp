#include "records/record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <sstream>

#include "subquad/error.h"

namespace subquad {
namespace {

Record sample() {
  Record record;
  record.key = "k";
  record.status = Status::mistrusted;
  record.reason = "quote \" and newline \n and \xc3\xa9";
  record.variant = "local(radius=64)";
  record.problem = {.queries = 5,
                    .keys = 7,
                    .dim = 3,
                    .value_dim = 2,
                    .causal = true,
                    .first_query = 2,
                    .scale = 0.1};
  record.seed = 0xFFFFFFFFFFFFFFFFu;
  record.error = {{"relative_error", {0.1, 1.0 / 3}}, {"cosine", {}}};
  record.rounds = {{0, 1234.5, 99, 7, 1.7e9 + 0.123456}, {1, 1e-3, 0, 1, 0}};
  record.scratch_bytes = std::uint64_t{1} << 53;
  record.cost_exact = false;
  return record;
}

std::string message(const nlohmann::json& json) {
  try {
    record_from_json(json);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Record, SurvivesTextUnchanged) {
  const nlohmann::json once = to_json(sample());
  const Record back = record_from_json(nlohmann::json::parse(once.dump()));
  EXPECT_EQ(to_json(back), once);
  EXPECT_EQ(back.problem, sample().problem);
  EXPECT_EQ(back.seed, sample().seed);
  EXPECT_EQ(back.rounds[0].unix_time, sample().rounds[0].unix_time);
  EXPECT_EQ(back.error, sample().error);
  EXPECT_EQ(back.status, Status::mistrusted);
}

TEST(Record, NumbersThatAreNotFiniteBecomeNull) {
  Record record = sample();
  record.error["relative_error"] = {NAN, INFINITY, 1};
  const nlohmann::json json = to_json(record);
  const Record back = record_from_json(nlohmann::json::parse(json.dump()));
  EXPECT_TRUE(std::isnan(back.error.at("relative_error")[0]));
  EXPECT_TRUE(std::isnan(back.error.at("relative_error")[1]));
  EXPECT_EQ(back.error.at("relative_error")[2], 1);
}

TEST(Record, DefectsAreNamed) {
  nlohmann::json json = to_json(sample());
  for (const auto& [field, value] : json.items()) {
    if (field == "schema") continue;
    nlohmann::json without = json;
    without.erase(field);
    EXPECT_THAT(message(without), testing::HasSubstr("'" + field + "' is missing"));
    nlohmann::json wrong = json;
    wrong[field] = nlohmann::json::array({nlohmann::json::object()});
    EXPECT_THAT(message(wrong), testing::HasSubstr("'" + field)) << field;
  }
  nlohmann::json unknown = json;
  unknown["rounds"][1]["colour"] = 1;
  EXPECT_THAT(message(unknown), testing::HasSubstr("'rounds[1].colour' is unknown"));
  json["schema"] = kRecordSchema + 1;
  EXPECT_THAT(message(json), testing::HasSubstr("schema"));
  EXPECT_NE(message(nlohmann::json::array()), "");
}

TEST(Record, EveryFieldIsDocumented) {
  std::ifstream file(SUBQUAD_SOURCE_DIR "/docs/records.md");
  std::stringstream text;
  text << file.rdbuf();
  nlohmann::json fields = to_json(sample());
  const auto expect_row = [&](const std::string& field) {
    EXPECT_THAT(text.str(), testing::HasSubstr("\n| `" + field + "` |"));
  };
  for (const auto& [name, value] : fields.items()) expect_row(name);
  for (const auto& [name, value] : fields["problem"].items()) expect_row("problem." + name);
  for (const auto& [name, value] : fields["rounds"][0].items()) expect_row("rounds[]." + name);
}

}  // namespace
}  // namespace subquad

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
  record.attention_figures = {{"effective_rank", {12.5, 3}}};
  record.attention_rows = 5;
  record.negative_denominators = 4;
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

/// The message that a line ends with; empty if it was read or is of another schema.
std::string line_message(const std::string& line) {
  try {
    parse_record(line);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

/// The sample as a line, with the value of a field replaced by another text.
std::string line_with(const std::string& field, const std::string& value) {
  std::string line = to_json(sample()).dump();
  const std::string key = '"' + field + "\":";
  const std::size_t begin = line.find(key) + key.size();
  return line.replace(begin, line.find_first_of(",}", begin) - begin, value);
}

TEST(Record, LinesAreReadAsWritten) {
  const std::string line = to_json(sample()).dump();
  const auto back = parse_record(line);
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(to_json(*back).dump(), line);
  EXPECT_EQ(to_json(parse_record(line_with("threads", "7")).value())["threads"], 7);
}

TEST(Record, LinesOfAnotherSchemaAreNoError) {
  EXPECT_FALSE(parse_record(R"({"schema":99,"colour":[[[[[[1]]]]]]})").has_value());
  EXPECT_FALSE(parse_record(R"({"schema":-1})").has_value());
  // Without a schema that is a number, nothing says that it ever was a record.
  for (const char* line : {R"({"schema":"2"})", R"({"schema":[2]})", R"({"schema":null})",
                           R"({"schema":2.5})", R"({"schema":1e300})"}) {
    EXPECT_THAT(line_message(line), testing::HasSubstr("schema")) << line;
  }
}

TEST(Record, HostileLinesAreRefused) {
  const std::string deep(100'000, '['), line = to_json(sample()).dump();
  const std::pair<std::string, const char*> cases[] = {
      {"", "is no JSON"},
      {"{}", "'schema' is missing"},
      {"[]", "not an object"},
      {"null", "not an object"},
      {line + "x", "is no JSON"},
      {line + line, "is no JSON"},
      {line.substr(0, line.size() - 1), "is no JSON"},
      {std::string(40, '\0'), "is no JSON"},
      {"{\"reason\":\"\xff\"}", "is no JSON"},
      {deep, "nested deeper than 16 levels"},
      {"{\"schema\":" + deep + std::string(100'000, ']') + "}", "nested deeper than 16 levels"},
      {line_with("seed", "1,\"seed\":1"), "names 'seed' twice"},
      {line_with("setup_ns", "NaN"), "is no JSON"},
      {line_with("setup_ns", "Infinity"), "is no JSON"},
      {line_with("setup_ns", "-Infinity"), "is no JSON"},
      {line_with("setup_ns", "1e999"), "number out of range"},
      {line_with("setup_ns", "\"1\""), "'setup_ns' is not a number"},
      {line_with("threads", "2147483648"), "'threads' is not a whole number within its range"},
      {line_with("threads", "-2147483649"), "'threads' is not a whole number within its range"},
      {line_with("batch", "9223372036854775808"), "'batch' is not a whole number within"},
      {line_with("seed", "18446744073709551616"), "'seed' is not a whole number"},
      {line_with("seed", "-1"), "'seed' is not 0 or more"},
      {line_with("seed", "1.5"), "'seed' is not a whole number"},
      {line_with("status", "\"\\u001b[2J\""), "status '\\x1b[2J' is unknown"},
      {line_with("seed", "1,\"\\u001b\":1"), "field '\\x1b' is unknown"},
      {line_with("seed", "1,\"" + std::string(5000, 'a') + "\":1"), "aaa...' is unknown"},
      {std::string(17 << 20, ' ') + line, "longer than"},
      {"{\"rounds\":[" + std::string(10 << 20, '0') + "]}", "is no JSON"},
  };
  for (const auto& [text, what] : cases) {
    const std::string message = line_message(text);
    EXPECT_THAT(message, testing::HasSubstr(what)) << text.substr(0, 100);
    EXPECT_LT(message.size(), 200u);
  }
  std::string many = "{\"rounds\":[0";
  for (int i = 0; i < 5'000'000; ++i) many += ",0";
  EXPECT_THAT(line_message(many + "]}"), testing::HasSubstr("more than 4000000"));
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
  for (const auto& [name, value] : fields["roofline"].items()) expect_row("roofline." + name);
}

}  // namespace
}  // namespace subquad

#include "texts/strict_json.h"

#include <gtest/gtest.h>

#include "subquad/error.h"

namespace subquad {
namespace {

constexpr JsonLimits kLimits = {.depth = 3, .values = 20, .elements = 4};

std::string error_of(const std::string& text) {
  try {
    parse_strict_json(text, kLimits, "t: header");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(StrictJson, ReadsWhatTheLibraryReads) {
  for (const char* text :
       {"null", "true", "-1", "18446744073709551615", "1.5", "\"a\\u00e9\\n\"", "[]", "{}",
        " [1, [2, {}], {\"a\": [null, false]}] ", R"({"a":{"a":{"a":1}},"b":[[],0],"c":"x"})"}) {
    EXPECT_EQ(parse_strict_json(text, kLimits, ""), nlohmann::json::parse(text)) << text;
  }
}

TEST(StrictJson, Defects) {
  const std::pair<std::string, std::string> cases[] = {
      {"", "t: header is no JSON (byte 1)"},
      {"{", "t: header is no JSON (byte 2)"},
      {"[1,]", "t: header is no JSON (byte 4)"},
      {"[1] 2", "t: header is no JSON (byte 5)"},
      {"NaN", "t: header is no JSON (byte 1)"},
      {"[Infinity]", "t: header is no JSON (byte 2)"},
      {"\"\xff\"", "t: header is no JSON (byte 2)"},
      {"[1e999]", "t: header holds a number out of range"},
      {"[-1e999]", "t: header holds a number out of range"},
      {R"({"a":1,"b":2,"a":3})", "t: header names 'a' twice"},
      {R"([{"\u001b":1,"\u001b":1}])", "t: header names '\\x1b' twice"},
      {R"({"a":{"a":1,"a":1}})", "t: header names 'a' twice"},
  };
  for (const auto& [text, error] : cases) EXPECT_EQ(error_of(text), error) << text;
}

TEST(StrictJson, Limits) {
  EXPECT_EQ(error_of("[[[0]]]"), "");
  EXPECT_EQ(error_of("[[[[0]]]]"), "t: header is nested deeper than 3 levels");
  EXPECT_EQ(error_of(R"({"a":{"b":{"c":{}}}})"), "t: header is nested deeper than 3 levels");
  EXPECT_EQ(error_of(std::string(1'000'000, '[')), "t: header is nested deeper than 3 levels");
  EXPECT_EQ(error_of("[1,2,3,4]"), "");
  EXPECT_EQ(error_of("[1,2,3,4,5]"), "t: header holds a list of more than 4 elements");
  std::string object = "{";
  for (int i = 0; i < 19; ++i) object += (i > 0 ? ",\"" : "\"") + std::to_string(i) + "\":0";
  EXPECT_EQ(error_of(object + "}"), "");
  EXPECT_EQ(error_of(object + ",\"x\":0}"), "t: header holds more than 20 values");
}

}  // namespace
}  // namespace subquad

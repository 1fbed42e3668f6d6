#include "expressions/expression.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "subquad/error.h"

namespace subquad {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::string repeated(const std::string& text, int count) {
  std::string result;
  for (int i = 0; i < count; ++i) result += text;
  return result;
}

std::string error_of(const std::string& text) {
  try {
    parse_expression(text);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

std::vector<std::string> expanded(const std::string& text) {
  std::vector<std::string> texts;
  for (const Expression& one : expand_sweeps(parse_expression(text))) texts.push_back(one.text());
  return texts;
}

TEST(Expression, CanonicalTextParsesBackToItself) {
  const std::pair<const char*, const char*> cases[] = {
      {"dense", "dense"},
      {" dense ( ) ", "dense"},
      {"local(radius=64)", "local(radius=64)"},
      {" local ( radius = 64 ,\tdilation=2 )\n", "local(radius=64,dilation=2)"},
      {"local(radius=16 | 64|n/8)", "local(radius=16|64|n/8)"},
      {"strided(stride=min(n/4,64),offset=max(1,min(2,3)))",
       "strided(stride=min(n/4,64),offset=max(1,min(2,3)))"},
      {"heads(local(radius=1), dense,strided( stride=sqrt(n) ))",
       "heads(local(radius=1),dense,strided(stride=sqrt(n)))"},
      {"file(path=some/Folder-1.5/a b=c.npz,heads=0:4)",
       "file(path=some/Folder-1.5/a b=c.npz,heads=0:4)"},
  };
  for (const auto& [written, canonical] : cases) {
    const Expression once = parse_expression(written);
    EXPECT_EQ(once.text(), canonical);
    EXPECT_EQ(parse_expression(once.text()).text(), canonical);
  }
}

TEST(Expression, TellsKeysFromNestedExpressions) {
  const Expression parsed = parse_expression("heads(local(radius=n/8),dense,x=min(1,2))");
  EXPECT_EQ(parsed.name, "heads");
  ASSERT_EQ(parsed.arguments.size(), 3u);
  EXPECT_EQ(parsed.arguments[0].key, "");
  ASSERT_EQ(parsed.arguments[0].nested.size(), 1u);
  EXPECT_EQ(parsed.arguments[0].nested[0].name, "local");
  EXPECT_EQ(parsed.arguments[0].nested[0].arguments[0].key, "radius");
  EXPECT_EQ(parsed.arguments[0].nested[0].arguments[0].value, "n/8");
  EXPECT_EQ(parsed.arguments[1].nested[0].name, "dense");
  EXPECT_EQ(parsed.arguments[2].key, "x");
  EXPECT_EQ(parsed.arguments[2].value, "min(1,2)");
}

TEST(Expression, MistakesNameTextAndColumn) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "a name is missing at column 1"},
      {"  ", "a name is missing at column 3"},
      {"Dense", "not with 'D' at column 1"},
      {"1local", "not with '1' at column 1"},
      {"local(radius=", "expression 'local(radius=': a value is missing at column 14"},
      {"local(radius=)", "a value is missing at column 14"},
      {"local(radius=,x=1)", "a value is missing at column 14"},
      {"local(radius=3", "')' is missing at column 15"},
      {"local(radius=min(3)", "')' is missing"},
      {"local(radius=(3)", "')' is missing"},
      {"local(radius=3))", "unexpected ')' at column 16"},
      {"local(radius=3)x", "unexpected 'x' at column 16"},
      {"local(=3)", "not with '=' at column 7"},
      {"local(,)", "not with ',' at column 7"},
      {"local(radius=3,)", "not with ')' at column 16"},
      {"local(radius=1||2)", "an empty alternative in '1||2'"},
      {"local(radius=|2)", "an empty alternative in '|2'"},
      {"local(radius=1,radius=2)", "'radius' is given twice at column 16"},
      {"local;dense", "unexpected ';' at column 6"},
      {"local(radius:3)", "unexpected ':' at column 13"},
      {"local(radius=3\x01)", "unexpected a control character at column 15"},
  };
  for (const auto& [text, what] : cases) {
    EXPECT_THAT(error_of(text), AllOf(HasSubstr(what), Not(HasSubstr("\n")))) << text;
  }
}

TEST(Expression, LimitsLengthAndDepth) {
  EXPECT_THAT(error_of(std::string(10001, 'a')), HasSubstr("longer than 10000 characters"));
  EXPECT_EQ(parse_expression(std::string(10000, 'a')).name.size(), 10000u);
  EXPECT_THAT(error_of(repeated("a(", 3000)), HasSubstr("32 levels"));
  EXPECT_THAT(error_of("a(x=" + std::string(3000, '(') + ")"), HasSubstr("32 levels"));
  const std::string deepest = repeated("a(", 31) + "a" + repeated(")", 31);
  EXPECT_EQ(parse_expression(deepest).text(), deepest);
}

TEST(Expression, ErrorsStayShortForLongTexts) {
  const std::string error = error_of("a(b=" + std::string(5000, '1') + ",)");
  EXPECT_LT(error.size(), 300u);
  EXPECT_THAT(error, HasSubstr("at column 5006"));
}

TEST(Expression, ValuesArePlainText) {
  EXPECT_EQ(parse_expression("file(path=caf\xc3\xa9.npz)").text(), "file(path=caf\xc3\xa9.npz)");
  EXPECT_EQ(parse_expression("a(\n x=1,\r\n y=2)").text(), "a(x=1,y=2)");
  const std::pair<std::string, const char*> cases[] = {
      {"a(x=1\nresults=/)", "unexpected a control character at column 6"},
      {"a(x=1\r2)", "unexpected a control character at column 6"},
      {"a(x=1" + std::string(1, '\0') + "2)", "unexpected a control character at column 6"},
      {"a(x=\x1b[2J)", "expression 'a(x=\\x1b[2J)': unexpected a control character at column 5"},
      {"a(x=\xff)", "expression 'a(x=\\xff)': a value that is no plain text"},
      {"a(x=\xe2\x80\xae)", "a value that is no plain text"},
      {"\xc3\xa9", "not with '\\xc3' at column 1"},
      {"a\x9b", "unexpected '\\x9b' at column 2"},
  };
  for (const auto& [text, what] : cases) EXPECT_THAT(error_of(text), HasSubstr(what));
}

TEST(Expression, SweepsExpandInOrder) {
  EXPECT_THAT(expanded("dense"), ElementsAre("dense"));
  EXPECT_THAT(expanded("local(radius=16|64|n/8)"),
              ElementsAre("local(radius=16)", "local(radius=64)", "local(radius=n/8)"));
  EXPECT_THAT(expanded("a(x=1|2,y=3,z=u|v)"),
              ElementsAre("a(x=1,y=3,z=u)", "a(x=1,y=3,z=v)", "a(x=2,y=3,z=u)", "a(x=2,y=3,z=v)"));
  EXPECT_THAT(expanded("heads(a(x=1|2),b,c(y=3|4))"),
              ElementsAre("heads(a(x=1),b,c(y=3))", "heads(a(x=1),b,c(y=4))",
                          "heads(a(x=2),b,c(y=3))", "heads(a(x=2),b,c(y=4))"));
}

TEST(Expression, RefusesSweepsWithoutEnd) {
  std::string text = "a(b0=1|2";
  for (int i = 1; i < 30; ++i) text += ",b" + std::to_string(i) + "=1|2";
  EXPECT_THROW(expand_sweeps(parse_expression(text + ")")), Error);
  // Nested ones multiply too, and a long value is copied into each.
  const std::string thousand = "a(x=0" + [] {
    std::string values;
    for (int i = 1; i < 1000; ++i) values += "|" + std::to_string(i);
    return values + ")";
  }();
  EXPECT_EQ(expand_sweeps(parse_expression("heads(" + thousand + ")")).size(), 1000u);
  EXPECT_THROW(expand_sweeps(parse_expression("heads(" + thousand + "," + thousand + ")")), Error);
  const std::string hundreds = "0" + repeated("|1", 300);
  EXPECT_EQ(expand_sweeps(parse_expression("a(x=" + hundreds + ",y=" + hundreds + ")")).size(),
            301u * 301u);
  EXPECT_THROW(expand_sweeps(parse_expression("a(z=" + std::string(8000, '1') + ",x=" + hundreds +
                                              ",y=" + hundreds + ")")),
               Error);
}

}  // namespace
}  // namespace subquad

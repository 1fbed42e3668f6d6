#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <clocale>

#include "expressions/expression.h"
#include "subquad/error.h"

namespace subquad {
namespace {

using ::testing::HasSubstr;

Problem problem() { return {.queries = 256, .keys = 1024, .dim = 64, .value_dim = 48}; }

TEST(Evaluate, Values) {
  const std::pair<const char*, double> cases[] = {
      {"64", 64},
      {" 64 ", 64},
      {"1e9", 1e9},
      {".5", 0.5},
      {"2.5e-3", 0.0025},
      {"n", 1024},
      {"keys", 1024},
      {"queries", 256},
      {"dim", 64},
      {"value_dim", 48},
      {"n/8", 128},
      {"sqrt(n)", 32},
      {"2*log2(n)", 20},
      {"min(n, 512)", 512},
      {"max(n,2048)", 2048},
      {"floor(7/2)", 3},
      {"ceil(7/2)", 4},
      {"round(2.4)", 2},
      {"1+2*3", 7},
      {"(1+2)*3", 9},
      {"10-4-3", 3},
      {"64/4/2", 8},
      {"2^3^2", 512},
      {"-2^2", -4},
      {"2^-1", 0.5},
      {"--3", 3},
      {"2*-3", -6},
      {"+4", 4},
      {"min(max(1,n/4),dim)+1", 65},
  };
  for (const auto& [text, value] : cases) EXPECT_EQ(evaluate(text, problem()), value) << text;
}

TEST(Evaluate, Mistakes) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "value '': a number is missing at column 1"},
      {"n/", "value 'n/': a number is missing at column 3"},
      {"n/0", "division by zero"},
      {"n/(dim-64)", "division by zero"},
      {"m/2", "unknown variable 'm' (known: n, keys, queries, dim, value_dim) at column 1"},
      {"exp(1)", "unknown function 'exp' (known: sqrt, log2, floor, ceil, round, min, max)"},
      {"sqrt(-1)", "the result of sqrt is no finite number"},
      {"log2(0)", "the result of log2 is no finite number"},
      {"10^1000", "the result of ^ is no finite number"},
      {"1e999", "beyond what a double holds"},
      {"min(1)", "',' is missing"},
      {"min(1,2,3)", "')' is missing"},
      {"sqrt(1,2)", "')' is missing"},
      {"(1", "')' is missing"},
      {"1)", "unexpected ')' at column 2"},
      {"1 2", "unexpected '2' at column 3"},
      {"1e", "unexpected 'e' at column 2"},
      {"n8", "unknown variable 'n8'"},
      {"inf", "unknown variable 'inf'"},
      {"nan", "unknown variable 'nan'"},
      {"0x10", "unexpected 'x' at column 2"},
      {"1|2", "unexpected '|' at column 2"},
      {"1,5", "unexpected ',' at column 2"},
      {"N", "unexpected 'N' at column 1"},
  };
  for (const auto& [text, what] : cases) {
    try {
      const double value = evaluate(text, problem());
      ADD_FAILURE() << text << " gave " << value;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(what)) << text;
    }
  }
}

TEST(Evaluate, HostileTextsAreRefused) {
  const std::pair<std::string, const char*> cases[] = {
      {"1" + std::string(1, '\0') + "garbage", "unexpected '\\x00' at column 2"},
      {std::string(1, '\0'), "unexpected '\\x00' at column 1"},
      {"\xff", "value '\\xff': unexpected '\\xff'"},
      {"\x1b[2J", "value '\\x1b[2J': unexpected '\\x1b'"},
      {"2^2^2^2^2^2", "the result of ^ is no finite number"},
      {"9^9^9^9", "the result of ^ is no finite number"},
      {"1e308*10", "the result of * is no finite number"},
      {"1e308+1e308", "the result of + is no finite number"},
      {"1e-308/1e308/1e308*0/0", "division by zero"},
      {"0^-1", "the result of ^ is no finite number"},
      {"(-1)^0.5", "the result of ^ is no finite number"},
      {std::string(3000, 'a'), "aaa..."},
      {"1" + std::string(10000, ' '), "longer than 10000"},
  };
  for (const auto& [text, what] : cases) {
    try {
      const double value = evaluate(text, problem());
      ADD_FAILURE() << text << " gave " << value;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(what));
      EXPECT_LT(std::string(error.what()).size(), 500u);
    }
  }
}

TEST(Evaluate, BoundsTheRecursion) {
  for (const std::string& text :
       {std::string(9000, '(') + "1", std::string(9000, '-') + "1", "2" + [] {
          std::string powers;
          for (int i = 0; i < 4000; ++i) powers += "^1";
          return powers;
        }()}) {
    EXPECT_THROW(evaluate(text, problem()), Error);
  }
  EXPECT_EQ(evaluate(std::string(31, '(') + "7" + std::string(31, ')'), problem()), 7);
}

TEST(Evaluate, KnowsNoLocale) {
  // A locale with a decimal comma, where there is one.
  const std::string before = std::setlocale(LC_ALL, nullptr);
  std::setlocale(LC_ALL, "de_DE.UTF-8");
  EXPECT_EQ(evaluate("2.5", problem()), 2.5);
  std::setlocale(LC_ALL, before.c_str());
}

}  // namespace
}  // namespace subquad

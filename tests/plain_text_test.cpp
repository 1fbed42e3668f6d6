#include "texts/plain_text.h"

#include <gtest/gtest.h>

namespace subquad {
namespace {

TEST(PlainText, Trimmed) {
  EXPECT_EQ(trimmed(" \t a b\r\n"), "a b");
  EXPECT_EQ(trimmed("a"), "a");
  EXPECT_EQ(trimmed(" \n"), "");
  EXPECT_EQ(trimmed(""), "");
}

TEST(PlainText, WhatIsHarmlessStays) {
  for (const char* text : {"", "layers.0/q", "a \"b\" \\x", "caf\xc3\xa9",
                           "\xe6\x97\xa5\xe6\x9c\xac", "\xf0\x9f\x98\x80", "\xc2\xa0"}) {
    EXPECT_EQ(printable(text), text);
    EXPECT_EQ(printable_lines(text), text);
  }
}

TEST(PlainText, WhatDrivesATerminalIsSpelledOut) {
  const std::pair<std::string, const char*> cases[] = {
      {"\x1b]0;title\x07", "\\x1b]0;title\\x07"},
      {"a\nb\tc\r", "a\\x0ab\\x09c\\x0d"},
      {std::string("a\0b", 3), "a\\x00b"},
      {"\x7f", "\\x7f"},
      {"\xc2\x9b"
       "2J",
       "\\u009b2J"},  // a control sequence in one character
      {"\xe2\x80\xae"
       "cod.exe",
       "\\u202ecod.exe"},  // turns the direction of writing
      {"\xe2\x81\xa6", "\\u2066"},
  };
  for (const auto& [text, shown] : cases) EXPECT_EQ(printable(text), shown);
  EXPECT_EQ(printable_lines("a\nb\tc\x1b\r"), "a\nb\tc\\x1b\\x0d");
}

TEST(PlainText, WhatIsNoUtf8IsSpelledOut) {
  const std::pair<std::string, const char*> cases[] = {
      {"\xff", "\\xff"},
      {"\x80"
       "a",
       "\\x80a"},
      {"\xc3", "\\xc3"},
      {"\xc3(", "\\xc3("},
      {"\xc0\x9b", "\\xc0\\x9b"},                    // two bytes for U+001B
      {"\xe0\x80\x9b", "\\xe0\\x80\\x9b"},           // three
      {"\xed\xa0\x80", "\\xed\\xa0\\x80"},           // half of a pair
      {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},  // beyond U+10FFFF
      {"\xf8\x88\x80\x80\x80", "\\xf8\\x88\\x80\\x80\\x80"},
  };
  for (const auto& [text, shown] : cases) EXPECT_EQ(printable(text), shown);
}

TEST(PlainText, LongTextIsCutBetweenCharacters) {
  EXPECT_EQ(printable("abcdef", 6), "abcdef");
  EXPECT_EQ(printable("abcdef", 5), "abcde...");
  EXPECT_EQ(printable("abc\xc3\xa9zzz", 4), "abc...");
  EXPECT_EQ(printable("\x80\x80\x80", 2), "...");
  EXPECT_EQ(printable_lines(std::string(1000, 'a')).size(), 1000u);
}

TEST(PlainText, ExcerptsShowTheSurroundings) {
  EXPECT_EQ(excerpt("a\x1b", 1), "a\\x1b");
  const std::string text = std::string(100, 'a') + "b" + std::string(100, 'c');
  EXPECT_EQ(excerpt(text, 100), "..." + text.substr(40, 120) + "...");
  EXPECT_EQ(excerpt(text, 0), text.substr(0, 60) + "...");
  EXPECT_EQ(excerpt(text, text.size()), "..." + text.substr(text.size() - 60));
}

TEST(PlainText, IsPlain) {
  for (const char* text : {"", "a\tb\nc", "caf\xc3\xa9"}) EXPECT_TRUE(is_plain_text(text));
  for (const char* text : {"\r", "\x1b", "\xff", "\xe2\x80\xae"}) EXPECT_FALSE(is_plain_text(text));
}

TEST(PlainText, OnceIsEnough) {
  const std::string once = printable("\x1b\xff\xc2\x9b\\");
  EXPECT_EQ(printable(once), once);
}

}  // namespace
}  // namespace subquad

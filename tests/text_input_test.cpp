#include "inputs/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "subquad/error.h"
#include "support/temporary_folder.h"

namespace subquad {
namespace {

using ::testing::HasSubstr;

class Text : public testing::Test {
 protected:
  void SetUp() override {
    std::ofstream file(folder_ / "t.txt", std::ios::binary);
    for (int i = 0; i < 100; ++i) file.put(static_cast<char>(i + 100));  // beyond 127 too
  }

  TextWindows make(const std::string& arguments, Index batch, Index length) const {
    const std::string path = (folder_ / "t.txt").string();
    return make_text(parse_expression("text(path=" + path + arguments + ")"),
                     {.batch = batch, .queries = length, .keys = length});
  }
  std::string error(const std::string& arguments, Index batch, Index length) const {
    try {
      make(arguments, batch, length);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }

  TemporaryFolder folder_;
};

TEST_F(Text, WindowsBeginWhereTheyAreToldTo) {
  const TextWindows text = make(",offset=10,stride=20", 3, 5);
  ASSERT_EQ(text.batch, 3);
  for (Index window = 0; window < 3; ++window) {
    for (Index i = 0; i < 5; ++i) {
      EXPECT_EQ(text.read(window)[i], 110 + 20 * window + i);
      EXPECT_EQ(text.next(window)[i], 111 + 20 * window + i);
    }
  }
  EXPECT_EQ(text.provenance, "3 windows, every 20 bytes from byte 10 on");
}

TEST_F(Text, WindowsSpreadEvenlyUnlessTold) {
  const TextWindows text = make("", 4, 9);
  for (Index window = 0; window < 4; ++window) EXPECT_EQ(text.read(window)[0], 100 + 30 * window);
  EXPECT_EQ(text.next(3)[8], 199);  // the last byte of the file is predicted
  EXPECT_EQ(make(",offset=7", 1, 9).read(0)[0], 107);
}

TEST_F(Text, ATextThatIsTooShortSaysWhatIsNeeded) {
  EXPECT_EQ(make("", 1, 99).length, 99);
  EXPECT_THAT(error("", 1, 100), HasSubstr("t.txt holds 100 bytes; 1 windows of 100 bytes and the "
                                           "one that follows, from 0 on and every 0, need 101"));
  EXPECT_THAT(error(",stride=30", 5, 9), HasSubstr("need 130"));
  EXPECT_THAT(error("", 2, 99), HasSubstr("2 windows would all be the same"));
}

TEST_F(Text, MistakesAreNamed) {
  EXPECT_THAT(error(",ofset=3", 1, 9), HasSubstr("no parameter 'ofset' (did you mean 'offset'?)"));
  EXPECT_THAT(error(",offset=0.5", 1, 9), HasSubstr("offset = 0.5 is no whole number"));
  EXPECT_THAT(error(",offset=-1", 1, 9), HasSubstr("offset = -1 is no whole number"));
  EXPECT_THROW(make_text(parse_expression("text(path=/nowhere/t.txt)"), {.keys = 4}), Error);
  EXPECT_THROW(make_text(parse_expression("text"), {.keys = 4}), Error);
}

TEST_F(Text, IsNoInputOfALayerNorIsALayersInputText) {
  const Expression text = parse_expression("text(path=x)"), gaussian = parse_expression("gaussian");
  EXPECT_TRUE(gives_text(text));
  EXPECT_FALSE(gives_text(gaussian));
  EXPECT_THROW(make_input(text, {.queries = 4, .keys = 4}), Error);
  EXPECT_THROW(make_text(gaussian, {.queries = 4, .keys = 4}), Error);
}

}  // namespace
}  // namespace subquad

#include "layers/catalogue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "subquad/error.h"

namespace subquad {
namespace {

using ::testing::HasSubstr;

std::string error_of(const std::string& expression) {
  try {
    make_variant(parse_expression(expression), {.queries = 8, .keys = 8, .dim = 4, .value_dim = 4});
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Catalogue, HoldsEveryRegistrationOfTheProgramSortedByName) {
  std::set<std::string> registered;
  for (const Registration* one = local_registrations; one; one = one->next) {
    registered.emplace(one->info.name);
  }
  ASSERT_FALSE(registered.empty());
  const std::vector<std::string> names = Catalogue::instance().names();
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
  for (const std::string& name : registered) {
    EXPECT_EQ(Catalogue::instance().find(name).info().name, name);
    EXPECT_EQ(Catalogue::instance().find(name).origin, "built-in");
  }
}

TEST(Catalogue, UnknownNamesAreRefusedWithTheNearest) {
  EXPECT_THAT(error_of("maen"), HasSubstr("unknown variant 'maen' (did you mean 'mean'?)"));
  EXPECT_THAT(error_of("qqqqqqqq"), HasSubstr("(known: "));
  EXPECT_THAT(error_of("heads(mean)"), HasSubstr("heads(...) stands around variants"));
}

TEST(Catalogue, MakesVariantsWithTheirParametersEvaluated) {
  EXPECT_THAT(error_of("mean(radius=1)"), HasSubstr("mean has no parameter 'radius'"));
  EXPECT_THAT(error_of("mean(dense)"), HasSubstr("'dense' is no key=value"));
  const Problem problem{.queries = 8, .keys = 8, .dim = 4, .value_dim = 4};
  const auto first = make_variant(parse_expression("mean"), problem);
  const auto second = make_variant(parse_expression("mean"), problem);
  EXPECT_NE(first.get(), second.get());
}

}  // namespace
}  // namespace subquad

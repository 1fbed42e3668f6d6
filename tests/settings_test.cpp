#include "expressions/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "subquad/error.h"

namespace subquad {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

enum class Kind { full, simple, local };
enum class Part { head, body, tail };

struct Settings {
  Index radius = 16;
  Index offset = 0;
  double scale = 0.1;
  bool shared = true;
  Kind kind = Kind::simple;
  Some<Part> parts = {Part::head, Part::tail};

  VisitParameters visit() {
    return [this](Parameters& visit) {
      visit("radius", radius, at_least(0), "keys on either side");
      visit("offset", offset, anything(), "where it begins");
      visit("scale", scale, between(-1, 0.5), "factor");
      visit("shared", shared, "one for all");
      visit("kind", kind, {"full", "simple", "local"}, "which");
      visit("parts", parts, {"head", "body", "tail"}, "of what");
    };
  }
};

Settings configured(const std::string& text) {
  Settings settings;
  configure(settings.visit(), parse_expression(text),
            {.queries = 1000, .keys = 1000, .dim = 64, .value_dim = 64});
  return settings;
}

std::string error_of(const std::string& text) {
  try {
    configured(text);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Settings, InfosTellTheDeclaration) {
  Settings settings;
  const auto infos = parameter_infos(settings.visit());
  ASSERT_EQ(infos.size(), 6u);
  EXPECT_EQ(infos[0].name, "radius");
  EXPECT_EQ(infos[0].type, "integer");
  EXPECT_EQ(infos[0].default_value, "16");
  EXPECT_EQ(infos[0].range.low, 0);
  EXPECT_EQ(infos[0].doc, "keys on either side");
  EXPECT_EQ(infos[2].type, "real");
  EXPECT_EQ(infos[2].default_value, "0.1");
  EXPECT_EQ(infos[3].type, "boolean");
  EXPECT_EQ(infos[3].default_value, "true");
  EXPECT_EQ(infos[4].type, "choice");
  EXPECT_EQ(infos[4].default_value, "simple");
  EXPECT_THAT(infos[4].choices, ElementsAre("full", "simple", "local"));
  EXPECT_EQ(infos[5].type, "some");
  EXPECT_EQ(infos[5].default_value, "head+tail");
  EXPECT_THAT(infos[5].choices, ElementsAre("head", "body", "tail"));
}

TEST(Settings, SomeOfTheNamesInAnyOrder) {
  const Settings one = configured("x(parts=body)"), two = configured("x(parts=tail+body)");
  EXPECT_TRUE(one.parts.has(Part::body));
  EXPECT_EQ(one.parts.count(), 1);
  EXPECT_FALSE(two.parts.has(Part::head));
  EXPECT_EQ(two.parts.count(), 2);
  Settings settings = two;
  EXPECT_THAT(resolved_text("x", settings.visit()), HasSubstr("parts=body+tail"));
}

TEST(Settings, AssignsWhatIsWrittenAndLeavesTheRest) {
  const Settings settings = configured("x(radius=n/8,shared=false,kind=local)");
  EXPECT_EQ(settings.radius, 125);
  EXPECT_EQ(settings.shared, false);
  EXPECT_EQ(settings.kind, Kind::local);
  EXPECT_EQ(settings.offset, 0);
  EXPECT_EQ(settings.scale, 0.1);
}

TEST(Settings, IntegersAreRoundedToTheNearest) {
  EXPECT_EQ(configured("x(radius=sqrt(n))").radius, 32);  // 31.6
  EXPECT_EQ(configured("x(radius=10/4)").radius, 3);
  EXPECT_EQ(configured("x(offset=-10/4)").offset, -3);
  EXPECT_EQ(configured("x(radius=-0.4)").radius, 0);
  EXPECT_EQ(configured("x(radius=1e9)").radius, 1000000000);
}

TEST(Settings, MistakesNameExpressionKeyValueAndWhatIsAllowed) {
  const std::pair<const char*, const char*> cases[] = {
      {"x(radius=-3)", "x(radius=-3): radius = -3 is out of range (at least 0)"},
      {"x(radius=n/8-200)", "radius = n/8-200 = -75 is out of range (at least 0)"},
      {"x(offset=1e17)", "is out of range (from -9007199254740992 to 9007199254740992)"},
      {"x(scale=0.75)", "scale = 0.75 is out of range (from -1 to 0.5)"},
      {"x(radius=m)", "x(radius=m): radius: value 'm': unknown variable 'm'"},
      {"x(radius=1|2)", "unexpected '|'"},
      {"x(shared=1)", "x(shared=1): shared = 1 is neither true nor false"},
      {"x(kind=ful)", "x(kind=ful): kind = ful is none of full, simple, local"},
      {"x(parts=head+tale)", "parts = head+tale: 'tale' is none of head, body, tail"},
      {"x(parts=head+)", "parts = head+: '' is none of head, body, tail"},
      {"x(parts=head+head)", "parts = head+head names 'head' twice"},
      {"x(radios=3)", "x(radios=3): x has no parameter 'radios' (did you mean 'radius'?)"},
      {"x(bucket=3)",
       "x has no parameter 'bucket' (known: radius, offset, scale, shared, kind, parts)"},
      {"x(dense)", "x(dense): 'dense' is no key=value"},
  };
  for (const auto& [text, what] : cases) EXPECT_THAT(error_of(text), HasSubstr(what)) << text;
}

TEST(Settings, ResolvedTextRepeatsTheSettings) {
  Settings settings = configured("x(radius=1e9,offset=-7,scale=1/3,kind=full)");
  const std::string text = resolved_text("x", settings.visit());
  EXPECT_EQ(text,
            "x(radius=1000000000,offset=-7,scale=0.3333333333333333,shared=true,kind=full,parts="
            "head+tail)");
  const Settings again = configured(text);
  EXPECT_EQ(again.radius, settings.radius);
  EXPECT_EQ(again.scale, settings.scale);  // bit for bit
  EXPECT_EQ(resolved_text("dense", [](Parameters&) {}), "dense");
}

TEST(Settings, TinyAndHugeRealsRoundTrip) {
  for (const double value : {1e-300, 1.7976931348623157e308, 5e-324, 0.1, 1e22, -2.5e-7}) {
    double member = value;
    const auto visit = [&](Parameters& visit) { visit("value", member, anything(), "any"); };
    const std::string text = resolved_text("x", visit);
    member = 0;
    configure(visit, parse_expression(text), {});
    EXPECT_EQ(member, value) << text;
  }
}

TEST(Settings, ParameterDeclaredTwiceIsABug) {
  Index member = 0;
  EXPECT_THROW(parameter_infos([&](Parameters& visit) {
                 visit("a", member, anything(), "");
                 visit("a", member, anything(), "");
               }),
               std::logic_error);
}

TEST(Nearest, SuggestsOnlyWhatIsNear) {
  EXPECT_EQ(nearest("denze", {"dense", "local"}), "dense");
  EXPECT_EQ(nearest("linfomer", {"linear", "linformer"}), "linformer");
  EXPECT_EQ(nearest("fnet", {"dense", "local"}), std::nullopt);
  EXPECT_EQ(nearest(std::string(100000, 'x'), {"dense"}), std::nullopt);
  EXPECT_EQ(suggestion("zzz", {"a", "b"}), " (known: a, b)");
  EXPECT_EQ(suggestion("zzz", {}), " (it has none)");
}

}  // namespace
}  // namespace subquad

#include "report/page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>

#include "commands/gallery.h"
#include "report/packed.h"
#include "report_records.h"
#include "subquad/random.h"

namespace subquad {
namespace {

using Json = nlohmann::json;
using testing::make_anchor;
using testing::make_ending;
using testing::make_record;

constexpr const char* kPage = "<html>before<!-- records -->after</html>";

/// Bytes of base64, as RFC 4648 section 4 defines it.
std::string bytes_of(const std::string& base64) {
  static constexpr std::string_view kLetters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  std::uint32_t bits = 0;
  int held = 0;
  for (const char letter : base64.substr(0, base64.find('='))) {
    const std::size_t value = kLetters.find(letter);
    if (value == std::string_view::npos) throw std::runtime_error("no base64");
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    held += 6;
    if (held < 8) continue;
    held -= 8;
    bytes += static_cast<char>(bits >> held & 0xff);
  }
  return bytes;
}

std::string unpacked(const std::string& base64) {
  if (base64.size() % 4 != 0) throw std::runtime_error("no whole base64");
  const std::string stream = bytes_of(base64);
  std::string text(std::size_t{1} << 24, '\0');
  uLongf size = text.size();
  const int outcome = ::uncompress(reinterpret_cast<Bytef*>(text.data()), &size,
                                   reinterpret_cast<const Bytef*>(stream.data()), stream.size());
  if (outcome != Z_OK) throw std::runtime_error(::zError(outcome));
  text.resize(size);
  return text;
}

/// Text of the element with that id.
std::string block(const std::string& page, const std::string& id) {
  const std::string begin = "id=\"" + id + "\">";
  const std::size_t from = page.find(begin) + begin.size();
  return unpacked(page.substr(from, page.find("</script>", from) - from));
}

std::vector<Json> lines_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<Json> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(Json::parse(line));
  return lines;
}

std::string page_of(const std::vector<Record>& records, const PageContents& contents = {},
                    const ReportOptions& options = {}) {
  return render_page(kPage, summarise(records, options), contents);
}

TEST(Packed, IsTheSameTextAndCannotEndAnElement) {
  std::string text = "</script><!-- & \xe2\x80\xa8 \\ \" ü";
  for (std::size_t i = 0; i < 60; ++i) {  // every remainder of its bytes by three
    const std::string letters = packed(text);
    EXPECT_EQ(letters.find_first_not_of(
                  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="),
              std::string::npos);
    ASSERT_EQ(unpacked(letters), text);
    text += static_cast<char>(i * i % 251);
  }
  EXPECT_EQ(unpacked(packed("")), "");
}

TEST(Page, HoldsTheReportAndTheRecordsWhole) {
  const std::vector<Record> records = {
      make_anchor({40, 4, 400}), make_record("fast", "restriction", {4, 4, 100}, {40, 4, 400})};
  const std::string page = page_of(records, {.runs = {{"run", "length = 512"}}});
  EXPECT_TRUE(page.starts_with("<html>before<script"));
  EXPECT_TRUE(page.ends_with("</script>\nafter</html>"));
  const Json data = Json::parse(block(page, "report-data"));
  EXPECT_EQ(data["runs"][0]["config"], "length = 512");
  EXPECT_EQ(data["records"]["whole"], true);
  EXPECT_EQ(data["report"]["tables"][0]["rows"][1]["speed_up"]["median"], 4);
  EXPECT_EQ(data["report"]["tables"][0]["rows"][1]["memory_bytes"], 1536);
  EXPECT_EQ(data["report"]["tables"][0]["series"], 0);
  const std::vector<Json> lines = lines_of(block(page, "record-lines"));
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0], to_json(records[0]));
  EXPECT_EQ(lines[1], to_json(records[1]));
}

TEST(Page, LargeRecordsAreShortenedToWhatItDraws) {
  std::vector<Record> records = {make_anchor({40, 4, 400})};
  // Digits that do not pack.
  Generator random(1);
  std::vector<double> digits(kWholeRecordBytes / 8);
  for (double& value : digits) value = random.uniform();
  records[0].attention_figures = {{"effective_rank", digits}};
  const std::string page = page_of(records);
  EXPECT_LT(page.size(), kWholeRecordBytes / 8);
  const Json data = Json::parse(block(page, "report-data"));
  EXPECT_EQ(data["records"]["whole"], false);
  EXPECT_GT(data["records"]["bytes"], kWholeRecordBytes);
  const Json line = lines_of(block(page, "record-lines")).at(0);
  EXPECT_EQ(line["error"]["relative_error"], Json({1e-7, 2e-7, 1e-7, 1e-7}));
  EXPECT_EQ(line["rounds"][1]["time_ns"], 4);
  EXPECT_EQ(data["report"]["tables"][0]["rows"][0]["seeds"][0]["command"], records[0].command);
}

TEST(Page, NamesTheFastestOfWhatApproximatesDenseWithinAnError) {
  std::vector<Record> records = {make_anchor(std::vector<double>(9, 100))};
  const auto add = [&](const char* name, const char* target, double time, double error) {
    Record r = make_record(name, target, std::vector<double>(9, time), std::vector<double>(9, 100));
    r.error = {{"relative_error", {error}}};
    records.push_back(r);
  };
  add("near", "restriction", 50, 0.02);
  add("far", "estimator", 20, 0.09);
  add("as_far", "restriction", 20, 0.08);
  add("control", "control", 1, 0.01);
  add("other", "operation", 1, 0.01);
  const Json tables = Json::parse(block(page_of(records, {}, {.budget = Budget{0.5, std::nullopt}}),
                                        "report-data"))["report"]["tables"];
  const Json& choices = tables[0]["choices"];
  ASSERT_EQ(choices.size(), 4u);
  EXPECT_EQ(choices[0]["max_error"], 0.03);
  EXPECT_EQ(choices[0]["variants"], Json({"near"}));
  // Equal ones in the order of the table, where estimators come before restrictions.
  EXPECT_EQ(choices[1]["variants"], Json({"far", "as_far"}));
  EXPECT_EQ(choices[3]["max_error"], 0.5);
  EXPECT_EQ(choices[3]["variants"], Json({"far", "as_far"}));
}

TEST(Page, SaysTheCrossoverAsTablesDo) {
  std::vector<Record> records;
  for (const Index keys : {512, 1024}) {
    const double time = keys == 512 ? 150 : 50;
    Record anchor = make_anchor(std::vector<double>(9, 100));
    Record other = make_record("other", "restriction", std::vector<double>(9, time),
                               std::vector<double>(9, 100));
    for (Record* record : {&anchor, &other}) {
      record->key += std::to_string(keys);
      record->problem.keys = record->problem.queries = keys;
      records.push_back(*record);
    }
  }
  const Json report = Json::parse(block(page_of(records), "report-data"))["report"];
  EXPECT_EQ(report["scaling"][0]["series"], report["tables"][0]["series"]);
  EXPECT_EQ(report["tables"][0]["series"], report["tables"][1]["series"]);
  const Json& variants = report["scaling"][0]["variants"];
  EXPECT_EQ(variants[1]["variant"], "other");
  EXPECT_EQ(variants[1]["crossover"]["text"], "between 512 and 1024");
  EXPECT_EQ(variants[0]["crossover"], nullptr);
}

TEST(Page, KnowsTheMachinesOfItsRecordsAlone) {
  std::vector<Record> records = {make_anchor({1, 1, 1})};
  records[0].machine = "known";
  PageContents contents;
  contents.machines = {{{"identity", "other"}}, {{"identity", "known"}, {"cpu", "fast"}}, "text"};
  const auto machines = [&] {
    return Json::parse(block(page_of(records, contents), "report-data"))["machines"];
  };
  EXPECT_EQ(machines(), Json::array({{{"identity", "known"}, {"cpu", "fast"}}}));
  records[0].machine = "foreign";
  EXPECT_EQ(machines(), Json::array({{{"identity", "foreign"}}}));
}

TEST(Page, WithoutAPlaceForDataIsABug) {
  EXPECT_THROW(render_page("<html></html>", Summary{}, {}), std::logic_error);
}

TEST(Gallery, SharesArePartsOfCells) {
  std::vector<Record> records = {
      make_record("local(radius=8)", "restriction", {1, 1, 1}, {1, 1, 1}),
      make_record("mean", "control", {1, 1, 1}, {1, 1, 1}),
      make_record("linear", "operation", {1, 1, 1}, {1, 1, 1})};
  for (Record& record : records) record.problem.keys = record.problem.queries = 256;
  const auto gallery = pattern_gallery(summarise(records, {}));
  EXPECT_EQ(gallery["left_out"].size(), 0u);
  ASSERT_EQ(gallery["panels"].size(), 1u);
  const auto& panel = gallery["panels"][0];
  EXPECT_EQ(panel["cells"], 128);
  const auto shares = panel["shares"].get<std::string>();
  ASSERT_EQ(shares.size(), 128u * 128u);
  for (Index row = 0; row < 128; ++row) {
    for (Index column = 0; column < 128; ++column) {
      Index seen = 0;  // of the four pairs of a cell
      for (const Index i : {2 * row, 2 * row + 1}) {
        for (const Index j : {2 * column, 2 * column + 1}) seen += std::abs(i - j) <= 8 ? 1 : 0;
      }
      // 15 / 4 rounded up is 4, and so on.
      ASSERT_EQ(shares[static_cast<std::size_t>(128 * row + column)], "048cf"[seen])
          << row << " " << column;
    }
  }
}

TEST(Gallery, NamesWhatCannotBeDrawn) {
  std::vector<Record> records = {
      make_record("nobody(radius=1)", "restriction", {1, 1, 1}, {1, 1, 1}),
      make_record("fitted(routing(clusters=4),batch=1)", "restriction", {1, 1, 1}, {1, 1, 1}),
      make_record("not an expression (", "restriction", {1, 1, 1}, {1, 1, 1}),
      make_ending("heads(local(radius=2),strided(stride=4))", Status::failed, "why")};
  const auto gallery = pattern_gallery(summarise(records, {}));
  std::vector<std::string> left_out;
  for (const auto& one : gallery["left_out"]) {
    EXPECT_NE(one["reason"], "");
    left_out.push_back(one["variant"]);
  }
  EXPECT_THAT(left_out, ::testing::UnorderedElementsAre("nobody(radius=1)", "not an expression (",
                                                        "fitted(routing(clusters=4),batch=1)"));
  // A mixture has a picture for each of its heads.
  ASSERT_EQ(gallery["panels"].size(), 2u);
  EXPECT_EQ(gallery["panels"][0]["title"], "local(radius=2)");
  EXPECT_EQ(gallery["panels"][1]["title"], "strided(stride=4)");
}

}  // namespace
}  // namespace subquad

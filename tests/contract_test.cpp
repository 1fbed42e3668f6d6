// The contract over every variant that is built in, and the contract over itself: for each of its
// clauses a variant that is wrong in that point alone must fail that clause alone.

#include "contract/contract.h"

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "subquad/error.h"

namespace subquad {

/// What the names of parametrised tests end in.
void PrintTo(const CatalogueEntry& entry, std::ostream* out) { *out << entry.info().name; }

namespace {

/// The variants of tests/wrong, which must not get into the catalogue.
const std::vector<CatalogueEntry>& test_variants() {
  static const std::vector<CatalogueEntry> entries = [] {
    const std::string path = SUBQUAD_BINARY_DIR "/tests/libwrong_variants.so";
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) throw std::runtime_error(dlerror());
    const auto plugin =
        reinterpret_cast<const PluginEntry* (*)()>(dlsym(library, "subquad_plugin"));
    std::vector<CatalogueEntry> found;
    for (const Registration* one = plugin()->registrations; one != nullptr; one = one->next) {
      found.push_back({one, path});
    }
    return found;
  }();
  return entries;
}

/// "breaks CLAUSE: ..." in the summary of a wrong variant; empty for a right one.
std::string broken_clause(const CatalogueEntry& entry) {
  const std::string summary(entry.info().summary);
  const std::string breaks = "breaks ";
  if (!summary.starts_with(breaks)) return {};
  return summary.substr(breaks.size(), summary.find(':') - breaks.size());
}

std::vector<CatalogueEntry> wrong_variants() {
  std::vector<CatalogueEntry> wrong;
  for (const CatalogueEntry& entry : test_variants()) {
    if (!broken_clause(entry).empty()) wrong.push_back(entry);
  }
  return wrong;
}

std::string findings(const ContractReport& report) {
  std::string text;
  for (const ClauseResult& result : report.clauses) {
    if (result.status != ClauseStatus::failed) continue;
    text += "\n" + result.clause + " on " + result.problem + ": " + result.finding;
  }
  return text;
}

std::vector<std::string> failed_clauses(const ContractReport& report) {
  std::vector<std::string> failed;
  for (const ClauseResult& result : report.clauses) {
    if (result.status == ClauseStatus::failed) failed.push_back(result.clause);
  }
  return failed;
}

std::string test_name(const testing::TestParamInfo<CatalogueEntry>& info) {
  return std::string(info.param.info().name);
}

class BuiltIn : public testing::TestWithParam<CatalogueEntry> {};

TEST_P(BuiltIn, KeepsTheContract) {
  const ContractReport report = check_variant(GetParam());
  EXPECT_TRUE(report.kept()) << findings(report);
  // Kept, not left out.
  EXPECT_EQ(report.of("forward_returns").status, ClauseStatus::passed);
  EXPECT_EQ(report.of("equals_reference").status, ClauseStatus::passed);
}

INSTANTIATE_TEST_SUITE_P(Contract, BuiltIn, testing::ValuesIn(Catalogue::instance().entries()),
                         test_name);

class Wrong : public testing::TestWithParam<CatalogueEntry> {};

TEST_P(Wrong, BreaksItsClauseAlone) {
  const ContractReport report = check_variant(GetParam());
  EXPECT_THAT(failed_clauses(report), testing::ElementsAre(broken_clause(GetParam())))
      << findings(report);
}

INSTANTIATE_TEST_SUITE_P(Contract, Wrong, testing::ValuesIn(wrong_variants()), test_name);

TEST(Contract, RightTwinsKeepWhatTheWrongOnesBreak) {
  std::map<std::string, ContractReport> twins;
  for (const CatalogueEntry& entry : test_variants()) {
    if (!broken_clause(entry).empty()) continue;
    const std::string name(entry.info().name);
    twins[name] = check_variant(entry);
    EXPECT_TRUE(twins[name].kept()) << name << findings(twins[name]);
  }
  for (const CatalogueEntry& entry : wrong_variants()) {
    const std::string twin = std::string(entry.info().citation).substr(5);  // behind "twin "
    const std::string clause = broken_clause(entry);
    EXPECT_EQ(twins.at(twin).of(clause).status, ClauseStatus::passed) << entry.info().name;
  }
}

TEST(Contract, EveryClauseHasAWrongVariant) {
  std::set<std::string> broken, clauses;
  for (const CatalogueEntry& entry : wrong_variants()) broken.insert(broken_clause(entry));
  for (const ClauseInfo& clause : contract_clauses()) clauses.emplace(clause.name);
  EXPECT_EQ(broken, clauses);
}

TEST(Contract, DocumentationListsTheClausesAsTheyAre) {
  std::ifstream page(SUBQUAD_SOURCE_DIR "/docs/contract.md");
  ASSERT_TRUE(page);
  std::vector<std::string> documented, declared;
  for (std::string line; std::getline(page, line);) {
    if (line.starts_with("| `")) documented.push_back(line);
  }
  for (const ClauseInfo& clause : contract_clauses()) {
    declared.push_back("| `" + std::string(clause.name) + "` | " + std::string(clause.meaning) +
                       " |");
  }
  EXPECT_EQ(documented, declared);
}

TEST(Contract, ChecksTheClausesThatAreAskedFor) {
  const ContractReport report =
      check_variant(test_variants().front(), {.clauses = {"scratch", "cost"}});
  ASSERT_EQ(report.clauses.size(), 2u);
  EXPECT_EQ(report.of("scratch").status, ClauseStatus::passed);
  EXPECT_THROW(check_variant(test_variants().front(), {.clauses = {"scrach"}}), Error);
}

TEST(Contract, HoldsFixedParametersFixed) {
  // Ignoring `sharpness` shows at any other value than 1 only.
  const auto& variants = test_variants();
  const auto wrong = std::find_if(variants.begin(), variants.end(), [](const auto& entry) {
    return entry.info().name == "wrong_unread_parameter";
  });
  ASSERT_NE(wrong, variants.end());
  EXPECT_TRUE(check_variant(*wrong, {.fixed = {{"sharpness", "1", {}}}}).kept());
  const ContractReport report = check_variant(*wrong, {.fixed = {{"sharpness", "3", {}}}});
  EXPECT_EQ(report.of("equals_reference").status, ClauseStatus::failed);
  EXPECT_THAT(report.of("equals_reference").problem, testing::HasSubstr("sharpness=3"));
}

}  // namespace
}  // namespace subquad

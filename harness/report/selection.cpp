#include "report/selection.h"
#include "texts/counted.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

namespace subquad {
namespace {

using PointKey = std::tuple<Setting, std::string, std::uint64_t>;
using Builds = std::set<std::string>;

PointKey point_key(const Record& r) { return {setting_of(r), r.variant, r.seed}; }

bool is_asked_for(const Record& record, const ReportOptions& options) {
  const auto& lengths = options.lengths;
  return record.problem.causal == options.causal.value_or(record.problem.causal) &&
         (lengths.empty() ||
          std::find(lengths.begin(), lengths.end(), record.problem.keys) != lengths.end());
}

/// Those that the options name; else all but those that another one came after: a build is of
/// yesterday as soon as one of its points was measured again by other code.
Builds current_builds(const std::vector<std::pair<PointKey, const Record*>>& points,
                      const ReportOptions& options) {
  if (!options.builds.empty()) return {options.builds.begin(), options.builds.end()};
  std::map<PointKey, std::string> last;
  Builds all, stale;
  for (const auto& [key, record] : points) {
    all.insert(record->build);
    const auto [found, is_new] = last.emplace(key, record->build);
    if (is_new || found->second == record->build) continue;
    stale.insert(found->second);
    stale.erase(record->build);
    found->second = record->build;
  }
  for (const std::string& build : stale) all.erase(build);
  return all;
}

void add_notices(Selection& selection, std::size_t all, std::size_t asked_for) {
  auto& notices = selection.notices;
  if (all == 0) {
    notices.push_back("No records: nothing has been measured yet.");
  } else if (asked_for == 0) {
    notices.push_back(fmt::format("None of the {} is of the lengths and mask asked for.",
                                  counted(all, "record")));
  }
  if (asked_for == 0) return;
  if (asked_for > selection.records.size()) {
    notices.push_back(counted(asked_for - selection.records.size(), "earlier record") +
                      " of points that were measured again left out.");
  }
  const auto stale = static_cast<std::size_t>(
      std::count_if(selection.records.begin(), selection.records.end(),
                    [&](const Record* r) { return !selection.is_current(*r); }));
  if (stale == selection.records.size()) {
    notices.push_back(
        "Every record is stale: other code than today's measured it. Run the experiment again for "
        "figures of today's code.");
  } else if (stale > 0) {
    notices.push_back(counted(stale, "record") +
                      " measured by other code than today's, marked stale.");
  }
}

}  // namespace

Setting setting_of(const Record& r) {
  const Problem& p = r.problem;
  return {.machine = r.machine,
          .input = r.input,
          .direction = r.direction,
          .feed_forward = r.feed_forward,
          .feed_forward_chunk = r.feed_forward_chunk,
          .model = r.model,
          .replaced = r.replaced,
          .queries = p.queries,
          .keys = p.keys,
          .dim = p.dim,
          .value_dim = p.value_dim,
          .causal = p.causal,
          .first_query = p.first_query,
          .scale = p.score_scale(),
          .batch = r.batch,
          .heads = r.heads,
          .key_heads = r.key_heads,
          .threads = r.threads};
}

Setting setting_over_lengths(const Record& record) {
  Setting setting = setting_of(record);
  constexpr Index kLast = -1;
  if (setting.first_query == setting.keys - setting.queries) setting.first_query = kLast;
  if (setting.queries == setting.keys) setting.queries = 0;
  setting.keys = 0;
  return setting;
}

Selection select_records(const std::vector<Record>& records, const ReportOptions& options) {
  std::vector<std::pair<PointKey, const Record*>> points;
  for (const Record& record : records) {
    if (is_asked_for(record, options)) points.emplace_back(point_key(record), &record);
  }
  Selection selection;
  selection.builds = current_builds(points, options);
  std::map<PointKey, std::size_t> place;
  for (const auto& [key, record] : points) {
    const auto [found, is_new] = place.emplace(key, selection.records.size());
    if (is_new) {
      selection.records.push_back(record);
    } else if (const Record*& kept = selection.records[found->second];
               selection.is_current(*record) || !selection.is_current(*kept)) {
      kept = record;
    }
  }
  add_notices(selection, records.size(), points.size());
  return selection;
}

}  // namespace subquad

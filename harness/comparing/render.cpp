#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "comparing/comparison.h"
#include "measuring/statistics.h"
#include "report/grid.h"
#include "report/models.h"
#include "report/render.h"
#include "report/units.h"
#include "texts/counted.h"

namespace subquad {
namespace {

using Json = nlohmann::ordered_json;

std::string percent(double share) { return significant(100 * share) + " %"; }

std::string time_cell(const SideBySide& comparison, const std::vector<double>& times) {
  if (times.empty()) return kNoFigure;
  const double middle = median(times);
  return comparison.over_anchor ? significant(middle) : human_time(middle);
}

std::string error_cell(const std::optional<PointFigures>& figures) {
  if (!figures || figures->error.empty()) return kNoFigure;
  return significant(median(figures->error), 2);
}

std::string verdict_cell(const PointComparison& point, const SideBySide& comparison) {
  if (point.verdict != TimeVerdict::same) return to_string(point.verdict);
  return fmt::format("same within {}", percent(comparison.smallest_effect));
}

std::string ratio_cell(const PointComparison& point) {
  if (!point.test) return kNoFigure;
  return fmt::format("{:.3f} [{:.3f} {:.3f}]", std::exp(point.test->mean),
                     std::exp(point.test->low), std::exp(point.test->high));
}

Grid::Line line_of(const PointComparison& point, const SideBySide& comparison,
                   std::vector<std::string>& notes) {
  Grid::Line line;
  line.name = shown(point.variant);
  if (point.regressed()) line.marks = "!";
  line.cells = {std::to_string(point.times[0].size()),
                time_cell(comparison, point.times[0]),
                time_cell(comparison, point.times[1]),
                ratio_cell(point),
                point.adjusted_p ? significant(*point.adjusted_p, 2) : kNoFigure,
                verdict_cell(point, comparison),
                error_cell(point.figures[0]),
                error_cell(point.figures[1])};
  const auto note = [&](const std::string& text) {
    const int number = note_number(notes, shown(text));
    if (std::find(line.notes.begin(), line.notes.end(), number) == line.notes.end()) {
      line.notes.push_back(number);
    }
  };
  if (!point.why.empty()) note(point.why);
  for (const Change& change : point.changes) note(change.text);
  return line;
}

std::vector<std::string> groups_of(const SideBySide& comparison) {
  std::vector<std::string> groups;
  for (const PointComparison& point : comparison.points) {
    if (std::find(groups.begin(), groups.end(), point.group) == groups.end()) {
      groups.push_back(point.group);
    }
  }
  return groups;
}

Grid grid_of(const SideBySide& comparison, const std::string& group) {
  Grid grid;
  grid.title = shown(group);
  const std::string unit = comparison.over_anchor ? "time / anchor" : "time";
  grid.columns = {{"", comparison.over_anchor ? "runs of A" : "rounds"},
                  {unit, "A"},
                  {unit, "B"},
                  {"B / A", "[95 % interval]"},
                  {"p", "adjusted"},
                  {"", "time"},
                  {"error", "A"},
                  {"error", "B"}};
  if (comparison.over_anchor &&
      std::none_of(comparison.points.begin(), comparison.points.end(),
                   [](const PointComparison& point) { return point.adjusted_p.has_value(); })) {
    grid.columns[3].lower = "[what is chance]";
  }
  Grid::Group lines;
  for (const PointComparison& point : comparison.points) {
    if (point.group == group) lines.lines.push_back(line_of(point, comparison, grid.notes));
  }
  grid.groups.push_back(std::move(lines));
  return grid;
}

std::string summary_of(const SideBySide& comparison) {
  const auto count = [&](auto&& counts) {
    return std::count_if(comparison.points.begin(), comparison.points.end(), counts);
  };
  const auto with = [&](TimeVerdict verdict) {
    return count([=](const PointComparison& point) { return point.verdict == verdict; });
  };
  const auto changed = count([](const PointComparison& point) { return !point.changes.empty(); });
  return fmt::format(
      "{} compared: {} slower, {} faster, {} the same within {}, {} that cannot be told, {} not "
      "timed; {} with other figures. Regressions (!): {}.",
      counted(comparison.points.size(), "point"), with(TimeVerdict::slower),
      with(TimeVerdict::faster), with(TimeVerdict::same), percent(comparison.smallest_effect),
      with(TimeVerdict::unclear), with(TimeVerdict::not_timed), changed, comparison.regressions());
}

std::vector<std::string> notices_of(const SideBySide& comparison) {
  std::vector<std::string> notices = {"A: " + shown(comparison.names[0]),
                                      "B: " + shown(comparison.names[1])};
  for (const std::string& notice : comparison.notices) notices.push_back(shown(notice));
  return notices;
}

Json to_json(const std::optional<PointFigures>& figures) {
  if (!figures) return nullptr;
  return {{"status", to_string(figures->status)},
          {"reason", figures->reason},
          {"relative_error", figures->error},
          {"scratch_bytes", figures->scratch_bytes},
          {"parameter_bytes", figures->parameter_bytes}};
}

Json to_json(const PointComparison& point) {
  Json changes = Json::array();
  for (const Change& change : point.changes) {
    changes.push_back({{"text", change.text}, {"worse", change.worse}});
  }
  Json json = {{"group", point.group},
               {"variant", point.variant},
               {"verdict", to_string(point.verdict)},
               {"why", point.why},
               {"regressed", point.regressed()},
               {"ratio", nullptr},
               {"low", nullptr},
               {"high", nullptr},
               {"p", nullptr},
               {"adjusted_p", nullptr},
               {"times_a", point.times[0]},
               {"times_b", point.times[1]},
               {"a", to_json(point.figures[0])},
               {"b", to_json(point.figures[1])},
               {"changes", std::move(changes)}};
  if (point.test) {
    json["ratio"] = std::exp(point.test->mean);
    json["low"] = std::exp(point.test->low);
    json["high"] = std::exp(point.test->high);
  }
  if (point.adjusted_p) {
    json["p"] = point.test->p;
    json["adjusted_p"] = *point.adjusted_p;
  }
  return json;
}

}  // namespace

std::string comparison_text(const SideBySide& comparison) {
  Section section;
  for (const std::string& group : groups_of(comparison)) {
    section.grids.push_back(grid_of(comparison, group));
  }
  section.legend = {
      summary_of(comparison),
      fmt::format("slower, faster: adjusted p below {} and by estimate {} or more; error: relative "
                  "error against dense, median over heads. docs/compare.md has the method.",
                  percent(kFamilyError), percent(comparison.smallest_effect))};
  return render_text(notices_of(comparison), {section});
}

std::string comparison_json(const SideBySide& comparison) {
  Json points = Json::array();
  for (const PointComparison& point : comparison.points) points.push_back(to_json(point));
  const Json json = {{"a", comparison.names[0]},
                     {"b", comparison.names[1]},
                     {"times", comparison.over_anchor ? "over the anchor's" : "ns"},
                     {"smallest_effect", comparison.smallest_effect},
                     {"family_error", kFamilyError},
                     {"notices", comparison.notices},
                     {"regressions", comparison.regressions()},
                     {"points", std::move(points)}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace subquad

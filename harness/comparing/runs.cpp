#include "comparing/runs.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/math/distributions/normal.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <map>
#include <set>
#include <tuple>

#include "measuring/statistics.h"
#include "records/machine.h"
#include "report/rounds.h"
#include "report/selection.h"
#include "subquad/error.h"
#include "texts/counted.h"

namespace subquad {
namespace {

/// Of the median size as an estimate of a normal scale: as good as the root of the mean square of
/// this share of the values (Rousseeuw and Croux, "Alternatives to the median absolute deviation",
/// 1993).
constexpr double kEfficiency = 0.37;

/// What makes records of two runs the same point; the machine is not part of it.
using PointId = std::tuple<Setting, std::string, std::uint64_t>;
using Records = std::vector<const Record*>;

PointId id_of(const Record& record) {
  Setting setting = setting_of(record);
  setting.machine.clear();
  return {setting, record.variant, record.seed};
}

/// The last record of each point in each run.
class Runs {
 public:
  explicit Runs(const std::vector<StoredRun>& runs) : runs_(runs) {
    for (const StoredRun& run : runs) {
      std::map<PointId, const Record*> last;
      for (const Record& record : run.records) {
        const PointId id = id_of(record);
        if (last.emplace(id, nullptr).second && records_.count(id) == 0) order_.push_back(id);
        last[id] = &record;
      }
      for (const auto& [id, record] : last) {
        records_[id].push_back(record);
        if (record->anchor) anchors_[{std::get<Setting>(id), record->seed}].insert(record->variant);
      }
    }
  }

  const std::vector<PointId>& order() const { return order_; }
  const std::map<PointId, Records>& records() const { return records_; }
  const Records* find(const PointId& id) const {
    const auto found = records_.find(id);
    return found == records_.end() ? nullptr : &found->second;
  }
  std::string anchor_of(const PointId& id) const {
    const auto found = anchors_.find({std::get<Setting>(id), std::get<std::uint64_t>(id)});
    return found == anchors_.end() ? "" : fmt::format("{}", fmt::join(found->second, " and "));
  }
  std::string built() const {
    std::set<std::string> all;
    for (const StoredRun& run : runs_) all.insert(run.built);
    return fmt::format("{}", fmt::join(all, " and "));
  }
  std::string names() const {
    std::vector<std::string> all;
    for (const StoredRun& run : runs_) all.push_back(run.name);
    return fmt::format("{}", fmt::join(all, ", "));
  }
  std::size_t runs() const { return runs_.size(); }

 private:
  const std::vector<StoredRun>& runs_;
  std::vector<PointId> order_;  ///< of first appearance
  std::map<PointId, Records> records_;
  std::map<std::pair<Setting, std::uint64_t>, std::set<std::string>> anchors_;
};

std::string group_text(const Record& record) {
  std::string text = fmt::format("{}, n = {}", record.input, record.problem.keys);
  if (record.problem.causal) text += ", causal";
  if (record.decodes()) text += ", decode";
  if (record.threads != 1) text += fmt::format(", {} threads", record.threads);
  if (record.seed != 0) text += fmt::format(", seed {}", record.seed);
  return text;
}

template <class Field>
std::string values_of(const Records& records, Field&& field) {
  std::set<std::string> all;
  for (const Record* record : records) all.insert(field(*record));
  return fmt::format("{}", fmt::join(all, ", "));
}

/// Why times of the two are no answer to whether the code became slower; empty if they are.
std::string incomparable(const Runs& a, const Runs& b, const PointId& id) {
  const Records &of_a = *a.find(id), &of_b = *b.find(id);
  const auto differs = [&](const char* what, const std::string& left, const std::string& right) {
    return left == right ? std::string() : fmt::format("{}: {} and {}", what, left, right);
  };
  const auto machine = [](const Record& record) { return record.machine; };
  const auto pinned = [](const Record& record) {
    return std::string(record.pinned_to.empty() ? "free" : "bound");
  };
  for (const std::string& text :
       {differs("machines", values_of(of_a, machine), values_of(of_b, machine)),
        differs("threads bound or free", values_of(of_a, pinned), values_of(of_b, pinned)),
        differs("anchors", a.anchor_of(id), b.anchor_of(id)),
        differs("compilers and flags", a.built(), b.built())}) {
    if (!text.empty()) return text;
  }
  return {};
}

bool is_timed(const Record& record) {
  return (record.status == Status::ok || record.status == Status::mistrusted) && !record.anchor &&
         !speed_ups(record).empty();
}

/// Logarithms of the time over the anchor's: of each run the median over rounds.
std::vector<double> run_figures(const Records& records) {
  std::vector<double> figures;
  for (const Record* record : records) figures.push_back(-std::log(median(speed_ups(*record))));
  return figures;
}

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

bool ranges_lie_apart(const Records& a, const Records& b) {
  const auto range = [](const Records& records) {
    std::vector<double> all;
    for (const Record* record : records) {
      const std::vector<double> values = speed_ups(*record);
      all.insert(all.end(), values.begin(), values.end());
    }
    const auto [low, high] = std::minmax_element(all.begin(), all.end());
    return std::pair(*low, *high);
  };
  const auto [a_low, a_high] = range(a);
  const auto [b_low, b_high] = range(b);
  return a_high < b_low || b_high < a_low;
}

/// A point that both sides have, its times and verdict left open.
PointComparison blank_comparison(const Records& of_a, const Records& of_b) {
  PointComparison point;
  point.group = group_text(*of_a.front());
  point.variant = of_a.front()->variant;
  point.figures = {figures_of(*of_a.back()), figures_of(*of_b.back())};
  const PointFigures &before = *point.figures[0], &after = *point.figures[1];
  if (const std::string difference = unlike(before, after); !difference.empty()) {
    point.why = "not the same: " + difference;
    point.changes.push_back({point.why, false});
    return point;
  }
  point.changes = changes_between(before, after);
  for (const Records* records : {&of_a, &of_b}) {
    for (const Record* record : *records) {
      if (record->anchor) {
        point.why = "what others are held against";
      } else if (!is_timed(*record)) {
        point.why = fmt::format("{}, no times over an anchor's", to_string(record->status));
      }
    }
  }
  return point;
}

void bracket(SideBySide& comparison, const std::vector<bool>& apart) {
  std::vector<double> log_ratios;
  for (const PointComparison& point : comparison.points) {
    if (point.test) log_ratios.push_back(point.test->mean);
  }
  const std::optional<double> limit = chance_limit(log_ratios);
  for (std::size_t i = 0; i < comparison.points.size(); ++i) {
    PointComparison& point = comparison.points[i];
    if (!point.test) continue;
    const double ratio = point.test->mean;
    point.verdict = TimeVerdict::unclear;
    if (!limit) {
      point.test.reset();
      point.why = "too few points to see what runs differ in by luck";
      continue;
    }
    point.test = MeanTest{ratio, ratio - *limit, ratio + *limit, 1};
    if (std::abs(ratio) < std::max(*limit, std::log1p(comparison.smallest_effect))) continue;
    if (!apart[i]) {
      point.why = "single rounds of the two overlap";
    } else {
      point.verdict = ratio > 0 ? TimeVerdict::slower : TimeVerdict::faster;
    }
  }
}

/// Points that one side alone has.
void add_unpaired(const Runs& side, const Runs& other, const char* name, SideBySide& comparison) {
  std::size_t count = 0, by_threads = 0;
  std::string example;
  for (const PointId& id : side.order()) {
    if (other.find(id) != nullptr) continue;
    const Record& record = *side.find(id)->front();
    if (count++ == 0) example = record.variant + " on " + group_text(record);
    by_threads +=
        std::any_of(other.order().begin(), other.order().end(), [&](const PointId& another) {
          PointId same = another;
          std::get<Setting>(same).threads = record.threads;
          return same == id;
        });
  }
  if (count == 0) return;
  std::string text = fmt::format("{} of {} alone, as {}", counted(count, "point"), name, example);
  if (by_threads > 0) {
    text += fmt::format("; {} of them differ in the number of threads, and are not comparable",
                        by_threads);
  }
  comparison.notices.push_back(text + ".");
}

/// Times of a point that can be compared, and the test that they allow; or why not.
void add_times(const Records& of_a, const Records& of_b, bool tested, PointComparison& point) {
  const std::vector<double> before = run_figures(of_a), after = run_figures(of_b);
  for (const double figure : before) point.times[0].push_back(std::exp(figure));
  for (const double figure : after) point.times[1].push_back(std::exp(figure));
  if (!tested) {
    point.test = MeanTest{.mean = mean(after) - mean(before)};
  } else if (std::min(before.size(), after.size()) >= kLeastRuns) {
    point.test = welch_test(before, after);
  } else {
    point.why = "in too few of the runs";
  }
}

}  // namespace

std::string built_text(const std::string& folder, const std::string& machine) {
  const nlohmann::ordered_json description = machine_description(folder, machine);
  std::vector<std::string> parts;
  for (const char* field : {"compiler", "flags", "instruction_set"}) {
    const auto found = description.find(field);
    if (found != description.end() && found->is_string())
      parts.push_back(found->get<std::string>());
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::optional<double> chance_limit(const std::vector<double>& log_ratios) {
  if (log_ratios.size() < kLeastPoints) return std::nullopt;
  std::vector<double> sizes;
  for (const double ratio : log_ratios) sizes.push_back(std::abs(ratio));
  const auto count = static_cast<double>(sizes.size());
  const double scale = median(sizes) / boost::math::quantile(boost::math::normal(), 0.75);
  const boost::math::students_t t(kEfficiency * count);
  return scale * boost::math::quantile(t, 1 - kFamilyError / count / 2);
}

SideBySide compare_runs(const std::vector<StoredRun>& runs_a, const std::vector<StoredRun>& runs_b,
                        double smallest_effect) {
  const Runs a(runs_a), b(runs_b);
  SideBySide comparison{
      .names = {a.names(), b.names()}, .over_anchor = true, .smallest_effect = smallest_effect};
  const bool tested = std::min(a.runs(), b.runs()) >= kLeastRuns;
  std::vector<bool> apart;
  std::map<std::string, std::size_t> reasons;
  for (const PointId& id : a.order()) {
    const Records *of_a = a.find(id), *of_b = b.find(id);
    if (of_b == nullptr) continue;
    PointComparison point = blank_comparison(*of_a, *of_b);
    if (point.why.empty()) {
      point.why = incomparable(a, b, id);
      if (!point.why.empty()) ++reasons[point.why];
    }
    if (point.why.empty()) add_times(*of_a, *of_b, tested, point);
    apart.push_back(point.test && ranges_lie_apart(*of_a, *of_b));
    comparison.points.push_back(std::move(point));
  }
  for (const auto& [reason, count] : reasons) {
    comparison.notices.push_back(
        fmt::format("Times of {} are not comparable: {}.", counted(count, "point"), reason));
  }
  add_unpaired(a, b, "A", comparison);
  add_unpaired(b, a, "B", comparison);
  if (tested) {
    judge_tests(comparison);
  } else {
    bracket(comparison, apart);
    comparison.notices.push_back(fmt::format(
        "One run says little of another: {} runs of each side make a test.", kLeastRuns));
  }
  return comparison;
}

}  // namespace subquad

#include "report/rounds.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "report/models.h"
#include "report/units.h"

namespace subquad {
namespace {

// A call is slow beyond this many times the lower third of all calls: where one call in three takes
// twice as long, that third is of the fast ones, even for the eighteen calls of a short run.
constexpr double kSlowCall = 1.5;
constexpr double kUsualCall = 1.0 / 3;
constexpr double kSlowShare = 0.2;
// Upper over lower bound of the speed-up's interval.
constexpr double kWideInterval = 2;

bool has_anchor(const Round& round) { return round.anchor_ns > 0; }

/// Times of single calls, each over the anchor's time in its round: what slows the machine for some
/// rounds slows both. The anchor's own, and those of rounds without one, as they are.
std::vector<double> single_calls(const Record& record) {
  const bool relative =
      !record.anchor && std::all_of(record.rounds.begin(), record.rounds.end(), has_anchor);
  std::vector<double> calls;
  for (const Round& round : record.rounds) {
    for (const double call : round.call_ns)
      calls.push_back(relative ? call / round.anchor_ns : call);
  }
  return calls;
}

std::string slow_calls(const Record& record) {
  const std::vector<double> calls = single_calls(record);
  if (calls.size() < 2) return {};
  const double limit = kSlowCall * quantile(calls, kUsualCall);
  const auto slow = static_cast<double>(
      std::count_if(calls.begin(), calls.end(), [&](double call) { return call > limit; }));
  const double share = slow / static_cast<double>(calls.size());
  if (share < kSlowShare) return {};
  return fmt::format("{:.0f}% of the calls take more than {} x as long as usual", 100 * share,
                     kSlowCall);
}

std::string wide_interval(const Record& record) {
  if (record.anchor) return {};
  const MedianInterval interval = median_interval(speed_ups(record), kConfidence);
  if (interval.coverage == 0 || interval.high <= kWideInterval * interval.low) return {};
  return fmt::format("the speed-up is known no better than {} to {}", significant(interval.low),
                     significant(interval.high));
}

}  // namespace

std::vector<double> times_ns(const Record& record) {
  std::vector<double> times;
  for (const Round& round : record.rounds) {
    if (round.time_ns > 0) times.push_back(round.time_ns);
  }
  return times;
}

std::vector<double> speed_ups(const Record& record) {
  std::vector<double> ratios;
  for (const Round& round : record.rounds) {
    if (round.time_ns > 0 && has_anchor(round)) ratios.push_back(round.anchor_ns / round.time_ns);
  }
  return ratios;
}

Side side_of(const std::vector<double>& values, double limit) {
  const MedianInterval interval = median_interval(values, kConfidence);
  if (interval.coverage < kConfidence) return Side::open;
  if (interval.high < limit) return Side::below;
  return interval.low > limit ? Side::above : Side::open;
}

std::vector<double> paired_ratios(const std::vector<const Record*>& first,
                                  const std::vector<const Record*>& second) {
  std::map<std::pair<std::uint64_t, int>, const Round*> rounds;
  for (const Record* record : second) {
    for (const Round& round : record->rounds) rounds[{record->seed, round.round}] = &round;
  }
  std::vector<double> ratios;
  for (const Record* record : first) {
    for (const Round& round : record->rounds) {
      const auto found = rounds.find({record->seed, round.round});
      if (found == rounds.end() || round.time_ns <= 0 || found->second->time_ns <= 0) continue;
      double ratio = round.time_ns / found->second->time_ns;
      if (has_anchor(round) && has_anchor(*found->second)) {
        ratio *= found->second->anchor_ns / round.anchor_ns;
      }
      ratios.push_back(ratio);
    }
  }
  return ratios;
}

std::string instability(const Record& record) {
  const std::string calls = slow_calls(record);
  return calls.empty() ? wide_interval(record) : calls;
}

}  // namespace subquad

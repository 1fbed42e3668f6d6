#include "comparing/builds.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <numeric>

#include "experiments/points.h"
#include "measuring/process.h"
#include "records/hash.h"
#include "records/machine.h"
#include "records/resident.h"
#include "running/point_process.h"
#include "running/shuffled.h"
#include "subquad/error.h"
#include "subquad/random.h"
#include "texts/counted.h"

namespace subquad {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::array<const char*, 2> kSides = {"A", "B"};
/// Of both processes of a point together.
constexpr double kShareOfFreeMemory = 0.75;

/// Of a forward pass, or of several the smallest; 0 where it was not told.
struct PassTimes {
  double wall_ns = 0, cpu_ns = 0;
};

/// Both sides in one round.
using RoundTimes = std::array<PassTimes, 2>;

struct Point {
  std::array<Experiment, 2> single;  ///< for each side
  std::vector<bool> b_first;         ///< by round
  PointComparison& outcome;          ///< of the comparison
  std::vector<RoundTimes> rounds;
  bool over = false;  ///< a side cannot be timed
};

class BuildRounds {
 public:
  /// Makes the points of `comparison`, and fills them.
  BuildRounds(const Experiment& experiment, const std::array<Build, 2>& builds, int rounds,
              SideBySide& comparison);

  std::vector<Point>& points() { return points_; }
  /// Throws Error if a program's file is no longer what it was.
  void check_programs() const;
  /// One round of one point. False if interrupted.
  bool measure(Point& point, int round);
  /// Throws Error if a side has refused every point it was asked for, as usage.
  void check_answers() const;
  std::vector<std::string> notices() const;

 private:
  using Processes = std::array<std::unique_ptr<PointProcess>, 2>;

  bool take_record(Point& point, std::size_t side, PointProcess::Answer answer);
  bool time(Point& point, std::size_t side, PointProcess& process, double& seconds_left,
            PassTimes& best);
  void end(Point& point, std::size_t side, const PointProcess::Ending& ending);

  const std::array<Build, 2>& builds_;
  std::array<std::string, 2> hashes_;
  std::uint64_t memory_bytes_ = 0;
  std::vector<Point> points_;
  std::array<int, 2> schemas_ = {0, 0};
  std::array<std::size_t, 2> answered_ = {0, 0};
  std::array<std::string, 2> refusal_;  ///< the first, of the command line
  bool interrupted_ = false;
};

/// What every process of a side is told.
Experiment for_build(Experiment single, const Build& build, int rounds) {
  single.rounds = rounds;
  single.draws = 1;
  single.spectrum = 0;
  single.anchor = parse_expression("dense");  // takes no part, and both builds know it
  single.plugins.insert(single.plugins.end(), build.plugins.begin(), build.plugins.end());
  return single;
}

/// So many a point has that was judged so often.
int rounds_after(int rounds, int looks) { return looks == 0 ? 0 : rounds << (looks - 1); }

BuildRounds::BuildRounds(const Experiment& experiment, const std::array<Build, 2>& builds,
                         int rounds, SideBySide& comparison)
    : builds_(builds) {
  for (std::size_t side = 0; side < 2; ++side) hashes_[side] = hash_file(builds[side].program);
  memory_bytes_ = experiment.memory_limit_bytes != 0
                      ? experiment.memory_limit_bytes
                      : static_cast<std::uint64_t>(kShareOfFreeMemory / 2 *
                                                   static_cast<double>(available_memory()));
  std::vector<Experiment> singles;
  for (const Group& group : groups_of(experiment)) {
    for (const Expression& variant : group.variants) {
      singles.push_back(single_point(experiment, group, variant));
      PointComparison& outcome = comparison.points.emplace_back();
      outcome.group = group.text();
      outcome.variant = variant.text();
    }
  }
  for (std::size_t i = 0; i < singles.size(); ++i) {
    std::vector<bool> b_first;
    for (int look = 0; look < kMostLooks; ++look) {
      const int more = rounds_after(rounds, look + 1) - rounds_after(rounds, look);
      const std::vector<bool> drawn = rounds_with_b_first(more, i + look * singles.size());
      b_first.insert(b_first.end(), drawn.begin(), drawn.end());
    }
    points_.push_back({.single = {for_build(singles[i], builds[0], rounds),
                                  for_build(singles[i], builds[1], rounds)},
                       .b_first = std::move(b_first),
                       .outcome = comparison.points[i],
                       .rounds = {}});
  }
}

void BuildRounds::check_programs() const {
  for (std::size_t side = 0; side < 2; ++side) {
    if (hash_file(builds_[side].program) == hashes_[side]) continue;
    throw Error(builds_[side].program +
                ": is another file than when the comparison began; compare copies of programs that "
                "are built anew meanwhile");
  }
}

bool BuildRounds::measure(Point& point, int round) {
  const std::size_t first = point.b_first[round] ? 1 : 0, second = 1 - first;
  const bool together = 2 * point.single[0].threads.front() <= usable_processors();
  Processes processes;
  std::array<double, 2> seconds_left = {point.single[0].time_limit_s, point.single[1].time_limit_s};
  const auto take = [&](std::size_t side) {
    return take_record(point, side, processes[side]->await(seconds_left[side]));
  };
  bool usable = true;
  for (const std::size_t side : {first, second}) {
    processes[side] =
        std::make_unique<PointProcess>(point.single[side], memory_bytes_, builds_[side].program);
    processes[side]->send("check");
    if (!together) usable = take(side) && usable;
  }
  if (together) {
    for (const std::size_t side : {first, second}) usable = take(side) && usable;
  }
  RoundTimes best;
  // In this order, what changes steadily while they take turns cancels.
  for (const std::size_t side : {first, second, second, first}) {
    usable = usable && time(point, side, *processes[side], seconds_left[side], best[side]);
  }
  point.over = !usable;
  if (usable) point.rounds.push_back(best);
  return !interrupted_;
}

/// Of the answer to `check`. False if this side cannot be timed.
bool BuildRounds::take_record(Point& point, std::size_t side, PointProcess::Answer answer) {
  interrupted_ = interrupted_ || answer.interrupted;
  if (answer.interrupted) return false;
  if (answer.ending) {
    end(point, side, *answer.ending);
    return false;
  }
  PointFigures figures;
  try {
    figures = figures_from_json(answer.json);
  } catch (const Error& error) {
    const bool told = answer.json.is_object() && answer.json.contains("schema");
    throw Error(fmt::format("{} ({}): {}{}", kSides[side], builds_[side].name, error.what(),
                            told ? "; it writes records of schema " + answer.json["schema"].dump() +
                                       ", this program of schema " + std::to_string(kRecordSchema)
                                 : ""));
  }
  ++answered_[side];
  schemas_[side] = figures.schema;
  std::optional<PointFigures>& kept = point.outcome.figures[side];
  if (kept && kept->status == figures.status) {
    // What is allocated beside the arenas may vary.
    figures.scratch_bytes = std::min(figures.scratch_bytes, kept->scratch_bytes);
  }
  const Status status = figures.status;
  kept = std::move(figures);
  return status == Status::ok || status == Status::mistrusted;
}

/// One pass; of several the fastest counts.
bool BuildRounds::time(Point& point, std::size_t side, PointProcess& process, double& seconds_left,
                       PassTimes& best) {
  const PointProcess::Answer answer = process.ask("time", seconds_left);
  interrupted_ = interrupted_ || answer.interrupted;
  if (answer.interrupted) return false;
  if (answer.ending) {
    end(point, side, *answer.ending);
    return false;
  }
  try {
    const bool first = best.wall_ns == 0;
    const double wall_ns = answer.json.at("time_ns"), cpu_ns = answer.json.value("cpu_ns", 0.0);
    const std::string complaint = answer.json.at("complaint");
    PointFigures& figures = *point.outcome.figures[side];
    if (!complaint.empty() && figures.is_ok()) {
      figures.status = Status::mistrusted;
      figures.reason = complaint;
    }
    best.wall_ns = first ? wall_ns : std::min(best.wall_ns, wall_ns);
    best.cpu_ns = first ? cpu_ns : std::min(best.cpu_ns, cpu_ns);
    return wall_ns > 0;
  } catch (const json::exception& error) {
    throw Error(fmt::format("{} ({}): its answer to 'time' cannot be used: {}", kSides[side],
                            builds_[side].name, error.what()));
  }
}

void BuildRounds::end(Point& point, std::size_t side, const PointProcess::Ending& ending) {
  std::optional<PointFigures>& figures = point.outcome.figures[side];
  if (!figures) figures.emplace();
  figures->status = ending.status;
  figures->reason = ending.reason;
  // 2 is what the program ends with where it was asked for what it does not know.
  if (ending.exit_code == 2 && refusal_[side].empty()) refusal_[side] = ending.reason;
}

void BuildRounds::check_answers() const {
  for (std::size_t side = 0; side < 2; ++side) {
    if (answered_[side] > 0 || refusal_[side].empty()) continue;
    throw Error(fmt::format("{} ({}): measures none of the points: {}", kSides[side],
                            builds_[side].name, refusal_[side]));
  }
}

std::vector<std::string> BuildRounds::notices() const {
  std::vector<std::string> notices;
  if (hashes_[0] == hashes_[1] && builds_[0].plugins == builds_[1].plugins) {
    notices.emplace_back("A and B are the same program: whatever differs is chance.");
  }
  if (schemas_[0] != schemas_[1] && schemas_[0] != 0 && schemas_[1] != 0) {
    notices.push_back(fmt::format(
        "A writes records of schema {}, B of schema {}: fields of one name are taken to mean the "
        "same.",
        schemas_[0], schemas_[1]));
  }
  return notices;
}

std::string how_it_ended(const PointFigures& figures) {
  return fmt::format("{}: {}", to_string(figures.status), figures.reason);
}

/// Of one thread the processor's time, if all passes tell it, for that does not count while others
/// have the processor; of several the wall's, for they may wait for one another.
void test_times(Point& point) {
  const bool by_processor =
      point.single[0].threads.front() == 1 &&
      std::all_of(point.rounds.begin(), point.rounds.end(), [](const RoundTimes& round) {
        return round[0].cpu_ns > 0 && round[1].cpu_ns > 0;
      });
  std::vector<double> differences;
  point.outcome.times = {};
  for (const RoundTimes& round : point.rounds) {
    const auto time = [&](std::size_t side) {
      return by_processor ? round[side].cpu_ns : round[side].wall_ns;
    };
    for (const std::size_t side : {0, 1}) point.outcome.times[side].push_back(time(side));
    differences.push_back(std::log(time(1) / time(0)));
  }
  point.outcome.test = trimmed_test(differences);
}

/// In what the two sides were not asked the same, as a sentence; or empty.
std::string difference_in_question(const PointComparison& outcome) {
  const std::string difference = unlike(*outcome.figures[0], *outcome.figures[1]);
  return difference.empty() ? difference : "not asked the same: " + difference;
}

/// What the rounds so far say of a point's time: a test, or why there is none.
void take_stock(Point& point) {
  PointComparison& outcome = point.outcome;
  outcome.why = difference_in_question(outcome);
  if (outcome.why.empty() && point.over) {
    const PointFigures &a = *outcome.figures[0], &b = *outcome.figures[1];
    outcome.why = how_it_ended(!a.is_ok() && a.status != Status::mistrusted ? a : b);
  }
  if (outcome.why.empty()) return test_times(point);
  // Whatever was said of earlier rounds.
  outcome.test.reset();
  outcome.adjusted_p.reset();
  outcome.verdict = TimeVerdict::not_timed;
  outcome.settled = true;
}

/// What differs beside the time.
void add_changes(PointComparison& outcome) {
  if (const std::string difference = difference_in_question(outcome); !difference.empty()) {
    outcome.changes = {{difference, false}};
  } else {
    outcome.changes = changes_between(*outcome.figures[0], *outcome.figures[1]);
  }
}

/// Takes rounds [begin, end) of the points at these places. False if interrupted.
bool take_rounds(BuildRounds& trial, const std::vector<std::size_t>& places, int begin, int end,
                 Progress& progress) {
  const std::size_t all = places.size() * static_cast<std::size_t>(end - begin);
  progress.begin(all, 0, static_cast<double>(all));
  for (int round = begin; round < end; ++round) {
    trial.check_programs();
    for (const std::size_t index : shuffled(places.size(), round)) {
      Point& point = trial.points()[places[index]];
      progress.working_on(fmt::format("round {} of {}: {}", round + 1, end, point.outcome.variant));
      if (!point.over && !trial.measure(point, round)) {
        progress.end();
        return false;
      }
      progress.advance(1);
      progress.point_done();
    }
    if (round == 0) trial.check_answers();
  }
  progress.end();
  return true;
}

}  // namespace

Build find_build(const std::string& word) {
  std::error_code ignored;
  std::string program = word;
  if (fs::is_directory(word, ignored))
    program = (fs::path(word) / "build/release/subquad").string();
  if (!fs::is_regular_file(program, ignored) || ::access(program.c_str(), X_OK) != 0) {
    throw Error(word +
                ": no such program; name a subquad program, or a folder that holds "
                "build/release/subquad");
  }
  return {.name = word, .program = fs::absolute(program).string(), .plugins = {}};
}

std::vector<bool> rounds_with_b_first(int rounds, std::size_t point) {
  std::vector<bool> b_first(static_cast<std::size_t>(rounds));
  Generator random(point);
  const bool odd = random.below(2) == 1;  // who goes first once more, if rounds are odd
  const std::vector<std::size_t> order = shuffled(b_first.size(), static_cast<int>(point));
  for (std::size_t i = 0; i < order.size(); ++i) b_first[order[i]] = (i % 2 == 1) != odd;
  return b_first;
}

SideBySide compare_builds(const Experiment& experiment, const std::array<Build, 2>& builds,
                          int rounds, double smallest_effect, Progress& progress) {
  SideBySide comparison{.names = {builds[0].name, builds[1].name},
                        .smallest_effect = smallest_effect};
  BuildRounds trial(experiment, builds, rounds, comparison);
  const InterruptGuard guard;
  std::vector<std::size_t> unsettled(trial.points().size());
  std::iota(unsettled.begin(), unsettled.end(), std::size_t{0});
  while (!unsettled.empty() && comparison.looks < kMostLooks) {
    const int begin = rounds_after(rounds, comparison.looks);
    const int end = rounds_after(rounds, comparison.looks + 1);
    if (begin > 0) {
      progress.note(fmt::format("{} not settled: {} more rounds",
                                counted(unsettled.size(), "point"), end - begin));
    }
    comparison.interrupted = !take_rounds(trial, unsettled, begin, end, progress);
    if (comparison.interrupted) break;
    for (const std::size_t place : unsettled) take_stock(trial.points()[place]);
    judge_tests(comparison, kMostLooks);
    std::erase_if(unsettled, [&](std::size_t place) { return comparison.points[place].settled; });
  }
  comparison.notices = trial.notices();
  if (comparison.looks == 0) return comparison;
  if (comparison.interrupted) {
    comparison.notices.push_back(
        fmt::format("Interrupted: what {} rounds did not settle was not taken on.",
                    rounds_after(rounds, comparison.looks)));
  }
  for (PointComparison& point : comparison.points) add_changes(point);
  return comparison;
}

}  // namespace subquad

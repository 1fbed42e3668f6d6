#include "running/group_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "layers/layer.h"
#include "measuring/block_point.h"
#include "measuring/measure.h"
#include "measuring/reference.h"
#include "measuring/roofline.h"
#include "measuring/statistics.h"
#include "records/machine.h"
#include "records/resident.h"
#include "running/point_process.h"
#include "running/shuffled.h"
#include "subquad/error.h"
#include "texts/json_line.h"

namespace subquad {
namespace {

using nlohmann::json;

/// Beside a point's predicted bytes, what its process takes for the program itself.
constexpr std::uint64_t kProcessBytes = std::uint64_t{48} << 20;
constexpr double kShareOfFreeMemory = 0.75;

std::string gibibytes(std::uint64_t bytes) {
  return fmt::format("{:.3g} GiB", static_cast<double>(bytes) / 0x1p30);
}

/// Builds of a program and its plugins are joined by '+'.
bool uses_plugin(const Record& record) { return record.build.find('+') != std::string::npos; }

void mistrust(Record& record, const std::string& reason) {
  if (reason.empty() || record.status != Status::ok) return;
  record.status = Status::mistrusted;
  record.reason = reason;
}

/// A complaint if a point kept more processors busy than it was given.
std::string too_many_processors(const Record& record) {
  // Processor time of a pass that is not its calls': beginning and ending it. Counts in a pass of
  // one short call only.
  constexpr double kPassNs = 50e3;
  std::vector<double> busy;
  for (const Round& round : record.rounds) {
    const double calls_ns = round.cpu_ns - kPassNs / static_cast<double>(round.iterations);
    busy.push_back(calls_ns / round.time_ns);
  }
  // Half a processor is more than clocks of two kinds can differ by.
  const double processors = median(busy);
  if (!(processors > record.threads + 0.5)) return {};
  return fmt::format("kept {:.1f} processors busy where {} {} asked for", processors,
                     record.threads, record.threads == 1 ? "was" : "were");
}

double forward_seconds_of(const Record& record) {
  double nanoseconds = record.untimed_ns;
  for (const Round& round : record.rounds) {
    nanoseconds += round.time_ns * static_cast<double>(round.iterations);
  }
  return nanoseconds * 1e-9;
}

void add_roofline(const Peak& peak, Record& record) {
  if (record.rounds.empty()) return;
  record.exponential_flops = exponential_flops(peak);
  record.memory_bytes_per_s = read_bytes_per_s(peak, record.useful_bytes, record.threads);
  record.roofline = median_roofline(record);
}

}  // namespace

std::vector<std::vector<std::size_t>> cut_into_batches(const std::vector<std::uint64_t>& bytes,
                                                       bool first_in_all, std::uint64_t budget,
                                                       std::size_t most) {
  std::vector<std::vector<std::size_t>> batches;
  std::uint64_t used = 0;
  for (std::size_t i = first_in_all ? 1 : 0; i < bytes.size(); ++i) {
    if (batches.empty() || used + bytes[i] > budget || batches.back().size() >= most) {
      batches.emplace_back();
      used = 0;
      if (first_in_all) {
        batches.back().push_back(0);
        used = bytes[0];
      }
    }
    batches.back().push_back(i);
    used += bytes[i];
  }
  if (batches.empty() && first_in_all) batches.push_back({0});
  return batches;
}

struct GroupRun::Point {
  Experiment single;
  Record record;
  bool wanted = true;
  bool taken = false;                   ///< moved into a batch
  std::unique_ptr<PointProcess> child;  ///< while it can be timed
  double seconds_left = 0;
};

GroupRun::GroupRun(const Experiment& experiment, const Group& group, const Peak& peak,
                   Progress& progress, Keep keep)
    : experiment_(experiment),
      group_(group),
      peak_(peak),
      progress_(progress),
      keep_(std::move(keep)) {
  const auto available = static_cast<double>(available_memory());
  memory_limit_ = experiment.memory_limit_bytes != 0
                      ? experiment.memory_limit_bytes
                      : static_cast<std::uint64_t>(kShareOfFreeMemory * available);
}

double GroupRun::work_of_point(const Experiment& experiment, const Group& group) {
  return static_cast<double>(group.length) * (1 + experiment.rounds);
}

bool GroupRun::measure(const std::vector<Expression>& wanted) {
  progress_.working_on(group_.text());
  const Experiment any = single_point(experiment_, group_, wanted.front());
  subject_ = make_subject(any);
  std::vector<Point> points;
  const auto is_anchor = [&](const Expression& variant) {
    return group_.anchor && variant.text() == group_.anchor->text();
  };
  const bool needs_anchor = group_.anchor && experiment_.rounds > 0;
  if (needs_anchor && std::none_of(wanted.begin(), wanted.end(), is_anchor)) {
    declare(*group_.anchor, false, points);
  }
  for (const Expression& variant : wanted) {
    if (interrupted_) return false;
    declare(variant, true, points);
  }
  if (interrupted_) return false;
  const auto is_wanted = [](const Point& point) { return point.wanted; };
  if (std::none_of(points.begin(), points.end(), is_wanted)) return true;
  // Here, so that it is neither computed by each point's process nor charged to one of them.
  subject_->prepare_reference();
  if (const auto problem = take_cache_problem()) progress_.note(*problem);

  const auto budget =
      static_cast<std::uint64_t>(kShareOfFreeMemory * static_cast<double>(available_memory()));
  std::vector<std::uint64_t> bytes;
  for (const Point& point : points) {
    bytes.push_back(point.record.predicted_bytes + kProcessBytes);
  }
  const bool has_anchor = is_anchor(points.front().single.variants.front());
  for (const std::vector<std::size_t>& indices : cut_into_batches(bytes, has_anchor, budget)) {
    std::vector<Point> batch;
    for (const std::size_t index : indices) {
      if (points[index].taken) {
        declare(*group_.anchor, false, batch);  // once more, beside other points
      } else {
        batch.push_back(std::move(points[index]));
        points[index].taken = true;
      }
    }
    if (!measure_batch(batch)) return false;
  }
  return true;
}

/// Adds the point to `points`, or keeps its record if it need not run.
void GroupRun::declare(const Expression& variant, bool wanted, std::vector<Point>& points) {
  Point point{.single = single_point(experiment_, group_, variant), .wanted = wanted};
  point.seconds_left = experiment_.time_limit_s;
  if (!wanted) point.single.spectrum = 0;  // nobody keeps its record
  point.record = subject_->blank_record(point.single);
  if (can_run(point)) {
    points.push_back(std::move(point));
    return;
  }
  progress_.advance(work_of_point(experiment_, group_));
  if (interrupted_ || !wanted) return;
  keep_(point.record);
  progress_.point_done();
}

/// Completes the record by what the layer declares. False if that ends the point.
bool GroupRun::can_run(Point& point) {
  Record& record = point.record;
  if (uses_plugin(record)) {
    // Not here: what it says of itself may crash.
    if (!declare_in_child(point)) return false;
  } else {
    declare_point(record);
  }
  if (record.status != Status::ok) return false;
  if (record.predicted_bytes <= memory_limit_) return true;
  end(point, Status::out_of_memory,
      fmt::format("predicted to take {}, beyond the limit of {}: not run",
                  gibibytes(record.predicted_bytes), gibibytes(memory_limit_)));
  return false;
}

bool GroupRun::declare_in_child(Point& point) {
  start(point);
  json answer;
  const std::string blank = json_line(to_json(point.record));
  if (!ask(point, "declare " + blank, answer)) return false;
  const bool told = take_record(point, answer);
  point.child.reset();
  return told;
}

bool GroupRun::measure_batch(std::vector<Point>& points) {
  if (!check_all(points)) return false;
  for (int round = 0; round < experiment_.rounds; ++round) {
    progress_.working_on(
        fmt::format("{}: round {} of {}", group_.text(), round + 1, experiment_.rounds));
    if (!time_round(round, points)) return false;
  }
  for (Point& point : points) finish(point);
  return true;
}

void GroupRun::start(Point& point) {
  point.child = std::make_unique<PointProcess>(point.single, memory_limit_);
}

/// Set-up and checks of all points; two at a time where that leaves each the processors that it
/// was given, since nothing is timed yet. False if interrupted.
bool GroupRun::check_all(std::vector<Point>& points) {
  const bool in_pairs = 2 * group_.threads <= usable_processors();
  std::size_t begun = 0;
  for (std::size_t i = 0; i < points.size(); ++i) {
    for (; begun < points.size() && begun <= i + (in_pairs ? 1 : 0); ++begun) {
      start(points[begun]);
      points[begun].child->send("check");
    }
    progress_.working_on(group_.text() + ": " + points[i].record.variant);
    json answer;
    if (await(points[i], answer)) take_record(points[i], answer);
    if (interrupted_) return false;
    progress_.advance(static_cast<double>(group_.length));
  }
  return true;
}

/// A record that the process sent, in which what this program knows better stays.
bool GroupRun::take_record(Point& point, const json& answer) {
  const Record mine = point.record;
  try {
    point.record = record_from_json(answer);
  } catch (const std::exception& error) {
    end(point, Status::failed, fmt::format("its process answered nonsense: {}", error.what()));
    return false;
  }
  point.record.key = mine.key;
  point.record.build = mine.build;
  point.record.machine = mine.machine;
  point.record.experiment = mine.experiment;
  point.record.command = mine.command;
  return true;
}

/// False if interrupted.
bool GroupRun::time_round(int round, std::vector<Point>& points) {
  double anchor_ns = 0;
  for (const std::size_t index : shuffled(points.size(), round)) {
    Point& point = points[index];
    progress_.advance(static_cast<double>(group_.length));
    if (!point.child || !time(point, round)) {
      if (interrupted_) return false;
      continue;
    }
    if (point.record.anchor) anchor_ns = point.record.rounds.back().time_ns;
  }
  for (Point& point : points) {
    if (!point.record.rounds.empty() && point.record.rounds.back().round == round) {
      point.record.rounds.back().anchor_ns = anchor_ns;
    }
  }
  return true;
}

/// One timing pass into the record.
bool GroupRun::time(Point& point, int round) {
  json pass;
  if (!ask(point, "time", pass)) return false;
  try {
    point.record.rounds.push_back({.round = round,
                                   .time_ns = pass.at("time_ns"),
                                   .iterations = pass.at("iterations"),
                                   .unix_time = pass.at("unix_time"),
                                   .cpu_ns = pass.at("cpu_ns"),
                                   .call_ns = pass.at("call_ns"),
                                   .peak_gflops = pass.at("peak_gflops"),
                                   .bf16_peak_gflops = pass.at("bf16_peak_gflops")});
    mistrust(point.record, pass.at("complaint"));
    return true;
  } catch (const json::exception& error) {
    end(point, Status::failed, fmt::format("its process answered nonsense: {}", error.what()));
    return false;
  }
}

void GroupRun::finish(Point& point) {
  point.child.reset();
  mistrust(point.record, too_many_processors(point.record));
  forward_s_ += forward_seconds_of(point.record);
  if (!point.wanted) return;
  add_roofline(peak_, point.record);
  keep_(point.record);
  progress_.point_done();
}

/// Sends a request and waits for the answer.
bool GroupRun::ask(Point& point, const std::string& request, json& answer) {
  point.child->send(request);
  return await(point, answer);
}

/// False if there is no answer to use: the point has ended, or `interrupted_` is set.
bool GroupRun::await(Point& point, json& answer) {
  PointProcess::Answer got = point.child->await(point.seconds_left);
  interrupted_ = interrupted_ || got.interrupted;
  if (got.ending) end(point, got.ending->status, got.ending->reason);
  if (got.interrupted || got.ending) return false;
  answer = std::move(got.json);
  return true;
}

void GroupRun::end(Point& point, Status status, const std::string& reason) {
  point.child.reset();
  point.record.status = status;
  point.record.reason = reason;
  if (status == Status::timeout || status == Status::out_of_memory) {
    point.record.key = point_key(point.single, point.record.build, true);
  }
}

}  // namespace subquad

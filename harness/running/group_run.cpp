#include "running/group_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <memory>
#include <numeric>

#include "layers/layer.h"
#include "measuring/measure.h"
#include "measuring/process.h"
#include "measuring/reference.h"
#include "measuring/timing.h"
#include "records/resident.h"
#include "subquad/error.h"
#include "subquad/random.h"

namespace subquad {
namespace {

using nlohmann::json;

/// Beside a point's predicted bytes, what its process takes for the program itself.
constexpr std::uint64_t kProcessBytes = std::uint64_t{48} << 20;
constexpr double kShareOfFreeMemory = 0.75;

/// Order of the points in one round: the same whenever the run is repeated.
std::vector<std::size_t> shuffled(std::size_t count, int round) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  Generator random(static_cast<std::uint64_t>(round), count);
  for (std::size_t i = count; i > 1; --i) {
    std::swap(order[i - 1], order[static_cast<std::size_t>(random.below(static_cast<Index>(i)))]);
  }
  return order;
}

std::string gibibytes(std::uint64_t bytes) {
  return fmt::format("{:.3g} GiB", static_cast<double>(bytes) / 0x1p30);
}

}  // namespace

std::vector<std::vector<std::size_t>> cut_into_batches(const std::vector<std::uint64_t>& bytes,
                                                       bool first_in_all, std::uint64_t budget) {
  std::vector<std::vector<std::size_t>> batches;
  std::uint64_t used = 0;
  for (std::size_t i = first_in_all ? 1 : 0; i < bytes.size(); ++i) {
    if (batches.empty() || used + bytes[i] > budget) {
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
  std::unique_ptr<ChildProcess> child;  ///< while it can be timed
  double seconds_left = 0;
};

GroupRun::GroupRun(const Experiment& experiment, const Group& group, Progress& progress, Keep keep)
    : experiment_(experiment), group_(group), progress_(progress), keep_(std::move(keep)) {
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
  input_ = make_input_of(any);
  problem_ = problem_of(any, input_);
  std::vector<Point> points;
  const auto is_anchor = [&](const Expression& variant) {
    return group_.anchor && variant.text() == group_.anchor->text();
  };
  if (group_.anchor && std::none_of(wanted.begin(), wanted.end(), is_anchor)) {
    declare(*group_.anchor, false, points);
  }
  for (const Expression& variant : wanted) declare(variant, true, points);
  const auto is_wanted = [](const Point& point) { return point.wanted; };
  if (std::none_of(points.begin(), points.end(), is_wanted)) return true;
  // Here, so that it is neither computed by each point's process nor charged to one of them.
  reference_of(parse_expression("dense"), input_, problem_, experiment_.reference_rows);
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
  point.record = blank_record(point.single, input_, problem_);
  point.record.reason = impossible(point);
  if (point.record.reason.empty()) {
    points.push_back(std::move(point));
    return;
  }
  progress_.advance(work_of_point(experiment_, group_));
  end(point, point.record.status, point.record.reason);
  if (wanted) {
    keep_(point.record);
    progress_.point_done();
  }
}

/// Why the point cannot run, with its status; or empty.
std::string GroupRun::impossible(Point& point) {
  Record& record = point.record;
  try {
    const Layer layer(point.single.variants.front(), problem_, input_.heads);
    record.status = Status::refused;
    const std::string reason = layer.refuses();
    if (!reason.empty()) return reason;
    record.status = Status::out_of_memory;
    describe_layer(layer, input_, group_.threads, record);
    if (record.predicted_bytes > memory_limit_) {
      return fmt::format("predicted to take {}, beyond the limit of {}: not run",
                         gibibytes(record.predicted_bytes), gibibytes(memory_limit_));
    }
    return {};
  } catch (const std::exception& error) {
    record.status = Status::failed;
    return error.what();
  }
}

bool GroupRun::measure_batch(std::vector<Point>& points) {
  for (Point& point : points) {
    progress_.working_on(group_.text() + ": " + point.record.variant);
    if (!start(point)) return false;
    progress_.advance(static_cast<double>(group_.length));
  }
  for (int round = 0; round < experiment_.rounds; ++round) {
    progress_.working_on(
        fmt::format("{}: round {} of {}", group_.text(), round + 1, experiment_.rounds));
    if (!time_round(round, points)) return false;
  }
  for (Point& point : points) {
    point.child.reset();
    if (!point.wanted) continue;
    keep_(point.record);
    progress_.point_done();
  }
  return true;
}

/// Set-up and checks in a new process. False if interrupted, as below.
bool GroupRun::start(Point& point) {
  std::vector<std::string> arguments = {"measure"};
  const std::vector<std::string> of_point = repeat_arguments(point.single);
  arguments.insert(arguments.end(), of_point.begin(), of_point.end());
  arguments.insert(arguments.end(), {"--memory-limit", std::to_string(memory_limit_)});
  point.child = std::make_unique<ChildProcess>(arguments);
  std::string answer;
  if (!ask(point, answer)) return !interrupted_;
  const Record mine = point.record;
  try {
    point.record = record_from_json(json::parse(answer));
  } catch (const std::exception& error) {
    end(point, Status::failed, fmt::format("its process answered nonsense: {}", error.what()));
    return true;
  }
  point.record.key = mine.key;
  point.record.build = mine.build;
  point.record.experiment = mine.experiment;
  point.record.command = mine.command;
  return true;
}

bool GroupRun::time_round(int round, std::vector<Point>& points) {
  double anchor_ns = 0;
  for (const std::size_t index : shuffled(points.size(), round)) {
    Point& point = points[index];
    progress_.advance(static_cast<double>(group_.length));
    if (!point.child) continue;
    point.child->send("time");
    std::string answer;
    if (!ask(point, answer)) {
      if (interrupted_) return false;
      continue;
    }
    const json pass = json::parse(answer);
    point.record.rounds.push_back({.round = round,
                                   .time_ns = pass.at("time_ns"),
                                   .iterations = pass.at("iterations"),
                                   .unix_time = pass.at("unix_time")});
    if (point.record.anchor) anchor_ns = point.record.rounds.back().time_ns;
  }
  for (Point& point : points) {
    if (!point.record.rounds.empty() && point.record.rounds.back().round == round) {
      point.record.rounds.back().anchor_ns = anchor_ns;
    }
  }
  return true;
}

/// Waits for the process's answer. False if there is none to use: the point has ended, or
/// `interrupted_` is set.
bool GroupRun::ask(Point& point, std::string& answer) {
  const double begin = steady_seconds();
  const ChildProcess::Reply reply = point.child->receive(answer, point.seconds_left);
  point.seconds_left -= steady_seconds() - begin;
  switch (reply) {
    case ChildProcess::Reply::interrupted:
      interrupted_ = true;
      return false;
    case ChildProcess::Reply::too_late:
      end(point, Status::timeout,
          fmt::format("took longer than the limit of {} s", experiment_.time_limit_s));
      return false;
    case ChildProcess::Reply::ended:
      end_by_itself(point);
      return false;
    case ChildProcess::Reply::line:
      break;
  }
  const json message = json::parse(answer, nullptr, false);
  if (message.is_object() && !message.contains("schema") && message.contains("status")) {
    end(point, status_from_string(message["status"]), message["reason"]);
    return false;
  }
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

void GroupRun::end_by_itself(Point& point) {
  const ChildProcess::Ending ending = point.child->wait();
  std::string words = point.child->last_words();
  if (!words.empty()) words = ": " + words;
  if (ending.signal == SIGKILL) {
    // Not by this program, which would have said so.
    end(point, Status::out_of_memory, "killed, most likely by the system for want of memory");
  } else if (ending.signal != 0) {
    end(point, Status::crashed, signal_text(ending.signal) + words);
  } else {
    end(point, Status::failed,
        fmt::format("its process ended with exit code {}{}", ending.code, words));
  }
}

}  // namespace subquad

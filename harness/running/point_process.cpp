#include "running/point_process.h"

#include <fmt/format.h>

#include <csignal>

#include "experiments/points.h"
#include "measuring/measure.h"
#include "measuring/timing.h"

namespace subquad {
namespace {

using nlohmann::json;

std::vector<std::string> arguments_of(const Experiment& single, std::uint64_t memory_bytes) {
  std::vector<std::string> arguments = {"measure"};
  const std::vector<std::string> of_point = repeat_arguments(single);
  arguments.insert(arguments.end(), of_point.begin(), of_point.end());
  arguments.insert(arguments.end(), {"--memory-limit", std::to_string(memory_bytes)});
  return arguments;
}

}  // namespace

PointProcess::PointProcess(const Experiment& single, std::uint64_t memory_bytes,
                           const std::string& program)
    : time_limit_s_(single.time_limit_s),
      memory_bytes_(memory_bytes),
      child_(arguments_of(single, memory_bytes), program) {}

PointProcess::Answer PointProcess::await(double& seconds_left) {
  const double begin = steady_seconds();
  std::string line;
  const ChildProcess::Reply reply =
      child_.receive(line, seconds_left, memory_bytes_ + kProcessSlackBytes);
  seconds_left -= steady_seconds() - begin;
  switch (reply) {
    case ChildProcess::Reply::interrupted:
      return {.json = {}, .ending = {}, .interrupted = true};
    case ChildProcess::Reply::too_late:
      return {{},
              Ending{Status::timeout,
                     fmt::format("took longer than the limit of {} s", time_limit_s_)}};
    case ChildProcess::Reply::too_large:
      return {
          {},
          Ending{Status::out_of_memory, fmt::format("grew beyond the limit of {:.3g} GiB",
                                                    static_cast<double>(memory_bytes_) / 0x1p30)}};
    case ChildProcess::Reply::ended:
      return {{}, ended_by_itself()};
    case ChildProcess::Reply::line:
      break;
  }
  Answer answer{.json = json::parse(line, nullptr, false), .ending = {}};
  const json& told = answer.json;
  if (!told.is_object() || told.contains("schema") || !told.contains("status")) return answer;
  try {
    answer.ending = Ending{status_from_string(told.at("status")), told.at("reason")};
  } catch (const std::exception& error) {
    answer.ending =
        Ending{Status::failed, fmt::format("its process answered nonsense: {}", error.what())};
  }
  return answer;
}

PointProcess::Ending PointProcess::ended_by_itself() {
  const ChildProcess::Ending ending = child_.wait();
  std::string words = child_.last_words();
  if (!words.empty()) words = ": " + words;
  if (ending.had_to_be_ended) return {Status::failed, "its process gave up the channel" + words};
  if (ending.signal == SIGKILL && ending.out_of_memory) {
    return {Status::out_of_memory, "killed by the system for want of memory"};
  }
  if (ending.signal != 0) return {Status::crashed, signal_text(ending.signal) + words};
  return {Status::failed, fmt::format("its process ended with exit code {}{}", ending.code, words),
          ending.code};
}

}  // namespace subquad

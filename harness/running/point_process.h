#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "experiments/experiment.h"
#include "measuring/process.h"
#include "records/record.h"

namespace subquad {

/// A point in a process of its own, which answers line by line (`serve_point`). To be started from
/// the main thread.
class PointProcess {
 public:
  /// Beyond `memory_bytes` (and what the program takes itself) it is ended. `program` as in
  /// ChildProcess.
  PointProcess(const Experiment& single, std::uint64_t memory_bytes,
               const std::string& program = {});

  /// Why there is no answer.
  struct Ending {
    Status status = Status::failed;
    std::string reason;
    int exit_code = 0;  ///< of a process that ended by itself, unasked
  };
  struct Answer {
    nlohmann::json json;           ///< may be nonsense
    std::optional<Ending> ending;  ///< then the process is of no more use
    bool interrupted = false;      ///< by a signal to this program (InterruptGuard)
  };

  void send(const std::string& request) { child_.send(request); }
  /// Waits for the answer to the oldest request, for at most `seconds_left`, of which it takes off
  /// what that took.
  Answer await(double& seconds_left);
  Answer ask(const std::string& request, double& seconds_left) {
    send(request);
    return await(seconds_left);
  }

 private:
  Ending ended_by_itself();

  double time_limit_s_;
  std::uint64_t memory_bytes_;
  ChildProcess child_;
};

}  // namespace subquad

#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>

namespace subquad {

/// One timing pass by Google Benchmark.
struct TimedPass {
  double time_ns = 0;  ///< wall time of one call, mean over `iterations`
  std::int64_t iterations = 0;
  double unix_time = 0;  ///< seconds, when the pass began
};

/// Times one function of this process, again and again with the same number of calls. One at a
/// time.
class Timer {
 public:
  Timer(std::function<void()> call, std::int64_t iterations);
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  /// One pass. An exception of the call comes through.
  TimedPass pass();

 private:
  std::function<void()> call_;
  std::exception_ptr thrown_;
};

/// Seconds since 1970, and since some fixed moment.
double unix_seconds();
double steady_seconds();

}  // namespace subquad

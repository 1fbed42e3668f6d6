#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <vector>

namespace subquad {

/// One timing pass by Google Benchmark.
struct TimedPass {
  double time_ns = 0;  ///< wall time of one call, mean over `iterations`
  std::int64_t iterations = 0;
  double unix_time = 0;  ///< seconds, when the pass began
  double cpu_ns = 0;     ///< processor time of all threads of the process, per call
  /// Wall times of single calls in increasing order: all, or `call_times` order statistics at the
  /// quantiles (i + 1/2) / call_times. Of a long pass they are taken over some 4096 of its calls.
  std::vector<double> call_ns;
  double peak_gflops = 0, bf16_peak_gflops = 0;  ///< as in `Round`; not the timer's to fill
};

/// How often to call in a pass that is to last `min_time_s`: by the fastest of `first_call_s` and
/// of a few more calls. The first one also warmed caches and page tables, and any may have been
/// held up by what else runs here; only one longer than a hold-up is believed at once. `one_more`
/// calls, and says how many seconds that took.
std::int64_t calls_in_a_pass(double min_time_s, double first_call_s,
                             const std::function<double()>& one_more);

/// Times one function of this process, again and again with the same number of calls. One at a
/// time.
class Timer {
 public:
  /// `before_each`, where given, is done before each call and not timed.
  Timer(std::function<void()> call, std::int64_t iterations, std::size_t call_times = 8,
        std::function<void()> before_each = {});
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  /// One pass. An exception of the call comes through.
  TimedPass pass();

 private:
  void register_back_to_back(std::int64_t iterations);
  void register_one_by_one(std::int64_t iterations);
  double single_call_ns();
  std::vector<double> call_times() const;

  std::function<void()> call_, before_each_;
  std::int64_t stride_;  ///< every so many calls one is timed by itself
  std::size_t call_times_;
  std::vector<float> single_ns_;
  double cpu_ns_ = 0;  ///< of the whole pass
  std::exception_ptr thrown_;
};

/// Seconds since 1970, and since some fixed moment.
double unix_seconds();
double steady_seconds();

}  // namespace subquad

#include "measuring/timing.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <stdexcept>
#include <utility>

namespace subquad {
namespace {

/// Keeps the run instead of printing it.
class Keeper final : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      if (run.run_type != Run::RT_Iteration || run.error_occurred) continue;
      iterations = run.iterations;
      seconds = run.real_accumulated_time;
    }
  }

  std::int64_t iterations = 0;
  double seconds = 0;
};

/// Calls are timed singly as often as that does not disturb them. A prime, so that what comes back
/// every few calls is not missed by keeping step with it.
std::int64_t stride_for(std::int64_t iterations) {
  constexpr std::int64_t kMost = 4096;
  for (const std::int64_t stride : {1, 11, 101, 1009, 10007, 100003}) {
    if (iterations / stride <= kMost) return stride;
  }
  return 1000003;
}

double process_cpu_ns() {
  timespec time{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

}  // namespace

std::int64_t calls_in_a_pass(double min_time_s, double first_call_s,
                             const std::function<double()>& one_more) {
  constexpr int kMoreCalls = 3;
  constexpr double kHoldUpSeconds = 0.05;
  constexpr double kMost = 1e9;
  const double believed_s = std::max(min_time_s, kHoldUpSeconds);
  double fastest_s = first_call_s;
  for (int more = 0; more < kMoreCalls && fastest_s < believed_s; ++more) {
    fastest_s = std::min(fastest_s, one_more());
  }
  return static_cast<std::int64_t>(std::clamp(std::ceil(min_time_s / fastest_s), 1.0, kMost));
}

Timer::Timer(std::function<void()> call, std::int64_t iterations, std::size_t call_times,
             std::function<void()> before_each)
    : call_(std::move(call)),
      before_each_(std::move(before_each)),
      stride_(stride_for(iterations)),
      call_times_(call_times) {
  single_ns_.reserve(static_cast<std::size_t>(iterations / stride_ + 1));
  if (before_each_) {
    register_one_by_one(iterations);
  } else {
    register_back_to_back(iterations);
  }
}

double Timer::single_call_ns() {
  const auto start = std::chrono::steady_clock::now();
  call_();
  const auto end = std::chrono::steady_clock::now();
  return std::chrono::duration<double, std::nano>(end - start).count();
}

void Timer::register_back_to_back(std::int64_t iterations) {
  const auto body = [this](benchmark::State& state) {
    single_ns_.clear();
    try {
      const double begin = process_cpu_ns();
      std::int64_t until_timed = 1;
      for ([[maybe_unused]] auto _ : state) {
        if (--until_timed > 0) {
          call_();
          continue;
        }
        until_timed = stride_;
        single_ns_.push_back(static_cast<float>(single_call_ns()));
      }
      cpu_ns_ = process_cpu_ns() - begin;
    } catch (...) {
      thrown_ = std::current_exception();
      state.SkipWithError("exception");
    }
  };
  // A fixed number of calls, the same in every round: Google Benchmark's own choice would spend
  // several times the pass on finding it, each time anew.
  benchmark::RegisterBenchmark("point", body)->Iterations(iterations)->UseRealTime();
}

/// The engine's own way to leave something out (PauseTiming) reads three clocks within what it
/// times; here each call is between two readings of one.
void Timer::register_one_by_one(std::int64_t iterations) {
  const auto body = [this](benchmark::State& state) {
    single_ns_.clear();
    cpu_ns_ = 0;
    try {
      std::int64_t until_kept = 1;
      for ([[maybe_unused]] auto _ : state) {
        before_each_();
        const double begin = process_cpu_ns();
        const double nanoseconds = single_call_ns();
        cpu_ns_ += process_cpu_ns() - begin;
        state.SetIterationTime(nanoseconds * 1e-9);
        if (--until_kept > 0) continue;
        until_kept = stride_;
        single_ns_.push_back(static_cast<float>(nanoseconds));
      }
    } catch (...) {
      thrown_ = std::current_exception();
      state.SkipWithError("exception");
    }
  };
  benchmark::RegisterBenchmark("point", body)->Iterations(iterations)->UseManualTime();
}

std::vector<double> Timer::call_times() const {
  std::vector<double> sorted(single_ns_.begin(), single_ns_.end());
  std::sort(sorted.begin(), sorted.end());
  if (sorted.size() <= call_times_) return sorted;
  std::vector<double> chosen;
  for (std::size_t i = 0; i < call_times_; ++i) {
    chosen.push_back(sorted[(2 * i + 1) * sorted.size() / (2 * call_times_)]);
  }
  return chosen;
}

Timer::~Timer() { benchmark::ClearRegisteredBenchmarks(); }

TimedPass Timer::pass() {
  Keeper keeper;
  const double begin = unix_seconds();
  benchmark::RunSpecifiedBenchmarks(&keeper);
  if (thrown_) std::rethrow_exception(std::exchange(thrown_, nullptr));
  if (keeper.iterations == 0) throw std::logic_error("the timing engine ran nothing");
  const auto calls = static_cast<double>(keeper.iterations);
  return {.time_ns = keeper.seconds * 1e9 / calls,
          .iterations = keeper.iterations,
          .unix_time = begin,
          .cpu_ns = cpu_ns_ / calls,
          .call_ns = call_times()};
}

double unix_seconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

double steady_seconds() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

}  // namespace subquad

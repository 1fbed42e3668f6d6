#include "measuring/timing.h"

#include <benchmark/benchmark.h>

#include <chrono>
#include <stdexcept>

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

}  // namespace

Timer::Timer(std::function<void()> call, std::int64_t iterations) : call_(std::move(call)) {
  const auto body = [this](benchmark::State& state) {
    try {
      for ([[maybe_unused]] auto _ : state) call_();
    } catch (...) {
      thrown_ = std::current_exception();
      state.SkipWithError("exception");
    }
  };
  // A fixed number of calls, the same in every round: Google Benchmark's own choice would spend
  // several times the pass on finding it, each time anew.
  benchmark::RegisterBenchmark("point", body)->Iterations(iterations)->UseRealTime();
}

Timer::~Timer() { benchmark::ClearRegisteredBenchmarks(); }

TimedPass Timer::pass() {
  Keeper keeper;
  const double begin = unix_seconds();
  benchmark::RunSpecifiedBenchmarks(&keeper);
  if (thrown_) std::rethrow_exception(std::exchange(thrown_, nullptr));
  if (keeper.iterations == 0) throw std::logic_error("the timing engine ran nothing");
  return {keeper.seconds * 1e9 / static_cast<double>(keeper.iterations), keeper.iterations, begin};
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

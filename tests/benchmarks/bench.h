#pragma once

/// What the benchmarks of kernels share. A benchmark's name begins with the stem of the header that
/// it is about.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <ctime>
#include <vector>

#include "inputs/input.h"
#include "records/peak_probe.h"
#include "subquad/random.h"
#include "subquad/variant.h"
#include "support/simple_run.h"

namespace subquad::bench {

/// Rows of normal numbers, the same in every run.
class Matrix {
 public:
  Matrix(Index rows, Index cols, std::uint64_t seed = 1, float scale = 1)
      : values_(static_cast<std::size_t>(rows * cols)), rows_(rows), cols_(cols) {
    Generator random(seed);
    random.normals(values_, scale);
  }
  View view() { return {values_.data(), rows_, cols_}; }
  AlignedFloats& values() { return values_; }

 private:
  AlignedFloats values_;
  Index rows_, cols_;
};

/// Processor time of this thread: what other processes take of the machine does not count.
inline double seconds_now() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

/// GFLOP/s of float32 multiply-adds at this moment, on this thread.
inline double peak_gflops() {
  PeakProbe probe(Arithmetic::float32, 1);
  probe.take_part();
  return probe.gflops();
}

/// Times body() and reports `useful` work of one call, `bytes` that it has to move, and what it
/// executes, against the peak right before and after.
template <class Body>
void time_work(benchmark::State& state, const Work& useful, const Work& executed, double bytes,
               Body body) {
  double peak = peak_gflops();
  const double begin = seconds_now();
  for ([[maybe_unused]] auto _ : state) {
    body();
    benchmark::ClobberMemory();
  }
  const double seconds = seconds_now() - begin;
  peak = std::max(peak, peak_gflops());
  const auto per_ns = [&](double amount) {
    return amount * static_cast<double>(state.iterations()) / seconds * 1e-9;
  };
  if (useful.multiply_adds > 0) {
    state.counters["GFLOP/s"] = per_ns(2 * useful.multiply_adds);
    state.counters["GFLOP/s run"] = per_ns(2 * executed.multiply_adds);
    state.counters["% of peak"] = 100 * per_ns(2 * useful.multiply_adds) / peak;
    state.counters["% run"] = 100 * per_ns(2 * executed.multiply_adds) / peak;
  }
  if (useful.exponentials > 0) state.counters["Gexp/s"] = per_ns(useful.exponentials);
  if (bytes > 0) state.counters["GB/s"] = per_ns(bytes);
}

/// The same of a kernel that reports what it executes to `run`, whose arenas are empty again at
/// every call.
template <class Body>
void time_kernel(benchmark::State& state, SimpleRun& run, const Work& useful, double bytes,
                 Body body) {
  const auto pass = [&] {
    run.shared().rewind(0);
    run.worker().scratch.rewind(0);
    body();
  };
  const Work before = run.executed();
  pass();
  const Work executed{.multiply_adds = run.executed().multiply_adds - before.multiply_adds,
                      .exponentials = run.executed().exponentials - before.exponentials};
  time_work(state, useful, executed, bytes, pass);
}

/// One head of a variant on normal inputs, on one thread.
void time_forward(benchmark::State& state, const Variant& variant, const Problem& problem);

/// Self attention of n tokens.
Problem square(Index n, Index dim, bool causal = false);

/// One forward pass of a layer expression of one head: variants that are their kernel and little
/// else.
void time_expression(benchmark::State& state, const char* text, const Problem& problem);

}  // namespace subquad::bench

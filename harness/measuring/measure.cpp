#include "measuring/measure.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "measuring/memory_pass.h"
#include "measuring/own_process.h"
#include "measuring/pass.h"
#include "measuring/subject.h"
#include "measuring/timing.h"
#include "records/peak_probe.h"

namespace subquad {
namespace {

/// Where the output is not finite, or empty.
std::string not_finite(const LayerOutput& output) {
  const auto bad = std::find_if(output.out.begin(), output.out.end(),
                                [](float value) { return !std::isfinite(value); });
  if (bad == output.out.end()) return {};
  const Index row = static_cast<Index>(bad - output.out.begin()) / output.value_dim;
  const Index head = row / output.queries;
  return fmt::format("output is not finite (sequence {}, head {}, row {})", head / output.heads,
                     head % output.heads, row % output.queries);
}

template <class Body>
double nanoseconds_of(Body body) {
  const double begin = steady_seconds();
  body();
  return (steady_seconds() - begin) * 1e9;
}

/// A pass of calls that decode so many tokens each, with every figure that of one token.
TimedPass per_token(TimedPass pass, std::int64_t tokens) {
  const auto count = static_cast<double>(tokens);
  pass.time_ns /= count;
  pass.cpu_ns /= count;
  for (double& call : pass.call_ns) call /= count;
  pass.iterations *= tokens;
  return pass;
}

}  // namespace

struct PointMeasurement::Impl {
  explicit Impl(const Experiment& of) : single(of), subject(make_subject(of)) {
    record = subject->blank_record(single);
    // Before there are threads, which would stay free.
    if (single.pin) record.pinned_to = pin_to_processors(single.threads.front());
    record.setup_ns = nanoseconds_of([this] { subject->set_up(); });
    subject->describe(record);
  }

  void allocate() {
    record.setup_ns += nanoseconds_of([this] { pass = subject->make_pass(); });
    record.untimed_ns += nanoseconds_of([this] { pass->begin(); });
    pass->rewind();
    pass->poison(output, subject->tells_kept_mass());
    threads_before = count_threads();
  }

  /// A run that no round holds; its duration in seconds.
  double untimed_run(bool want_log_sum_exp) {
    const double nanoseconds = nanoseconds_of([&] { pass->run(output, want_log_sum_exp); });
    record.untimed_ns += nanoseconds;
    return nanoseconds * 1e-9;
  }

  void first_pass() {
    watch_memory([this] { allocate(); },
                 [this] { call_s = untimed_run(subject->tells_kept_mass()); }, record);
    threads_after = count_threads();
    pass->describe(record);
    if (!record.cost_exact && record.executed_multiply_adds > 0) {
      // No kernel is asked for more than it does.
      record.useful_multiply_adds =
          std::min(record.useful_multiply_adds, record.executed_multiply_adds);
      record.useful_exponentials =
          std::min(record.useful_exponentials, record.executed_exponentials);
    }
  }

  void take_arithmetic() {
    const ArithmeticCheck check = subject->check_arithmetic();
    record.arithmetic_error = check.error;
    record.arithmetic_tolerance = check.tolerance;
    record.arithmetic_queries = check.queries;
  }

  void prepare_timing() {
    if (single.rounds == 0) return;
    const auto rewind = [this] { pass->rewind(); };
    const std::int64_t calls = calls_in_a_pass(single.min_time_s, call_s, [&] {
      rewind();
      return untimed_run(false);
    });
    timer.emplace([this] { pass->run(output, false); }, calls, kCallTimes,
                  record.decodes() ? rewind : std::function<void()>());
  }

  double peak_gflops(Arithmetic arithmetic) {
    PeakProbe probe(arithmetic, single.threads.front());
    pass->on_every_thread([&] { probe.take_part(); });
    return probe.gflops();
  }

  /// Between two looks at the machine's peak. What else runs there can only slow these down, so the
  /// higher one counts.
  TimedPass time() {
    const bool uses_bf16 = record.executed_bf16_multiply_adds > 0 && has_bf16_units();
    const auto peak_of_bf16 = [&] { return uses_bf16 ? peak_gflops(Arithmetic::bf16) : 0; };
    const double float32 = peak_gflops(Arithmetic::float32), bf16 = peak_of_bf16();
    TimedPass timed = timer->pass();
    if (record.decodes()) timed = per_token(std::move(timed), record.decoded_tokens);
    timed.peak_gflops = std::max(float32, peak_gflops(Arithmetic::float32));
    timed.bf16_peak_gflops = std::max(bf16, peak_of_bf16());
    return timed;
  }

  std::string complaint() const {
    if (threads_after > threads_before) {
      return fmt::format("left {} running",
                         threads_after - threads_before == 1
                             ? "a thread"
                             : fmt::format("{} threads", threads_after - threads_before));
    }
    if (!output.intact()) return "wrote beside its output";
    if (!pass->intact()) return "wrote beside its scratch";
    return {};
  }

  /// Why the point's figures are not to be trusted, or empty.
  std::string doubt() const {
    if (std::string reason = complaint(); !reason.empty()) return reason;
    if (std::string reason = not_finite(output); !reason.empty()) return reason;
    // Not <=, so that an error that is no number does not pass.
    if (record.arithmetic_error >= 0 && !(record.arithmetic_error <= record.arithmetic_tolerance)) {
      return fmt::format("arithmetic error {:.2g} is beyond {:.2g}", record.arithmetic_error,
                         record.arithmetic_tolerance);
    }
    return {};
  }

  Experiment single;
  std::unique_ptr<Subject> subject;
  std::unique_ptr<Pass> pass;
  LayerOutput output;
  int threads_before = 0, threads_after = 0;
  double call_s = 0;
  std::optional<Timer> timer;
  Record record;
};

PointMeasurement::PointMeasurement(const Experiment& single)
    : impl_(std::make_unique<Impl>(single)) {}
PointMeasurement::~PointMeasurement() = default;

void PointMeasurement::check() {
  Impl& my = *impl_;
  // First, because it runs the variant's code: pages of the program are then in memory, and the
  // first pass shows what the variant takes.
  my.take_arithmetic();
  my.first_pass();
  my.record.reason = my.doubt();
  my.record.status = my.record.reason.empty() ? Status::ok : Status::mistrusted;
  my.subject->take_errors(my.output, my.record);
  my.subject->take_input_figures(my.record);
  my.prepare_timing();
}

TimedPass PointMeasurement::time() {
  impl_->threads_before = count_threads();
  const TimedPass pass = impl_->time();
  impl_->threads_after = count_threads();
  return pass;
}

std::string PointMeasurement::complaint() const { return impl_->complaint(); }
const Record& PointMeasurement::record() const { return impl_->record; }

}  // namespace subquad

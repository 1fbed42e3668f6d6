#include "measuring/measure.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "experiments/points.h"
#include "layers/drawn_tensors.h"
#include "measuring/arithmetic.h"
#include "measuring/attention_figures.h"
#include "measuring/block_point.h"
#include "measuring/errors.h"
#include "measuring/memory_pass.h"
#include "measuring/own_process.h"
#include "measuring/pass.h"
#include "measuring/reference.h"
#include "records/peak_probe.h"

namespace subquad {
namespace {

constexpr const char* kPlainDense = "dense";

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

std::int64_t calls_for(double min_time_s, double call_s) {
  constexpr double kMost = 1e9;
  return static_cast<std::int64_t>(std::clamp(std::ceil(min_time_s / call_s), 1.0, kMost));
}

}  // namespace

struct PointMeasurement::Impl {
  explicit Impl(const Experiment& of)
      : single(of), input(make_input_of(of)), problem(problem_of(of, input)) {
    record = blank_record(single, input, problem);
    // Before there are threads, which would stay free.
    if (single.pin) record.pinned_to = pin_to_processors(single.threads.front());
    const double begin = steady_seconds();
    layer.emplace(single.variants.front(), problem, input.heads);
    maker.emplace(*layer, single.inputs.front(), request_of(single));
    tensors = maker->make(single.seeds.front());
    if (record.is_block()) around.emplace(record, input, projections_of(layer->consumes()));
    record.setup_ns = (steady_seconds() - begin) * 1e9;
    describe_layer(*layer, record);
  }

  void allocate() {
    record.setup_ns += nanoseconds_of([this] {
      pass = around ? around->make_pass(*layer, *tensors, single.threads.front())
                    : make_pass(*layer, input, *tensors, record.decoded_tokens,
                                single.threads.front());
    });
    record.untimed_ns += nanoseconds_of([this] { pass->begin(); });
    pass->rewind();
    pass->poison(output, tells_kept_mass(*layer, record));
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
                 [this] { call_s = untimed_run(tells_kept_mass(*layer, record)); }, record);
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

  std::optional<Reference> reference_to(const std::string& target) {
    if (around) {
      return block_reference_of(parse_expression(target), record, input, single.reference_rows);
    }
    return reference_of(parse_expression(target), input, problem, single.reference_rows,
                        record.decoded_tokens);
  }

  void take_errors() {
    const auto dense = reference_to(kPlainDense);
    const bool own_target = record.dense_target != kPlainDense;
    const bool mass = tells_kept_mass(*layer, record);
    OutputErrors errors = errors_against(*dense, output, input, problem, mass && !own_target);
    record.error = std::move(errors.figures);
    record.error_deviation = std::move(errors.deviations);
    record.reference_rows = dense->rows;
    record.sampled = dense->sampled;
    const auto run = [this](const DrawnTensors& drawn, LayerOutput& out) {
      if (around) {
        return around->make_pass(*layer, drawn, single.threads.front())->run(out, false);
      }
      run_once(*layer, input, drawn, record.decoded_tokens, single.threads.front(), out);
    };
    record.draws =
        redrawn_errors(*maker, *tensors, problem, *dense, single.seeds.front(), single.draws, run);
    if (!own_target) return;
    const auto target = reference_to(record.dense_target);
    if (!target) return;
    errors = errors_against(*target, output, input, problem, mass);
    record.target_error = std::move(errors.figures);
    record.target_error_deviation = std::move(errors.deviations);
  }

  /// Of the input; asked of one point of a group.
  void take_attention() {
    if (single.spectrum > 0) add_attention_figures(input, problem, single.spectrum, record);
  }

  void take_arithmetic() {
    const std::uint64_t seed = single.seeds.front();
    const ArithmeticCheck check =
        around ? around->check_arithmetic(*layer, *tensors, seed)
               : check_arithmetic(*layer, input, *tensors, seed, record.decoded_tokens);
    record.arithmetic_error = check.error;
    record.arithmetic_tolerance = check.tolerance;
    record.arithmetic_queries = check.queries;
  }

  /// How often to call in one pass: by a second call, if the first was short, for that one also
  /// warmed caches and page tables.
  void prepare_timing() {
    if (single.rounds == 0) return;
    const bool decodes = record.decodes();
    if (call_s < single.min_time_s) {
      pass->rewind();
      call_s = untimed_run(false);
    }
    timer.emplace([this] { pass->run(output, false); }, calls_for(single.min_time_s, call_s),
                  kCallTimes, decodes ? [this] { pass->rewind(); } : std::function<void()>());
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
  LayerInput input;
  Problem problem;
  std::optional<Layer> layer;
  std::optional<TensorMaker> maker;
  std::unique_ptr<DrawnTensors> tensors;
  std::optional<BlockSetting> around;
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
  my.take_errors();
  my.take_attention();
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

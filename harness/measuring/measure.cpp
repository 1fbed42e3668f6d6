#include "measuring/measure.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <new>
#include <optional>

#include "experiments/points.h"
#include "layers/drawn_tensors.h"
#include "layers/executor.h"
#include "measuring/arithmetic.h"
#include "measuring/metrics.h"
#include "measuring/process.h"
#include "measuring/reference.h"
#include "records/resident.h"

namespace subquad {
namespace {

constexpr const char* kPlainDense = "dense";

/// Dropped mass is about softmax over fewer keys; the log-sum-exp of an estimator is another thing.
bool tells_kept_mass(const Layer& layer) {
  const Target target = layer.target();
  return layer.gives_log_sum_exp() && target != Target::estimator && target != Target::operation;
}

/// Rows of a head, in double.
std::vector<double> gather(ConstView from, const std::vector<Index>& rows) {
  std::vector<double> gathered;
  gathered.reserve(rows.size() * static_cast<std::size_t>(from.cols));
  for (const Index row : rows) {
    gathered.insert(gathered.end(), from.row(row), from.row(row) + from.cols);
  }
  return gathered;
}

HeadFigures figures_against(const Reference& reference, const LayerOutput& output,
                            bool with_kept_mass) {
  HeadFigures figures;
  for (Index index = 0; index < static_cast<Index>(reference.heads.size()); ++index) {
    const ReferenceHead& exact = reference.heads[static_cast<std::size_t>(index)];
    const auto count = static_cast<Index>(exact.rows.size());
    const std::vector<double> rows =
        gather(output.of(index / output.heads, index % output.heads), exact.rows);
    std::vector<double> kept;
    if (with_kept_mass) {
      const ConstView all(output.log_sum_exp.data() + index * output.queries, output.queries, 1);
      kept = gather(all, exact.rows);
    }
    add_figures({.output = {rows.data(), count, reference.value_dim},
                 .reference = {exact.out.data(), count, reference.value_dim},
                 .kept_log_sum_exp = with_kept_mass ? kept.data() : nullptr,
                 .full_log_sum_exp = with_kept_mass ? exact.log_sum_exp.data() : nullptr},
                figures);
  }
  return figures;
}

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

std::int64_t calls_for(double min_time_s, double call_s) {
  constexpr double kMost = 1e9;
  return static_cast<std::int64_t>(std::clamp(std::ceil(min_time_s / call_s), 1.0, kMost));
}

}  // namespace

struct PointMeasurement::Impl {
  explicit Impl(const Experiment& of)
      : single(of), input(make_input_of(of)), problem(problem_of(of, input)) {
    record = blank_record(single, input, problem);
    const double begin = steady_seconds();
    layer.emplace(single.variants.front(), problem, input.heads);
    tensors.emplace(*layer, single.seeds.front());
    executor.emplace(*layer, input, *tensors, single.threads.front());
    record.setup_ns = (steady_seconds() - begin) * 1e9;
    describe_layer(*layer, input, single.threads.front(), record);
  }

  void first_call() {
    const bool can_tell = reset_resident_peak();
    const double begin = steady_seconds();
    executor->run(output, tells_kept_mass(*layer));
    call_s = steady_seconds() - begin;
    if (can_tell) record.resident_peak_bytes = resident_peak();
    const Work executed = executor->executed();
    record.executed_multiply_adds = executed.multiply_adds;
    record.executed_exponentials = executed.exponentials;
    record.scratch_declared_bytes = executor->arena().declared;
    record.scratch_bytes = executor->arena().high_water;
    record.threads_used = executor->threads_used();
  }

  void take_errors() {
    const auto dense =
        reference_of(parse_expression(kPlainDense), input, problem, single.reference_rows);
    const bool own_target = record.dense_target != kPlainDense;
    const bool mass = tells_kept_mass(*layer);
    record.error = figures_against(*dense, output, mass && !own_target);
    record.reference_rows = dense->rows;
    record.sampled = dense->sampled;
    if (!own_target) return;
    const auto target =
        reference_of(parse_expression(record.dense_target), input, problem, single.reference_rows);
    if (target) record.target_error = figures_against(*target, output, mass);
  }

  void take_arithmetic() {
    const ArithmeticCheck check = check_arithmetic(*layer, input, single.seeds.front());
    record.arithmetic_error = check.error;
    record.arithmetic_tolerance = check.tolerance;
    record.arithmetic_queries = check.queries;
  }

  /// How often to call in one pass: by a second call, if the first was short, for that one also
  /// warmed caches and page tables.
  void prepare_timing() {
    if (call_s < single.min_time_s) {
      const double begin = steady_seconds();
      executor->run(output);
      call_s = steady_seconds() - begin;
    }
    timer.emplace([this] { executor->run(output); }, calls_for(single.min_time_s, call_s));
  }

  Experiment single;
  LayerInput input;
  Problem problem;
  std::optional<Layer> layer;
  std::optional<DrawnTensors> tensors;
  std::optional<Executor> executor;
  LayerOutput output;
  double call_s = 0;
  std::optional<Timer> timer;
  Record record;
};

PointMeasurement::PointMeasurement(const Experiment& single)
    : impl_(std::make_unique<Impl>(single)) {}
PointMeasurement::~PointMeasurement() = default;

void PointMeasurement::check() {
  Impl& my = *impl_;
  my.first_call();
  my.record.status = Status::ok;
  my.record.reason = not_finite(my.output);
  my.take_errors();
  my.take_arithmetic();
  // Not <=, so that an error that is no number does not pass.
  if (my.record.reason.empty() && my.record.arithmetic_error >= 0 &&
      !(my.record.arithmetic_error <= my.record.arithmetic_tolerance)) {
    my.record.reason = fmt::format("arithmetic error {:.2g} is beyond {:.2g}",
                                   my.record.arithmetic_error, my.record.arithmetic_tolerance);
  }
  if (!my.record.reason.empty()) my.record.status = Status::mistrusted;
  my.prepare_timing();
}

TimedPass PointMeasurement::time() { return impl_->timer->pass(); }
const Record& PointMeasurement::record() const { return impl_->record; }

}  // namespace subquad

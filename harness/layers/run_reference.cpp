#include <algorithm>
#include <limits>
#include <stdexcept>

#include "layers/call_inputs.h"
#include "layers/executor.h"

namespace subquad {
namespace {

/// A copy in double, with the view over it.
class Doubles {
 public:
  explicit Doubles(ConstView floats)
      : values_(static_cast<std::size_t>(floats.rows * floats.cols)),
        rows_(floats.rows),
        cols_(floats.cols) {
    for (Index i = 0; i < rows_; ++i) {
      std::copy_n(floats.row(i), cols_, values_.begin() + i * cols_);
    }
  }
  MatrixView<const double> view() const { return {values_.data(), rows_, cols_}; }

 private:
  std::vector<double> values_;
  Index rows_, cols_;
};

/// Calls `body` with what the reference of one call is given.
template <class Body>
void with_reference(const Layer& layer, const LayerInput& input, const DrawnTensors& tensors,
                    Index sequence, Index call, MatrixView<double> out, double* log_sum_exp,
                    const Body& body) {
  const Problem problem = sequence_problem(layer, input, sequence);
  const CallInputs inputs = inputs_of_call(layer, input, sequence, call);
  const Doubles q(inputs.q), k(inputs.k), v(inputs.v), x(inputs.x);
  body(ReferenceCall{.problem = problem,
                     .q = q.view(),
                     .k = k.view(),
                     .v = v.view(),
                     .x = x.view(),
                     .out = out,
                     .row_log_sum_exp = log_sum_exp,
                     .tensors = tensors.of(call, sequence, problem)});
}

}  // namespace

void run_reference(const Layer& layer, const LayerInput& input, const DrawnTensors& tensors,
                   Index sequence, Index call, MatrixView<double> out, double* log_sum_exp) {
  check_input(layer, input);
  const Problem problem = sequence_problem(layer, input, sequence);
  if (out.rows != input.queries || out.cols != problem.value_dim) {
    throw std::logic_error("run_reference: out has the wrong shape");
  }
  for (Index i = problem.queries; i < out.rows; ++i) {
    std::fill_n(out.row(i), out.cols, 0.0);
    if (log_sum_exp) log_sum_exp[i] = -std::numeric_limits<double>::infinity();
  }
  if (problem.queries == 0) return;
  with_reference(layer, input, tensors, sequence, call, out.row_range(0, problem.queries),
                 log_sum_exp,
                 [&](const ReferenceCall& reference) { layer.variant(call).reference(reference); });
}

std::vector<double> reference_weights(const Layer& layer, const LayerInput& input,
                                      const DrawnTensors& tensors, Index sequence, Index call) {
  check_input(layer, input);
  const Problem problem = sequence_problem(layer, input, sequence);
  std::vector<double> weights(static_cast<std::size_t>(problem.queries * problem.keys));
  with_reference(
      layer, input, tensors, sequence, call, {}, nullptr, [&](const ReferenceCall& reference) {
        layer.variant(call).weights(reference, {weights.data(), problem.queries, problem.keys});
      });
  return weights;
}

}  // namespace subquad

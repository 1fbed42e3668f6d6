#include "measuring/arithmetic.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "layers/drawn_tensors.h"
#include "layers/executor.h"
#include "layers/team.h"
#include "measuring/pass.h"
#include "measuring/reference.h"
#include "subquad/eigen.h"
#include "subquad/error.h"

namespace subquad {
namespace {

void append_rows(AlignedFloats& to, ConstView from, Index rows) {
  for (Index i = 0; i < rows; ++i) to.insert(to.end(), from.row(i), from.row(i) + from.cols);
}

/// The leading rows of the first sequence.
LayerInput leading_part(const LayerInput& input, const Problem& problem, Index heads,
                        Index key_heads) {
  LayerInput part;
  part.heads = heads;
  part.key_heads = key_heads;
  part.queries = problem.queries;
  part.keys = problem.keys;
  part.dim = input.dim;
  part.value_dim = input.value_dim;
  part.x_dim = input.x_dim;
  for (Index head = 0; head < heads; ++head) {
    append_rows(part.q, input.q_of(0, head), part.queries);
    if (!input.x.empty()) append_rows(part.x, input.x_of(0, head), part.queries);
  }
  for (Index head = 0; head < heads; head += heads / key_heads) {
    append_rows(part.k, input.k_of(0, head), part.keys);
    append_rows(part.v, input.v_of(0, head), part.keys);
  }
  return part;
}

double largest_logit(const LayerInput& input, double scale) {
  float largest = 0;
  for (Index head = 0; head < input.heads; ++head) {
    const RowMajor<float> products =
        as_eigen(input.q_of(0, head)) * as_eigen(input.k_of(0, head)).transpose();
    largest = std::max(largest, products.cwiseAbs().maxCoeff());
  }
  return scale * static_cast<double>(largest);
}

/// The columns of a call's output that belong to `head`.
MatrixView<const double> columns_of(const Layer& layer, MatrixView<double> out, Index head) {
  const Index width = layer.head_problem().value_dim;
  return out.col_range(layer.scope() == Scope::layer ? head * width : 0, width);
}

MatrixView<double> exact_view(Reference& exact, const Problem& problem, Index call) {
  return {exact.heads[static_cast<std::size_t>(call)].out.data(), problem.queries, exact.value_dim};
}

/// The reference of every call of the layer, with the choices that `tensors` hold. The same at
/// every length of an experiment, and so kept on disk.
Reference exact_output(const Layer& layer, const LayerInput& part, const DrawnTensors& tensors) {
  Hash identity;
  identity.text("whole layer");
  add_identity(layer.resolved_layer(), part, layer.head_problem(), identity);
  for (const auto& [name, array] : tensors.save().tensors) {
    identity.text(name).text(array.shape_text());
    identity.bytes(array.floats.data(), array.floats.size() * sizeof(float));
    identity.bytes(array.integers.data(), array.integers.size() * sizeof(std::int32_t));
  }
  return *kept_reference(identity, [&]() -> std::optional<Reference> {
    const Problem& problem = layer.head_problem();
    Reference exact{.value_dim = layer.problem().value_dim, .rows = problem.queries};
    exact.heads.resize(static_cast<std::size_t>(layer.calls()));
    for (ReferenceHead& head : exact.heads) {
      head.out.resize(static_cast<std::size_t>(problem.queries * exact.value_dim));
    }
    set_up_in_parallel(layer.calls(), [&](Index call) {
      run_reference(layer, part, tensors, 0, call, exact_view(exact, problem, call), nullptr);
    });
    return exact;
  });
}

}  // namespace

double arithmetic_tolerance(const Layer& layer, double largest_logit) {
  return (kArithmeticFactor * std::numeric_limits<float>::epsilon() +
          kOperandFactor * layer.operand_roundoff()) *
         std::max(1.0, largest_logit);
}

Problem leading_problem(const Problem& whole, Index length) {
  Problem part = whole;
  part.keys = std::min({whole.keys, length, kArithmeticRows});
  part.queries = whole.self_attention() ? part.keys : std::min(whole.queries, kArithmeticRows);
  part.first_query = whole.causal ? std::max<Index>(0, part.keys - part.queries) : 0;
  return part;
}

std::optional<Layer> smaller_layer(const Layer& layer, const Problem& problem, Index heads) {
  try {
    Layer smaller(layer.resolved_layer(), problem, heads);
    if (smaller.refuses().empty()) return smaller;
  } catch (const Error&) {
    // A parameter that the smaller problem has no room for.
  }
  return {};
}

ArithmeticCheck check_arithmetic(const Layer& layer, const LayerInput& input,
                                 const DrawnTensors& tensors, std::uint64_t seed,
                                 Index decoded_tokens) {
  const Problem problem = leading_problem(layer.head_problem(), input.length(0));
  // Fitted on all rows, they mean nothing on fewer.
  const bool as_they_are = layer.tensor_source().from != TensorSource::From::initialisers &&
                           problem == layer.head_problem();
  const Index wanted = layer.scope() == Scope::layer || as_they_are
                           ? input.heads
                           : std::max(kArithmeticHeads, layer.distinct());
  Index heads = std::min(input.heads, wanted), key_heads = heads;
  if (decoded_tokens > 0) {
    // Whole groups of heads that share keys, or a part of one.
    const Index sharing = input.heads / input.key_heads;
    key_heads = (heads + sharing - 1) / sharing;
    if (key_heads > 1) heads = key_heads * sharing;
  }
  const std::optional<Layer> smaller = smaller_layer(layer, problem, heads);
  if (!smaller) return {};

  const LayerInput part = leading_part(input, problem, heads, key_heads);
  std::optional<DrawnTensors> drawn;
  if (!as_they_are) drawn.emplace(*smaller, seed);
  const DrawnTensors& own = as_they_are ? tensors : *drawn;
  LayerOutput output;
  run_once(*smaller, part, own, std::min(decoded_tokens, problem.keys), 1, output);
  Reference exact = exact_output(*smaller, part, own);
  double difference = 0, size = 0;
  for (Index call = 0; call < smaller->calls(); ++call) {
    const MatrixView<double> view = exact_view(exact, problem, call);
    const Index first = smaller->scope() == Scope::layer ? 0 : call;
    const Index last = smaller->scope() == Scope::layer ? heads : call + 1;
    for (Index head = first; head < last; ++head) {
      const MatrixView<const double> columns = columns_of(*smaller, view, head);
      const auto reference =
          as_eigen(columns.row_range(columns.rows - output.queries, output.queries));
      const ConstView given = std::as_const(output).of(0, head);
      difference += (as_eigen(given).cast<double>() - reference).squaredNorm();
      size += reference.squaredNorm();
    }
  }
  ArithmeticCheck check{.queries = problem.queries};
  check.error = difference == 0 ? 0 : std::sqrt(difference / size);
  check.tolerance =
      arithmetic_tolerance(*smaller, largest_logit(part, std::abs(problem.score_scale())));
  return check;
}

}  // namespace subquad

#include "layers/call_inputs.h"

#include <algorithm>
#include <cstdint>

#include "subquad/error.h"

namespace subquad {
namespace {

using MatrixOf = ConstView (LayerInput::*)(Index sequence, Index head) const;

/// All heads beside one another: [rows, heads x columns]; copied unless `layout` has them so.
ConstView assembled(const LayerInput& input, MatrixOf matrix, Layout layout, Index sequence,
                    std::vector<GuardedMemory>& owned) {
  const ConstView first = (input.*matrix)(sequence, 0);
  const Index columns = first.cols * input.heads;
  if (layout == Layout::by_row) return {first.data, first.rows, columns, first.stride};
  GuardedMemory memory(static_cast<std::size_t>(first.rows * columns) * sizeof(float));
  const View whole(memory.as<float>(), first.rows, columns);
  for (Index head = 0; head < input.heads; ++head) {
    const ConstView part = (input.*matrix)(sequence, head);
    for (Index i = 0; i < part.rows; ++i) {
      std::copy_n(part.row(i), part.cols, whole.row(i) + head * part.cols);
    }
  }
  owned.push_back(std::move(memory));
  return whole;
}

void check_extent(const char* name, Index layer, Index input) {
  if (layer == input) return;
  throw Error("the input has " + std::string(name) + " = " + std::to_string(input) +
              ", the layer was made for " + std::to_string(layer));
}

}  // namespace

void check_extents(const Layer& layer, const LayerInput& input) {
  const Problem& problem = layer.head_problem();
  check_extent("queries", problem.queries, input.queries);
  check_extent("keys", problem.keys, input.keys);
  check_extent("dim", problem.dim, input.dim);
  check_extent("value_dim", problem.value_dim, input.value_dim);
}

void check_input(const Layer& layer, const LayerInput& input) {
  check_extent("heads", layer.heads(), input.heads);
  check_extents(layer, input);
  if (input.key_heads < 1 || input.heads % input.key_heads != 0) {
    throw Error("key_heads = " + std::to_string(input.key_heads) +
                " does not divide heads = " + std::to_string(input.heads));
  }
  if (layer.consumes().x && input.x.empty() && input.queries != input.keys) {
    throw Error("a variant reads x and the input has none; v stands for it only where queries (" +
                std::to_string(input.queries) + ") and keys (" + std::to_string(input.keys) +
                ") are as many");
  }
  if (input.lengths.empty()) return;
  if (static_cast<Index>(input.lengths.size()) != input.batch) {
    throw Error("the input has " + std::to_string(input.lengths.size()) + " lengths for " +
                std::to_string(input.batch) + " sequences");
  }
  for (std::size_t i = 0; i < input.lengths.size(); ++i) {
    if (input.lengths[i] < 1 || input.lengths[i] > input.keys) {
      throw Error("lengths[" + std::to_string(i) + "] = " + std::to_string(input.lengths[i]) +
                  " is out of range (from 1 to " + std::to_string(input.keys) + ")");
    }
  }
}

Problem sequence_problem(const Layer& layer, const LayerInput& input, Index sequence) {
  Problem problem = layer.problem();
  const Index length = input.length(sequence);
  if (length == problem.keys) return problem;
  if (problem.self_attention()) {
    problem.queries = length;
  } else if (problem.first_query > 0) {
    problem.queries = std::clamp<Index>(length - problem.first_query, 0, problem.queries);
  }
  problem.keys = length;
  return problem;
}

CallInputs inputs_of_call(const Layer& layer, const LayerInput& input, Index sequence, Index call) {
  const Problem problem = sequence_problem(layer, input, sequence);
  const Consumes consumes = layer.variant(call).consumes();
  CallInputs inputs;
  const auto matrix = [&](bool consumed, MatrixOf of, Layout layout, Index rows) {
    if (!consumed) return ConstView();
    const ConstView whole = layer.scope() == Scope::layer
                                ? assembled(input, of, layout, sequence, inputs.owned)
                                : (input.*of)(sequence, call);
    return whole.row_range(0, rows);
  };
  const Layout layout = input.layout, of_x = input.x.empty() ? layout : input.x_layout;
  inputs.q = matrix(consumes.q, &LayerInput::q_of, layout, problem.queries);
  inputs.k = matrix(consumes.k, &LayerInput::k_of, layout, problem.keys);
  inputs.v = matrix(consumes.v, &LayerInput::v_of, layout, problem.keys);
  inputs.x = matrix(consumes.x, &LayerInput::x_of, of_x, problem.queries);
  return inputs;
}

}  // namespace subquad

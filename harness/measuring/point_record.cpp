#include "experiments/points.h"
#include "layers/catalogue.h"
#include "layers/drawn_tensors.h"
#include "layers/executor.h"
#include "measuring/block_point.h"
#include "measuring/measure.h"
#include "models/drawn_block.h"
#include "records/machine.h"

namespace subquad {
namespace {

std::uint64_t float_bytes(const LayerInput& input) {
  return sizeof(float) * (input.q.size() + input.k.size() + input.v.size() + input.x.size());
}

std::uint64_t& bytes_of_role(Role role, Record& record) {
  switch (role) {
    case Role::learned:
    case Role::running:
      return record.parameter_bytes;
    case Role::random:
      return record.random_bytes;
    case Role::choice:
      return record.choice_bytes;
    case Role::saved:
      return record.saved_bytes;
  }
  throw std::logic_error("bytes_of_role: no such role");
}

/// Of the block's input, or its output.
std::uint64_t matrix_bytes(const BlockShape& shape) {
  return sizeof(float) * static_cast<std::uint64_t>(shape.rows() * shape.width());
}

/// In place of what the layer alone takes: its tensors stay, all else is the block's.
void describe_block(const Layer& layer, Record& record) {
  const BlockShape shape = block_shape_of(record);
  const Work work = block_work(layer, shape);
  record.useful_multiply_adds = work.multiply_adds;
  record.useful_exponentials = work.exponentials;
  record.parameter_bytes += DrawnBlock::bytes(shape, projections_of(layer.consumes()));
  record.useful_bytes =
      static_cast<double>(2 * matrix_bytes(shape) + record.parameter_bytes + record.random_bytes);
  record.scratch_declared_bytes = block_scratch(layer, shape, record.threads);
  record.layout_bytes = 0;
}

void add_tensor_bytes(const Layer& layer, Record& record) {
  for (Index call = 0; call < layer.calls(); ++call) {
    for (const TensorInfo& info : tensor_infos(layer.variant(call), layer.problem())) {
      if (info.sharing != Sharing::head && call >= layer.distinct()) continue;
      const bool per_sequence = info.role == Role::choice || info.role == Role::saved;
      const auto copies = static_cast<std::uint64_t>(per_sequence ? record.batch : 1);
      bytes_of_role(info.role, record) += copies * info.bytes();
    }
  }
}

std::uint64_t output_bytes(const Layer& layer, const Record& record) {
  if (record.is_block()) return matrix_bytes(block_shape_of(record));
  const Problem& problem = record.problem;
  const Index columns = problem.value_dim + (tells_kept_mass(layer, record) ? 1 : 0);
  const Index rows = record.decodes() ? record.decoded_tokens : problem.queries;
  return sizeof(float) * static_cast<std::uint64_t>(record.batch * record.heads * rows * columns);
}

/// Of one sequence: of a forward pass, or of a decoded token, what a causal pass over the whole
/// takes beyond one over the prompt, shared among the tokens. A token's bytes are then without the
/// state, whose size only a stream knows.
Cost cost_of(const Layer& layer, const Record& record) {
  Cost cost = layer.cost();
  if (!record.decodes()) return cost;
  Problem prompt = layer.problem();
  prompt.queries = prompt.keys = prompt.keys - record.decoded_tokens;
  const Cost before = prompt.keys > 0 ? layer.cost(prompt) : Cost{};
  const auto share = [&](double whole, double part) {
    return (whole - part) / static_cast<double>(record.decoded_tokens);
  };
  cost.useful.multiply_adds = share(cost.useful.multiply_adds, before.useful.multiply_adds);
  cost.useful.exponentials = share(cost.useful.exponentials, before.useful.exponentials);
  cost.bytes = share(cost.bytes, before.bytes);
  return cost;
}

std::string refusal_of(const Layer& layer, const Record& record) {
  std::string reason = layer.refuses();
  if (reason.empty() && record.decodes()) reason = layer.refuses_decoding();
  if (reason.empty() && record.is_block()) reason = refuses_block(layer);
  return reason;
}

}  // namespace

bool tells_kept_mass(const Layer& layer, const Record& record) {
  if (record.decodes() || record.is_block()) return false;
  const Target target = layer.target();
  return layer.gives_log_sum_exp() && target != Target::estimator && target != Target::operation;
}

Record blank_record(const Experiment& single, const LayerInput& input, const Problem& problem) {
  Record record;
  record.build = build_of(single.variants.front());
  record.machine = machine_identity();
  record.key = point_key(single, record.build, false);
  record.experiment = single.name;
  record.variant = record.resolved = single.variants.front().text();
  record.family = family_of(single.variants.front());
  record.anchor = record.variant == single.anchor.text();
  record.direction = to_string(single.modes.front());
  record.decoded_tokens = decoded_tokens(single, problem);
  if (record.is_block()) {
    record.feed_forward = single.feed_forward.of(input.heads * input.dim);
    record.feed_forward_chunk = single.feed_forward_chunks.front();
  }
  record.input = single.inputs.front().text();
  record.input_provenance = input.provenance;
  record.problem = problem;
  record.batch = input.batch;
  record.heads = input.heads;
  record.key_heads = input.key_heads;
  record.seed = single.seeds.front();
  record.threads = single.threads.front();
  record.command = repeat_command(single);
  record.input_bytes =
      record.is_block() ? matrix_bytes(block_shape_of(record)) : float_bytes(input);
  // Of shorter sequences less work is asked for.
  record.cost_exact = input.lengths.empty();
  return record;
}

void describe_layer(const Layer& layer, Record& record) {
  record.resolved = layer.resolved();
  record.target = to_string(layer.target());
  record.dense_target = layer.dense_target();
  const Cost cost = cost_of(layer, record);
  const auto batch = static_cast<double>(record.batch);
  record.useful_multiply_adds = batch * cost.useful.multiply_adds;
  record.useful_exponentials = batch * cost.useful.exponentials;
  record.useful_bytes = batch * cost.bytes;
  record.cost_exact = record.cost_exact && cost.exact;
  add_tensor_bytes(layer, record);
  record.output_bytes = output_bytes(layer, record);
  if (!record.decodes()) {
    record.scratch_declared_bytes =
        declared_scratch(layer, record.batch, record.key_heads, record.threads);
  }
  record.layout_bytes = layout_bytes(layer, record.problem, record.batch);
  if (record.is_block()) describe_block(layer, record);
  record.predicted_bytes = record.input_bytes + record.output_bytes + record.parameter_bytes +
                           record.random_bytes + record.choice_bytes + record.saved_bytes +
                           record.state_bytes + record.scratch_declared_bytes + record.layout_bytes;
}

void declare_point(Record& record) {
  try {
    const Layer layer(parse_expression(record.variant), record.problem, record.heads);
    record.reason = refusal_of(layer, record);
    record.status = record.reason.empty() ? Status::ok : Status::refused;
    if (record.reason.empty()) describe_layer(layer, record);
  } catch (const NotBuilt& missing) {
    record.status = Status::refused;
    record.reason = missing.what();
  } catch (const std::exception& error) {
    record.status = Status::failed;
    record.reason = error.what();
  }
}

}  // namespace subquad

#include "experiments/points.h"
#include "layers/drawn_tensors.h"
#include "measuring/measure.h"
#include "records/machine.h"

namespace subquad {
namespace {

std::uint64_t float_bytes(const LayerInput& input) {
  return sizeof(float) * (input.q.size() + input.k.size() + input.v.size() + input.x.size());
}

void add_tensor_bytes(const Layer& layer, Record& record) {
  for (Index call = 0; call < layer.calls(); ++call) {
    for (const TensorInfo& info : tensor_infos(layer.variant(call), layer.problem())) {
      if (info.sharing != Sharing::head && call >= layer.distinct()) continue;
      switch (info.role) {
        case Role::learned:
        case Role::running:
          record.parameter_bytes += info.bytes();
          break;
        case Role::random:
          record.random_bytes += info.bytes();
          break;
        case Role::choice:
          record.choice_bytes += info.bytes();
          break;
        case Role::saved:
          break;  // of training, which forward alone does not pay for
      }
    }
  }
}

/// Scratch of all calls that run side by side.
std::uint64_t predicted_scratch(const Layer& layer, const LayerInput& input, int threads) {
  std::uint64_t shared = 0, worker = 0;
  for (Index call = 0; call < layer.distinct(); ++call) {
    const Scratch scratch = layer.variant(call).scratch(layer.problem());
    shared = std::max<std::uint64_t>(shared, scratch.shared_bytes);
    worker = std::max<std::uint64_t>(worker, scratch.worker_bytes);
  }
  const bool side_by_side = layer.calls() * input.batch >= threads;
  return (side_by_side ? static_cast<std::uint64_t>(threads) : 1) * shared +
         static_cast<std::uint64_t>(threads) * worker;
}

}  // namespace

Record blank_record(const Experiment& single, const LayerInput& input, const Problem& problem) {
  Record record;
  record.build = build_of(single.variants.front());
  record.key = point_key(single, record.build, false);
  record.machine = machine_identity();
  record.experiment = single.name;
  record.variant = record.resolved = single.variants.front().text();
  record.family = single.variants.front().name;
  record.anchor = record.variant == single.anchor.text();
  record.input = single.inputs.front().text();
  record.input_provenance = input.provenance;
  record.problem = problem;
  record.batch = input.batch;
  record.heads = input.heads;
  record.key_heads = input.key_heads;
  record.seed = single.seeds.front();
  record.threads = single.threads.front();
  record.command = repeat_command(single);
  record.input_bytes = float_bytes(input);
  return record;
}

void describe_layer(const Layer& layer, const LayerInput& input, int threads, Record& record) {
  record.resolved = layer.resolved();
  record.target = to_string(layer.target());
  record.dense_target = layer.dense_target();
  const Cost cost = layer.cost();
  const auto batch = static_cast<double>(input.batch);
  record.useful_multiply_adds = batch * cost.useful.multiply_adds;
  record.useful_exponentials = batch * cost.useful.exponentials;
  record.useful_bytes = batch * cost.bytes;
  record.cost_exact = cost.exact && input.lengths.empty();
  add_tensor_bytes(layer, record);
  const auto out =
      static_cast<std::uint64_t>(input.batch * input.heads * input.queries * input.value_dim);
  record.predicted_bytes = record.input_bytes + sizeof(float) * out + record.parameter_bytes +
                           record.random_bytes + record.choice_bytes +
                           predicted_scratch(layer, input, threads);
}

}  // namespace subquad

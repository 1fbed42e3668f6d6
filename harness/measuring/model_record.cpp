#include "measuring/model_record.h"

#include <algorithm>

#include "experiments/points.h"
#include "layers/catalogue.h"
#include "layers/drawn_tensors.h"
#include "measuring/measure.h"

namespace subquad {
namespace {

constexpr const char* kPlainDense = "dense";

/// As records write it: "all", or "0 2".
std::string spaced(std::string replaced) {
  std::ranges::replace(replaced, '+', ' ');
  return replaced;
}
std::string joined(std::string replaced) {
  std::ranges::replace(replaced, ' ', '+');
  return replaced;
}

double as_double(std::uint64_t bytes) { return static_cast<double>(bytes); }

}  // namespace

ModelLayers::ModelLayers(const Expression& variant, const Problem& problem, Index heads,
                         std::vector<bool> is_replaced)
    : replacement_(variant, problem, heads),
      dense_(parse_expression(kPlainDense), problem, heads),
      is_replaced_(std::move(is_replaced)) {}

std::vector<const Layer*> ModelLayers::all() const {
  std::vector<const Layer*> layers;
  for (const bool replaced : is_replaced_) layers.push_back(replaced ? &replacement_ : &dense_);
  return layers;
}

std::string ModelLayers::refuses() const {
  if (replacement_.tensor_source().from == TensorSource::From::file) {
    return "tensors of a file are those of one layer, and a model's layers each have their own";
  }
  return replacement_.refuses();
}

Record blank_model_record(const Experiment& single, const ModelInput& input) {
  const LanguageShape& shape = input.weights.shape();
  LayerInput extents;  // of a layer's attention, for what all records say
  extents.batch = input.text.batch;
  extents.heads = extents.key_heads = shape.heads;
  extents.queries = extents.keys = input.text.length;
  extents.dim = extents.value_dim = shape.dim;
  extents.provenance = input.text.provenance;
  Record record = blank_record(single, extents, input.problem);
  record.model = single.model;
  record.replaced = spaced(single.replace.front());
  record.feed_forward = shape.feed_forward;
  record.feed_forward_chunk = single.feed_forward_chunks.front();
  record.input_bytes = input.text.bytes.size();
  return record;
}

void describe_model(const ModelLayers& layers, const LanguageShape& shape,
                    std::uint64_t parameter_bytes, Record& record) {
  const Layer& layer = layers.replacement();
  record.resolved = layer.resolved();
  record.target = to_string(layer.target());
  record.dense_target = layer.dense_target();
  const std::vector<const Layer*> all = layers.all();
  const Work work = language_work(shape, all, record.batch, record.problem.keys);
  record.useful_multiply_adds = work.multiply_adds;
  record.useful_exponentials = work.exponentials;
  record.cost_exact = layer.cost().exact;
  // A layer's own tensors, as often as it stands in the model.
  for (const bool replaced : layers.is_replaced()) {
    if (replaced) add_tensor_bytes(layer, record);
  }
  record.parameter_bytes += parameter_bytes;
  const Index rows = record.batch * record.problem.queries;
  record.output_bytes = sizeof(float) * static_cast<std::uint64_t>(rows * kVocabulary);
  record.useful_bytes = as_double(record.input_bytes + record.output_bytes +
                                  record.parameter_bytes + record.random_bytes);
  record.scratch_declared_bytes = language_scratch(shape, all, record.batch, record.problem.keys,
                                                   record.feed_forward_chunk, record.threads);
  add_predicted_bytes(record);
}

void declare_model(Record& record) {
  const LanguageWeights weights(record.model);
  const ModelLayers layers(parse_expression(record.variant), record.problem, record.heads,
                           replaced_layers(joined(record.replaced), weights.shape().layers));
  record.reason = layers.refuses();
  record.status = record.reason.empty() ? Status::ok : Status::refused;
  if (!record.reason.empty()) return;
  const PackedLanguageModel packed(weights, layers.all());
  describe_model(layers, weights.shape(), packed.parameter_bytes(), record);
}

}  // namespace subquad

#include "models/language_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <stdexcept>
#include <tuple>

#include "kernels/rowwise.h"
#include "layers/workers.h"
#include "subquad/error.h"

namespace subquad {
namespace {

/// Rows that a tile of the head takes.
constexpr Index kHeadRows = 96;

BlockShape block_shape(const LanguageShape& shape, Index batch, Index length, Index chunk) {
  return {.batch = batch,
          .tokens = length,
          .heads = shape.heads,
          .dim = shape.dim,
          .feed_forward = shape.feed_forward,
          .feed_forward_chunk = chunk,
          .rotary = true};
}

BlockTensors tensors_of_layer(const LanguageWeights& weights, Index layer) {
  const auto linear = [&](const std::string& name) {
    return LinearTensors{weights.matrix(layer, name + ".weight"),
                         weights.vector(layer, name + ".bias")};
  };
  const auto norm = [&](const std::string& name) {
    return NormTensors{weights.vector(layer, name + ".weight"),
                       weights.vector(layer, name + ".bias")};
  };
  const ConstView qkv = weights.matrix(layer, "attention.qkv.weight");
  const Index width = weights.shape().width();
  return {.attention_norm = norm("attention_norm"),
          .feed_forward_norm = norm("feed_forward_norm"),
          .q = {qkv.row_range(0, width), {}},
          .k = {qkv.row_range(width, width), {}},
          .v = {qkv.row_range(2 * width, width), {}},
          .out = {weights.matrix(layer, "attention.output.weight"), {}},
          .up = linear("feed_forward.up"),
          .down = linear("feed_forward.down")};
}

/// What layers must share to share the memory of their blocks.
using MemoryKind = std::tuple<bool, bool, bool, bool, Scope>;
MemoryKind memory_kind(const Layer& layer) {
  const Projections p = projections_of(layer.consumes());
  return {p.q, p.k, p.v, p.out, layer.scope()};
}

std::size_t float_bytes(Index count) { return sizeof(float) * static_cast<std::size_t>(count); }

AlignedFloats copied(std::span<const float> from) { return {from.begin(), from.end()}; }

AlignedFloats copied(ConstView from) { return {from.data, from.data + from.rows * from.cols}; }

}  // namespace

PackedLanguageModel::PackedLanguageModel(const LanguageWeights& weights,
                                         const std::vector<const Layer*>& layers)
    : embedding(copied(weights.matrix("embedding.weight"))),
      norm_gain(copied(weights.vector("final_norm.weight"))),
      norm_bias(copied(weights.vector("final_norm.bias"))),
      shape_(weights.shape()),
      head_memory_(packed_right_bytes(kVocabulary, weights.shape().width())) {
  if (static_cast<Index>(layers.size()) != shape_.layers) {
    throw std::logic_error("a model whose layers are not as many as their attention");
  }
  const BlockShape shape = block_shape(shape_, 1, 1, 0);
  for (Index layer = 0; layer < shape_.layers; ++layer) {
    const Layer& attention = *layers[static_cast<std::size_t>(layer)];
    blocks.emplace_back(shape, projections_of(attention.consumes()),
                        tensors_of_layer(weights, layer));
  }
  head = pack_right(weights.matrix("head.weight"), head_memory_.as<float>());
}

std::size_t PackedLanguageModel::parameter_bytes() const {
  std::size_t bytes = float_bytes((2 * kVocabulary + 2) * shape_.width());
  for (const BlockWeights& block : blocks) bytes += block.parameter_bytes();
  return bytes;
}

struct LanguageModel::Impl {
  Impl(const PackedLanguageModel& weights, const std::vector<ModelAttention>& attention,
       Index batch, Index length, Index feed_forward_chunk, int threads)
      : weights(weights),
        shape(block_shape(weights.shape(), batch, length, feed_forward_chunk)),
        team(at_least_one(threads)),
        workers(team, float_bytes(kHeadRows * shape.width())),
        stream(float_bytes(shape.rows() * shape.width())) {
    std::memset(stream.data(), 0, stream.bytes());
    for (std::size_t i = 0; i < attention.size(); ++i) {
      const Layer& layer = *attention[i].layer;
      std::unique_ptr<BlockMemory>& memory = memories[memory_kind(layer)];
      if (!memory) {
        memory =
            std::make_unique<BlockMemory>(shape, projections_of(layer.consumes()), layer.scope());
        memory_bytes += BlockMemory::bytes(shape, projections_of(layer.consumes()));
      }
      blocks.push_back(std::make_unique<Block>(layer, *attention[i].tensors, shape,
                                               weights.blocks[i], *memory, team));
      memory_of.push_back(memory.get());
    }
  }

  View rows() const { return {stream.as<float>(), shape.rows(), shape.width()}; }

  void embed(const TextWindows& text) const {
    if (text.batch != shape.batch || text.length != shape.tokens) {
      throw Error(fmt::format("the model was made for {} windows of {} bytes, not {} of {}",
                              shape.batch, shape.tokens, text.batch, text.length));
    }
    for (Index window = 0; window < text.batch; ++window) {
      const std::span<const std::uint8_t> bytes = text.read(window);
      for (Index i = 0; i < text.length; ++i) {
        const Index byte = bytes[static_cast<std::size_t>(i)];
        std::copy_n(weights.embedding.data() + byte * shape.width(), shape.width(),
                    rows().row(window * text.length + i));
      }
    }
  }

  void size(LayerOutput& logits) const {
    logits.batch = shape.batch;
    logits.heads = 1;
    logits.queries = shape.tokens;
    logits.value_dim = kVocabulary;
    logits.out.resize(static_cast<std::size_t>(shape.rows() * kVocabulary));
  }

  void predict(LayerOutput& logits) {
    const View out(logits.out.data(), shape.rows(), kVocabulary);
    workers.each((shape.rows() + kHeadRows - 1) / kHeadRows, [&](Index tile, Worker& worker) {
      const Index first = tile * kHeadRows, count = std::min(kHeadRows, shape.rows() - first);
      const View normed = worker.scratch.take_matrix(kHeadRows, shape.width()).row_range(0, count);
      layer_norm(rows().row_range(first, count), weights.norm_gain.data(), weights.norm_bias.data(),
                 shape.norm_epsilon, normed);
      multiply_packed(normed, weights.head, 0, out.row_range(first, count), worker);
    });
  }

  void run(const TextWindows& text, LayerOutput& logits, const Observe& observe) {
    size(logits);
    workers.begin_pass();
    embed(text);
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      if (observe) {
        run_observed(i, observe);
      } else {
        blocks[i]->run(rows(), rows());
      }
    }
    predict(logits);
  }

  /// A block overwrites what its attention read as x by what its feed-forward reads.
  void run_observed(std::size_t number, const Observe& observe) {
    const View x = rows();
    AlignedFloats before(x.data, x.data + x.rows * x.cols);
    blocks[number]->run(x, x);
    LayerInput& input = memory_of[number]->input;
    const BlockWeights::Norm& norm = weights.blocks[number].attention_norm;
    layer_norm(ConstView(before.data(), x.rows, x.cols), norm.gain, norm.bias, shape.norm_epsilon,
               View(input.x.data(), x.rows, x.cols));
    observe(static_cast<Index>(number), input);
  }

  const PackedLanguageModel& weights;
  const BlockShape shape;
  Team team;
  Workers workers;
  GuardedMemory stream;  ///< the residual stream, [rows, width]
  std::map<MemoryKind, std::unique_ptr<BlockMemory>> memories;
  std::vector<BlockMemory*> memory_of;  ///< each layer's
  std::size_t memory_bytes = 0;
  std::vector<std::unique_ptr<Block>> blocks;
};

LanguageModel::LanguageModel(const PackedLanguageModel& weights,
                             const std::vector<ModelAttention>& attention, Index batch,
                             Index length, Index feed_forward_chunk, int threads)
    : impl_(
          std::make_unique<Impl>(weights, attention, batch, length, feed_forward_chunk, threads)) {}
LanguageModel::~LanguageModel() = default;

void LanguageModel::poison(LayerOutput& logits) const {
  impl_->size(logits);
  logits.poison();
}

void LanguageModel::run(const TextWindows& text, LayerOutput& logits) {
  impl_->run(text, logits, {});
}

void LanguageModel::run_observed(const TextWindows& text, LayerOutput& logits,
                                 const Observe& observe) {
  impl_->run(text, logits, observe);
}

void LanguageModel::on_every_thread(const std::function<void()>& body) {
  impl_->team.each(impl_->team.size(), [&](Index, int) { body(); });
}

Work LanguageModel::executed() const {
  Work work = impl_->workers.executed();
  for (const auto& block : impl_->blocks) work += block->executed();
  return work;
}

ArenaUse LanguageModel::arena() const {
  const std::size_t held = impl_->stream.bytes() + impl_->memory_bytes;
  ArenaUse use{held + impl_->workers.declared_bytes(), held + impl_->workers.high_water()};
  for (const auto& block : impl_->blocks) {
    const ArenaUse one = block->arena();
    use.declared += one.declared;
    use.high_water += one.high_water;
  }
  return use;
}

bool LanguageModel::intact() const {
  return impl_->workers.intact() && impl_->stream.intact() &&
         std::ranges::all_of(impl_->blocks, [](const auto& block) { return block->intact(); });
}

int LanguageModel::threads_used() const {
  int most = impl_->workers.used();
  for (const auto& block : impl_->blocks) most = std::max(most, block->threads_used());
  return most;
}

std::size_t language_scratch(const LanguageShape& shape, const std::vector<const Layer*>& layers,
                             Index batch, Index length, Index feed_forward_chunk, int threads) {
  const BlockShape block = block_shape(shape, batch, length, feed_forward_chunk);
  std::size_t bytes = float_bytes(block.rows() * block.width()) +
                      static_cast<std::size_t>(threads) * float_bytes(kHeadRows * block.width());
  std::map<MemoryKind, std::size_t> shared;
  for (const Layer* layer : layers) {
    const std::size_t memory = BlockMemory::bytes(block, projections_of(layer->consumes()));
    shared[memory_kind(*layer)] = memory;
    bytes += block_scratch(*layer, block, threads) - memory;
  }
  for (const auto& [kind, memory] : shared) bytes += memory;
  return bytes;
}

Work language_work(const LanguageShape& shape, const std::vector<const Layer*>& layers, Index batch,
                   Index length) {
  const BlockShape block = block_shape(shape, batch, length, 0);
  Work work{.multiply_adds = static_cast<double>(block.rows() * block.width() * kVocabulary)};
  for (const Layer* layer : layers) work += block_work(*layer, block);
  return work;
}

}  // namespace subquad

#include "models/block.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "kernels/rowwise.h"
#include "layers/workers.h"
#include "models/rotary.h"
#include "subquad/error.h"

namespace subquad {
namespace {

/// Rows of a tile: with its rows of the hidden layer it fits the second-level cache, and panels of
/// weights are read often enough from wherever they lie.
constexpr Index kTileRows = 96;
static_assert(kTileRows % kProductRows == 0);

Index in_whole_groups(Index rows) {
  return (rows + kProductRows - 1) / kProductRows * kProductRows;
}

Index tiles_of(Index rows, Index tile_rows) { return (rows + tile_rows - 1) / tile_rows; }

Index tile_rows_of(const BlockShape& shape) {
  return std::min(kTileRows, in_whole_groups(shape.rows()));
}

std::size_t worker_bytes(const BlockShape& shape, const Projections& projections) {
  if (!projections.out && shape.feed_forward == 0) return 0;
  return Scratch().worker<float>(tile_rows_of(shape) * shape.width()).worker_bytes;
}

/// Rows of norm(x): products of a chunk take rows beyond its last, which nobody uses.
Index padded_rows(const BlockShape& shape) { return shape.rows() + kProductRows - 1; }

std::size_t float_bytes(Index count) { return sizeof(float) * static_cast<std::size_t>(count); }

std::size_t hidden_bytes(const BlockShape& shape) {
  return float_bytes(in_whole_groups(shape.chunk_rows()) * shape.feed_forward);
}

std::size_t rotary_bytes(const BlockShape& shape) {
  if (shape.rotary && shape.dim % 2 != 0) {
    throw Error(fmt::format("rotary positions need an even dim, not {}", shape.dim));
  }
  return shape.rotary ? float_bytes(shape.tokens * shape.dim) : 0;
}

/// A matrix of heads that the block may write.
View writable(AlignedFloats& packed, ConstView part) {
  return {packed.data() + (part.data - packed.data()), part.rows, part.cols, part.stride};
}

void check_fit(const Layer& layer, const BlockWeights& weights) {
  const Problem& problem = layer.head_problem();
  if (!problem.self_attention() || problem.dim != problem.value_dim) {
    throw Error("a block needs as many queries as keys, and values as wide as keys");
  }
  const Projections needed = projections_of(layer.consumes()), &has = weights.projections();
  if (needed.q > has.q || needed.k > has.k || needed.v > has.v || needed.out > has.out) {
    throw std::logic_error("a block without weights that its attention needs");
  }
}

}  // namespace

BlockMemory::BlockMemory(const BlockShape& shape, const Projections& projections, Scope scope)
    : hidden(hidden_bytes(shape)), rotary(rotary_bytes(shape)) {
  input.batch = shape.batch;
  input.heads = input.key_heads = shape.heads;
  input.queries = input.keys = shape.tokens;
  input.dim = input.value_dim = input.x_dim = shape.dim;
  // A variant over the whole width reads heads beside one another, and is spared a copy.
  input.layout = scope == Scope::layer ? Layout::by_row : Layout::by_head;
  input.x_layout = Layout::by_row;
  const auto elements = static_cast<std::size_t>(shape.rows() * shape.width());
  if (projections.q) input.q.resize(elements);
  if (projections.k) input.k.resize(elements);
  if (projections.v) input.v.resize(elements);
  input.x.resize(static_cast<std::size_t>(padded_rows(shape) * shape.width()));
  if (hidden.bytes() > 0) std::memset(hidden.data(), 0, hidden.bytes());
  if (shape.rotary) fill_rotary_table(shape.tokens, shape.dim, rotary.as<float>());
}

std::size_t BlockMemory::bytes(const BlockShape& shape, const Projections& projections) {
  const Index matrices = Index{projections.q} + Index{projections.k} + Index{projections.v} + 1;
  return float_bytes((matrices * shape.rows() + padded_rows(shape)) * shape.width()) +
         hidden_bytes(shape) + rotary_bytes(shape);
}

struct Block::Impl {
  Impl(const Layer& layer, const DrawnTensors& tensors, const BlockShape& shape,
       const BlockWeights& weights, BlockMemory& memory, Team& team)
      : shape(shape),
        projections(projections_of(layer.consumes())),
        weights(weights),
        memory(memory),
        workers(team, worker_bytes(shape, projections)),
        executor(layer, memory.input, tensors, team, Layout::by_row) {
    executor.poison(memory.attended);
  }

  void run(ConstView x, View z) {
    workers.begin_pass();
    const Index tiles = tiles_of(shape.tokens, kTileRows);
    workers.each(shape.batch * tiles, [&](Index tile, Worker& worker) {
      project(x, tile / tiles, tile % tiles * kTileRows, worker);
    });
    executor.run(memory.attended);
    workers.each(tiles_of(shape.rows(), kTileRows), [&](Index tile, Worker& worker) {
      add_attention(x, tile * kTileRows, z, worker);
    });
    if (shape.feed_forward == 0) return;
    for (Index chunk = 0; chunk < shape.rows(); chunk += shape.chunk_rows()) {
      const Index rows = std::min(shape.chunk_rows(), shape.rows() - chunk);
      workers.each(tiles_of(rows, kTileRows), [&](Index tile, Worker& worker) {
        const Index first = tile * kTileRows;
        feed_forward(chunk, first, std::min(kTileRows, rows - first), z, worker);
      });
    }
  }

  View normed() const { return {memory.input.x.data(), padded_rows(shape), shape.width()}; }

  /// norm(x) and its projections, of a tile of one sequence that begins with token `first`.
  void project(ConstView x, Index sequence, Index first, Worker& worker) const {
    const Index count = std::min(kTileRows, shape.tokens - first);
    const Index row = sequence * shape.tokens + first;
    const View rows = normed().row_range(row, count);
    layer_norm(x.row_range(row, count), weights.attention_norm.gain, weights.attention_norm.bias,
               shape.norm_epsilon, rows);
    LayerInput& input = memory.input;
    for (Index head = 0; head < shape.heads; ++head) {
      const auto project_to = [&](bool wanted, const BlockWeights::Linear& linear,
                                  AlignedFloats& packed, ConstView whole, bool rotated) {
        if (!wanted) return;
        const View to = writable(packed, whole).row_range(first, count);
        multiply_packed(rows, linear.weight, head * shape.dim, to, worker);
        if (linear.bias != nullptr) add_bias(to, linear.bias + head * shape.dim);
        if (rotated && shape.rotary) rotate_rows(to, memory.rotary.as<float>(), first);
      };
      project_to(projections.q, weights.q, input.q, input.q_of(sequence, head), true);
      project_to(projections.k, weights.k, input.k, input.k_of(sequence, head), true);
      project_to(projections.v, weights.v, input.v, input.v_of(sequence, head), false);
    }
  }

  /// y into z, norm(y) where norm(x) was, for a tile of rows.
  void add_attention(ConstView x, Index first, View z, Worker& worker) const {
    const Index count = std::min(kTileRows, shape.rows() - first), width = shape.width();
    const ConstView all(memory.attended.out.data(), shape.rows(), width);
    const ConstView attended = all.row_range(first, count);
    const View y = z.row_range(first, count);
    if (projections.out) {
      const View product = worker.scratch.take_matrix(tile_rows_of(shape), width);
      multiply_packed(attended, weights.out.weight, 0, product.row_range(0, count), worker);
      add_rows(x.row_range(first, count), product, weights.out.bias, y);
    } else {
      add_rows(x.row_range(first, count), attended, nullptr, y);
    }
    if (shape.feed_forward == 0) return;
    layer_norm(y, weights.feed_forward_norm.gain, weights.feed_forward_norm.bias,
               shape.norm_epsilon, normed().row_range(first, count));
  }

  /// Adds the feed-forward layer's output to `count` rows of z, from `first` in the chunk on.
  void feed_forward(Index chunk, Index first, Index count, View z, Worker& worker) const {
    // Whole groups of rows: so a row's bits do not depend on where chunks end.
    const Index whole = in_whole_groups(count), row = chunk + first;
    const View all_hidden(memory.hidden.as<float>(), in_whole_groups(shape.chunk_rows()),
                          shape.feed_forward);
    const View hidden = all_hidden.row_range(first, whole);
    multiply_packed(normed().row_range(row, whole), weights.up.weight, 0, hidden, worker);
    for (Index i = 0; i < count; ++i) {
      if (weights.up.bias != nullptr) add_bias(hidden.row_range(i, 1), weights.up.bias);
      gelu_in_place({hidden.row(i), static_cast<std::size_t>(hidden.cols)});
    }
    worker.executed.exponentials += static_cast<double>(count * hidden.cols);
    const View product = worker.scratch.take_matrix(tile_rows_of(shape), shape.width());
    multiply_packed(hidden, weights.down.weight, 0, product.row_range(0, whole), worker);
    const View to = z.row_range(row, count);
    add_rows(to, product, weights.down.bias, to);
  }

  static void add_bias(View rows, const float* bias) {
    for (Index i = 0; i < rows.rows; ++i) {
      float* const row = rows.row(i);
      for (Index c = 0; c < rows.cols; ++c) row[c] += bias[c];
    }
  }

  /// to = from + more (+ bias), for the rows of `to`, which may be `from`.
  static void add_rows(ConstView from, ConstView more, const float* bias, View to) {
    for (Index i = 0; i < to.rows; ++i) {
      const float *a = from.row(i), *b = more.row(i);
      float* const sum = to.row(i);
      for (Index c = 0; c < to.cols; ++c) sum[c] = a[c] + b[c];
    }
    if (bias != nullptr) add_bias(to, bias);
  }

  const BlockShape shape;
  const Projections projections;
  const BlockWeights& weights;
  BlockMemory& memory;
  Workers workers;
  Executor executor;
};

Block::Block(const Layer& layer, const DrawnTensors& tensors, const BlockShape& shape,
             const BlockWeights& weights, BlockMemory& memory, Team& team) {
  check_fit(layer, weights);
  impl_ = std::make_unique<Impl>(layer, tensors, shape, weights, memory, team);
}

Block::~Block() = default;

void Block::run(ConstView x, View z) { impl_->run(x, z); }

Work Block::executed() const {
  Work work = impl_->workers.executed();
  work += impl_->executor.executed();
  return work;
}

ArenaUse Block::arena() const {
  ArenaUse use = impl_->executor.arena();
  use.declared += impl_->workers.declared_bytes();
  use.high_water += impl_->workers.high_water();
  return use;
}

bool Block::intact() const {
  return impl_->workers.intact() && impl_->executor.intact() && impl_->memory.intact();
}

int Block::threads_used() const {
  return std::max(impl_->workers.used(), impl_->executor.threads_used());
}

std::size_t block_scratch(const Layer& layer, const BlockShape& shape, int threads) {
  const Projections projections = projections_of(layer.consumes());
  return BlockMemory::bytes(shape, projections) +
         static_cast<std::size_t>(threads) * worker_bytes(shape, projections) +
         declared_scratch(layer, shape.batch, shape.heads, threads);
}

Work block_work(const Layer& layer, const BlockShape& shape) {
  const auto rows = static_cast<double>(shape.rows()), width = static_cast<double>(shape.width());
  const auto hidden = static_cast<double>(shape.feed_forward);
  const auto products = static_cast<double>(projections_of(layer.consumes()).count());
  Work work;
  const Work attention = layer.cost().useful;
  for (Index sequence = 0; sequence < shape.batch; ++sequence) work += attention;
  work += {.multiply_adds = rows * width * (products * width + 2 * hidden),
           .exponentials = rows * hidden};
  return work;
}

}  // namespace subquad

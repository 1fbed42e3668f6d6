#include "kernels/synthetic_scores.h"

#include <algorithm>

#include "kernels/product.h"
#include "kernels/streaming_softmax.h"

namespace subquad {
namespace {

using Outer = SyntheticScores::Outer;
using Product = SyntheticScores::Product;

/// Rows of keys that one tile joins.
constexpr Index kJoinedRows = 512;
/// Keys that the softmax takes at a time.
constexpr Index kBlock = 64;
/// A row's part of a matrix is asked for so many blocks before it is wanted, while all other rows
/// of the tile have theirs: too far apart for the processor to foresee it (1.7 times as fast).
constexpr Index kAhead = 2;
/// Floats of a cache line.
constexpr Index kLine = 64 / sizeof(float);

/// rows = weight * relu(input layer^T); the weight is not negative.
void apply_layer(ConstView input, ConstView layer, float weight, View rows, Worker& worker) {
  multiply_transposed(input, layer, rows, worker, weight);
  for (Index i = 0; i < rows.rows; ++i) {
    float* const row = rows.row(i);
    for (Index c = 0; c < rows.cols; ++c) row[c] = std::max(row[c], 0.0f);
  }
}

/// The rows of a product for some tokens: all weights go into them.
void make_rows(const Product& product, Rows tokens, View rows, Worker& worker) {
  const ConstView input = product.input.row_range(tokens.begin, tokens.count);
  if (!product.layer.empty()) {
    apply_layer(input, product.layer, product.weight, rows, worker);
    return;
  }
  for (Index i = 0; i < rows.rows; ++i) {
    for (Index c = 0; c < rows.cols; ++c) rows(i, c) = product.weight * input(i, c);
  }
}

/// a and b of some tokens; the weight goes into a.
struct OuterRows {
  View first, second;

  OuterRows() = default;
  OuterRows(const Outer& outer, Rows tokens, Worker& worker)
      : first(worker.scratch.take_matrix(tokens.count, outer.first.rows)),
        second(worker.scratch.take_matrix(tokens.count, outer.second.rows)) {
    const std::size_t mark = worker.scratch.used();
    const View hidden = worker.scratch.take_matrix(tokens.count, outer.layer.rows);
    apply_layer(outer.input.row_range(tokens.begin, tokens.count), outer.layer, 1, hidden, worker);
    multiply_transposed(hidden, outer.first, first, worker, outer.weight);
    multiply_transposed(hidden, outer.second, second, worker);
    worker.scratch.rewind(mark);
  }

  static std::size_t kept_bytes(const Outer& outer, Index rows) {
    return Scratch()
        .worker<float>(rows * outer.first.rows)
        .worker<float>(rows * outer.second.rows)
        .worker_bytes;
  }
  static std::size_t passing_bytes(const Outer& outer, Index rows) {
    const Index inner = outer.layer.rows;
    return Scratch().worker<float>(rows * inner).worker_bytes +
           std::max({product_scratch_bytes(rows, inner, outer.layer.cols),
                     product_scratch_bytes(rows, outer.first.rows, inner),
                     product_scratch_bytes(rows, outer.second.rows, inner)});
  }

  /// Adds the scores of keys [begin, begin + count).
  void add(Index row, Index begin, Index count, float* scores) const {
    Index part = begin / second.cols, within = begin % second.cols;
    while (count > 0) {
      const Index run = std::min(second.cols - within, count);
      const float factor = first(row, part++);
      const float* const others = second.row(row) + within;
      for (Index t = 0; t < run; ++t) scores[t] += factor * others[t];
      scores += run;
      count -= run;
      within = 0;
    }
  }
};

/// Adds all terms that are no products of rows and keys, to the scores of a tile whose first token
/// is `begin`.
class AddedScores final : public ScoreEdit {
 public:
  AddedScores(std::span<const SyntheticScores::Matrix> matrices, const OuterRows* outer,
              Index begin)
      : matrices_(matrices), outer_(outer), begin_(begin) {}

  // The plan is one span, so keys follow one another.
  void edit(Index query, std::span<const std::int32_t> keys, float* scores) const override {
    const Index first = keys.front(), count = static_cast<Index>(keys.size());
    for (const SyntheticScores::Matrix& matrix : matrices_) {
      const float* const row = matrix.scores.row(begin_ + query) + first;
      for (Index j = 0; j < count; ++j) scores[j] += matrix.weight * row[j];
      if (first + (kAhead + 1) * kBlock <= matrix.scores.cols) {
        for (Index j = 0; j < kBlock; j += kLine) {
          __builtin_prefetch(row + kAhead * kBlock + j, 0, 2);
        }
      }
    }
    if (outer_ != nullptr) outer_->add(query, first, count, scores);
  }

 private:
  std::span<const SyntheticScores::Matrix> matrices_;
  const OuterRows* outer_;
  Index begin_;
};

double seen_pairs(Rows tokens, Index keys, bool causal) {
  const auto count = static_cast<double>(tokens.count);
  if (!causal) return count * static_cast<double>(keys);
  return count * (static_cast<double>(tokens.begin) + (count + 1) / 2);
}

}  // namespace

Index SyntheticScores::features() const {
  Index sum = 0;
  for (const Product& product : products) sum += product.keys.cols;
  return sum;
}

Index SyntheticScores::tile_rows(Index tokens, Index value_dim) const {
  return std::min(tokens, softmax_tile_rows(tokens, features(), value_dim, Precision::f32));
}

std::size_t SyntheticScores::layer_bytes(Index rows) const {
  std::size_t widest = 0;
  for (const Product& product : products) {
    if (product.layer.empty()) continue;
    widest = std::max(widest, product_scratch_bytes(rows, product.layer.rows, product.layer.cols));
  }
  if (outer != nullptr) widest = std::max(widest, OuterRows::passing_bytes(*outer, rows));
  return widest;
}

Scratch SyntheticScores::scratch(Index tokens, Index value_dim) const {
  const Index rows = tile_rows(tokens, value_dim);
  Scratch scratch;
  if (products.size() > 1) scratch.shared<float>(tokens * features());
  if (tokens > rows) {
    declare_packed_keys(tokens, features(), value_dim, Precision::f32, scratch);
  }
  scratch.worker<float>(rows * features());
  if (outer != nullptr) scratch.worker_bytes += OuterRows::kept_bytes(*outer, rows);
  scratch.worker_bytes +=
      std::max(layer_bytes(rows), softmax_scratch_bytes(rows, features(), value_dim));
  return scratch;
}

/// Keys of all products side by side: a sum of products is one of longer rows.
ConstView SyntheticScores::joined_keys(Index tokens, Run& run) const {
  if (products.empty()) return {nullptr, tokens, 0};
  if (products.size() == 1) return products.front().keys;
  const View joined = run.shared().take_matrix(tokens, features());
  run.parallel((tokens + kJoinedRows - 1) / kJoinedRows, [&](Index tile, Worker&) {
    const Index end = std::min(tokens, (tile + 1) * kJoinedRows);
    for (Index j = tile * kJoinedRows; j < end; ++j) {
      float* to = joined.row(j);
      for (const Product& product : products) {
        to = std::copy_n(product.keys.row(j), product.keys.cols, to);
      }
    }
  });
  return joined;
}

void SyntheticScores::attend(ConstView v, View out, bool causal, Run& run) const {
  const Index tokens = v.rows, rows = tile_rows(tokens, v.cols);
  const Index tiles = (tokens + rows - 1) / rows;
  SoftmaxOperands all{.q = {}, .k = joined_keys(tokens, run), .v = v, .out = {}, .causal = causal};
  if (tiles > 1) pack_keys(all, run);
  run.parallel(tiles, [&](Index number, Worker& worker) {
    // Where causal, the last queries see most keys: they come first, so that threads end together.
    const Index begin = (tiles - 1 - number) * rows;
    const Rows tile{begin, std::min(rows, tokens - begin)};
    const View q = worker.scratch.take_matrix(tile.count, features());
    Index column = 0;
    for (const Product& product : products) {
      make_rows(product, tile, q.col_range(column, product.keys.cols), worker);
      column += product.keys.cols;
    }
    OuterRows outer_rows;
    if (outer != nullptr) outer_rows = OuterRows(*outer, tile, worker);
    SoftmaxOperands operands = all;
    operands.q = q;
    operands.out = out.row_range(begin, tile.count);
    operands.first_query = begin;
    const AddedScores added(matrices, outer != nullptr ? &outer_rows : nullptr, begin);
    const bool edited = !matrices.empty() || outer != nullptr;
    KeySpan spans[1];
    KeyPlan plan(tokens, spans, {});
    plan.all(0, tokens);
    streaming_softmax(operands, {0, tile.count}, plan, edited ? &added : nullptr, worker);
    if (outer != nullptr) worker.executed.multiply_adds += seen_pairs(tile, tokens, causal);
  });
}

}  // namespace subquad

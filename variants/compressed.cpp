// compressed: softmax over keys and values that a strided convolution has made fewer. Liu et al.
// 2018, "Generating Wikipedia by summarizing long sequences" (arXiv:1801.10198), section 4.2.3,
// memory-compressed attention.
//
//   k'_g = sum over t < stride of W_t^T k_(g stride + t),   v'_g likewise with weights of its own
//   out_i = softmax over the visible g of (scale q_i . k'_g), times v'_g
//
// Time O(n^2 (d + e) / stride) and, for conv, O(n (d^2 + e^2)); memory O(n (d + e) / stride).
//
// kind=conv: kernel and stride are the same (3 in the paper), over all channels of the head,
// without a bias; drawn with variance 1 / (stride dim), so that k' is about as large as k and
// scores begin as large as those of dense attention. kind=mean: the mean of each group, no tensor.
//
// Groups begin at token 0, so that what a token is compressed into does not depend on the length
// (public code pads on the left). Not causal: what is missing of the last group is zero (conv) or
// left out of the mean. Causal: a query sees a group once it stands at or behind its last token,
// and so nobody sees a last group that is not whole. Early queries would see nothing: a learned
// null key and value, zero until something fits them, are seen by all (null_key=false: without
// them, and such queries give 0). The paper does not go into either.
//
// Causality over groups is ordinary causality over every stride-th query: rows r, r + stride, ...
// see one group more each.

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "kernels/few_keys.h"
#include "kernels/lone_worker-inl.h"
#include "kernels/naive-inl.h"
#include "kernels/product.h"
#include "kernels/segments.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

enum class Kind { conv, mean };

/// Groups that a tile convolves.
constexpr Index kGroupTile = 96;

/// What keys, or values, are compressed by.
struct Compression {
  Index stride;
  ConstView weights;  ///< [stride * cols, cols]; empty: the mean
};

/// One of keys and values as decoding goes on: rows that are whole, and the group under way.
class CompressedRows {
 public:
  CompressedRows(const Compression& by, Index cols) : by_(by), group_(cols) {}

  void append(const float* row) { rows_.insert(rows_.end(), row, row + group_.size()); }

  /// Takes in the row of the token at `place` of its group.
  void take(Index place, const float* row) {
    const auto cols = static_cast<Index>(group_.size());
    if (place == 0) std::fill(group_.begin(), group_.end(), 0.0);
    if (by_.weights.empty()) {
      for (Index c = 0; c < cols; ++c) group_[c] += row[c] / static_cast<double>(by_.stride);
    } else {
      for (Index from = 0; from < cols; ++from) {
        const double value = row[from];
        const float* const weights = by_.weights.row(place * cols + from);
        for (Index c = 0; c < cols; ++c) group_[c] += value * weights[c];
      }
    }
    if (place + 1 == by_.stride) {
      for (const double value : group_) rows_.push_back(static_cast<float>(value));
    }
  }

  ConstView view() const {
    const auto cols = static_cast<Index>(group_.size());
    return {rows_.data(), static_cast<Index>(rows_.size()) / cols, cols};
  }
  std::size_t bytes() const {
    return sizeof(float) * rows_.size() + sizeof(double) * group_.size();
  }

 private:
  Compression by_;
  std::vector<float> rows_;
  std::vector<double> group_;
};

class CompressedStream final : public Stream {
 public:
  CompressedStream(const Problem& problem, const Compression& of_keys, const Compression& of_values)
      : stride_(of_keys.stride),
        scale_(static_cast<float>(problem.score_scale())),
        keys_(of_keys, problem.dim),
        values_(of_values, problem.value_dim),
        tile_rows_(softmax_tile_rows(problem.dim, problem.value_dim)),
        lone_(softmax_scratch_bytes(tile_rows_, problem.dim, problem.value_dim)) {}

  void append(const float* key, const float* value) {
    keys_.append(key);
    values_.append(value);
  }

  void step(const Token& token) override {
    keys_.take(place_, token.key);
    values_.take(place_, token.value);
    place_ = (place_ + 1) % stride_;
    const ConstView keys = keys_.view(), values = values_.view();
    KeySpan spans[1];
    KeyPlan plan(keys.rows, spans, {});
    plan.all(0, keys.rows);
    for (Index begin = 0; begin < token.queries.rows; begin += tile_rows_) {
      const Rows rows{begin, std::min(tile_rows_, token.queries.rows - begin)};
      Worker worker = lone_.worker();
      streaming_softmax(
          {.q = token.queries, .k = keys, .v = values, .out = token.out, .scale = scale_}, rows,
          plan, nullptr, worker);
    }
  }
  std::unique_ptr<Stream> clone() const override {
    return std::make_unique<CompressedStream>(*this);
  }
  std::size_t state_bytes() const override { return keys_.bytes() + values_.bytes(); }

 private:
  Index stride_;
  float scale_;
  CompressedRows keys_, values_;
  Index place_ = 0;  ///< of the next token in its group
  Index tile_rows_;  ///< queries that the kernel takes at a time
  LoneWorker lone_;
};

class Compressed final : public Variant {
 public:
  Index stride = 3;
  Kind kind = Kind::conv;
  bool null_key = true;

  void parameters(Parameters& visit) override {
    visit("stride", stride, at_least(1), "tokens that are compressed into one");
    visit("kind", kind, {"conv", "mean"}, "by a learned convolution, or the mean");
    visit("null_key", null_key,
          "causal: all queries see a learned key and value beside the groups");
  }
  Target target(const Problem&) const override { return Target::operation; }
  std::string exact_when(const Problem&) const override {
    return "stride=1,kind=mean,null_key=false";
  }

  void tensors(const Problem& problem, TensorVisitor& visit) const override {
    const auto weights = [&](std::string_view name, Index width, std::string_view doc) {
      visit(name, {{"stride", stride}, {"from", width}, {"to", width}},
            init::normal(1 / std::sqrt(static_cast<double>(stride * width))), Role::learned,
            Sharing::head, doc);
    };
    if (kind == Kind::conv) {
      weights("key_weights", problem.dim, "convolves keys");
      weights("value_weights", problem.value_dim, "convolves values");
    }
    if (!has_null(problem)) return;
    visit("null_key", {{"dim", problem.dim}}, init::zeros(), Role::learned, Sharing::head,
          "key that every query sees");
    visit("null_value", {{"value_dim", problem.value_dim}}, init::zeros(), Role::learned,
          Sharing::head, "its value");
  }

  Scratch scratch(const Problem& problem) const override {
    Scratch scratch;
    scratch.shared_bytes = FewKeys::bytes(rows(problem), problem);
    if (problem.causal) {
      const Turns turns = cut(problem);
      if (turns.tiles() > 1) {
        declare_packed_keys(rows(problem), problem.dim, problem.value_dim, Precision::f32, scratch);
      }
      scratch.worker_bytes = softmax_scratch_bytes(turns.rows, problem.dim, problem.value_dim);
    } else {
      declare_attend_all(problem.queries, rows(problem), problem.dim, problem.value_dim, scratch);
    }
    if (kind == Kind::mean || groups(problem) == 0) return scratch;
    const Index tile = std::min(kGroupTile, groups(problem));
    scratch.worker_bytes =
        std::max({scratch.worker_bytes, product_scratch_bytes(tile, problem.dim, problem.dim),
                  product_scratch_bytes(tile, problem.value_dim, problem.value_dim)});
    return scratch;
  }

  Cost cost(const Problem& problem) const override {
    double pairs = 0;
    for (Index i = 0; i < problem.queries; ++i) {
      pairs += static_cast<double>(visible(problem, problem.position(i)));
    }
    const auto square = [](Index width) { return static_cast<double>(width * width); };
    const double channels = square(problem.dim) + square(problem.value_dim);
    Cost cost = softmax_cost(problem, pairs);
    if (kind == Kind::conv) {
      cost.useful.multiply_adds += static_cast<double>(tokens(problem)) * channels;
      cost.bytes += sizeof(float) * static_cast<double>(stride) * channels;
    }
    if (has_null(problem)) {
      cost.bytes += sizeof(float) * static_cast<double>(problem.dim + problem.value_dim);
    }
    return cost;
  }

  void forward(const Call& call) const override {
    const Problem& problem = call.problem;
    const FewKeys few =
        FewKeys::of(call, rows(problem), [&](const FewKeys& to) { compress(call, to); });
    const SoftmaxOperands operands{.q = call.q,
                                   .k = few.keys,
                                   .v = few.values,
                                   .out = call.out,
                                   .scale = static_cast<float>(problem.score_scale()),
                                   .causal = problem.causal};
    if (problem.causal) {
      attend_causally(problem, operands, call.run);
    } else {
      attend_all(operands, call.run);
    }
  }

  std::size_t prepared_bytes(const Problem& problem) const override {
    return FewKeys::bytes(rows(problem), problem);
  }
  void prepare(const Call& call, std::span<std::byte> prepared) const override {
    compress(call, FewKeys(prepared, rows(call.problem), call.problem));
  }

  std::unique_ptr<Stream> stream(const Problem& problem, const Tensors& tensors) const override {
    const auto by = [&](std::string_view name) {
      return Compression{stride, kind == Kind::conv ? tensors.matrix(name) : ConstView()};
    };
    auto stream =
        std::make_unique<CompressedStream>(problem, by("key_weights"), by("value_weights"));
    if (has_null(problem)) {
      stream->append(tensors.matrix("null_key").data, tensors.matrix("null_value").data);
    }
    return stream;
  }

  void reference(const ReferenceCall& call) const override {
    const Problem& problem = call.problem;
    const std::vector<std::vector<double>> keys = compressed(call, call.k, "key");
    const std::vector<std::vector<double>> values = compressed(call, call.v, "value");
    for (Index i = 0; i < problem.queries; ++i) {
      std::vector<double> row;
      for (Index g = 0; g < static_cast<Index>(keys.size()); ++g) {
        if (!sees(problem, i, g)) break;
        row.push_back(0);
        for (Index c = 0; c < problem.dim; ++c) {
          row[g] += problem.score_scale() * call.q(i, c) * keys[g][c];
        }
      }
      naive_softmax(row);
      for (Index c = 0; c < problem.value_dim; ++c) {
        call.out(i, c) = 0;
        for (std::size_t g = 0; g < row.size(); ++g) call.out(i, c) += row[g] * values[g][c];
      }
    }
  }

 private:
  bool has_null(const Problem& problem) const { return problem.causal && null_key; }

  /// Groups that some query sees; all of them where not causal.
  Index groups(const Problem& problem) const {
    if (!problem.causal) return (problem.keys + stride - 1) / stride;
    return std::min(problem.keys, problem.position(problem.queries - 1) + 1) / stride;
  }
  /// Tokens in these.
  Index tokens(const Problem& problem) const {
    return std::min(problem.keys, groups(problem) * stride);
  }
  /// Compressed keys: the null key, if there is one, and the groups.
  Index rows(const Problem& problem) const { return (has_null(problem) ? 1 : 0) + groups(problem); }
  /// How many of these, from the first, a query at this position sees.
  Index visible(const Problem& problem, Index position) const {
    if (!problem.causal) return rows(problem);
    return std::min((has_null(problem) ? 1 : 0) + (position + 1) / stride, rows(problem));
  }

  void compress(const Call& call, const FewKeys& to) const {
    const Index null = has_null(call.problem) ? 1 : 0, count = groups(call.problem);
    if (null == 1) {
      std::copy_n(call.tensors.matrix("null_key").data, to.keys.cols, to.keys.row(0));
      std::copy_n(call.tensors.matrix("null_value").data, to.values.cols, to.values.row(0));
    }
    const ConstView k = call.k.row_range(0, tokens(call.problem));
    const ConstView v = call.v.row_range(0, tokens(call.problem));
    const View keys = to.keys.row_range(null, count), values = to.values.row_range(null, count);
    if (kind == Kind::mean) {
      const Segments segments = Segments::of_length(k.rows, stride);
      segment_means(segments, k, keys, call.run);
      segment_means(segments, v, values, call.run);
      return;
    }
    const ConstView of_keys = call.tensors.matrix("key_weights");
    const ConstView of_values = call.tensors.matrix("value_weights");
    call.run.parallel((count + kGroupTile - 1) / kGroupTile, [&](Index tile, Worker& worker) {
      convolve(k, of_keys, tile * kGroupTile, keys, worker);
      convolve(v, of_values, tile * kGroupTile, values, worker);
    });
  }

  /// A tile of groups, from `first` on: one product for each place in a group. The last group may
  /// lack tokens.
  void convolve(ConstView tokens, ConstView weights, Index first, View to, Worker& worker) const {
    const Index end = std::min(first + kGroupTile, to.rows);
    for (Index place = 0; place < stride; ++place) {
      const Index whole = (tokens.rows - place + stride - 1) / stride;
      const Index count = std::min(end, whole) - first;
      if (count <= 0) continue;
      multiply(tokens.every(stride, first * stride + place, count),
               weights.row_range(place * tokens.cols, tokens.cols), to.row_range(first, count),
               worker, 1, place > 0);
    }
  }

  /// Query rows r, r + stride, ... for each r: a turn each, cut into tiles.
  struct Turns {
    Index count;
    Index longest;  ///< rows of the first turn
    Index rows;     ///< of a tile
    Index of_turn() const { return (longest + rows - 1) / rows; }
    Index tiles() const { return count * of_turn(); }
  };
  Turns cut(const Problem& problem) const {
    const Index longest = (problem.queries + stride - 1) / stride;
    return {std::min(stride, problem.queries), longest,
            softmax_tile_rows(longest, problem.dim, problem.value_dim, Precision::f32)};
  }

  void attend_causally(const Problem& problem, SoftmaxOperands operands, Run& run) const {
    const Turns turns = cut(problem);
    if (turns.tiles() > 1) pack_keys(operands, run);
    run.parallel(turns.tiles(), [&](Index index, Worker& worker) {
      // The last queries see most: they come first, so that threads end together.
      const Index turn = index % turns.count;
      const Index begin = (turns.of_turn() - 1 - index / turns.count) * turns.rows;
      const Index count = (problem.queries - turn + stride - 1) / stride;
      if (begin >= count) return;
      SoftmaxOperands of_turn = operands;
      of_turn.q = operands.q.every(stride, turn, count);
      of_turn.out = operands.out.every(stride, turn, count);
      const Index null = has_null(problem) ? 1 : 0;
      of_turn.first_query = null + (problem.position(turn) + 1) / stride - 1;
      KeySpan spans[1];
      KeyPlan plan(operands.k.rows, spans, {});
      plan.all(0, operands.k.rows);
      streaming_softmax(of_turn, {begin, std::min(turns.rows, count - begin)}, plan, nullptr,
                        worker);
    });
  }

  /// For the reference: null row and groups, by definition.
  std::vector<std::vector<double>> compressed(const ReferenceCall& call,
                                              MatrixView<const double> from,
                                              const std::string& of) const {
    std::vector<std::vector<double>> result;
    if (has_null(call.problem)) {
      const ConstView null = call.tensors.matrix("null_" + of);
      result.emplace_back(null.data, null.data + null.cols);
    }
    for (Index begin = 0; begin < from.rows; begin += stride) {
      std::vector<double>& row = result.emplace_back(static_cast<std::size_t>(from.cols));
      const Index end = std::min(begin + stride, from.rows);
      for (Index j = begin; j < end; ++j) {
        for (Index c = 0; c < from.cols; ++c) {
          if (kind == Kind::mean) row[c] += from(j, c) / static_cast<double>(end - begin);
          for (Index b = 0; kind == Kind::conv && b < from.cols; ++b) {
            row[c] +=
                from(j, b) * call.tensors.matrix(of + "_weights")((j - begin) * from.cols + b, c);
          }
        }
      }
    }
    return result;
  }

  /// For the reference: whether a query sees this row of `compressed`.
  bool sees(const Problem& problem, Index query, Index row) const {
    if (!problem.causal || (has_null(problem) && row == 0)) return true;
    const Index group = has_null(problem) ? row - 1 : row;
    const Index last_token = group * stride + stride - 1;
    return last_token < problem.keys && last_token <= problem.position(query);
  }
};

SUBQUAD_VARIANT(Compressed,
                {.name = "compressed",
                 .summary = "softmax over keys and values compressed by a strided convolution",
                 .citation = "arXiv:1801.10198",
                 .time = "n^2 d / stride",
                 .memory = "n d / stride"});

}  // namespace
}  // namespace subquad

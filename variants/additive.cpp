// additive: attention whose scores come from a small network in the place of an inner product.
// Bahdanau, Cho and Bengio 2014, "Neural machine translation by jointly learning to align and
// translate" (arXiv:1409.0473), section 3.1 and appendix A.1.2.
//
//   score(q_i, k_j) = v^T tanh(W q_i + U k_j),   W, U in R^(hidden x dim), v in R^hidden
//   out_i = sum_j softmax_j(score(q_i, k_j)) v_j                over all keys j, j <= i where
//   causal
//
// In the paper q_i is the decoder's state before step i and k_j = v_j what a bidirectional network
// says of source word j, so the weights are the alignment of two sentences. Luong et al. 2015
// (arXiv:1508.04025) call the same `concat`: W and U side by side are one matrix on [q; k]. Scores
// are not scaled. Time O(queries keys (hidden + e) + (queries + keys) hidden d): every pair takes
// `hidden` tanh, and no inner product can stand for that. Memory O(keys hidden): U K, once; scores
// are made block by block of keys inside the streaming softmax, so no [queries, keys] matrix
// exists. A decoder holds U k and v of all tokens.
//
// Different from the paper. No bias inside tanh: the paper's equation has none either. Its W and U
// start near 0 and its v at 0, which is the mean of the values until training has begun; here
// W, U ~ normal(0, 1 / sqrt(dim)) and v ~ normal(0, 1 / sqrt(hidden)), so that what is drawn
// attends to something. Trained jointly with all of a translator there; here `calibrate` fits W, U
// and v to an output alone: each of at most kFitSteps steps takes queries keys (hidden + e) work
// per window.

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/additive_error.h"
#include "kernels/descent.h"
#include "kernels/lone_worker-inl.h"
#include "kernels/naive-inl.h"
#include "kernels/position_blocks.h"
#include "kernels/product.h"
#include "kernels/rowwise.h"
#include "kernels/streaming_softmax.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

/// Projected keys that lie together: one block of the softmax.
constexpr Index kBlock = 64;
/// Short tiles, as their cost is in the scores and not in passing over keys.
constexpr Index kMostTileRows = 32;
constexpr int kFitSteps = 200;

struct Network {
  ConstView w, u;      ///< [hidden, dim]
  const float* score;  ///< [hidden]

  explicit Network(const Tensors& tensors)
      : w(tensors.matrix("w")), u(tensors.matrix("u")), score(tensors.matrix("score").data) {}
  Index hidden() const { return w.rows; }
};

/// U K in blocks of keys, each [hidden, kBlock], so that neighbouring lanes are neighbouring keys.
class ProjectedKeys {
 public:
  ProjectedKeys(float* memory, Index hidden) : memory_(memory), hidden_(hidden) {}

  static Index elements(Index keys, Index hidden) {
    return block_count(keys, kBlock) * hidden * kBlock;
  }
  /// Keys of one block, at most kBlock from `first` on.
  View keys(Index first, Index count) const {
    return {memory_ + first / kBlock * hidden_ * kBlock + first % kBlock, hidden_, count, kBlock};
  }
  void project(const Network& network, ConstView keys, Index first, Worker& worker) const {
    multiply_transposed(network.u, keys, this->keys(first, keys.rows), worker);
  }

 private:
  float* memory_;
  Index hidden_;
};

/// Puts the network's scores in the place of the kernel's.
class NetworkScores final : public ScoreEdit {
 public:
  /// `queries` is W q of the tile's rows, which begin at `first`.
  NetworkScores(const Network& network, const ProjectedKeys& keys, ConstView queries, Index first,
                Worker& worker)
      : network_(network), keys_(keys), queries_(queries), first_(first), worker_(worker) {}

  void edit(Index query, std::span<const std::int32_t> keys, float* scores) const override {
    const Index begin = keys.front(), count = static_cast<Index>(keys.size());
    for (Index done = 0; done < count;) {
      const Index at = begin + done, part = std::min(kBlock - at % kBlock, count - done);
      sum_of_tanh(keys_.keys(at, part), queries_.row(query - first_), network_.score,
                  scores + done);
      done += part;
    }
    const double pairs = static_cast<double>(count * network_.hidden());
    worker_.executed += {.multiply_adds = pairs, .exponentials = pairs};
  }

 private:
  const Network& network_;
  const ProjectedKeys& keys_;
  ConstView queries_;
  Index first_;
  Worker& worker_;
};

/// Rows of which the kernel is to make nothing: its scores are replaced.
ConstView nothing(Index rows) {
  static constexpr float kZero = 0;
  return {&kZero, rows, 1, 0};
}

Index tile_rows(Index queries, Index value_dim) {
  return std::min({queries, kMostTileRows, softmax_tile_rows(1, value_dim)});
}

std::size_t tile_bytes(Index rows, Index hidden, Index dim, Index value_dim) {
  return Scratch().worker<float>(rows * hidden).worker_bytes +
         std::max(product_scratch_bytes(rows, hidden, dim),
                  softmax_scratch_bytes(rows, 1, value_dim));
}

/// Attention of some rows of `q`; the operands' own queries and keys are `nothing`.
void attend(const SoftmaxOperands& operands, ConstView q, const Network& network,
            const ProjectedKeys& keys, const Rows& rows, Worker& worker) {
  const View queries = worker.scratch.take_matrix(rows.count, network.hidden());
  multiply_transposed(q.row_range(rows.begin, rows.count), network.w, queries, worker);
  const NetworkScores scores(network, keys, queries, rows.begin, worker);
  KeySpan spans[1];
  KeyPlan plan(operands.k.rows, spans, {});
  plan.all(0, operands.k.rows);
  streaming_softmax(operands, rows, plan, &scores, worker);
}

class AdditiveStream final : public Stream {
 public:
  AdditiveStream(const Problem& problem, const Network& network)
      : network_(network),
        dim_(problem.dim),
        value_dim_(problem.value_dim),
        keys_(static_cast<std::size_t>(ProjectedKeys::elements(problem.keys, network.hidden()))),
        values_(static_cast<std::size_t>(problem.keys * value_dim_)),
        tile_rows_(tile_rows(kMostTileRows, value_dim_)),
        lone_(std::max(product_scratch_bytes(network.hidden(), 1, dim_),
                       tile_bytes(tile_rows_, network.hidden(), dim_, value_dim_))) {}

  void step(const Token& token) override {
    const ProjectedKeys keys(keys_.data(), network_.hidden());
    Worker worker = lone_.worker();
    keys.project(network_, {token.key, 1, dim_}, read_, worker);
    std::copy_n(token.value, value_dim_, values_.begin() + read_ * value_dim_);
    ++read_;
    const SoftmaxOperands operands{.q = nothing(token.queries.rows),
                                   .k = nothing(read_),
                                   .v = {values_.data(), read_, value_dim_},
                                   .out = token.out};
    for (Index row = 0; row < token.queries.rows; row += tile_rows_) {
      worker = lone_.worker();
      attend(operands, token.queries, network_, keys,
             {row, std::min(tile_rows_, token.queries.rows - row)}, worker);
    }
  }
  std::unique_ptr<Stream> clone() const override { return std::make_unique<AdditiveStream>(*this); }
  std::size_t state_bytes() const override {
    return sizeof(float) * (keys_.size() + values_.size());
  }

 private:
  Network network_;
  Index dim_, value_dim_;
  std::vector<float> keys_, values_;
  Index tile_rows_;
  LoneWorker lone_;
  Index read_ = 0;
};

class Additive final : public Variant {
 public:
  Index hidden = 32;

  void parameters(Parameters& visit) override {
    visit("hidden", hidden, at_least(1), "units of the network that scores a pair");
  }
  Target target(const Problem&) const override { return Target::operation; }
  bool ignores_key_order(const Problem& problem) const override { return !problem.causal; }
  bool gives_log_sum_exp() const override { return true; }

  void tensors(const Problem& problem, TensorVisitor& visit) const override {
    const Fitting fitted = fit::iterative(
        "squared error of the output over the windows, by L-BFGS from what is drawn");
    const Extent units{"hidden", hidden}, columns{"dim", problem.dim};
    const auto spread = [](Index count) {
      return init::normal(1 / std::sqrt(static_cast<double>(count)));
    };
    visit("w", {units, columns}, spread(problem.dim), Role::learned, Sharing::head,
          "projects queries", fitted);
    visit("u", {units, columns}, spread(problem.dim), Role::learned, Sharing::head, "projects keys",
          fitted);
    visit("score", {units}, spread(hidden), Role::learned, Sharing::head,
          "weighs the units into a score", fitted);
  }

  Scratch scratch(const Problem& problem) const override {
    Scratch scratch;
    scratch.shared<float>(ProjectedKeys::elements(problem.keys, hidden));
    scratch.worker_bytes = std::max(product_scratch_bytes(hidden, kBlock, problem.dim),
                                    tile_bytes(tile_rows(problem.queries, problem.value_dim),
                                               hidden, problem.dim, problem.value_dim));
    return scratch;
  }

  Cost cost(const Problem& problem) const override {
    const double pairs = problem.pairs(), units = static_cast<double>(hidden);
    const double rows = static_cast<double>(problem.queries + seen_keys(problem));
    const double dim = static_cast<double>(problem.dim);
    return {.useful = {.multiply_adds = rows * dim * units +
                                        pairs * (units + static_cast<double>(problem.value_dim)),
                       .exponentials = pairs * (units + 1)},
            .bytes = softmax_cost(problem, pairs).bytes + sizeof(float) * units * (2 * dim + 1)};
  }

  void forward(const Call& call) const override {
    const Problem& problem = call.problem;
    const Network network(call.tensors);
    const ProjectedKeys keys = projected(call, network);
    const SoftmaxOperands operands{.q = nothing(problem.queries),
                                   .k = nothing(problem.keys),
                                   .v = call.v,
                                   .out = call.out,
                                   .row_log_sum_exp = call.row_log_sum_exp,
                                   .causal = problem.causal,
                                   .first_query = problem.first_query};
    const Index rows = tile_rows(problem.queries, problem.value_dim);
    const Index tiles = block_count(problem.queries, rows);
    call.run.parallel(tiles, [&](Index number, Worker& worker) {
      // Where causal, the last queries see most keys: they come first, so that threads end
      // together.
      const Index begin = (tiles - 1 - number) * rows;
      attend(operands, call.q, network, keys, {begin, std::min(rows, problem.queries - begin)},
             worker);
    });
  }

  std::unique_ptr<Stream> stream(const Problem& problem, const Tensors& tensors) const override {
    return std::make_unique<AdditiveStream>(problem, Network(tensors));
  }

  void weights(const ReferenceCall& call, MatrixView<double> weights) const override {
    const auto queries = rows_times(call.q, call.tensors.matrix("w"));
    const auto keys = rows_times(call.k, call.tensors.matrix("u"));
    for (Index i = 0; i < weights.rows; ++i) row_weights(call, queries, keys, i, weights.row(i));
  }
  void reference(const ReferenceCall& call) const override {
    const auto queries = rows_times(call.q, call.tensors.matrix("w"));
    const auto keys = rows_times(call.k, call.tensors.matrix("u"));
    naive_outputs(call, [&](Index i, double* row) {
      const double log_sum_exp = row_weights(call, queries, keys, i, row);
      if (call.row_log_sum_exp != nullptr) call.row_log_sum_exp[i] = log_sum_exp;
    });
  }

  void calibrate(const Problem& problem, std::span<const Window> windows,
                 const Tensors& tensors) const override {
    std::vector<View> parts;
    std::vector<double> at;
    for (const char* name : {"w", "u", "score"}) {
      parts.push_back(tensors.writable(name));
      at.insert(at.end(), parts.back().data, parts.back().data + size(parts.back()));
    }
    const AdditiveError error(problem, hidden, windows);
    const Descent found = descend(error, at, {.steps = kFitSteps});
    std::vector<double> ignored(at.size());
    for (double& value : at) value = static_cast<float>(value);
    if (error(at, ignored) >= found.before) return;  // rounding left nothing of what was won
    auto from = at.begin();
    for (const View& part : parts) {
      std::copy(from, from + size(part), part.data);
      from += size(part);
    }
  }

 private:
  static Index size(const View& matrix) { return matrix.rows * matrix.cols; }

  /// Keys that some query sees.
  static Index seen_keys(const Problem& problem) {
    if (!problem.causal) return problem.keys;
    return std::clamp<Index>(problem.position(problem.queries - 1) + 1, 0, problem.keys);
  }

  ProjectedKeys projected(const Call& call, const Network& network) const {
    const Index elements = ProjectedKeys::elements(call.problem.keys, hidden);
    const ProjectedKeys to(call.run.shared().take<float>(elements).data(), hidden);
    const Index keys = seen_keys(call.problem);
    call.run.parallel(block_count(keys, kBlock), [&](Index block, Worker& worker) {
      const Index first = block * kBlock;
      to.project(network, call.k.row_range(first, std::min(kBlock, keys - first)), first, worker);
    });
    return to;
  }

  /// Writes the weights of one row, given W Q and U K; returns its log-sum-exp.
  double row_weights(const ReferenceCall& call, const std::vector<double>& queries,
                     const std::vector<double>& keys, Index i, double* row) const {
    const float* const score = call.tensors.matrix("score").data;
    for (Index j = 0; j < call.problem.keys; ++j) {
      row[j] = -std::numeric_limits<double>::infinity();
      if (!call.problem.sees(i, j)) continue;
      row[j] = 0;
      for (Index h = 0; h < hidden; ++h) {
        row[j] += score[h] * std::tanh(queries[i * hidden + h] + keys[j * hidden + h]);
      }
    }
    return naive_softmax({row, static_cast<std::size_t>(call.problem.keys)});
  }

  /// [rows, hidden]: each row times each row of `matrix`.
  std::vector<double> rows_times(MatrixView<const double> rows, ConstView matrix) const {
    std::vector<double> products;
    for (Index i = 0; i < rows.rows; ++i) {
      for (Index h = 0; h < hidden; ++h) {
        double sum = 0;
        for (Index c = 0; c < rows.cols; ++c) sum += rows(i, c) * matrix(h, c);
        products.push_back(sum);
      }
    }
    return products;
  }
};

SUBQUAD_VARIANT(Additive, {.name = "additive",
                           .summary = "scores from a network on query and key: v^T tanh(W q + U k)",
                           .citation = "arXiv:1409.0473",
                           .time = "n^2 (hidden + d)",
                           .memory = "n hidden"});

}  // namespace
}  // namespace subquad

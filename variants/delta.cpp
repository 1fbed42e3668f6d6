// delta: linear attention that corrects itself: a token takes away what its key recalls before it
// writes its value. DeltaNet: Schlag et al. 2021 (arXiv:2102.11174), section 4; with these
// features, and in chunks: Yang et al. 2024, "Parallelizing linear Transformers with the delta rule
// over sequence length" (arXiv:2406.06484), section 3.
//
//   S_t = (I - beta_t k_t k_t^T) S_(t-1) + beta_t k_t v_t^T,   out_t = scale S_t^T q_t
//   beta_t = sigmoid(w . x_t), or a constant
//
// Rows of q and of k are silu(row) / |silu(row)|, or row / |row|. Keys have to be of length 1: with
// it the state's matrix shrinks or stays for beta in [0, 1], without it it may grow for ever. beta
// = 1 overwrites what a key recalls, beta = 0 writes nothing. Causal by nature. Time O(n d e), a
// state of d e numbers. The state passes through a matrix for each token, so a head is one task for
// one thread; heads run beside one another.
//
// Different from the paper: out is scaled, by 1 / sqrt(d) unless a scale is given, as the authors'
// kernels (fla-org/flash-linear-attention) do; the paper's scale is 1. What surrounds it there is
// the layer's: short convolutions, silu of v, and the norm of the output. w starts as a layer of
// PyTorch does, uniform within 1 / sqrt(columns of x). A row shorter than 1e-12 is divided by that.
// Without projections x is V, and w has value_dim numbers.

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "kernels/delta_rule.h"
#include "kernels/product.h"
#include "kernels/rowwise.h"
#include "kernels/sum_of_squares-inl.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

enum class Feature { silu, identity };
enum class Gate { learned, constant };
constexpr double kShortest = 1e-12;

/// factor * phi(row) / |phi(row)| for each of the rows.
void map_rows(Feature feature, double factor, ConstView rows, View to, Worker& worker) {
  for (Index i = 0; i < rows.rows; ++i) {
    const float* const row = rows.row(i);
    const std::span<float> features(to.row(i), static_cast<std::size_t>(rows.cols));
    if (feature == Feature::silu) {
      for (Index c = 0; c < rows.cols; ++c) features[c] = -row[c];
      exp_minus(features, 0);
      for (Index c = 0; c < rows.cols; ++c) features[c] = row[c] / (1 + features[c]);
    } else {
      std::copy_n(row, rows.cols, features.data());
    }
    scale_by(features,
             static_cast<float>(factor / std::max(std::sqrt(sum_of_squares(features)), kShortest)));
  }
  const double elements = static_cast<double>(rows.rows * rows.cols);
  worker.executed +=
      {.multiply_adds = elements, .exponentials = feature == Feature::silu ? elements : 0};
}

void check_input(Index columns, Index wanted) {
  if (columns == wanted) return;
  throw Error("delta: x has " + std::to_string(columns) + " columns; gate=learned takes " +
              std::to_string(wanted) + ", as many as the values");
}

float sigmoid(float z) { return 1 / (1 + std::exp(-z)); }

/// The state after the tokens so far, token by token.
class DeltaStream final : public Stream {
 public:
  struct Options {
    Feature feature;
    double scale;
    ConstView w;  ///< [1, columns of x], or empty
    double beta;  ///< where there is no w
  };

  DeltaStream(const Options& options, Index dim, Index value_dim)
      : options_(options),
        dim_(dim),
        columns_(value_dim),
        state_(static_cast<std::size_t>(dim * value_dim)),
        row_(static_cast<std::size_t>(dim)),
        update_(static_cast<std::size_t>(value_dim)) {}

  void step(const Token& token) override {
    map({token.key, 1, dim_}, 1);
    std::copy_n(token.value, columns_, update_.data());
    add_recalled(-1, update_.data());
    const float beta = beta_of(token.x);
    for (float& value : update_) value *= beta;
    for (Index f = 0; f < dim_; ++f) {
      float* const sums = state_.data() + f * columns_;
      for (Index c = 0; c < columns_; ++c) sums[c] += row_[f] * update_[c];
    }
    for (Index i = 0; i < token.queries.rows; ++i) {
      map(token.queries.row_range(i, 1), options_.scale);
      std::fill_n(token.out.row(i), columns_, 0.0f);
      add_recalled(1, token.out.row(i));
    }
  }
  std::unique_ptr<Stream> clone() const override { return std::make_unique<DeltaStream>(*this); }
  std::size_t state_bytes() const override { return sizeof(float) * state_.size(); }

 private:
  void map(ConstView row, double factor) {
    Worker none;
    map_rows(options_.feature, factor, row, {row_.data(), 1, dim_}, none);
  }
  float beta_of(ConstView x) const {
    if (options_.w.empty()) return static_cast<float>(options_.beta);
    check_input(x.cols, options_.w.cols);
    float z = 0;
    for (Index c = 0; c < x.cols; ++c) z += options_.w(0, c) * x(0, c);
    return sigmoid(z);
  }
  /// to += sign * S^T row_.
  void add_recalled(float sign, float* to) const {
    for (Index f = 0; f < dim_; ++f) {
      const float feature = sign * row_[f];
      const float* const sums = state_.data() + f * columns_;
      for (Index c = 0; c < columns_; ++c) to[c] += feature * sums[c];
    }
  }

  Options options_;
  Index dim_, columns_;
  std::vector<float> state_;         ///< S [dim, value_dim]
  std::vector<float> row_, update_;  ///< of one token
};

class Delta final : public Variant {
 public:
  Feature feature_map = Feature::silu;
  Gate gate = Gate::learned;
  double beta = 1;
  Index chunk = 64;

  void parameters(Parameters& visit) override {
    visit("feature_map", feature_map, {"silu", "identity"},
          "what is done to q and k before they are brought to length 1");
    visit("gate", gate, {"learned", "constant"},
          "how much a token overwrites: sigmoid(w . x), or beta");
    visit("beta", beta, between(0, 1), "gate=constant: 0 writes nothing, 1 overwrites");
    visit("chunk", chunk, between(1, 4096),
          "rows handled by one matrix product; changes no result");
  }
  Target target(const Problem&) const override { return Target::operation; }
  Consumes consumes() const override {
    return {.q = true, .k = true, .v = true, .x = gate == Gate::learned};
  }
  std::string refuses(const Problem& problem) const override {
    if (!problem.causal) return "each token corrects what those before it wrote: causal only";
    if (problem.position(problem.queries - 1) >= problem.keys) {
      return "causal queries must be among the keys";
    }
    if (gate == Gate::learned && !problem.self_attention()) {
      return "gate=learned reads rows of x, which are those of queries: queries must be the keys, "
             "or gate=constant";
    }
    return {};
  }

  void tensors(const Problem& problem, TensorVisitor& visit) const override {
    if (gate == Gate::constant) return;
    const double bound = 1 / std::sqrt(static_cast<double>(problem.value_dim));
    visit("w", {{"value_dim", problem.value_dim}}, init::uniform(-bound, bound), Role::learned,
          Sharing::head, "makes beta from x");
  }

  Scratch scratch(const Problem& problem) const override {
    const Index rows = chunk_rows(problem);
    Scratch scratch;
    scratch.worker<float>(rows * problem.dim)
        .worker<float>(asked_rows(problem) * problem.dim)
        .worker<float>(rows);
    DeltaRule::declare(scratch, rows, problem.dim, problem.value_dim);
    std::size_t inside = DeltaRule::read_scratch_bytes(rows, problem.dim, problem.value_dim);
    if (gate == Gate::learned) {
      inside = std::max(inside, product_scratch_bytes(rows, 1, problem.value_dim));
    }
    return scratch.worker<std::byte>(static_cast<Index>(inside));
  }

  Cost cost(const Problem& problem) const override {
    const double keys = static_cast<double>(problem.position(problem.queries));
    const double queries = static_cast<double>(problem.queries);
    const double dim = static_cast<double>(problem.dim);
    const double columns = static_cast<double>(problem.value_dim);
    const bool learned = gate == Gate::learned;
    // What a key recalls, what is written, what a query recalls; a square for each feature.
    const double features = (keys + queries) * dim;
    return {.useful = {.multiply_adds = (2 * keys + queries) * dim * columns + features +
                                        (learned ? keys * columns : 0),
                       .exponentials =
                           (feature_map == Feature::silu ? features : 0) + (learned ? keys : 0)},
            .bytes = sizeof(float) * (features + (keys + queries) * columns +
                                      (learned ? (keys + 1) * columns : 0))};
  }

  void forward(const Call& call) const override {
    if (gate == Gate::learned) check_input(call.x.cols, call.problem.value_dim);
    call.run.parallel(1, [&](Index, Worker& worker) { pass(call, worker); });
  }

  /// The recurrence.
  void reference(const ReferenceCall& call) const override {
    if (gate == Gate::learned) check_input(call.x.cols, call.problem.value_dim);
    const Index dim = call.problem.dim, columns = call.problem.value_dim;
    const Index first = call.problem.first_query;
    std::vector<double> state(static_cast<std::size_t>(dim * columns));
    for (Index t = 0; t < first + call.out.rows; ++t) {
      const std::vector<double> key = reference_features(call.k, t);
      const double strength = reference_beta(call, t);
      for (Index c = 0; c < columns; ++c) {
        double recalled = 0;
        for (Index f = 0; f < dim; ++f) recalled += key[f] * state[f * columns + c];
        for (Index f = 0; f < dim; ++f) {
          state[f * columns + c] += strength * key[f] * (call.v(t, c) - recalled);
        }
      }
      if (t < first) continue;
      const std::vector<double> query = reference_features(call.q, t - first);
      for (Index c = 0; c < columns; ++c) {
        double sum = 0;
        for (Index f = 0; f < dim; ++f) sum += query[f] * state[f * columns + c];
        call.out(t - first, c) = call.problem.score_scale() * sum;
      }
    }
  }

  std::unique_ptr<Stream> stream(const Problem& problem, const Tensors& tensors) const override {
    const ConstView w = gate == Gate::learned ? tensors.matrix("w") : ConstView();
    return std::make_unique<DeltaStream>(
        DeltaStream::Options{feature_map, problem.score_scale(), w, beta}, problem.dim,
        problem.value_dim);
  }

 private:
  Index chunk_rows(const Problem& problem) const {
    return std::min(chunk, problem.position(problem.queries));
  }
  Index asked_rows(const Problem& problem) const {
    return std::min(chunk_rows(problem), problem.queries);
  }

  /// All tokens up to the last query, in chunks.
  void pass(const Call& call, Worker& worker) const {
    const Problem& problem = call.problem;
    const Index rows = chunk_rows(problem), end = problem.position(problem.queries);
    const View keys = worker.scratch.take_matrix(rows, problem.dim);
    const View queries = worker.scratch.take_matrix(asked_rows(problem), problem.dim);
    const View betas = worker.scratch.take_matrix(rows, 1);
    DeltaRule rule(worker.scratch, rows, problem.dim, problem.value_dim);
    for (Index begin = 0; begin < end; begin += rows) {
      const Index count = std::min(rows, end - begin);
      const Index first = std::max(begin - problem.first_query, Index{0});
      const Index asked = std::max(begin + count - problem.first_query, Index{0}) - first;
      map_rows(feature_map, 1, call.k.row_range(begin, count), keys, worker);
      map_rows(feature_map, problem.score_scale(), call.q.row_range(first, asked), queries, worker);
      make_betas(call, begin, betas.row_range(0, count), worker);
      rule.read({.keys = keys.row_range(0, count),
                 .values = call.v.row_range(begin, count),
                 .betas = betas.data,
                 .queries = queries.row_range(0, asked),
                 .out = call.out.row_range(first, asked)},
                worker);
    }
  }

  void make_betas(const Call& call, Index begin, View betas, Worker& worker) const {
    if (gate == Gate::constant) {
      std::fill_n(betas.data, betas.rows, static_cast<float>(beta));
      return;
    }
    multiply_transposed(call.x.row_range(begin, betas.rows), call.tensors.matrix("w"), betas,
                        worker);
    for (Index i = 0; i < betas.rows; ++i) betas(i, 0) = sigmoid(betas(i, 0));
    worker.executed.exponentials += static_cast<double>(betas.rows);
  }

  double reference_beta(const ReferenceCall& call, Index t) const {
    if (gate == Gate::constant) return beta;
    const ConstView w = call.tensors.matrix("w");
    double z = 0;
    for (Index c = 0; c < w.cols; ++c) z += w(0, c) * call.x(t, c);
    return 1 / (1 + std::exp(-z));
  }

  std::vector<double> reference_features(MatrixView<const double> rows, Index i) const {
    std::vector<double> features;
    double squares = 0;
    for (Index c = 0; c < rows.cols; ++c) {
      const double x = rows(i, c);
      features.push_back(feature_map == Feature::silu ? x / (1 + std::exp(-x)) : x);
      squares += features[c] * features[c];
    }
    for (double& feature : features) feature /= std::max(std::sqrt(squares), kShortest);
    return features;
  }
};

SUBQUAD_VARIANT(Delta, {.name = "delta",
                        .summary = "linear attention whose tokens overwrite what their keys recall",
                        .citation = "arXiv:2406.06484",
                        .time = "n d^2",
                        .memory = "d^2"});

}  // namespace
}  // namespace subquad

// gated: linear attention in which each token decides, feature by feature, how much of the past is
// kept. Yang et al. 2023, "Gated linear attention Transformers with hardware-efficient training"
// (arXiv:2312.06635), sections 4.1 and 4.4; chunks: sections 4.2 and 4.3.
//
//   S_t = diag(alpha_t) S_(t-1) + k_t v_t^T,   out_t = scale S_t^T q_t
//   alpha_t = sigmoid(W2 W1 x_t + b)^(1 / temperature)
//
// W1 in R^(rank x columns of x), W2 in R^(d x rank). Causal by nature. Time O(n d e), a state of
// d e numbers. The norm, the output gate and the projection that follow in the paper's layer are
// the layer's.
//
// Different from the paper: it does not say how W1, W2 and b start; here as layers of PyTorch do,
// uniform within 1 / sqrt(columns), which is what the authors' layer (fla-org/
// flash-linear-attention) takes by itself. Gates are then about 0.96 and remember some 23 tokens.
// Without projections x is V, and W1 takes rows of value_dim columns.

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "kernels/naive-inl.h"
#include "kernels/product.h"
#include "kernels/rowwise.h"
#include "kernels/scaled_features-inl.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

/// values[i] = factor * log(sigmoid(values[i])), that is -factor * log(1 + exp(-values[i])).
/// `exponentials` is room for as many numbers.
void scaled_log_sigmoid(std::span<float> values, float factor, std::span<float> exponentials) {
  for (std::size_t i = 0; i < values.size(); ++i) exponentials[i] = -std::abs(values[i]);
  exp_minus(exponentials, 0);
  for (std::size_t i = 0; i < values.size(); ++i) {
    // log(1 + e) = 2 artanh(s), s = e / (2 + e) <= 1/3: the first term left out is below 4e-10 of
    // the sum.
    const float e = exponentials[i], s = e / (2 + e), square = s * s;
    float series = 1.0f / 17;
    for (int k = 15; k >= 1; k -= 2) series = series * square + 1.0f / static_cast<float>(k);
    values[i] = factor * (std::min(values[i], 0.0f) - 2 * s * series);
  }
}

/// Learned weights of the gates, and how they are used.
struct GateLayers {
  ConstView w1;  ///< [rank, columns of x]
  ConstView w2;  ///< [dim, rank]
  ConstView b;   ///< [1, dim]
  double temperature;
};

void check_input(Index columns, Index wanted) {
  if (columns == wanted) return;
  throw Error("gated: x has " + std::to_string(columns) + " columns; the gates take " +
              std::to_string(wanted) + ", as many as the values");
}

class Gates final : public Forgetting<float> {
 public:
  Gates(const GateLayers& layers, Index rank, Index x_columns)
      : layers_(layers), rank_(rank), x_columns_(x_columns) {}

  Index width(Index features) const override { return features; }
  std::size_t scratch_bytes(Index count, Index features) const override {
    const std::size_t products = std::max(product_scratch_bytes(count, rank_, x_columns_),
                                          product_scratch_bytes(count, features, rank_));
    const std::size_t exponentials = Scratch().worker<float>(features).worker_bytes;
    return Scratch().worker<float>(count * rank_).worker_bytes + std::max(products, exponentials);
  }
  void log_gates(ConstView, ConstView x, Index, View logs, Worker& worker) const override {
    check_input(x.cols, x_columns_);
    Arena& arena = worker.scratch;
    const View hidden = arena.take_matrix(x.rows, rank_);
    const std::size_t mark = arena.used();
    multiply_transposed(x, layers_.w1, hidden, worker);
    multiply_transposed(hidden, layers_.w2, logs, worker);
    arena.rewind(mark);
    const std::span<float> exponentials = arena.take<float>(logs.cols);
    const auto factor = static_cast<float>(1 / layers_.temperature);
    for (Index i = 0; i < logs.rows; ++i) {
      float* const row = logs.row(i);
      for (Index f = 0; f < logs.cols; ++f) row[f] += layers_.b(0, f);
      scaled_log_sigmoid({row, exponentials.size()}, factor, exponentials);
    }
    // An exponential and a logarithm each.
    worker.executed.exponentials += 2 * static_cast<double>(logs.rows * logs.cols);
  }

 private:
  GateLayers layers_;
  Index rank_, x_columns_;
};

class Gated final : public Variant {
 public:
  Index rank = 16;
  double temperature = 16;
  Index chunk = 64;

  void parameters(Parameters& visit) override {
    visit("rank", rank, between(1, 1024), "width of the layer between x and the gates");
    visit("temperature", temperature, between(0.01, 1e6),
          "gates are the sigmoid to the power of 1 / temperature");
    visit("chunk", chunk, between(1, 256), "rows handled by one matrix product; changes no result");
  }
  Target target(const Problem&) const override { return Target::operation; }
  Consumes consumes() const override { return {.q = true, .k = true, .v = true, .x = true}; }
  std::string refuses(const Problem& problem) const override {
    if (!problem.causal) return "each token fades what came before it: causal only";
    if (!problem.self_attention()) {
      return "gates of keys are made from rows of x, which are those of queries: queries must be "
             "the keys";
    }
    return {};
  }

  void tensors(const Problem& problem, TensorVisitor& visit) const override {
    const Extent input{"value_dim", problem.value_dim}, hidden{"rank", rank};
    const Extent features{"dim", problem.dim};
    visit("w1", {hidden, input}, within_root_of(input.size), Role::learned, Sharing::head,
          "first layer of the gates");
    visit("w2", {features, hidden}, within_root_of(rank), Role::learned, Sharing::head,
          "second layer of the gates");
    visit("b", {features}, within_root_of(rank), Role::learned, Sharing::head,
          "bias of the second layer");
  }

  Scratch scratch(const Problem& problem) const override {
    const ScaledFeatures map(problem.score_scale());
    const Gates gates({}, rank, problem.value_dim);
    return kernel(map, gates).scratch(problem);
  }

  Cost cost(const Problem& problem) const override {
    const ScaledFeatures map(problem.score_scale());
    const Gates gates({}, rank, problem.value_dim);
    const double n = static_cast<double>(problem.queries);
    const double layers = static_cast<double>(rank * (problem.value_dim + problem.dim));
    const double dim = static_cast<double>(problem.dim);
    const double columns = static_cast<double>(2 * problem.dim + 3 * problem.value_dim);
    // A gate: exponential and logarithm for the sigmoid's, exponential for its power.
    return {.useful = {.multiply_adds = kernel(map, gates).multiply_adds(problem) + n * layers,
                       .exponentials = 3 * n * dim},
            .bytes = sizeof(float) * (n * columns + layers + dim)};
  }

  void forward(const Call& call) const override {
    const ScaledFeatures map(call.problem.score_scale());
    const Gates gates = gates_of(call.tensors, call.problem);
    kernel(map, gates).forward(call);
  }

  /// The recurrent form.
  void reference(const ReferenceCall& call) const override {
    check_input(call.x.cols, call.problem.value_dim);
    const Index dim = call.problem.dim, columns = call.problem.value_dim;
    std::vector<double> state(static_cast<std::size_t>(dim * columns));
    for (Index t = 0; t < call.out.rows; ++t) {
      const std::vector<double> alpha = reference_gates(call, t);
      for (Index c = 0; c < columns; ++c) {
        call.out(t, c) = 0;
        for (Index f = 0; f < dim; ++f) {
          double& sum = state[f * columns + c];
          sum = alpha[f] * sum + call.k(t, f) * call.v(t, c);
          call.out(t, c) += call.problem.score_scale() * call.q(t, f) * sum;
        }
      }
    }
  }

  /// The parallel form (section 4.1): a product of gates between each query and key.
  void weights(const ReferenceCall& call, MatrixView<double> weights) const override {
    std::vector<std::vector<double>> alpha;
    for (Index t = 0; t < weights.rows; ++t) alpha.push_back(reference_gates(call, t));
    for (Index i = 0; i < weights.rows; ++i) {
      std::vector<double> kept(static_cast<std::size_t>(call.problem.dim), 1);
      std::fill_n(weights.row(i), weights.cols, 0.0);
      for (Index j = i; j >= 0; --j) {
        for (Index f = 0; f < call.problem.dim; ++f) {
          weights(i, j) += call.problem.score_scale() * call.q(i, f) * kept[f] * call.k(j, f);
          kept[f] *= alpha[j][f];
        }
      }
    }
  }

  std::unique_ptr<Stream> stream(const Problem& problem, const Tensors& tensors) const override {
    const auto map = std::make_shared<ScaledFeatures>(problem.score_scale());
    const auto gates = std::make_shared<Gates>(gates_of(tensors, problem));
    return linear_stream<float>(map, gates, kernel(*map, *gates), problem);
  }

 private:
  static Initialiser within_root_of(Index columns) {
    const double bound = 1 / std::sqrt(static_cast<double>(columns));
    return init::uniform(-bound, bound);
  }

  Gates gates_of(const Tensors& tensors, const Problem& problem) const {
    return {{tensors.matrix("w1"), tensors.matrix("w2"), tensors.matrix("b"), temperature},
            rank,
            problem.value_dim};
  }

  LinearAttention<float> kernel(const ScaledFeatures& map, const Gates& gates) const {
    return {.map = map, .chunk = chunk, .normaliser = Normaliser::none, .forgetting = &gates};
  }

  std::vector<double> reference_gates(const ReferenceCall& call, Index t) const {
    const ConstView w1 = call.tensors.matrix("w1"), w2 = call.tensors.matrix("w2");
    const ConstView b = call.tensors.matrix("b");
    std::vector<double> hidden(static_cast<std::size_t>(rank)), alpha;
    for (Index h = 0; h < rank; ++h) {
      for (Index c = 0; c < call.x.cols; ++c) hidden[h] += w1(h, c) * call.x(t, c);
    }
    for (Index f = 0; f < call.problem.dim; ++f) {
      double z = b(0, f);
      for (Index h = 0; h < rank; ++h) z += w2(f, h) * hidden[h];
      alpha.push_back(std::pow(1 / (1 + std::exp(-z)), 1 / temperature));
    }
    return alpha;
  }
};

SUBQUAD_VARIANT(Gated, {.name = "gated",
                        .summary = "linear attention whose tokens gate each feature of the past",
                        .citation = "arXiv:2312.06635",
                        .time = "n d^2",
                        .memory = "d^2"});

}  // namespace
}  // namespace subquad

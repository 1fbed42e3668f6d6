// retention: linear attention whose memory of a key fades by the same factor with every token.
// Sun et al. 2023, "Retentive network: a successor to Transformer for large language models"
// (arXiv:2307.08621), section 2.1: parallel form equation 5, recurrent form equation 6, chunks
// equation 7.
//
//   out_n = sum over m <= n of gamma^(n - m) (scale q_n . k_m) v_m
//         = scale S_n^T q_n,   S_n = gamma S_(n-1) + k_n v_n^T
//
// Causal by nature. Time O(n d e), a state of d e numbers. The paper gives head h the factor
// 1 - 2^(-5-h): heads(retention(gamma=0.96875),retention(gamma=0.984375),...). The rotation of q
// and k by their positions (xPos) belongs to the projections, and so to whoever makes q and k.
//
// Different from the paper: where it has GroupNorm behind each head (equation 8), norm=rms divides
// each output row by its root mean square, as the authors' code (microsoft/torchscale) and
// flash-linear-attention do, the latter with this 1e-5 under the root. By default there is none:
// rows are the retention itself, and grow with the number of keys that are remembered, some
// 1 / (1 - gamma). The paper's divisions that such a norm takes out again ("retention score
// normalization") are left out.

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/naive-inl.h"
#include "kernels/scaled_features-inl.h"
#include "kernels/sum_of_squares-inl.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

enum class Norm { none, rms };
constexpr double kEpsilon = 1e-5;

/// One gate, the same for all tokens.
class ConstantGate final : public Forgetting<float> {
 public:
  explicit ConstantGate(double gamma) : log_(static_cast<float>(std::log(gamma))) {}

  Index width(Index) const override { return 1; }
  void log_gates(ConstView, ConstView, Index, View logs, Worker&) const override {
    for (Index i = 0; i < logs.rows; ++i) logs(i, 0) = log_;
  }

 private:
  float log_;
};

void divide_by_rms(View rows) {
  for (Index i = 0; i < rows.rows; ++i) {
    float* const row = rows.row(i);
    const double squares = sum_of_squares({row, static_cast<std::size_t>(rows.cols)});
    const auto factor =
        static_cast<float>(1 / std::sqrt(squares / static_cast<double>(rows.cols) + kEpsilon));
    for (Index c = 0; c < rows.cols; ++c) row[c] *= factor;
  }
}

/// Rows of another stream over their root mean square.
class RmsStream final : public Stream {
 public:
  explicit RmsStream(std::unique_ptr<Stream> inner) : inner_(std::move(inner)) {}

  void step(const Token& token) override {
    inner_->step(token);
    divide_by_rms(token.out);
  }
  std::unique_ptr<Stream> clone() const override {
    return std::make_unique<RmsStream>(inner_->clone());
  }
  std::size_t state_bytes() const override { return inner_->state_bytes(); }

 private:
  std::unique_ptr<Stream> inner_;
};

class Retention final : public Variant {
 public:
  double gamma = 1 - 0x1p-5;
  Norm norm = Norm::none;
  Index chunk = 64;

  void parameters(Parameters& visit) override {
    visit("gamma", gamma, between(1e-6, 1), "what is left of a key's weight after one more token");
    visit("norm", norm, {"none", "rms"}, "rms: each output row over its root mean square");
    visit("chunk", chunk, between(1, 256), "rows handled by one matrix product; changes no result");
  }
  Target target(const Problem&) const override { return Target::operation; }
  std::string refuses(const Problem& problem) const override {
    if (!problem.causal) {
      return "a key's weight fades with its distance behind the query: causal only";
    }
    if (problem.position(problem.queries - 1) >= problem.keys) {
      return "causal queries must be among the keys";
    }
    return {};
  }

  Scratch scratch(const Problem& problem) const override {
    const ScaledFeatures map(problem.score_scale());
    const ConstantGate gate(gamma);
    return kernel(map, gate).scratch(problem);
  }

  Cost cost(const Problem& problem) const override {
    const ScaledFeatures map(problem.score_scale());
    const ConstantGate gate(gamma);
    const double rows = static_cast<double>(problem.queries + problem.position(problem.queries));
    const double outputs = static_cast<double>(problem.queries * problem.value_dim);
    return {.useful = {.multiply_adds = kernel(map, gate).multiply_adds(problem) +
                                        (norm == Norm::rms ? outputs : 0)},
            .bytes = sizeof(float) * rows * static_cast<double>(problem.dim + problem.value_dim)};
  }

  void forward(const Call& call) const override {
    const ScaledFeatures map(call.problem.score_scale());
    const ConstantGate gate(gamma);
    kernel(map, gate).forward(call);
    if (norm == Norm::none) return;
    call.run.parallel((call.out.rows + kRows - 1) / kRows, [&](Index tile, Worker& worker) {
      const Index begin = tile * kRows, count = std::min(kRows, call.out.rows - begin);
      divide_by_rms(call.out.row_range(begin, count));
      worker.executed.multiply_adds += static_cast<double>(count * call.out.cols);
    });
  }

  /// The parallel form.
  void reference(const ReferenceCall& call) const override {
    naive_outputs(call, [&](Index i, double* row) { weigh(call, i, row); });
    if (norm == Norm::none) return;
    for (Index i = 0; i < call.out.rows; ++i) {
      const double root = naive_rms(call.out, i);
      for (Index c = 0; c < call.out.cols; ++c) call.out(i, c) /= root;
    }
  }
  void weights(const ReferenceCall& call, MatrixView<double> weights) const override {
    for (Index i = 0; i < weights.rows; ++i) weigh(call, i, weights.row(i));
    if (norm == Norm::none) return;
    std::vector<double> memory(static_cast<std::size_t>(weights.rows * call.v.cols));
    ReferenceCall plain = call;
    plain.out = {memory.data(), weights.rows, call.v.cols};
    naive_outputs(plain, [&](Index i, double* row) { weigh(call, i, row); });
    for (Index i = 0; i < weights.rows; ++i) {
      const double root = naive_rms(plain.out, i);
      for (Index j = 0; j < weights.cols; ++j) weights(i, j) /= root;
    }
  }

  /// The recurrent form.
  std::unique_ptr<Stream> stream(const Problem& problem, const Tensors&) const override {
    const auto map = std::make_shared<ScaledFeatures>(problem.score_scale());
    const auto gate = std::make_shared<ConstantGate>(gamma);
    std::unique_ptr<Stream> plain = linear_stream<float>(map, gate, kernel(*map, *gate), problem);
    if (norm == Norm::none) return plain;
    return std::make_unique<RmsStream>(std::move(plain));
  }

 private:
  /// Rows that one tile divides by their root mean square.
  static constexpr Index kRows = 64;

  LinearAttention<float> kernel(const ScaledFeatures& map, const ConstantGate& gate) const {
    return {.map = map, .chunk = chunk, .normaliser = Normaliser::none, .forgetting = &gate};
  }

  void weigh(const ReferenceCall& call, Index i, double* row) const {
    for (Index j = 0; j < call.problem.keys; ++j) {
      const Index distance = call.problem.position(i) - j;
      row[j] = distance < 0
                   ? 0
                   : std::pow(gamma, static_cast<double>(distance)) * naive_score(call, i, j);
    }
  }

  static double naive_rms(MatrixView<double> rows, Index i) {
    double squares = 0;
    for (Index c = 0; c < rows.cols; ++c) squares += rows(i, c) * rows(i, c);
    return std::sqrt(squares / static_cast<double>(rows.cols) + kEpsilon);
  }
};

SUBQUAD_VARIANT(Retention, {.name = "retention",
                            .summary = "linear attention that fades by one factor with each token",
                            .citation = "arXiv:2307.08621",
                            .time = "n d^2",
                            .memory = "d^2"});

}  // namespace
}  // namespace subquad

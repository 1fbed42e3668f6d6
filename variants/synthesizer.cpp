// synthesizer: attention weights from scores that are made rather than compared. Tay et al. 2020,
// "Synthesizer: rethinking self-attention for transformer models" (arXiv:2005.00743), section 3.
//
//   out = softmax(S) V, where row i of S, for token i, is by `kind`
//   dense               W2 relu(W1 x_i)          W1 in R^(d x columns of x), W2 in R^(n x d)
//   random              R_i                      R in R^(n x n), learned
//   fixed               R_i                      the same, drawn for every seed and not learned
//   factorised_dense    a_(j / b) b_(j mod b)    for key j; a = W_A h, b = W_B h, h = relu(W1 x_i)
//   factorised_random   (R1 R2^T)_i              R1, R2 in R^(n x rank)
//   dot                 scale q_i^T K^T          what the others replace
//   several (random+dot)                         sum of c_s S_s, c = softmax(mixture)
//
// Time O(n^2 (d + e)), dense, dot; O(n^2 (rank + e)), factorised_random; O(n^2 e), the others: NOT
// sub-quadratic, whatever company it keeps. Memory of the tensors: n^2, random and fixed; n d,
// dense; n rank, factorised_random; d sqrt(n), factorised_dense; none, dot. Beside them O(n d),
// O(n rank) for packed W2, R2 and K, and O(d + sqrt(n)) for each worker: S is made, used and
// dropped in tiles.
//
// Different from the paper, or left open there. The inner width is the head's dim, layers have no
// bias (the paper's count of parameters has none), and without projections x is V, so W1 takes rows
// of value_dim columns. factorised_dense: the paper duplicates a and b to length n and multiplies
// them element by element; duplicated in the same way, as whole vectors, pairs would meet several
// times or never unless a's and b's lengths are coprime, so here elements of a are repeated and b
// is tiled, and each pair meets once. Mixtures add scores before the softmax, as in the paper,
// whose weights are learned and sum to 1; by which function it does not say. Here it is a softmax
// over a learned tensor that starts at 0, so at equal weights, for two sources a sigmoid:
// mesh_tensorflow's synthetic_attention has sigmoid(0) to start with, for dot and one other; its
// dense form has no W1 (it reads queries), and it has no factorised_dense. Long Range Arena's code
// adds scores without weights. Each source of a mixture has its own W1. Causal by mask.

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/calibration.h"
#include "kernels/naive-inl.h"
#include "kernels/synthetic_fit.h"
#include "kernels/synthetic_scores.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

enum class Kind { dense, random, fixed, factorised_dense, factorised_random, dot };
constexpr Kind kKinds[] = {
    Kind::dense, Kind::random, Kind::fixed, Kind::factorised_dense, Kind::factorised_random,
    Kind::dot};
using MixtureWeights = std::array<double, std::size(kKinds)>;  ///< of each kind, by its number

/// Reads tensors, or, before there are any, says their extents by views of nothing.
class TensorRows {
 public:
  explicit TensorRows(const Tensors* tensors) : tensors_(tensors) {}
  /// The leading rows and columns.
  ConstView operator()(std::string_view name, Index rows, Index cols) const {
    if (tensors_ == nullptr) return {nullptr, rows, cols};
    return tensors_->matrix(name).row_range(0, rows).col_range(0, cols);
  }

 private:
  const Tensors* tensors_;
};

class Synthesizer final : public Variant {
 public:
  Some<Kind> kind = {Kind::dense};
  Index rank = 8;
  Index factor = 0;
  Index max_length = 0;

  void parameters(Parameters& visit) override {
    visit("kind", kind,
          {"dense", "random", "fixed", "factorised_dense", "factorised_random", "dot"},
          "where scores come from; several are mixed by learned weights");
    visit("rank", rank, at_least(1), "kind=factorised_random: columns of R1 and R2");
    visit("factor", factor, at_least(0),
          "kind=factorised_dense: length of b, and that of a follows; 0: near sqrt(n)");
    visit("max_length", max_length, at_least(0),
          "length that the tensors are made for; shorter sequences read their first rows and "
          "columns; 0: this sequence's");
  }
  Target target(const Problem&) const override {
    return only(Kind::dot) ? Target::exact : Target::operation;
  }
  std::string exact_when(const Problem&) const override { return "kind=dot"; }
  Consumes consumes() const override {
    return {.q = kind.has(Kind::dot), .k = kind.has(Kind::dot), .v = true, .x = reads_x()};
  }
  std::string refuses(const Problem& problem) const override {
    if (!problem.self_attention()) {
      return "row i of the scores belongs to token i, so queries must be the keys";
    }
    if (max_length > 0 && problem.keys > max_length) {
      return std::to_string(problem.keys) + " tokens are more than max_length " +
             std::to_string(max_length);
    }
    if (kind.has(Kind::factorised_dense) && factor > length(problem)) {
      return "factor " + std::to_string(factor) + " exceeds the length " +
             std::to_string(length(problem));
    }
    return {};
  }
  bool ignores_key_order(const Problem& problem) const override {
    return only(Kind::dot) && !problem.causal;
  }

  void tensors(const Problem& problem, TensorVisitor& visit) const override {
    const Extent tokens{max_length > 0 ? "max_length" : "tokens", length(problem)};
    const Extent inner{"dim", problem.dim}, input{"value_dim", problem.value_dim};
    const Initialiser to_inner = unit_sums(input), from_inner = unit_sums(inner);
    const auto learned = [&](std::string_view name, Shape shape, const Initialiser& initialiser,
                             std::string_view doc, Fitting fitting = {}) {
      visit(name, std::move(shape), initialiser, Role::learned, Sharing::head, doc,
            std::move(fitting));
    };
    if (kind.has(Kind::dense)) {
      learned("w1", {inner, input}, to_inner, "first layer");
      learned("w2", {tokens, inner}, from_inner, "second layer: one score for each position",
              fitted(Kind::dense,
                     "ridge regression of the windows' scores less the row's mean, on relu(W1 x) "
                     "with W1 as it is; relative penalty of 1e-4 to 1 by windows left out, 1e-3 "
                     "for a lone one"));
    }
    if (kind.has(Kind::random)) {
      learned("r", {tokens, tokens}, init::normal(1), "scores",
              fitted(Kind::random,
                     "log of the mean attention matrix of the windows: the least KL divergence "
                     "over all constant matrices"));
    }
    if (kind.has(Kind::fixed)) {
      visit("fixed", {tokens, tokens}, init::normal(1), Role::random, Sharing::head, "scores");
    }
    if (kind.has(Kind::factorised_dense)) {
      const Factors factors = this->factors(problem);
      learned("factor_w1", {inner, input}, to_inner, "first layer of factorised_dense");
      learned("w_a", {{"length / factor", factors.a}, inner}, from_inner, "second layer to a");
      learned("w_b", {{"factor", factors.b}, inner}, from_inner, "second layer to b");
    }
    if (kind.has(Kind::factorised_random)) {
      const Initialiser root = init::normal(std::pow(static_cast<double>(rank), -0.25));
      const Fitting fitting = fitted(
          Kind::factorised_random,
          "R1 R2^T nearest, in Frobenius norm, to the log mean attention matrix of the windows "
          "less each row's mean; hidden pairs count as 0");
      learned("r1", {tokens, {"rank", rank}}, root, "scores, left factor", fitting);
      learned("r2", {tokens, {"rank", rank}}, root, "scores, right factor", fitting);
    }
    if (kind.count() > 1) {
      learned("mixture", {{"sources", kind.count()}}, init::zeros(),
              "logarithms of the sources' weights, in the order of kind's names");
    }
  }

  Scratch scratch(const Problem& problem) const override {
    Scratch scratch;
    with_scores(nullptr, {problem, {}, {}, {}}, [&](const SyntheticScores& scores) {
      scratch = scores.scratch(problem.keys, problem.value_dim);
    });
    return scratch;
  }

  Cost cost(const Problem& p) const override {
    const double n = static_cast<double>(p.keys), pairs = p.pairs();
    const double dim = static_cast<double>(p.dim), value_dim = static_cast<double>(p.value_dim);
    // Additions are not counted: a matrix of scores costs its bytes alone.
    double multiply_adds = pairs * value_dim, elements = 2 * n * value_dim;
    if (reads_x()) elements += n * value_dim;
    if (kind.has(Kind::dense)) {
      multiply_adds += n * dim * value_dim + pairs * dim;
      elements += dim * value_dim + n * dim;
    }
    if (kind.has(Kind::random)) elements += pairs;
    if (kind.has(Kind::fixed)) elements += pairs;
    if (kind.has(Kind::factorised_dense)) {
      const Factors used = factors_used(p);
      const double both = static_cast<double>(used.a + used.b);
      multiply_adds += n * dim * (value_dim + both) + pairs;
      elements += dim * (value_dim + both);
    }
    if (kind.has(Kind::factorised_random)) {
      multiply_adds += pairs * static_cast<double>(rank);
      elements += 2 * n * static_cast<double>(rank);
    }
    if (kind.has(Kind::dot)) {
      multiply_adds += pairs * dim;
      elements += 2 * n * dim;
    }
    return {.useful = {.multiply_adds = multiply_adds, .exponentials = pairs},
            .bytes = sizeof(float) * elements};
  }

  void forward(const Call& call) const override {
    if (reads_x()) check_input(call.x.cols, call.problem);
    const Sources sources{call.problem, call.q, call.k, call.x};
    with_scores(&call.tensors, sources, [&](const SyntheticScores& scores) {
      scores.attend(call.v, call.out, call.problem.causal, call.run);
    });
  }

  void reference(const ReferenceCall& call) const override {
    naive_outputs(call, [&](Index i, double* row) { weigh_row(call, i, row); });
  }
  void weights(const ReferenceCall& call, MatrixView<double> weights) const override {
    for (Index i = 0; i < weights.rows; ++i) weigh_row(call, i, weights.row(i));
  }

  void calibrate(const Problem& problem, std::span<const Window> windows,
                 const Tensors& tensors) const override {
    // What is nearest in its own sense need not give the nearest output: then nothing is written.
    const auto error = [&](RowMajor<double> scores) {
      softmax_rows(problem, scores);
      return squared_error(scores, windows, &Window::v);
    };
    if (only(Kind::random)) {
      const RowMajor<double> found = log_mean_attention(problem, windows);
      const View r = tensors.writable("r");
      if (error(found) < error(leading(r, problem.keys, problem.keys))) write(found, r);
    } else if (only(Kind::factorised_random)) {
      RowMajor<double> scores = log_mean_attention(problem, windows);
      centre_rows(problem, scores);
      const LowRankFactors found = nearest_factors(scores, rank);
      const View r1 = tensors.writable("r1"), r2 = tensors.writable("r2");
      const RowMajor<double> drawn =
          leading(r1, problem.keys, rank) * leading(r2, problem.keys, rank).transpose();
      if (error(found.left * found.right.transpose()) >= error(drawn)) return;
      write(found.left, r1);
      write(found.right, r2);
    } else if (only(Kind::dense)) {
      const RowMajor<double> w1 = as_eigen(tensors.matrix("w1")).cast<double>();
      std::vector<RowMajor<double>> features;
      for (const Window& window : windows) {
        check_input(window.x.cols, problem);
        features.push_back((as_eigen(window.x).cast<double>() * w1.transpose()).array().max(0.0));
      }
      const ScoreRidge ridge(problem, windows, std::move(features));
      const View w2 = tensors.writable("w2");
      const RowMajor<double> drawn = leading(w2, problem.keys, w2.cols);
      const RowMajor<double> found = ridge.fit(ridge.relative_penalty());
      if (ridge.output_error(windows, found) < ridge.output_error(windows, drawn)) write(found, w2);
    }
  }

 private:
  static RowMajor<double> leading(View tensor, Index rows, Index cols) {
    return as_eigen(tensor.row_range(0, rows).col_range(0, cols)).cast<double>();
  }

  /// Lengths of a and of b.
  struct Factors {
    Index a, b;
  };
  /// What scores are made from, beside tensors.
  struct Sources {
    const Problem& problem;
    ConstView q, k, x;
  };

  bool only(Kind one) const { return kind.count() == 1 && kind.has(one); }
  bool reads_x() const { return kind.has(Kind::dense) || kind.has(Kind::factorised_dense); }
  Fitting fitted(Kind one, const char* how) const {
    return only(one) ? fit::closed_form(how) : Fitting();
  }
  Index length(const Problem& problem) const { return max_length > 0 ? max_length : problem.keys; }

  Factors factors(const Problem& problem) const {
    const Index n = length(problem);
    const auto root = static_cast<Index>(std::lround(std::sqrt(static_cast<double>(n))));
    const Index b = factor > 0 ? factor : root;
    return {(n + b - 1) / b, b};
  }
  /// Their leading parts that this sequence's keys meet.
  Factors factors_used(const Problem& problem) const {
    const Index n = problem.keys, b = factors(problem).b;
    return {(n + b - 1) / b, std::min(n, b)};
  }

  /// Sums of so many terms of order 1 have the variance 1.
  static Initialiser unit_sums(const Extent& terms) {
    return init::normal(1 / std::sqrt(static_cast<double>(terms.size)));
  }

  static void check_input(Index columns, const Problem& problem) {
    if (columns == problem.value_dim) return;
    throw Error("synthesizer: x has " + std::to_string(columns) +
                " columns; kind=dense and "
                "kind=factorised_dense take " +
                std::to_string(problem.value_dim) + ", as many as the values");
  }

  static void write(const RowMajor<double>& from, View to) {
    as_eigen(to.row_range(0, from.rows()).col_range(0, from.cols())) = from.cast<float>();
  }

  /// Softmax of the mixture; 1 for a kind that is alone.
  MixtureWeights mixture_weights(const Tensors* tensors) const {
    MixtureWeights weights{};
    if (tensors == nullptr) return weights;
    const ConstView logs = kind.count() > 1 ? tensors->matrix("mixture") : ConstView();
    const double largest = logs.empty() ? 0 : *std::max_element(logs.data, logs.data + logs.cols);
    double sum = 0;
    Index source = 0;
    for (const Kind one : kKinds) {
      if (!kind.has(one)) continue;
      double& weight = weights[static_cast<std::size_t>(one)];
      weight = logs.empty() ? 1 : std::exp(logs(0, source++) - largest);
      sum += weight;
    }
    for (double& weight : weights) weight /= sum;
    return weights;
  }

  /// Calls body(SyntheticScores); without tensors, views have extents and nothing else.
  template <class Body>
  void with_scores(const Tensors* tensors, const Sources& from, const Body& body) const {
    const Problem& p = from.problem;
    const TensorRows rows(tensors);
    const MixtureWeights weights = mixture_weights(tensors);
    const auto weight = [&](Kind one) {
      return static_cast<float>(weights[static_cast<std::size_t>(one)]);
    };
    std::array<SyntheticScores::Product, 3> products;
    std::array<SyntheticScores::Matrix, 2> matrices;
    SyntheticScores::Outer outer;
    std::size_t product = 0, matrix = 0;
    if (kind.has(Kind::dense)) {
      products[product++] = {from.x, rows("w1", p.dim, p.value_dim), rows("w2", p.keys, p.dim),
                             weight(Kind::dense)};
    }
    if (kind.has(Kind::factorised_random)) {
      products[product++] = {
          rows("r1", p.keys, rank), {}, rows("r2", p.keys, rank), weight(Kind::factorised_random)};
    }
    if (kind.has(Kind::dot)) {
      const ConstView k = tensors != nullptr ? from.k : ConstView(nullptr, p.keys, p.dim);
      const double scale = weights[static_cast<std::size_t>(Kind::dot)] * p.score_scale();
      products[product++] = {from.q, {}, k, static_cast<float>(scale)};
    }
    if (kind.has(Kind::random)) {
      matrices[matrix++] = {rows("r", p.keys, p.keys), weight(Kind::random)};
    }
    if (kind.has(Kind::fixed)) {
      matrices[matrix++] = {rows("fixed", p.keys, p.keys), weight(Kind::fixed)};
    }
    if (kind.has(Kind::factorised_dense)) {
      const Factors used = factors_used(p);
      outer = {from.x, rows("factor_w1", p.dim, p.value_dim), rows("w_a", used.a, p.dim),
               rows("w_b", used.b, p.dim), weight(Kind::factorised_dense)};
    }
    body(SyntheticScores{{products.data(), product},
                         {matrices.data(), matrix},
                         kind.has(Kind::factorised_dense) ? &outer : nullptr});
  }

  /// softmax(S_i) over the keys that token i sees, 0 elsewhere.
  void weigh_row(const ReferenceCall& call, Index i, double* row) const {
    std::vector<double> weights(static_cast<std::size_t>(kind.count()), 1);
    if (kind.count() > 1) {
      const ConstView mixture = call.tensors.matrix("mixture");
      std::copy_n(mixture.data, mixture.cols, weights.begin());
      naive_softmax(weights);
    }
    const Index n = call.problem.keys;
    std::fill_n(row, n, 0.0);
    auto weight = weights.begin();
    for (const Kind one : kKinds) {
      if (kind.has(one)) add_scores(call, one, *weight++, i, row);
    }
    for (Index j = 0; j < n; ++j) {
      if (!call.problem.sees(i, j)) row[j] = -std::numeric_limits<double>::infinity();
    }
    naive_softmax({row, static_cast<std::size_t>(n)});
  }

  void add_scores(const ReferenceCall& call, Kind one, double weight, Index i, double* row) const {
    const Index n = call.problem.keys;
    switch (one) {
      case Kind::dense: {
        const std::vector<double> scores = second_layer(call, "w1", "w2", i);
        for (Index j = 0; j < n; ++j) row[j] += weight * scores[j];
        return;
      }
      case Kind::random:
      case Kind::fixed: {
        const ConstView matrix = call.tensors.matrix(one == Kind::random ? "r" : "fixed");
        for (Index j = 0; j < n; ++j) row[j] += weight * matrix(i, j);
        return;
      }
      case Kind::factorised_dense: {
        const std::vector<double> a = second_layer(call, "factor_w1", "w_a", i);
        const std::vector<double> b = second_layer(call, "factor_w1", "w_b", i);
        const auto period = static_cast<Index>(b.size());
        for (Index j = 0; j < n; ++j) row[j] += weight * a[j / period] * b[j % period];
        return;
      }
      case Kind::factorised_random: {
        const ConstView r1 = call.tensors.matrix("r1"), r2 = call.tensors.matrix("r2");
        for (Index j = 0; j < n; ++j) {
          for (Index c = 0; c < rank; ++c) row[j] += weight * r1(i, c) * r2(j, c);
        }
        return;
      }
      case Kind::dot:
        for (Index j = 0; j < n; ++j) row[j] += weight * naive_score(call, i, j);
        return;
    }
  }

  /// W2 relu(W1 x_i), in double.
  std::vector<double> second_layer(const ReferenceCall& call, const char* first, const char* second,
                                   Index i) const {
    check_input(call.x.cols, call.problem);
    const ConstView w1 = call.tensors.matrix(first), w2 = call.tensors.matrix(second);
    std::vector<double> out(static_cast<std::size_t>(w2.rows));
    for (Index h = 0; h < w1.rows; ++h) {
      double hidden = 0;
      for (Index c = 0; c < w1.cols; ++c) hidden += w1(h, c) * call.x(i, c);
      if (hidden <= 0) continue;
      for (Index j = 0; j < w2.rows; ++j) out[j] += w2(j, h) * hidden;
    }
    return out;
  }
};

SUBQUAD_VARIANT(
    Synthesizer,
    {.name = "synthesizer",
     .summary = "scores made from each token alone, or learned outright, instead of Q K^T",
     .citation = "arXiv:2005.00743",
     .time = "n^2 d, not sub-quadratic",
     .memory = "n^2 (random, fixed), n d (dense), n rank (factorised_random), "
               "d sqrt(n) (factorised_dense), n d (dot)"});

}  // namespace
}  // namespace subquad

// mixer: two layers along the sequence in place of attention. Tolstikhin et al. 2021, "MLP-Mixer:
// an all-MLP architecture for vision" (arXiv:2105.01601), section 2, equation 1, token mixing.
//
//   out = W2 gelu(W1 X + b1) + b2,   W1 in R^(hidden x n), W2 in R^(n x hidden), b1, b2 one number
//                                    for each of their rows, the same for all columns of X
//
// Layer norm before and the residual after it in equation 1 are the block's, not the mixing's, and
// are not here. Time O(n hidden d), memory O(hidden d); 2 n hidden + n + hidden parameters. X is
// the layer's input; without projections it is V. Weights belong to positions, so to one length,
// and nothing is causal.
//
// Equation 1 leaves the biases out; the authors' code has them (google-research/vision_transformer,
// vit_jax/models_mixer.py). As there, weights are drawn with variance 1 / inputs and biases are
// zero. GELU is x Phi(x) itself, not one of its approximations. `sharing`: in the paper one pair of
// layers serves all channels, so all heads of a layer; `none` gives each head its own.
//
// Fitting. activation=none is one matrix W2 W1 of rank `hidden`: ridge regression of the dense
// output on X about the mean attention matrix of the windows, then the nearest matrix of that rank
// in the metric of X. With activation=gelu the same two factors serve: rows of W1 are scaled so
// that pre-activations have a mean square of 1 over the windows, b1 = 4, where GELU is all but a
// straight line, and W2 and b2 undo slope and shift. That is not for want of trying: median
// relative errors on the 8 odd windows of experiments/data/sentence_encoder_layer0_n128, fitted to
// the 8 even ones, hidden = 64, heads 0 to 3, are
//   activation=none                               .376 .660 .473 .595
//   gelu, shift 4, as described                   .376 .661 .474 .597
//   gelu, shift 2, W2 by ridge regression         .382 .663 .475 .597
//   gelu, no shift, W2 by ridge regression        .665 .793 .707 .765
//   gelu, shift 4, shared by the four heads       .699 .676 .580 .652
//   mean of V                                     .773 .957 .928 .964
// and layer 1 ranks them likewise: there a shift of 2 is better by .004 at the most. A nonlinearity
// of mixed tokens, one by one, is no help in foretelling attention.

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "kernels/calibration.h"
#include "kernels/product.h"
#include "kernels/rowwise.h"
#include "kernels/segments.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

enum class Activation { gelu, none };
enum class Share { layer, none };

/// Rows of the hidden layer, and of the output, that a tile takes.
constexpr Index kRows = 32;

/// Where a fitted hidden layer works.
constexpr double kShift = 4;

double normal_cdf(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }
double exact_gelu(double x) { return x * normal_cdf(x); }
double gelu_slope(double x) {
  constexpr double kPeak = 0.3989422804014327;  // of the normal density
  return normal_cdf(x) + x * kPeak * std::exp(-x * x / 2);
}

class Mixer final : public Variant {
 public:
  Index hidden = 64;
  Activation activation = Activation::gelu;
  Share sharing = Share::layer;

  void parameters(Parameters& visit) override {
    visit("hidden", hidden, at_least(1), "mixed tokens between the two layers");
    visit("activation", activation, {"gelu", "none"},
          "what stands between the layers: x Phi(x), or nothing, which leaves one matrix");
    visit("sharing", sharing, {"layer", "none"},
          "the layers serve all heads of a layer, or each head has its own");
  }
  Target target(const Problem&) const override { return Target::operation; }
  Consumes consumes() const override { return {.q = false, .k = false, .v = false, .x = true}; }
  std::string refuses(const Problem& problem) const override {
    if (problem.causal) return "mixed tokens are made of all positions, so nothing can be causal";
    if (problem.self_attention()) return {};
    return "mixes tokens of one sequence: queries must be the keys";
  }

  void tensors(const Problem& problem, TensorVisitor& visit) const override {
    const Sharing shared = sharing == Share::layer ? Sharing::layer : Sharing::head;
    const Extent tokens{"keys", problem.keys}, mixed{"hidden", hidden};
    const bool linear = activation == Activation::none;
    const auto deviation = [](const Extent& inputs) {
      return 1 / std::sqrt(static_cast<double>(inputs.size));
    };
    visit("w1", {mixed, tokens}, init::normal(deviation(tokens)), Role::learned, shared,
          "first layer, along the length",
          fit::closed_form("right factor of reduced-rank ridge regression of the dense output on "
                           "x about the mean attention matrix"));
    visit("b1", {mixed}, init::zeros(), Role::learned, shared, "bias of the first layer",
          fit::closed_form(linear ? "set to 0" : "set to 4, where GELU is nearly linear"));
    visit("w2", {tokens, mixed}, init::normal(deviation(mixed)), Role::learned, shared,
          "second layer, back to the length",
          fit::closed_form(linear ? "left factor of the same regression"
                                  : "left factor of the same regression over GELU's slope"));
    visit("b2", {tokens}, init::zeros(), Role::learned, shared, "bias of the second layer",
          fit::closed_form(linear ? "set to 0" : "takes out what the first bias puts in"));
  }

  Scratch scratch(const Problem& problem) const override {
    const Index width = problem.value_dim;
    Scratch scratch;
    for (Index part = 0; part < Segments::stretches(problem.keys).count; ++part) {
      scratch.shared<float>(hidden * width);
    }
    scratch.worker_bytes =
        std::max(product_scratch_bytes(std::min(kRows, hidden), width, problem.keys),
                 product_scratch_bytes(std::min(kRows, problem.queries), width, hidden));
    return scratch;
  }

  Cost cost(const Problem& problem) const override {
    const double n = static_cast<double>(problem.keys), h = static_cast<double>(hidden);
    const double width = static_cast<double>(problem.value_dim);
    return {.useful = {.multiply_adds = 2 * n * h * width,
                       .exponentials = activation == Activation::gelu ? h * width : 0},
            .bytes = sizeof(float) * (2 * n * width + 2 * n * h + n + h)};
  }

  void forward(const Call& call) const override {
    check_input(call.x.cols, call.problem);
    const View mixed = mix(call);
    const ConstView w2 = call.tensors.matrix("w2");
    const float* const b2 = call.tensors.matrix("b2").data;
    call.run.parallel(tiles(call.out.rows), [&](Index tile, Worker& worker) {
      const Index begin = tile * kRows, rows = std::min(kRows, call.out.rows - begin);
      const View out = call.out.row_range(begin, rows);
      for (Index i = 0; i < rows; ++i) std::fill_n(out.row(i), out.cols, b2[begin + i]);
      multiply(w2.row_range(begin, rows), mixed, out, worker, 1, true);
    });
  }

  void reference(const ReferenceCall& call) const override {
    check_input(call.x.cols, call.problem);
    const ConstView w1 = call.tensors.matrix("w1"), w2 = call.tensors.matrix("w2");
    const ConstView b1 = call.tensors.matrix("b1"), b2 = call.tensors.matrix("b2");
    for (Index c = 0; c < call.out.cols; ++c) {
      for (Index i = 0; i < call.out.rows; ++i) call.out(i, c) = b2.data[i];
      for (Index h = 0; h < hidden; ++h) {
        double sum = b1.data[h];
        for (Index j = 0; j < w1.cols; ++j) sum += w1(h, j) * call.x(j, c);
        if (activation == Activation::gelu) sum = exact_gelu(sum);
        for (Index i = 0; i < call.out.rows; ++i) call.out(i, c) += w2(i, h) * sum;
      }
    }
  }

  void calibrate(const Problem& problem, std::span<const Window> windows,
                 const Tensors& tensors) const override {
    for (const Window& window : windows) check_input(window.x.cols, problem);
    const ConstantFit fit = ridge_about_mean_attention(problem, windows, &Window::x);
    Factors layers =
        nearest_of_rank(fit.matrix, moments(problem, windows, &Window::x), fit.penalty, hidden);
    Eigen::VectorXd b1 = Eigen::VectorXd::Zero(hidden), b2 = Eigen::VectorXd::Zero(problem.keys);
    if (activation == Activation::gelu) {
      scale_to_one(windows, layers);
      layers.left /= gelu_slope(kShift);
      b1.setConstant(kShift);
      b2 = -exact_gelu(kShift) * layers.left.rowwise().sum();
    }
    as_eigen(tensors.writable("w1")) = layers.right.cast<float>();
    as_eigen(tensors.writable("w2")) = layers.left.cast<float>();
    as_eigen(tensors.writable("b1")) = b1.transpose().cast<float>();
    as_eigen(tensors.writable("b2")) = b2.transpose().cast<float>();
  }

 private:
  static Index tiles(Index rows) { return (rows + kRows - 1) / kRows; }

  static void check_input(Index columns, const Problem& problem) {
    if (columns == problem.value_dim) return;
    throw Error("mixer: x has " + std::to_string(columns) + " columns; it takes " +
                std::to_string(problem.value_dim) + ", as many as the values");
  }

  /// act(W1 X + b1), [hidden, columns], in shared scratch.
  View mix(const Call& call) const {
    // Few hidden rows are few tiles, so that long sequences are cut too, and their parts added up.
    const Segments stretches = Segments::stretches(call.problem.keys);
    std::array<View, Segments::kMostStretches> parts;
    for (Index part = 0; part < stretches.count; ++part) {
      parts[part] = call.run.shared().take_matrix(hidden, call.x.cols);
    }
    const Index count = tiles(hidden);
    call.run.parallel(count * stretches.count, [&](Index index, Worker& worker) {
      const Index part = index / count;
      const Rows keys{stretches.begin(part), stretches.size(part)};
      multiply_stretch(call, index % count, keys, parts[part], worker);
    });
    const std::span<const View> others(parts.data() + 1, parts.data() + stretches.count);
    call.run.parallel(count, [&](Index tile, Worker& worker) {
      for (const View& other : others) add_rows(tile, other, parts[0]);
      activate(call, tile, parts[0], worker);
    });
    return parts[0];
  }

  void multiply_stretch(const Call& call, Index tile, const Rows& stretch, View to,
                        Worker& worker) const {
    const Index row = tile * kRows, rows = std::min(kRows, hidden - row);
    const ConstView w1 = call.tensors.matrix("w1").row_range(row, rows);
    multiply(w1.col_range(stretch.begin, stretch.count),
             call.x.row_range(stretch.begin, stretch.count), to.row_range(row, rows), worker);
  }

  static void add_rows(Index tile, ConstView from, View to) {
    const Index end = std::min((tile + 1) * kRows, to.rows);
    for (Index i = tile * kRows; i < end; ++i) {
      for (Index c = 0; c < to.cols; ++c) to(i, c) += from(i, c);
    }
  }

  void activate(const Call& call, Index tile, View mixed, Worker& worker) const {
    const float* const b1 = call.tensors.matrix("b1").data;
    const Index end = std::min((tile + 1) * kRows, mixed.rows);
    for (Index h = tile * kRows; h < end; ++h) {
      for (Index c = 0; c < mixed.cols; ++c) mixed(h, c) += b1[h];
      if (activation == Activation::none) continue;
      gelu_in_place({mixed.row(h), static_cast<std::size_t>(mixed.cols)});
      worker.executed.exponentials += static_cast<double>(mixed.cols);
    }
  }

  /// Rows of the right factor such that what they make of the windows has mean square 1; the left
  /// one takes the scale. Rows of zeros stay.
  static void scale_to_one(std::span<const Window> windows, Factors& factors) {
    Eigen::VectorXd squares = Eigen::VectorXd::Zero(factors.right.rows());
    double columns = 0;
    for (const Window& window : windows) {
      const RowMajor<double> mixed = factors.right * as_eigen(window.x).cast<double>();
      squares += mixed.rowwise().squaredNorm();
      columns += static_cast<double>(mixed.cols());
    }
    for (Index h = 0; h < squares.size(); ++h) {
      const double size = std::sqrt(squares[h] / columns);
      if (size == 0) continue;
      factors.right.row(h) /= size;
      factors.left.col(h) *= size;
    }
  }
};

SUBQUAD_VARIANT(Mixer, {.name = "mixer",
                        .summary = "two layers along the sequence, the same for all channels",
                        .citation = "arXiv:2105.01601",
                        .time = "n hidden d",
                        .memory = "hidden d"});

}  // namespace
}  // namespace subquad

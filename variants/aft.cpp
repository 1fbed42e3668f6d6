// aft: attention-free transformer: keys weigh values channel by channel, with a learned bias for
// each pair of positions; queries only gate. Zhai et al. 2021 (arXiv:2105.14103), section 3.
//
//   out_t = sigmoid(q_t) * sum_j exp(k_j + w_tj) * v_j / sum_j exp(k_j + w_tj)    (equation 2)
//
//   full:    w in R^(n x n)                                        time O(n^2 d)
//   local:   w_tj = 0, not -infinity, where |t - j| >= window      time O(n window d)
//   conv:    local, w_tj = w_(j - t), and one key for the head     time O(n window d)
//   simple:  w = 0                                                 time O(n d)
//
// all with * and / element by element, so d = e. Memory O(n d): exp(k) and exp(k) v. With
// rank > 0, w of full and local is U V^T, U and V in R^(n x rank) (the paper's factorised form, of
// rank 128 and the like): 2 n rank numbers in place of n^2, and made tile by tile, n^2 rank more
// multiply-adds (local: n window rank).
//
// Different from the paper:
// - It leaves open how exp is kept in range. Here k is taken relative to its channel's maximum (if
//   causal, over the keys so far) and w to its row's; where both together still leave less than
//   float can hold, that one element is summed again term by term in double.
// - local and conv are a sum over the window plus the sums before and after it. The paper's sum
//   over all keys, corrected over the window by exp(w) - 1, cancels where w is very negative.
// - local stores its band, n (2 window - 1) numbers; with a rank it masks U V^T.
// - conv has a K of one column for each head there. A variant is given K of d columns and takes
//   their mean, a fixed projection that a learned W_K absorbs. The filter, 2 window - 1 numbers of
//   which causality leaves `window`, stands for itself, without the normalisation, gain and offset
//   that the paper trains it with: those reach no other filters.
// - How w starts: normal(0, 0.02) here; U and V such that so do elements of their product.
// No scale is applied to anything, as in the paper.

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/channel_attention.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

enum class Kind { full, local, simple, conv };

/// Standard deviation of a bias to begin with.
constexpr double kBias = 0.02;

class Aft final : public Variant {
 public:
  Kind kind = Kind::full;
  Index window = 32;
  Index rank = 0;

  void parameters(Parameters& visit) override {
    visit("kind", kind, {"full", "local", "simple", "conv"},
          "biases: of each pair, of pairs within the window, none, of distances within the window");
    visit("window", window, at_least(1),
          "kind=local, conv: positions less than this apart have a bias");
    visit("rank", rank, at_least(0),
          "kind=full, local: the biases are a product of this rank; 0: each stands for itself");
  }
  Target target(const Problem&) const override { return Target::operation; }
  std::string refuses(const Problem& problem) const override {
    if (problem.dim != problem.value_dim) {
      return "keys weigh values channel by channel, so dim must be value_dim";
    }
    if (problem.causal && problem.position(problem.queries - 1) >= problem.keys) {
      return "causal queries must be among the keys";
    }
    if (rank > 0 && (kind == Kind::simple || kind == Kind::conv)) {
      return "only the biases of kind=full and kind=local have a rank";
    }
    return {};
  }
  bool ignores_key_order(const Problem& problem) const override {
    return kind == Kind::simple && !problem.causal;
  }

  void tensors(const Problem& problem, TensorVisitor& visit) const override {
    const Extent positions{"positions", problem.position(problem.queries)};
    const Extent keys{"keys", problem.keys}, band{"2 window - 1", 2 * window - 1};
    if (kind == Kind::simple) return;
    if (rank > 0) {
      const double std = std::sqrt(kBias / std::sqrt(static_cast<double>(rank)));
      visit("w_u", {positions, {"rank", rank}}, init::normal(std), Role::learned, Sharing::head,
            "bias of (position, key), left factor");
      visit("w_v", {keys, {"rank", rank}}, init::normal(std), Role::learned, Sharing::head,
            "bias of (position, key), right factor");
    } else if (kind == Kind::full) {
      visit("w", {positions, keys}, init::normal(kBias), Role::learned, Sharing::head,
            "bias of (position, key)");
    } else if (kind == Kind::local) {
      visit("w", {positions, band}, init::normal(kBias), Role::learned, Sharing::head,
            "bias of (position, key - position + window - 1)");
    } else {
      visit("w", {band}, init::normal(kBias), Role::learned, Sharing::head,
            "bias of key - position + window - 1");
    }
  }

  Scratch scratch(const Problem& problem) const override { return kernel().scratch(problem); }

  Cost cost(const Problem& problem) const override {
    const double d = static_cast<double>(problem.dim), biased = biased_pairs(problem);
    const double queries = static_cast<double>(problem.queries);
    const double keys = static_cast<double>(
        problem.causal ? problem.position(problem.queries - 1) + 1 : problem.keys);
    const double key_columns = kind == Kind::conv ? 1 : d, width = key_columns + d;
    const Index filter = problem.causal ? window : 2 * window - 1;
    const double biases = kind == Kind::conv ? static_cast<double>(filter) : biased;
    const double factors = static_cast<double>(rank) * (queries + keys);
    return {
        .useful = {.multiply_adds = biased * (width + static_cast<double>(rank)) + keys * d,
                   .exponentials = keys * key_columns + biases + queries * d},
        .bytes = sizeof(float) * (2 * keys * d + 2 * queries * d + (rank > 0 ? factors : biases))};
  }

  void forward(const Call& call) const override {
    ChannelAttention attention = kernel();
    if (rank > 0) {
      attention.bias.u = call.tensors.matrix("w_u");
      attention.bias.v = call.tensors.matrix("w_v");
    } else if (kind != Kind::simple) {
      attention.bias.values = call.tensors.matrix("w");
    }
    attention.forward(call);
  }

  void reference(const ReferenceCall& call) const override {
    std::vector<double> biases(static_cast<std::size_t>(call.problem.keys));
    for (Index i = 0; i < call.out.rows; ++i) {
      Index seen = 0;
      for (; seen < call.problem.keys && call.problem.sees(i, seen); ++seen) {
        biases[seen] = reference_bias(call, call.problem.position(i), seen);
      }
      for (Index c = 0; c < call.out.cols; ++c) {
        const auto score = [&](Index j) { return reference_key(call, j, c) + biases[j]; };
        double largest = -std::numeric_limits<double>::infinity(), sum = 0, norm = 0;
        for (Index j = 0; j < seen; ++j) largest = std::max(largest, score(j));
        for (Index j = 0; j < seen; ++j) {
          const double weight = std::exp(score(j) - largest);
          sum += weight * call.v(j, c);
          norm += weight;
        }
        call.out(i, c) = sum / norm / (1 + std::exp(-call.q(i, c)));
      }
    }
  }

  /// Pairs (query, key) that have a bias and are seen.
  double biased_pairs(const Problem& problem) const {
    if (kind == Kind::simple) return 0;
    if (kind == Kind::full) return problem.pairs();
    double pairs = 0;
    for (Index i = 0; i < problem.queries; ++i) {
      const Index t = problem.position(i);
      const Index last =
          std::min({problem.keys - 1, t + window - 1, problem.causal ? t : problem.keys});
      pairs +=
          static_cast<double>(std::max<Index>(last - std::max<Index>(t - window + 1, 0) + 1, 0));
    }
    return pairs;
  }

 private:
  /// Without the tensors.
  ChannelAttention kernel() const {
    constexpr PairBias::Kind kKinds[] = {PairBias::Kind::all, PairBias::Kind::band,
                                         PairBias::Kind::none, PairBias::Kind::shift};
    return {.bias = {.kind = kKinds[static_cast<int>(kind)], .window = window, .rank = rank},
            .one_key = kind == Kind::conv};
  }

  double reference_key(const ReferenceCall& call, Index j, Index c) const {
    if (kind != Kind::conv) return call.k(j, c);
    double sum = 0;
    for (Index column = 0; column < call.k.cols; ++column) sum += call.k(j, column);
    return sum / static_cast<double>(call.k.cols);
  }

  double reference_bias(const ReferenceCall& call, Index t, Index j) const {
    if (kind == Kind::simple) return 0;
    if (kind != Kind::full && std::abs(t - j) >= window) return 0;
    if (rank > 0) {
      const ConstView u = call.tensors.matrix("w_u"), v = call.tensors.matrix("w_v");
      double product = 0;
      for (Index r = 0; r < rank; ++r) product += double{u(t, r)} * v(j, r);
      return product;
    }
    const ConstView w = call.tensors.matrix("w");
    if (kind == Kind::full) return w(t, j);
    return w(kind == Kind::conv ? 0 : t, j - t + window - 1);
  }
};

SUBQUAD_VARIANT(Aft, {.name = "aft",
                      .summary = "keys weigh values channel by channel, queries gate; no Q K^T",
                      .citation = "arXiv:2105.14103",
                      .time = "full n^2 d, local and conv n window d, simple n d",
                      .memory = "n d"});

}  // namespace
}  // namespace subquad

// aft: attention-free transformer: keys weigh values channel by channel, with a learned bias for
// each pair of positions; queries only gate. Zhai et al. 2021 (arXiv:2105.14103), section 3.
//
//   out_t = sigmoid(q_t) * sum_j exp(k_j + w_tj) * v_j / sum_j exp(k_j + w_tj)    (equation 2)
//
//   full:    w in R^(n x n)                                        time O(n^2 d)
//   local:   w_tj = 0, not -infinity, where |t - j| >= window      time O(n window d)
//   simple:  w = 0                                                 time O(n d)
//
// all with * and / element by element, so d = e. Memory O(n d): exp(k) and exp(k) v.
//
// Different from the paper: it leaves open how exp is kept in range. Here k is taken relative to
// its channel's maximum (over the keys so far, if causal) and w to its row's; where both together
// still leave less than float can hold, that one element is summed again term by term in double.
// `local` follows equation 3 as a sum over the window plus the sums before and after it, instead of
// the sum over all keys corrected by exp(w) - 1, which cancels where w is very negative. The paper
// does not say how w starts: normal(0, 0.02) here. No scale is applied to anything, as in the
// paper.

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/channel_attention.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

enum class Kind { full, local, simple };

class Aft final : public Variant {
 public:
  Kind kind = Kind::full;
  Index window = 32;

  void parameters(Parameters& visit) override {
    visit("kind", kind, {"full", "local", "simple"}, "which pairs of positions have a bias");
    visit("window", window, at_least(1), "kind=local: positions less than this apart have a bias");
  }
  Target target(const Problem&) const override { return Target::operation; }
  std::string refuses(const Problem& problem) const override {
    if (problem.dim != problem.value_dim) {
      return "keys weigh values channel by channel, so dim must be value_dim";
    }
    if (problem.causal && problem.position(problem.queries - 1) >= problem.keys) {
      return "causal queries must be among the keys";
    }
    return {};
  }
  bool ignores_key_order(const Problem& problem) const override {
    return kind == Kind::simple && !problem.causal;
  }

  void tensors(const Problem& problem, TensorVisitor& visit) const override {
    const Extent positions{"positions", problem.position(problem.queries)};
    if (kind == Kind::full) {
      visit("w", {positions, {"keys", problem.keys}}, init::normal(0.02), Role::learned,
            Sharing::head, "bias of (position, key)");
    } else if (kind == Kind::local) {
      visit("w", {positions, {"2 window - 1", 2 * window - 1}}, init::normal(0.02), Role::learned,
            Sharing::head, "bias of (position, key - position + window - 1)");
    }
  }

  Scratch scratch(const Problem& problem) const override { return kernel({}).scratch(problem); }
  Cost cost(const Problem& problem) const override {
    const double d = static_cast<double>(problem.dim), biased = biased_pairs(problem);
    const double queries = static_cast<double>(problem.queries);
    const double keys = static_cast<double>(
        problem.causal ? problem.position(problem.queries - 1) + 1 : problem.keys);
    return {.useful = {.multiply_adds = biased * 2 * d + keys * d,
                       .exponentials = keys * d + biased + queries * d},
            .bytes = sizeof(float) * (2 * keys * d + 2 * queries * d + biased)};
  }
  void forward(const Call& call) const override {
    kernel(kind == Kind::simple ? ConstView() : call.tensors.matrix("w")).forward(call);
  }

  void reference(const ReferenceCall& call) const override {
    std::vector<double> biases(static_cast<std::size_t>(call.problem.keys));
    for (Index i = 0; i < call.out.rows; ++i) {
      Index seen = 0;
      for (; seen < call.problem.keys && call.problem.sees(i, seen); ++seen) {
        biases[seen] = reference_bias(call, call.problem.position(i), seen);
      }
      for (Index c = 0; c < call.out.cols; ++c) {
        double largest = -std::numeric_limits<double>::infinity(), sum = 0, norm = 0;
        for (Index j = 0; j < seen; ++j) largest = std::max(largest, call.k(j, c) + biases[j]);
        for (Index j = 0; j < seen; ++j) {
          const double weight = std::exp(call.k(j, c) + biases[j] - largest);
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
  ChannelAttention kernel(ConstView w) const {
    const ChannelBias bias = kind == Kind::full    ? ChannelBias::all
                             : kind == Kind::local ? ChannelBias::band
                                                   : ChannelBias::none;
    return {bias, w, window};
  }

  double reference_bias(const ReferenceCall& call, Index t, Index j) const {
    if (kind == Kind::simple) return 0;
    if (kind == Kind::full) return call.tensors.matrix("w")(t, j);
    return std::abs(t - j) < window ? call.tensors.matrix("w")(t, j - t + window - 1) : 0;
  }
};

SUBQUAD_VARIANT(Aft, {.name = "aft",
                      .summary = "keys weigh values channel by channel, queries gate; no Q K^T",
                      .citation = "arXiv:2105.14103",
                      .time = "full n^2 d, local n window d, simple n d",
                      .memory = "n d"});

}  // namespace
}  // namespace subquad

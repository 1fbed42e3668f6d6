// hyper: exact attention inside blocks of queries and keys that hash alike, and an estimate of the
// rest from a few random keys. Han et al. 2023, "HyperAttention: long-context attention in
// near-linear time" (arXiv:2310.05869), algorithms 1 to 4.
//
//   hash:   h(x) = place of the bits [x P > 0] in the reflected Gray code,  P normal, [d, bits]
//   blocks: queries, and keys, in order of (h, position), both cut into ceil(n / block) equal parts
//   B_i =   keys in the block of query i;  S = `samples` keys, drawn without replacement
//   out_i = sum_j p_ij v_j over B_i and S \ B_i,  p_ij ~ exp(scale q_i . k_j) w_ij
//   w_ij =  1 in the block, (n - |B_i|) / |S \ B_i| of a sampled key
//
// Neighbours in the Gray code differ by one bit, so that blocks hold directions that are alike.
// Time O(n (block + samples) d + n bits d), memory O(n). Causal: the sequence is halved again and
// again; pieces of at most `min_length` attend exactly, and of each pair of halves, the later one's
// queries attend to the earlier one's keys as above, without a mask. Time O(log n) times as much.
// Parts merge by their log-sum-exp.
//
// Which block a query is in depends on the other queries of its half, later ones among them.
//
// Sampled keys that lie in the block are left out, for they are there already. The weight of the
// others makes numerator and denominator right in the mean, given how many there are; weight=all is
// the paper's n / |S|, which is so only over all draws, and varies with the number that is left
// out. Different from the authors' code: samples are drawn without replacement, so that all keys
// as samples are exact attention; blocks differ by at most one in length where n is no multiple;
// and nothing but causal pieces is exact because it is short.

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/draw-inl.h"
#include "kernels/hamming_kmeans.h"
#include "kernels/sampled_blocks.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

enum class Weight { outside, all };

using Numbers = std::span<const std::int32_t>;

constexpr std::int32_t kNone = -1;

/// Samples of every square, and kNone where a square has fewer keys.
void draw_samples(const SampledBlocks& shape, Generator& random, std::span<std::int32_t> drawn) {
  std::fill(drawn.begin(), drawn.end(), kNone);
  shape.each_square([&](const Square& square) {
    draw_ascending(random, square.keys.size(), shape.samples_of(square, drawn));
  });
}

/// The tensor may come from a file.
void check_samples(const SampledBlocks& shape, Numbers drawn) {
  shape.each_square([&](const Square& square) {
    std::int32_t before = kNone;
    for (const std::int32_t key : shape.samples_of(square, drawn)) {
      if (key <= before || key >= square.keys.size()) {
        throw Error("hyper: tensor 'samples' holds " + std::to_string(key) + " after " +
                    std::to_string(before) + "; keys of a square must ascend and lie in [0, " +
                    std::to_string(square.keys.size()) + ")");
      }
      before = key;
    }
  });
}

/// For the reference: the block of each token in each square, by sorting.
class Blocks {
 public:
  Blocks(const SampledBlocks& shape, Numbers query_places, Numbers key_places)
      : queries_(static_cast<std::size_t>(shape.squares())), keys_(queries_.size()) {
    shape.each_square([&](const Square& square) {
      queries_[square.number] = blocks(square, square.queries, query_places);
      keys_[square.number] = blocks(square, square.keys, key_places);
    });
  }
  Index of_query(const Square& square, Index i) const {
    return queries_[square.number][i - square.queries.begin];
  }
  /// [keys of the square].
  const std::vector<Index>& of_keys(const Square& square) const { return keys_[square.number]; }

 private:
  static std::vector<Index> blocks(const Square& square, const Segment& side, Numbers places) {
    std::vector<Index> order(static_cast<std::size_t>(side.size())), result(order.size());
    std::iota(order.begin(), order.end(), side.begin);
    std::stable_sort(order.begin(), order.end(),
                     [&](Index a, Index b) { return places[a] < places[b]; });
    for (Index block = 0; block < square.blocks; ++block) {
      const Segment part = square.part(side, block);
      for (Index place = part.begin; place < part.end; ++place) {
        result[order[place] - side.begin] = block;
      }
    }
    return result;
  }

  std::vector<std::vector<Index>> queries_, keys_;  ///< by number of the square
};

class Hyper final : public Variant {
 public:
  Index block = 64;
  Index samples = 64;
  Index bits = 7;
  Index min_length = 128;
  Weight weight = Weight::outside;

  void parameters(Parameters& visit) override {
    visit("block", block, at_least(1), "keys of a block, at the most");
    visit("samples", samples, at_least(0), "random keys that stand for those outside the block");
    visit("bits", bits, between(1, 16), "sign bits of the hash");
    visit("min_length", min_length, at_least(1), "causal: tokens that attend exactly, not halved");
    visit("weight", weight, {"outside", "all"},
          "a sample stands for its share of the keys outside the block, or of all");
    visit_precision(visit, precision_);
  }

  Target target(const Problem&) const override { return Target::estimator; }
  std::string exact_when(const Problem& problem) const override {
    return "block=" + std::to_string(problem.keys);
  }
  std::string refuses(const Problem& problem) const override {
    if (problem.causal && !problem.self_attention()) {
      return "causal halves queries and keys alike: queries must be the keys";
    }
    return subquad::refuses(precision_);
  }
  double operand_roundoff() const override { return subquad::operand_roundoff(precision_); }

  void tensors(const Problem& problem, TensorVisitor& visit) const override {
    const SampledBlocks all = shape(problem);
    if (all.levels() == 0) return;
    visit("planes", {{"dim", problem.dim}, {"bits", bits}}, init::normal(1), Role::random,
          Sharing::head, "random directions, whose signs are hashed");
    visit.choice("query_places", {{"queries", problem.queries}}, "Gray place of each query's hash");
    visit.choice("key_places", {{"keys", problem.keys}}, "Gray place of each key's hash");
    if (all.width() == 0) return;
    const auto fill = [self = *this, problem](Generator& random, const Shape&,
                                              std::span<std::int32_t> drawn) {
      draw_samples(self.shape(problem), random, drawn);
    };
    visit.integer(
        "samples", {{"squares", all.squares()}, {"samples", all.width()}},
        init::custom("drawn without replacement, ascending, -1 where there are too few",
                     std::function<void(Generator&, const Shape&, std::span<std::int32_t>)>(fill)),
        Role::random, Sharing::head, "sampled keys, counted from the first of their square");
  }

  Scratch scratch(const Problem& problem) const override {
    Scratch scratch = shape(problem).scratch();
    if (shape(problem).levels() == 0) return scratch;
    scratch.worker_bytes = std::max(
        scratch.worker_bytes,
        gray_places_scratch_bytes(std::max(problem.queries, problem.keys), problem.dim, bits));
    return scratch;
  }

  /// How many samples lie in a query's block is up to the data: an upper bound.
  Cost cost(const Problem& problem) const override {
    const SampledBlocks all = shape(problem);
    double pairs = 0;
    all.each_square([&](const Square& square) {
      for (Index b = 0; b < square.blocks; ++b) {
        const Index keys = square.part(square.keys, b).size();
        const Index seen = keys + std::min(all.width(), square.keys.size() - keys);
        pairs += static_cast<double>(square.part(square.queries, b).size() * seen);
      }
    });
    all.each_exact_piece([&](const Segment& piece) {
      pairs += static_cast<double>(piece.size()) * static_cast<double>(piece.size() + 1) / 2;
    });
    const double tokens = static_cast<double>(problem.queries + problem.keys);
    const double widths = static_cast<double>(problem.dim + problem.value_dim);
    const double planes = all.levels() == 0 ? 0 : static_cast<double>(bits * problem.dim);
    return {.useful = {.multiply_adds = pairs * widths + tokens * planes, .exponentials = pairs},
            .bytes = sizeof(float) * (tokens * widths + planes),
            .exact = false};
  }

  void forward(const Call& call) const override {
    const SampledBlocks all = shape(call.problem);
    if (all.levels() == 0) {
      all.forward(call, {}, {}, {});
      return;
    }
    Numbers drawn;
    if (all.width() > 0) check_samples(all, drawn = call.tensors.integers("samples"));
    const ConstView planes = call.tensors.matrix("planes");
    gray_places(call.q, planes, call.tensors.choices("query_places"), call.run);
    gray_places(call.k, planes, call.tensors.choices("key_places"), call.run);
    all.forward(call, call.tensors.integers("query_places"), call.tensors.integers("key_places"),
                drawn);
  }

  void reference(const ReferenceCall& call) const override {
    each_row(call, call.out.rows, [&](Index i, const std::vector<double>& weights) {
      for (Index c = 0; c < call.out.cols; ++c) {
        call.out(i, c) = 0;
        for (Index j = 0; j < call.problem.keys; ++j) {
          if (weights[j] != 0) call.out(i, c) += weights[j] * call.v(j, c);
        }
      }
    });
  }

  void weights(const ReferenceCall& call, MatrixView<double> weights) const override {
    each_row(call, weights.rows, [&](Index i, const std::vector<double>& row) {
      std::copy(row.begin(), row.end(), weights.row(i));
    });
  }

 private:
  SampledBlocks shape(const Problem& problem) const {
    return {.problem = problem,
            .block = block,
            .samples = samples,
            .places = Index{1} << bits,
            .min_length = min_length,
            .stand_for_all = weight == Weight::all,
            .precision = precision_};
  }

  /// Calls body(i, weights) for the first rows.
  template <class Body>
  void each_row(const ReferenceCall& call, Index rows, const Body& body) const {
    const SampledBlocks all = shape(call.problem);
    const bool halved = all.levels() > 0;
    const Blocks blocks(all, halved ? call.tensors.integers("query_places") : Numbers(),
                        halved ? call.tensors.integers("key_places") : Numbers());
    const Numbers drawn = all.width() > 0 ? call.tensors.integers("samples") : Numbers();
    std::vector<double> weights(static_cast<std::size_t>(call.problem.keys));
    for (Index i = 0; i < rows; ++i) {
      row_weights(call, all, blocks, drawn, i, weights);
      body(i, weights);
    }
  }

  /// Softmax of scores with the logarithms of what their keys count.
  static void row_weights(const ReferenceCall& call, const SampledBlocks& all, const Blocks& blocks,
                          Numbers drawn, Index i, std::vector<double>& row) {
    std::fill(row.begin(), row.end(), -std::numeric_limits<double>::infinity());
    const auto see = [&](Index j, double log_weight) {
      double dot = 0;
      for (Index c = 0; c < call.q.cols; ++c) dot += call.q(i, c) * call.k(j, c);
      row[j] = call.problem.score_scale() * dot + log_weight;
    };
    all.each_square([&](const Square& square) {
      if (!square.queries.has(i)) return;
      const std::vector<Index>& of_keys = blocks.of_keys(square);
      const Index own = blocks.of_query(square, i), first = square.keys.begin;
      for (Index j = 0; j < square.keys.size(); ++j) {
        if (of_keys[j] == own) see(first + j, 0);
      }
      if (drawn.empty()) return;
      const Numbers samples = all.samples_of(square, drawn);
      const auto is_outside = [&](Index j) { return of_keys[j] != own; };
      const Index outside = std::count_if(samples.begin(), samples.end(), is_outside);
      const Index in_block = std::count(of_keys.begin(), of_keys.end(), own);
      for (const Index j : samples) {
        if (!is_outside(j)) continue;
        see(first + j,
            all.log_weight(square, in_block, outside, static_cast<Index>(samples.size())));
      }
    });
    all.each_exact_piece([&](const Segment& piece) {
      if (!piece.has(i)) return;
      for (Index j = piece.begin; j <= i; ++j) see(j, 0);
    });
    const double largest = *std::max_element(row.begin(), row.end());
    double sum = 0;
    for (double& value : row) sum += value = std::exp(value - largest);
    for (double& value : row) value /= sum;
  }

  Precision precision_ = Precision::f32;
};

SUBQUAD_VARIANT(Hyper, {.name = "hyper",
                        .summary = "HyperAttention: blocks by hash, and random keys for the rest",
                        .citation = "arXiv:2310.05869",
                        .time = "n (block + samples) d",
                        .memory = "n"});

}  // namespace
}  // namespace subquad

// topk: softmax over the keys of largest score, found by looking at all of them. What no
// restriction with as many keys can beat (control; exact nearest keys as in Gupta et al. 2021,
// "Memory-efficient transformers via top-k attention", arXiv:2106.06899, section 2; by mass as
// Holtzman et al. 2020, arXiv:1904.09751, section 3.1, choose words).
//
//   P_i   = the `keys` keys of largest s_ij, of them the fewest with
//           sum over P_i of exp(s_ij) >= mass * sum over all seen j of exp(s_ij)
//   out_i = sum over P_i of softmax_j(s_ij) v_j,   s_ij = scale q_i . k_j,  j <= i where causal
//
// Every query keeps at least one key; of equal scores the earlier key is the larger. With mass = 1
// the number alone counts, with keys = 0 the mass alone. Time O(n^2 d) for finding the keys, and
// the cost says so: an oracle shows what a budget of keys could keep at best, not what is fast.
// Memory O(n keys), the choices.

#include <algorithm>
#include <cmath>

#include "kernels/product.h"
#include "kernels/top_k.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

/// Queries whose scores are computed together.
constexpr Index kFindRows = 32;
constexpr std::int32_t kNone = -1;

class TopK final : public Restriction {
 public:
  Index keys = 32;
  double mass = 1;

  void parameters(Parameters& visit) override {
    visit("keys", keys, at_least(0), "keys that a query sees at the most; 0: no limit");
    visit("mass", mass, between(0, 1),
          "softmax mass at which a query has enough keys; 1: as many as `keys` says");
  }

  Target target(const Problem&) const override { return Target::oracle; }
  std::string exact_when(const Problem&) const override { return "keys=0,mass=1"; }
  bool ignores_key_order(const Problem& problem) const override { return !problem.causal; }

  void tensors(const Problem& problem, TensorVisitor& visit) const override {
    visit.choice("keys", {{"queries", problem.queries}, {"keys", limit(problem)}},
                 "keys that each query sees, ascending, then -1");
  }

  bool sees(const PlanCall& call, Index query, Index key) const override {
    const std::span<const std::int32_t> chosen = chosen_for(call, query);
    return std::binary_search(chosen.begin(), chosen.end(), static_cast<std::int32_t>(key));
  }

  /// Queries share no keys, so each is a tile.
  QueryPass pass(const Problem&, Index) const override { return {.block = 1}; }
  PlanLimits plan_limits(const Problem& problem) const override {
    return {.spans = 0, .singles = limit(problem)};
  }
  void plan(const PlanCall& call, Rows queries, KeyPlan& plan) const override {
    plan.single(chosen_for(call, queries.begin));
  }

  /// At the most: how many keys have the mass is up to the data.
  double pairs(const Problem& problem) const override {
    double total = 0;
    for (Index i = 0; i < problem.queries; ++i) {
      total += static_cast<double>(std::min(limit(problem), seen_keys(problem, i)));
    }
    return total;
  }

  Cost cost(const Problem& problem) const override {
    Cost cost = Restriction::cost(problem);
    cost.useful.multiply_adds += problem.pairs() * static_cast<double>(problem.dim);
    if (mass < 1) cost.useful.exponentials += problem.pairs();
    cost.bytes += sizeof(std::int32_t) * static_cast<double>(problem.queries * limit(problem));
    cost.exact = false;
    return cost;
  }

  Scratch scratch(const Problem& problem) const override {
    const Index rows = std::min(kFindRows, problem.queries);
    const std::size_t product = product_scratch_bytes(rows, problem.keys, problem.dim);
    const Scratch finding = Scratch()
                                .worker<float>(rows * problem.keys)
                                .worker<std::int32_t>(problem.keys)
                                .worker<std::byte>(static_cast<Index>(product));
    Scratch scratch = Restriction::scratch(problem);
    scratch.worker_bytes = std::max(scratch.worker_bytes, finding.worker_bytes);
    return scratch;
  }

  void forward(const Call& call) const override {
    const Index tiles = (call.problem.queries + kFindRows - 1) / kFindRows;
    call.run.parallel(tiles, [&](Index tile, Worker& worker) { find(call, tile, worker); });
    Restriction::forward(call);
  }

 private:
  Index limit(const Problem& problem) const {
    return keys == 0 ? problem.keys : std::min(keys, problem.keys);
  }
  static Index seen_keys(const Problem& problem, Index query) {
    if (!problem.causal) return problem.keys;
    return std::clamp<Index>(problem.position(query) + 1, 0, problem.keys);
  }

  std::span<const std::int32_t> chosen_for(const PlanCall& call, Index query) const {
    const auto count = static_cast<std::size_t>(limit(call.problem));
    const std::span<const std::int32_t> row =
        call.tensors.integers("keys").subspan(static_cast<std::size_t>(query) * count, count);
    return row.first(
        static_cast<std::size_t>(std::find(row.begin(), row.end(), kNone) - row.begin()));
  }

  void find(const Call& call, Index tile, Worker& worker) const {
    const Problem& problem = call.problem;
    const Index begin = tile * kFindRows, rows = std::min(kFindRows, problem.queries - begin);
    const Index reach = seen_keys(problem, begin + rows - 1), count = limit(problem);
    const View scores = worker.scratch.take_matrix(rows, problem.keys).col_range(0, reach);
    const std::span<std::int32_t> order = worker.scratch.take<std::int32_t>(problem.keys);
    if (reach > 0) {
      multiply_transposed(call.q.row_range(begin, rows), call.k.row_range(0, reach), scores, worker,
                          static_cast<float>(problem.score_scale()));
    }
    for (Index i = 0; i < rows; ++i) {
      const auto seen = static_cast<std::size_t>(seen_keys(problem, begin + i));
      choose({scores.row(i), seen}, order.first(seen),
             call.tensors.choices("keys").subspan(static_cast<std::size_t>((begin + i) * count),
                                                  static_cast<std::size_t>(count)));
      if (mass < 1) worker.executed.exponentials += static_cast<double>(seen);
    }
  }

  /// The keys of one query; `order` is scratch for as many numbers as there are scores.
  void choose(std::span<float> scores, std::span<std::int32_t> order,
              std::span<std::int32_t> chosen) const {
    std::size_t count = std::min(chosen.size(), scores.size());
    choose_largest(scores, order, chosen.first(count));
    if (mass < 1 && count > 0) {
      const std::span<std::int32_t> largest = chosen.first(count);
      std::sort(largest.begin(), largest.end(), LargerScore{scores.data()});
      count = enough(scores, largest);
      std::sort(largest.begin(), largest.begin() + static_cast<Index>(count));
    }
    std::fill(chosen.begin() + static_cast<Index>(count), chosen.end(), kNone);
  }

  /// How many of the keys, largest first, are needed for the mass; all, if they do not have it.
  std::size_t enough(std::span<const float> scores, std::span<const std::int32_t> largest) const {
    const double most = scores[largest.front()];
    double total = 0, kept = 0;
    for (const float score : scores) total += std::exp(score - most);
    for (std::size_t i = 0; i < largest.size(); ++i) {
      kept += std::exp(scores[largest[i]] - most);
      if (kept >= mass * total) return i + 1;
    }
    return largest.size();
  }
};

SUBQUAD_VARIANT(TopK, {.name = "topk",
                       .summary = "the keys of largest score: what no choice of keys can beat",
                       .citation = "arXiv:2106.06899",
                       .time = "n^2 d",
                       .memory = "n keys"});

}  // namespace
}  // namespace subquad

// random_pattern: each block of queries sees keys drawn at random, and every query itself. A
// control: a pattern that does no better than this one at the same number of keys has no merit in
// *which* keys it chooses. (The random part of BigBird, Zaheer et al. 2020, arXiv:2007.14062,
// without its window and global blocks, and drawn key by key.)
//
//   query i sees R(floor(i / block)) and its own position; R(b): `keys` keys, drawn uniformly and
//   without replacement from all keys or, where causal, from those before the end of block b
//
// Time O(n keys d), memory O(n keys / block) for the drawn keys.

#include <algorithm>
#include <vector>

#include "subquad/registry.h"

namespace subquad {
namespace {

/// `count` different numbers below `limit`, ascending (Floyd's algorithm).
void draw_sorted(Generator& random, Index limit, Index count, std::vector<std::int32_t>& drawn) {
  drawn.clear();
  for (Index bound = limit - count; bound < limit; ++bound) {
    auto value = static_cast<std::int32_t>(random.below(bound + 1));
    auto at = std::lower_bound(drawn.begin(), drawn.end(), value);
    if (at != drawn.end() && *at == value) {
      value = static_cast<std::int32_t>(bound);
      at = drawn.end();
    }
    drawn.insert(at, value);
  }
}

class RandomPattern final : public Restriction {
 public:
  void parameters(Parameters& visit) override {
    visit("keys", keys_, at_least(0), "random keys that a query sees beside itself");
    visit("block", block_, at_least(1), "neighbouring queries that see the same random keys");
  }

  Target target(const Problem&) const override { return Target::control; }
  std::string exact_when(const Problem& problem) const override {
    return "keys=" + std::to_string(problem.keys);
  }

  void tensors(const Problem& problem, TensorVisitor& visit) const override {
    const Index count = drawn_keys(problem);
    if (count == 0) return;
    const auto fill = [problem, count, block = block_](Generator& random, const Shape&,
                                                       std::span<std::int32_t> keys) {
      std::vector<std::int32_t> drawn;
      for (Index begin = 0; begin < problem.queries; begin += block) {
        const Index last = std::min(begin + block, problem.queries) - 1;
        const Index limit =
            problem.causal ? std::min(problem.position(last) + 1, problem.keys) : problem.keys;
        draw_sorted(random, limit, std::min(count, limit), drawn);
        drawn.resize(static_cast<std::size_t>(count), kNone);
        std::copy(drawn.begin(), drawn.end(), keys.begin() + begin / block * count);
      }
    };
    const Index blocks = (problem.queries + block_ - 1) / block_;
    visit.integer(
        "keys", {{"blocks", blocks}, {"keys", count}},
        init::custom("drawn without replacement, ascending, -1 where there are too few",
                     std::function<void(Generator&, const Shape&, std::span<std::int32_t>)>(fill)),
        Role::random, Sharing::head, "random keys of each block of queries");
  }

  bool sees(const PlanCall& call, Index query, Index key) const override {
    if (key == call.problem.position(query)) return true;
    const std::span<const std::int32_t> drawn = drawn_for(call, query);
    return std::binary_search(drawn.begin(), drawn.end(), static_cast<std::int32_t>(key));
  }

  QueryPass pass(const Problem&, Index) const override { return {.block = block_}; }

  PlanLimits plan_limits(const Problem& problem) const override {
    const Index drawn = drawn_keys(problem);
    return {.spans = std::min(drawn, block_) + 1, .singles = drawn};
  }

  void plan(const PlanCall& call, Rows queries, KeyPlan& keys) const override {
    const std::span<const std::int32_t> drawn = drawn_for(call, queries.begin);
    check(drawn, call.problem.keys);
    keys.single(drawn);
    // Own positions, except where they were drawn: those the whole block sees already.
    Index begin = call.problem.position(queries.begin);
    const Index end = call.problem.position(queries.last()) + 1;
    for (auto at = std::lower_bound(drawn.begin(), drawn.end(), begin);
         at != drawn.end() && *at < end; ++at) {
      keys.band(begin, *at, 1, 0, 0);
      begin = *at + 1;
    }
    keys.band(begin, end, 1, 0, 0);
  }

  /// At the most: a query's own position may be among the drawn keys.
  double pairs(const Problem& problem) const override {
    const Index count = drawn_keys(problem) + 1;
    double total = 0;
    for (Index i = 0; i < problem.queries; ++i) {
      const Index visible =
          problem.causal ? std::min(problem.position(i) + 1, problem.keys) : problem.keys;
      total += static_cast<double>(std::min(count, visible));
    }
    return total;
  }

  Cost cost(const Problem& problem) const override {
    Cost cost = Restriction::cost(problem);
    const Index blocks = (problem.queries + block_ - 1) / block_;
    cost.bytes += sizeof(std::int32_t) * static_cast<double>(blocks * drawn_keys(problem));
    cost.exact = false;
    return cost;
  }

 private:
  static constexpr std::int32_t kNone = -1;

  Index drawn_keys(const Problem& problem) const { return std::min(keys_, problem.keys); }

  /// The drawn keys of the block that the query belongs to.
  std::span<const std::int32_t> drawn_for(const PlanCall& call, Index query) const {
    const auto count = static_cast<std::size_t>(drawn_keys(call.problem));
    if (count == 0) return {};
    const auto row = call.tensors.integers("keys").subspan(
        static_cast<std::size_t>(query / block_) * count, count);
    return row.first(
        static_cast<std::size_t>(std::find(row.begin(), row.end(), kNone) - row.begin()));
  }

  /// The tensor may come from a file.
  static void check(std::span<const std::int32_t> drawn, Index keys) {
    std::int32_t before = -1;
    for (const std::int32_t key : drawn) {
      if (key <= before || key >= keys) {
        throw Error("random_pattern: tensor 'keys' holds " + std::to_string(key) + " after " +
                    std::to_string(before) + "; each block's keys must ascend and lie in [0, " +
                    std::to_string(keys) + ")");
      }
      before = key;
    }
  }

  Index keys_ = 64;
  Index block_ = 64;
};

SUBQUAD_VARIANT(RandomPattern,
                {.name = "random_pattern",
                 .summary = "random keys and the query's own: the control of patterns",
                 .citation = "control",
                 .time = "n keys d",
                 .memory = "n keys / block"});

}  // namespace
}  // namespace subquad

// bigbird: window, global and random blocks. Zaheer et al. 2020, "Big Bird: transformers for longer
// sequences" (arXiv:2007.14062), section 2 and appendix D, the form with internal global tokens.
//
//   positions are cut into blocks of `block`; a query of block B sees the keys of
//     the `window` blocks around B, B in the middle,
//     the `global` blocks, half of them at the front (the odd one too), half at the end,
//     `random` blocks, drawn for B once and for all from those that are neither;
//   a query of a global block sees all keys
//
// Time O(n (window + global + random) block d), memory O(random n / block) for the drawn blocks.
//
// The paper has no causal form. Here it is the same pattern with the future hidden: random blocks
// are drawn from the past alone, and global blocks at the end are seen by nobody before them.
//
// plan=uniform draws as the paper says. plan=released draws from where the released code does: for
// 1024, 3072 and 4096 keys from the first 1024 keys; for any other length from the first 2 random +
// 5 blocks if there are more, else half from the first random + 5 blocks and half behind them if
// there are more than those, else from all; in each case without the last block of the stretch, and
// without what that code further leaves out for the second block and the last but one. At long
// lengths, then, its random blocks all lie at the front. At 1024 keys that code may draw the last
// block, which is global, and then counts its keys twice; here no key counts twice.

#include <algorithm>
#include <array>
#include <vector>

#include "kernels/position_blocks.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

enum class Plan { uniform, released };

/// Numbers of consecutive blocks.
struct Blocks {
  Index begin = 0, end = 0;
  bool contains(Index number) const { return begin <= number && number < end; }
};

class BigBird final : public Restriction {
 public:
  void parameters(Parameters& visit) override {
    visit("block", block_, between(1, 1e9), "consecutive tokens that make up a block");
    visit("window", window_, between(1, 1e9), "blocks of the window, an odd number");
    visit("global", global_, between(0, 1e9),
          "blocks that see and are seen by all, at the front and at the end in turn");
    visit("random", random_, between(0, 1e9), "random blocks that a block of queries sees");
    visit("plan", plan_, {"uniform", "released"},
          "random blocks are drawn from all, or from where the released code draws them");
  }

  std::string exact_when(const Problem& problem) const override {
    return "block=" + std::to_string(std::max(problem.keys, problem.position(problem.queries)));
  }
  std::string refuses(const Problem& problem) const override {
    if (window_ % 2 == 0) return "window counts the own block and as many on either side: odd only";
    if (problem.causal && plan_ == Plan::released) {
      return "plan=released is the draw of an encoder: causal with plan=uniform only";
    }
    return {};
  }

  void tensors(const Problem& problem, TensorVisitor& visit) const override {
    const Index count = drawn_blocks(problem);
    if (count == 0) return;
    const auto fill = [*this, problem, count](Generator& random, const Shape&,
                                              std::span<std::int32_t> blocks) {
      for (Index row = 0; row < query_blocks(problem); ++row) {
        const std::vector<std::int32_t> drawn =
            draw(problem, first_query_block(problem) + row, random);
        const auto to = blocks.begin() + row * count;
        std::fill_n(std::copy(drawn.begin(), drawn.end(), to),
                    count - static_cast<Index>(drawn.size()), kNone);
      }
    };
    visit.integer(
        "random_blocks", {{"query blocks", query_blocks(problem)}, {"random", count}},
        init::custom("drawn without replacement, ascending, -1 where there are too few",
                     std::function<void(Generator&, const Shape&, std::span<std::int32_t>)>(fill)),
        Role::random, Sharing::head, "random blocks of keys that each block of queries sees");
  }

  bool sees(const PlanCall& call, Index query, Index key) const override {
    const Index own = call.problem.position(query) / block_, other = key / block_;
    if (is_global(call.problem, own)) return true;
    for (const Blocks& blocks : fixed_blocks(call.problem, own)) {
      if (blocks.contains(other)) return true;
    }
    const auto drawn = drawn_for(call, own);
    return std::find(drawn.begin(), drawn.end(), static_cast<std::int32_t>(other)) != drawn.end();
  }

  QueryPass pass(const Problem& problem, Index) const override {
    return {.block = rows_within_blocks(block_, problem)};
  }
  PlanLimits plan_limits(const Problem& problem) const override {
    return {.spans = 3 + drawn_blocks(problem)};
  }

  void plan(const PlanCall& call, Rows queries, KeyPlan& keys) const override {
    const Index own = call.problem.position(queries.begin) / block_;
    const std::span<const std::int32_t> drawn = drawn_for(call, own);
    check(drawn, key_blocks(call.problem));
    if (is_global(call.problem, own)) return keys.all(0, call.problem.keys);
    // Blocks that lie side by side make up one span: the kernel takes keys 64 at a time.
    Blocks span;
    const auto add = [&](Blocks next) {
      if (next.begin > span.end) {
        keys.all(span.begin * block_, span.end * block_);
        span = next;
      }
      span.end = std::max(span.end, next.end);
    };
    auto random = drawn.begin();
    for (const Blocks& blocks : fixed_blocks(call.problem, own)) {
      for (; random != drawn.end() && *random < blocks.begin; ++random) add({*random, *random + 1});
      if (blocks.begin < blocks.end) add(blocks);
    }
    for (; random != drawn.end(); ++random) add({*random, *random + 1});
    keys.all(span.begin * block_, span.end * block_);
  }

  /// At the most: a loaded tensor may name blocks that are seen anyway.
  double pairs(const Problem& problem) const override {
    double total = 0;
    for (Index i = 0; i < problem.queries; ++i) {
      const Index position = problem.position(i), own = position / block_;
      const Index visible = problem.causal ? std::min(position + 1, problem.keys) : problem.keys;
      if (is_global(problem, own)) {
        total += static_cast<double>(visible);
        continue;
      }
      Index seen = 0, others = block_count(visible, block_), end = 0;
      for (const Blocks& blocks : fixed_blocks(problem, own)) {
        const Index begin = std::max(blocks.begin, end);
        end = std::max(end, blocks.end);
        if (begin >= block_count(visible, block_) || begin >= end) continue;
        seen += std::min(end * block_, visible) - begin * block_;
        others -= std::min(end, block_count(visible, block_)) - begin;
      }
      seen += std::min(drawn_blocks(problem), others) * block_;
      total += static_cast<double>(std::min(seen, visible));
    }
    return total;
  }

  Cost cost(const Problem& problem) const override {
    Cost cost = Restriction::cost(problem);
    const Index drawn = query_blocks(problem) * drawn_blocks(problem);
    cost.bytes += sizeof(std::int32_t) * static_cast<double>(drawn);
    cost.exact = drawn == 0;
    return cost;
  }

 private:
  static constexpr std::int32_t kNone = -1;

  Index key_blocks(const Problem& problem) const { return block_count(problem.keys, block_); }
  Index first_query_block(const Problem& problem) const { return problem.first_query / block_; }
  Index query_blocks(const Problem& problem) const {
    return block_count(problem.position(problem.queries), block_) - first_query_block(problem);
  }
  Index drawn_blocks(const Problem& problem) const {
    return std::min(random_, key_blocks(problem));
  }

  /// Blocks at the front and at the end that see and are seen by all.
  std::array<Blocks, 2> global_blocks(const Problem& problem) const {
    const Index count = key_blocks(problem);
    return {Blocks{0, std::min(count, (global_ + 1) / 2)},
            Blocks{std::max<Index>(0, count - global_ / 2), count}};
  }
  bool is_global(const Problem& problem, Index number) const {
    const auto [front, back] = global_blocks(problem);
    return front.contains(number) || back.contains(number);
  }
  /// What queries of a block see for certain: window and global blocks, by their first; they may
  /// overlap, and may be empty.
  std::array<Blocks, 3> fixed_blocks(const Problem& problem, Index own) const {
    const auto [front, back] = global_blocks(problem);
    const Index count = key_blocks(problem), side = window_ / 2;
    const Blocks window{std::clamp<Index>(own - side, 0, count),
                        std::clamp<Index>(own + side + 1, 0, count)};
    if (window.begin > back.begin) return {front, back, window};
    return {front, window, back};
  }

  /// A stretch of blocks from which so many are drawn.
  struct Share {
    Blocks from;
    Index count;
    bool trimmed = false;  ///< as the released code does at lengths that the paper has not
    bool leaves_out(Index own, Index number) const {
      const Index last = from.end - 1;
      return trimmed && (number == last || (own == 1 && number == last - 1) ||
                         (own == last - 1 && number == 1));
    }
  };
  std::vector<Share> shares(const Problem& problem) const {
    const Index all = key_blocks(problem), n = problem.keys, half = random_ / 2;
    const Index count = drawn_blocks(problem);
    if (plan_ == Plan::uniform) return {{{0, all}, count}};
    if (n == 1024 || n == 3072 || n == 4096) {
      return {{{0, 1024 > 2 * block_ ? 1024 / block_ : all}, count}};
    }
    if (2 * random_ + 5 < all) return {{{0, 2 * random_ + 5}, count, true}};
    if (random_ + 5 >= all) return {{{0, all}, count, true}};
    return {{{0, random_ + 5}, half, true}, {{random_ + 5, all}, random_ - half, true}};
  }

  /// Random blocks for queries of a block, ascending.
  std::vector<std::int32_t> draw(const Problem& problem, Index own, Generator& random) const {
    std::vector<std::int32_t> drawn, candidates;
    if (is_global(problem, own)) return drawn;  // they see all
    const std::array<Blocks, 3> fixed = fixed_blocks(problem, own);
    for (const Share& share : shares(problem)) {
      candidates.clear();
      const Index end = problem.causal ? std::min(share.from.end, own) : share.from.end;
      for (Index number = share.from.begin; number < end; ++number) {
        const auto holds = [&](const Blocks& blocks) { return blocks.contains(number); };
        if (std::any_of(fixed.begin(), fixed.end(), holds) || share.leaves_out(own, number)) {
          continue;
        }
        candidates.push_back(static_cast<std::int32_t>(number));
      }
      for (Index taken = 0; taken < share.count && !candidates.empty(); ++taken) {
        const auto chosen =
            static_cast<std::size_t>(random.below(static_cast<Index>(candidates.size())));
        drawn.push_back(candidates[chosen]);
        candidates[chosen] = candidates.back();
        candidates.pop_back();
      }
    }
    std::sort(drawn.begin(), drawn.end());
    return drawn;
  }

  std::span<const std::int32_t> drawn_for(const PlanCall& call, Index own) const {
    const auto count = static_cast<std::size_t>(drawn_blocks(call.problem));
    if (count == 0) return {};
    const auto row = static_cast<std::size_t>(own - first_query_block(call.problem));
    const auto blocks = call.tensors.integers("random_blocks").subspan(row * count, count);
    return blocks.first(
        static_cast<std::size_t>(std::find(blocks.begin(), blocks.end(), kNone) - blocks.begin()));
  }

  /// The tensor may come from a file.
  static void check(std::span<const std::int32_t> drawn, Index blocks) {
    std::int32_t before = -1;
    for (const std::int32_t number : drawn) {
      if (number <= before || number >= blocks) {
        throw Error("bigbird: tensor 'random_blocks' holds " + std::to_string(number) + " after " +
                    std::to_string(before) + "; each row must ascend and lie in [0, " +
                    std::to_string(blocks) + "), with -1 behind where there are fewer");
      }
      before = number;
    }
  }

  Index block_ = 64;
  Index window_ = 3;
  Index global_ = 2;
  Index random_ = 3;
  Plan plan_ = Plan::uniform;
};

SUBQUAD_VARIANT(BigBird, {.name = "bigbird",
                          .summary = "window, global and random blocks",
                          .citation = "arXiv:2007.14062",
                          .time = "n (window + global + random) block d",
                          .memory = "random n / block"});

}  // namespace
}  // namespace subquad

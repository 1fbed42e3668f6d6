#pragma once

#include <cstdint>
#include <span>

#include "subquad/precision.h"
#include "subquad/run.h"
#include "subquad/variant.h"

namespace subquad {

/// Rows begin, begin + step, ... of a matrix, or rows that a list names; `count` of them.
struct Rows {
  Index begin = 0;  ///< the first, of a list too
  Index count = 0;
  Index step = 1;                        ///< means nothing where there is a list
  const std::int32_t* listed = nullptr;  ///< [count], ascending

  static Rows of(std::span<const std::int32_t> list) {
    return {list.empty() ? 0 : list.front(), static_cast<Index>(list.size()), 1, list.data()};
  }
  Index operator[](Index i) const { return listed != nullptr ? listed[i] : begin + i * step; }
  Index last() const { return (*this)[count - 1]; }
};

/// Which pairs of a span are seen, cheapest description first.
enum class Seen {
  all,      ///< every query of the tile sees every key of the span
  band,     ///< -below <= key - position(query) <= above
  outside,  ///< all but those of such a band
  asked,    ///< as `Restriction::belongs` says, pair by pair
};

/// Consecutive or evenly spaced keys.
struct KeySpan {
  Rows keys;
  Seen seen = Seen::all;
  Index below = 0, above = 0;  ///< of the band
};

/// The keys that a tile of queries attends to. Spans are disjoint from one another and from the
/// single keys, and sorted by their first key; single keys are sorted and distinct. Keys beyond
/// either end of K are cut off when they are added; causality is the kernel's business.
class KeyPlan {
 public:
  /// For `keys` keys, over memory that holds as much as `Restriction::plan_limits` says.
  KeyPlan(Index keys, std::span<KeySpan> spans, std::span<std::int32_t> singles, Arena* spare = {})
      : keys_(keys), span_memory_(spans), single_memory_(singles), spare_(spare) {}
  /// Memory that `plan` may use while it makes this plan.
  Arena& spare() { return *spare_; }

  /// Every query of the tile sees keys begin, begin + step, ... below end.
  void all(Index begin, Index end, Index step = 1) { add(begin, end, step, Seen::all, 0, 0); }
  /// The query at position p sees those of the keys that lie in [p - below, p + above].
  void band(Index begin, Index end, Index step, Index below, Index above) {
    add(begin, end, step, Seen::band, below, above);
  }
  /// The query at position p sees those of the keys that do not lie in [p - below, p + above].
  void outside(Index begin, Index end, Index step, Index below, Index above) {
    add(begin, end, step, Seen::outside, below, above);
  }
  /// `Restriction::belongs` decides.
  void asked(Index begin, Index end, Index step = 1) { add(begin, end, step, Seen::asked, 0, 0); }
  /// Every query of the tile sees these keys; they are copied.
  void single(std::span<const std::int32_t> keys);

  std::span<const KeySpan> spans() const { return span_memory_.first(span_count_); }
  std::span<const std::int32_t> singles() const { return single_memory_.first(single_count_); }
  Index keys() const { return keys_; }
  void clear() { span_count_ = single_count_ = 0; }

 private:
  void add(Index begin, Index end, Index step, Seen seen, Index below, Index above);

  Index keys_;
  std::span<KeySpan> span_memory_;
  std::span<std::int32_t> single_memory_;
  Arena* spare_;
  std::size_t span_count_ = 0;
  std::size_t single_count_ = 0;
};

/// One pass over query rows, and how it cuts them into tiles.
struct QueryPass {
  /// Rows that lie this far apart see similar keys, and make up a tile (the dilation of a dilated
  /// window); `Rows::step` of a tile's queries.
  Index step = 1;
  /// No tile straddles a multiple of it (patterns made of blocks); 0: as the kernel likes it.
  Index block = 0;
  /// The pass goes over so many rows at the most, those that `Restriction::list_rows` names; 0:
  /// over all. A tile holds neighbours of that list, at most `block` of them.
  Index listed = 0;
};

/// How much one plan holds at the most; more is a bug of the variant (std::logic_error).
struct PlanLimits {
  Index spans = 8;
  Index singles = 0;
  std::size_t spare_bytes = 0;  ///< of `KeyPlan::spare`
};

/// What decides, beside the problem, which keys are seen: the tensors (random blocks, say).
struct PlanCall {
  const Problem& problem;
  const Tensors& tensors;
  Index pass = 0;
};

struct SoftmaxOperands;

/// Softmax over a subset of the keys: says *which* keys, twice. `sees` is the definition, read off
/// the paper pair by pair; `plan` says the same for a whole tile of queries, fast. The base class
/// derives everything else: forward (streaming softmax over the plan), reference (naive softmax in
/// double over `sees`), weights, cost and scratch, and the parameter `precision`. The contract
/// holds the two against each other.
///
/// Where no cut into tiles suits all pairs (a window likes neighbours, a stride rows that lie
/// apart, a global token a tile of its own), there are several passes, each with its own tiles and
/// plans. A pair that is seen belongs to exactly one of them; their results are merged by
/// log-sum-exp.
class Restriction : public Variant {
 public:
  /// May query row `query` see key `key`? Causality is added by the base class.
  virtual bool sees(const PlanCall&, Index query, Index key) const = 0;
  /// Adds the keys that at least one of the query rows sees in this pass.
  virtual void plan(const PlanCall&, Rows queries, KeyPlan& keys) const = 0;
  virtual PlanLimits plan_limits(const Problem&) const { return {}; }
  /// How many passes there are; the first goes over all rows.
  virtual Index passes(const Problem&) const { return 1; }
  virtual QueryPass pass(const Problem&, Index /*number*/) const { return {}; }
  /// Writes the rows of a pass that lists them, ascending, and returns how many there are.
  virtual Index list_rows(const PlanCall&, std::span<std::int32_t> rows) const;
  /// Is the pair seen, and in this pass? To be overridden where there are several.
  virtual bool belongs(const PlanCall& call, Index query, Index key) const {
    return sees(call, query, key);
  }
  /// (query, key) pairs that are seen after causality. The default counts exactly, over the plans
  /// of all tiles; a variant whose plans read tensors states an upper bound, and says so in its
  /// cost.
  virtual double pairs(const Problem&) const;

  Target target(const Problem&) const override { return Target::restriction; }
  bool gives_log_sum_exp() const override { return true; }
  Scratch scratch(const Problem&) const override;
  Cost cost(const Problem&) const override;
  void forward(const Call&) const override;
  void reference(const ReferenceCall&) const override;
  void weights(const ReferenceCall&, MatrixView<double> weights) const override;

  void family_parameters(Parameters& visit) final { visit_precision(visit, precision_); }
  std::string family_refuses(const Problem&) const final { return subquad::refuses(precision_); }
  double operand_roundoff() const final { return subquad::operand_roundoff(precision_); }

 protected:
  Precision precision() const { return precision_; }

 private:
  void forward_pass(const PlanCall& call, const SoftmaxOperands& operands,
                    std::span<std::int32_t> list, Run& run) const;

  Precision precision_ = Precision::f32;
};

}  // namespace subquad

#pragma once

#include <span>

#include "subquad/precision.h"
#include "subquad/variant.h"

namespace subquad {

/// Rows begin, begin + step, ... of a matrix; `count` of them.
struct Rows {
  Index begin = 0;
  Index count = 0;
  Index step = 1;

  Index operator[](Index i) const { return begin + i * step; }
  Index last() const { return begin + (count - 1) * step; }
};

/// Which pairs of a span are seen, cheapest description first.
enum class Seen {
  all,    ///< every query of the tile sees every key of the span
  band,   ///< -below <= key - position(query) <= above
  asked,  ///< as `Restriction::sees` says, pair by pair
};

/// Consecutive or evenly spaced keys.
struct KeySpan {
  Rows keys;
  Seen seen = Seen::all;
  Index below = 0, above = 0;  ///< of a band
};

/// The keys that a tile of queries attends to. Spans are disjoint from one another and from the
/// single keys, and sorted by their first key; single keys are sorted and distinct. Keys beyond
/// either end of K are cut off when they are added; causality is the kernel's business.
class KeyPlan {
 public:
  /// For `keys` keys, over memory that holds as much as `Restriction::plan_limits` says.
  KeyPlan(Index keys, std::span<KeySpan> spans, std::span<std::int32_t> singles)
      : keys_(keys), span_memory_(spans), single_memory_(singles) {}

  /// Every query of the tile sees keys begin, begin + step, ... below end.
  void all(Index begin, Index end, Index step = 1) { add(begin, end, step, Seen::all, 0, 0); }
  /// The query at position p sees those of the keys that lie in [p - below, p + above].
  void band(Index begin, Index end, Index step, Index below, Index above) {
    add(begin, end, step, Seen::band, below, above);
  }
  /// `Restriction::sees` decides.
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
  std::size_t span_count_ = 0;
  std::size_t single_count_ = 0;
};

/// How much one plan holds at the most; more is a bug of the variant (std::logic_error).
struct PlanLimits {
  Index spans = 8;
  Index singles = 0;
};

/// What decides, beside the problem, which keys are seen: the tensors (random blocks, say).
struct PlanCall {
  const Problem& problem;
  const Tensors& tensors;
};

/// Softmax over a subset of the keys: says *which* keys, twice. `sees` is the definition, read off
/// the paper pair by pair; `plan` says the same for a whole tile of queries, fast. The base class
/// derives everything else: forward (streaming softmax over the plan), reference (naive softmax in
/// double over `sees`), weights, cost and scratch, and the parameter `precision`. The contract
/// holds the two against each other.
class Restriction : public Variant {
 public:
  /// May query row `query` see key `key`? Causality is added by the base class.
  virtual bool sees(const PlanCall&, Index query, Index key) const = 0;
  /// Adds the keys that at least one of the query rows sees.
  virtual void plan(const PlanCall&, Rows queries, KeyPlan& keys) const = 0;
  virtual PlanLimits plan_limits(const Problem&) const { return {}; }
  /// Query rows that lie this far apart see similar keys, and make up a tile (the dilation of a
  /// dilated window). `Rows::step` of a tile's queries equals this.
  virtual Index query_step(const Problem&) const { return 1; }
  /// Query rows per tile at the most; patterns made of blocks return the block's length, and no
  /// tile then straddles a multiple of it.
  virtual Index query_tile(const Problem&) const { return 0; }  ///< 0: as the kernel likes it
  /// (query, key) pairs that are seen after causality: exactly, in closed form if the pattern has
  /// one. The default counts `sees` over all pairs.
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

 private:
  Precision precision_ = Precision::f32;
};

}  // namespace subquad

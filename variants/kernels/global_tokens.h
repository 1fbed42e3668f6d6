#pragma once

#include <cstdint>
#include <span>

#include "subquad/restriction.h"

namespace subquad {

/// Tokens that see all others and are seen by all: which positions they have.
class GlobalTokens {
 public:
  explicit GlobalTokens(Index tokens) : tokens_(tokens) {}

  /// `tokens` and `placement`.
  void parameters(Parameters& visit);
  /// placement=given: int32 `positions` [tokens], ascending, drawn at random unless loaded.
  void tensors(const Problem& problem, TensorVisitor& visit) const;

  /// How many there are among so many keys.
  Index count(const Problem& problem) const;
  /// Their positions depend on a tensor.
  bool given(const Problem& problem) const;
  /// Position of one of them; they ascend.
  Index position(const PlanCall& call, Index number) const;
  bool contains(const PlanCall& call, Index position) const;
  /// Number of the first at or behind a position.
  Index first_from(const PlanCall& call, Index position) const;
  /// Throws Error for a loaded tensor that does not ascend within the keys.
  void check(const PlanCall& call) const;

 private:
  enum class Placement { first, even, given };

  Index tokens_;
  Placement placement_ = Placement::first;
};

/// A sliding window in the place of which, or beside which, some tokens see and are seen by all.
///
///   the query at position p sees key j if j or p is that of a global token,
///   or j = p + dilation * t with |t| <= reach
///
/// Two passes: windows, from which global keys are taken out lest they count twice, and global keys
/// go over all rows; the other keys of global rows go over those rows alone, in as few tiles as can
/// be, because a tile of few rows over all keys is bound by reading them.
class WindowWithGlobalTokens : public Restriction {
 public:
  void tensors(const Problem& problem, TensorVisitor& visit) const override;
  bool sees(const PlanCall& call, Index query, Index key) const override;
  bool belongs(const PlanCall& call, Index query, Index key) const override;
  Index passes(const Problem& problem) const override;
  QueryPass pass(const Problem& problem, Index number) const override;
  PlanLimits plan_limits(const Problem& problem) const override;
  Index list_rows(const PlanCall& call, std::span<std::int32_t> rows) const override;
  void plan(const PlanCall& call, Rows queries, KeyPlan& keys) const override;
  /// An upper bound where positions are given.
  double pairs(const Problem& problem) const override;
  Cost cost(const Problem& problem) const override;

 protected:
  struct Shape {
    Index reach = 0;
    Index dilation = 1;
  };
  virtual Shape window() const = 0;

  explicit WindowWithGlobalTokens(Index tokens) : globals_(tokens) {}
  GlobalTokens globals_;

 private:
  bool in_window(const PlanCall& call, Index query, Index key) const;
  void plan_windows(const PlanCall& call, Rows queries, KeyPlan& keys) const;
  void plan_global_rows(const PlanCall& call, Rows queries, KeyPlan& keys) const;
};

}  // namespace subquad

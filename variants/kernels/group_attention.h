#pragma once

#include <cstdint>
#include <span>

#include "subquad/variant.h"

namespace subquad {

/// Attention inside groups that may overlap: the queries of a group attend to its keys, and a query
/// of several groups gets the average of what it finds in each (Roy et al. 2021, arXiv:2003.05997,
/// section 4.1, and the authors' code for the average).
struct GroupAttention {
  Index groups;
  Index group_queries, group_keys;  ///< members of each group
  /// What is given to a query that is in no group, or sees no key in any: the value at its own
  /// position, where there is a key. Zero otherwise.
  bool self_if_alone;
  double scale;  ///< of scores

  Scratch scratch(const Problem& problem) const;
  /// `query_members` is [groups, group_queries] and `key_members` [groups, group_keys], ascending
  /// in each group. Reads q and v of the call and, in the place of its k, `keys`; writes its `out`
  /// and, where asked for, log-sum-exps over the keys that a query sees in any of its groups.
  void forward(const Call& call, ConstView keys, std::span<const std::int32_t> query_members,
               std::span<const std::int32_t> key_members) const;
};

}  // namespace subquad

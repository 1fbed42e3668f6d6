#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "contract/contract.h"
#include "subquad/registry.h"

namespace subquad::contract {

/// Problems are grouped by what is unusual about them, so that a finding names its cause.
enum class Group : unsigned {
  round = 1,    ///< self attention, lengths and widths that are multiples of 16
  odd = 2,      ///< lengths 1, 2 and primes
  widths = 4,   ///< value_dim unlike dim, and widths down to 1
  cross = 8,    ///< queries that are not the keys, without causality
  late = 16,    ///< first_query > 0: decoding, sharding by rows
  scaled = 32,  ///< a scale of its own
  mixed = 64,   ///< several of these at once
  large = 128,  ///< long enough for several tiles of any kernel, at the default setting only
  sweep = 256,  ///< round problems at every choice, switch and several values of each number
};
using Groups = unsigned;
constexpr Groups operator|(Group a, Group b) {
  return static_cast<Groups>(a) | static_cast<Groups>(b);
}
constexpr Groups operator|(Groups a, Group b) { return a | static_cast<Groups>(b); }
constexpr Groups only(Group a) { return static_cast<Groups>(a); }
/// All but the sweep, which is for what depends on parameters in detail.
inline constexpr Groups kShapes = Group::round | Group::odd | Group::widths | Group::cross |
                                  Group::late | Group::scaled | Group::mixed;
inline constexpr Groups kEverywhere = kShapes | Group::sweep;

using Setting = std::vector<Expression::Argument>;
/// `setting` with the values of `more` in the place of its own.
Setting merged(Setting setting, const Setting& more);

/// One problem at one parameter setting.
struct Trial {
  const Registration* registration = nullptr;
  Group group = Group::round;
  Problem problem;
  Setting setting;
  std::uint64_t seed = 1;

  /// A new object at the setting.
  std::unique_ptr<Variant> make() const;
  /// "local(radius=3) on 61 x 61 (queries x keys), dim 16, value_dim 16, causal".
  std::string text() const;
};

/// Trials that the variant accepts, and those that it refuses at every setting that was tried.
struct Trials {
  std::vector<Trial> accepted;
  std::vector<Trial> refused;
};

/// From declarations alone: a setting that the problem refuses (a rank above the length, say) is
/// replaced by one that it accepts, if one of the values tried is.
Trials make_trials(const Registration& registration, const ContractOptions& options);

}  // namespace subquad::contract

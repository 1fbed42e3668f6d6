#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace subquad {

struct Row;

/// What nothing beats among the rows that approximate dense attention (exact, estimator,
/// restriction) and ended well, by median time and median relative error; exact ones have error 0.
struct Frontier {
  std::vector<bool> unbeaten;  ///< row by row, in the order of the table
  /// Share of the box time over anchor's time, 0 to 1, times error, 0 to 1, that members dominate
  /// (Zitzler and Thiele 1998); none without an anchor, or where nothing but exact rows is there.
  std::optional<double> hypervolume;
  std::map<std::string, double> family_hypervolume;  ///< of each family's members alone
  /// Controls, and the members that are no faster and no more exact than them.
  std::map<std::string, std::vector<std::string>> beaten_by_control;
};
/// Whether it approximates dense attention: exact, estimator or restriction.
bool approximates_dense(const Row& row);
Frontier find_frontier(const std::vector<Row>& rows);

/// A method's cost and loss, less of either being better.
struct Tradeoff {
  double time = 0, error = 0;
};
/// No worse in both and better in one.
bool beats(const Tradeoff& one, const Tradeoff& other);
/// Area of the part of the unit square in which some member is no worse in both.
double hypervolume(std::vector<Tradeoff> members);

}  // namespace subquad

#pragma once

#include <optional>
#include <string>
#include <vector>

#include "report/report.h"

namespace subquad {

struct Row;

/// Which rows of a table meet a budget.
struct BudgetResult {
  struct Place {
    std::size_t row = 0;  ///< of the table
    int rank = 0;  ///< 1 for the fastest and what cannot be told from it; then 1 + rows before
    std::optional<double> error;  ///< at most, as far as a sample of rows tells
    double memory_bytes = 0;
  };
  struct Miss {
    std::size_t row = 0;
    std::string reason;
  };
  std::vector<Place> places;  ///< by rank, then by time
  std::vector<Miss> misses;   ///< in the order of the table
};
/// What a budget counts: scratch, heap, state and parameters.
double memory_bytes(const Row& row);
BudgetResult judge(const std::vector<Row>& rows, const Budget& budget);

}  // namespace subquad

#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "expressions/expression.h"
#include "layers/catalogue.h"

namespace subquad {

/// The contract: what every variant promises by its declarations. The suite knows no variant by
/// name; problems and parameter settings to try are generated from what is declared, so a plugin is
/// held to exactly what the built-in variants are held to. docs/contract.md explains each clause.

struct ClauseInfo {
  std::string_view name;     ///< [a-z0-9_]
  std::string_view meaning;  ///< one sentence
};
/// All clauses, in the order in which they are checked.
std::vector<ClauseInfo> contract_clauses();

enum class ClauseStatus { passed, failed, not_applicable };
const char* to_string(ClauseStatus status);

struct ClauseResult {
  std::string clause;
  ClauseStatus status = ClauseStatus::not_applicable;
  std::string problem;  ///< of the first failure: variant, parameters and problem; else empty
  std::string finding;  ///< what was found wrong there, why the clause does not apply, or a remark
  int checked = 0;      ///< trials (problem x parameter setting) that the clause was applied to
  int failures = 0;     ///< how many of them failed
};

struct ContractReport {
  std::string variant;
  std::vector<ClauseResult> clauses;
  /// No clause failed.
  bool kept() const;
  const ClauseResult& of(std::string_view clause) const;
};

struct ContractOptions {
  std::vector<std::string> clauses;         ///< names; empty: all. Unknown ones throw Error
  std::vector<Expression::Argument> fixed;  ///< parameters that keep these values in every trial
  std::uint64_t seed = 1;                   ///< of inputs and tensors
  /// Told of each clause and trial before it is checked, so that somebody knows where it was if the
  /// variant never returns.
  std::function<void(std::string_view clause, const std::string& problem)> watch;
};

/// Holds one variant against the contract. A variant that crashes takes the process with it;
/// everything else that it does wrong ends up in the report.
ContractReport check_variant(const CatalogueEntry& entry, const ContractOptions& options = {});

}  // namespace subquad

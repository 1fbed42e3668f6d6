#include "contract/contract.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>

#include "contract/clause.h"
#include "expressions/settings.h"
#include "subquad/error.h"

namespace subquad {
namespace contract {
namespace {

// The order is that of a reader: what it says, what it gives, what must not matter, what it takes.
constexpr Clause kClauses[] = {
    {{"declarations",
      "Names, documentation, citation, defaults, tensors and the dense target are well formed."},
     kEverywhere,
     declarations,
     Clause::Needs::nothing},
    {{"initialisers", "Initialisers fill every element, with the same bits for the same seed."},
     kEverywhere,
     initialisers},
    {{"refusals",
      "refuses() always gives the same answer, a sentence, and not every problem is refused."},
     kEverywhere,
     refusals,
     Clause::Needs::nothing},
    {{"forward_returns", "forward ends without an exception on every problem that is not refused."},
     kEverywhere,
     forward_returns,
     Clause::Needs::nothing},
    {{"equals_reference", "forward equals the variant's own reference in double."},
     only(Group::round),
     equals_reference},
    {{"odd_sizes", "It does so at lengths 1, 2 and primes."},
     Group::odd | Group::large,
     equals_reference},
    {{"uneven_widths", "It does so where value_dim is unlike dim, and at width 1."},
     only(Group::widths),
     equals_reference},
    {{"cross_attention", "It does so where queries are not the keys."},
     only(Group::cross),
     equals_reference},
    {{"late_queries", "It does so where the first query stands later than the first key."},
     only(Group::late),
     equals_reference},
    {{"given_scale", "It does so where the problem gives a scale of its own."},
     only(Group::scaled),
     equals_reference},
    {{"every_setting", "It does so at every choice and switch and at several values of a number."},
     only(Group::sweep),
     equals_reference},
    {{"mixed_shapes", "It does so where several of these meet."},
     only(Group::mixed),
     equals_reference},
    {{"row_log_sum_exp", "Row log-sum-exps equal the reference's, and asking changes no output."},
     kEverywhere,
     log_sum_exp,
     Clause::Needs::values},
    {{"exact_when",
      "At its exact setting forward equals the double reference of its dense target."},
     kShapes,
     exact_when,
     Clause::Needs::values},
    {{"weights", "The reference's output is its weights times V, and no future key has weight."},
     kEverywhere,
     weights},
    {{"extreme_scores", "Scores of 10000 give the reference's output, no NaN and no infinity."},
     Group::round | Group::odd | Group::sweep,
     extreme_scores,
     Clause::Needs::values},
    {{"key_order", "Permuting keys together with values changes nothing where that is declared."},
     kShapes,
     key_order,
     Clause::Needs::values},
    {{"strided_views", "Views with gaps between rows and off cache lines give the same output."},
     kShapes,
     strided_views},
    {{"same_bits", "The same call gives the same bits, on the same object and on another."},
     kEverywhere,
     same_bits},
    {{"threads", "Neither the number of threads nor the order of tiles changes a bit."},
     kEverywhere | Group::large,
     threads,
     Clause::Needs::same_bits},
    {{"other_calls",
      "Earlier and simultaneous calls on the same object (other heads, other sequences) change "
      "no bit."},
     kShapes | Group::large,
     other_calls,
     Clause::Needs::same_bits},
    {{"future_keys", "Where causal, later tokens set to NaN or to 1e17 change no earlier bit."},
     kEverywhere | Group::large,
     future_keys,
     Clause::Needs::same_bits},
    {{"undefined_scratch", "What scratch holds before a call or a tile changes no bit."},
     kEverywhere | Group::large,
     undefined_scratch,
     Clause::Needs::same_bits},
    {{"writes_everything", "Every element of the outputs is written, whatever was there before."},
     kEverywhere,
     writes_everything,
     Clause::Needs::same_bits},
    {{"stays_inside", "Nothing beside the outputs and the scratch that was taken is written."},
     kEverywhere,
     stays_inside},
    {{"inputs_unchanged", "Inputs and drawn tensors are what they were after forward."},
     kEverywhere,
     inputs_unchanged},
    {{"allocates_nothing", "forward allocates nothing beside the arenas."},
     kEverywhere,
     allocates_nothing},
    {{"scratch", "Arenas of the declared size suffice, and equal calls take equally much."},
     kEverywhere | Group::large,
     scratch},
    {{"cost",
      "Useful work equals the pairs to which the reference gives weight, or bounds them where it "
      "is a bound."},
     kEverywhere,
     cost},
    {{"executed_work", "Kernels report at least the useful multiply-adds as executed."},
     kEverywhere,
     executed_work,
     Clause::Needs::values},
    {{"plan",
      "Plans are sorted, disjoint and in range, and hold exactly the pairs that sees() says."},
     kEverywhere,
     plan},
    {{"stream",
      "Decoding token by token equals the causal forward, after a prompt, from a copy, and with "
      "several queries at a position."},
     kEverywhere,
     stream,
     Clause::Needs::values},
    {{"prepare", "forward on prepared keys gives the bits of forward without."},
     kShapes,
     prepare,
     Clause::Needs::same_bits},
    {{"calibrate",
      "Fitting writes what is declared as fitted and nothing else, always the same, and brings the "
      "output of learned tensors no further from dense attention on its own windows."},
     kEverywhere,
     calibrate,
     Clause::Needs::values},
};

Verdict verdict_of(const Clause& clause, const Trial& trial) {
  try {
    return clause.check(trial);
  } catch (const std::exception& error) {
    return Verdict::broken(fmt::format("throws: {}", error.what()));
  }
}

/// What a clause says of all its trials.
class Tally {
 public:
  explicit Tally(const Clause& clause) { result_.clause = clause.info.name; }

  void add(const Trial& trial, const Verdict& verdict) {
    if (verdict.kind == Verdict::Kind::skipped) {
      why_not_ = verdict.text;
      return;
    }
    ++result_.checked;
    if (verdict.kind == Verdict::Kind::broken) fail(trial.text(), verdict.text);
    if (verdict.kind == Verdict::Kind::kept && remark_.empty()) remark_ = verdict.text;
  }
  void fail(std::string problem, std::string finding) {
    if (result_.failures++ > 0) return;
    result_.problem = std::move(problem);
    result_.finding = std::move(finding);
  }
  void why_not(std::string text) { why_not_ = std::move(text); }
  bool failed() const { return result_.failures > 0; }

  ClauseResult result() const {
    ClauseResult result = result_;
    result.status = failed()             ? ClauseStatus::failed
                    : result.checked > 0 ? ClauseStatus::passed
                                         : ClauseStatus::not_applicable;
    if (result.status == ClauseStatus::not_applicable) result.finding = why_not_;
    if (result.status == ClauseStatus::passed) result.finding = remark_;
    return result;
  }

 private:
  ClauseResult result_;
  std::string remark_;
  std::string why_not_ = "no problem of this kind";
};

class Examination {
 public:
  Examination(const CatalogueEntry& entry, const ContractOptions& options)
      : options_(options), trials_(make_trials(*entry.registration, options)) {
    report_.variant = entry.info().name;
    values_.resize(trials_.accepted.size());
    for (const Trial& trial : trials_.accepted) {
      returns_.push_back(judge(clause("forward_returns"), trial).kind == Verdict::Kind::kept);
    }
  }

  ContractReport report() {
    for (const Clause& clause : kClauses) {
      if (wanted(clause.info.name)) report_.clauses.push_back(examine(clause));
    }
    return std::move(report_);
  }

 private:
  static const Clause& clause(std::string_view name) {
    return *std::find_if(std::begin(kClauses), std::end(kClauses),
                         [&](const Clause& one) { return one.info.name == name; });
  }

  Verdict judge(const Clause& clause, const Trial& trial) const {
    if (options_.watch) options_.watch(clause.info.name, trial.text());
    return verdict_of(clause, trial);
  }

  bool wanted(std::string_view name) const {
    return options_.clauses.empty() || std::find(options_.clauses.begin(), options_.clauses.end(),
                                                 name) != options_.clauses.end();
  }

  static bool looks_at(const Clause& clause, const Trial& trial) {
    return (clause.groups & static_cast<Groups>(trial.group)) != 0;
  }

  ClauseResult examine(const Clause& clause) {
    if (clause.check == refusals) return examine_refusals(clause);
    Tally tally(clause);
    for (const Trial& trial : trials_.refused) {
      if (!looks_at(clause, trial)) continue;
      tally.why_not("refused: " + refusal_of(*trial.make(), trial.problem));
    }
    if (clause.needs == Clause::Needs::same_bits && bits_vary()) {
      tally.why_not("same_bits is broken, so bits cannot be compared");
      return tally.result();
    }
    for (std::size_t i = 0; i < trials_.accepted.size(); ++i) {
      if (!looks_at(clause, trials_.accepted[i])) continue;
      if (std::string why = lacks(clause, i); !why.empty()) {
        tally.why_not(std::move(why));
      } else if (clause.check == equals_reference) {
        tally.add(trials_.accepted[i], values(i));
      } else {
        tally.add(trials_.accepted[i], judge(clause, trials_.accepted[i]));
      }
    }
    return tally.result();
  }

  /// What keeps the clause from being applied to a trial: a defect that another clause names.
  std::string lacks(const Clause& clause, std::size_t trial) {
    if (clause.needs == Clause::Needs::nothing) return {};
    if (!returns_[trial]) return "forward throws";
    if (clause.needs == Clause::Needs::values && values(trial).kind == Verdict::Kind::broken) {
      return "forward does not equal the reference in the first place";
    }
    if (clause.groups == only(Group::mixed) && one_shape_is_broken()) {
      return "one peculiarity alone breaks it";
    }
    return {};
  }

  bool one_shape_is_broken() {
    for (std::size_t i = 0; i < trials_.accepted.size(); ++i) {
      const Group group = trials_.accepted[i].group;
      if (group == Group::sweep || group == Group::mixed || !returns_[i]) continue;
      if (values(i).kind == Verdict::Kind::broken) return true;
    }
    return false;
  }

  /// What `equals_reference` says of a trial, which several clauses build on.
  const Verdict& values(std::size_t trial) {
    std::optional<Verdict>& known = values_[trial];
    if (!known) known = judge(clause("equals_reference"), trials_.accepted[trial]);
    return *known;
  }

  ClauseResult examine_refusals(const Clause& clause) const {
    Tally tally(clause);
    for (const auto* trials : {&trials_.accepted, &trials_.refused}) {
      for (const Trial& trial : *trials) tally.add(trial, judge(clause, trial));
    }
    if (trials_.accepted.empty() && !trials_.refused.empty()) {
      const Trial& first = trials_.refused.front();
      tally.fail(first.text(),
                 "every problem is refused: " + refusal_of(*first.make(), first.problem));
    }
    return tally.result();
  }

  bool bits_vary() {
    if (bits_vary_) return *bits_vary_;
    bits_vary_ = false;
    for (std::size_t i = 0; i < trials_.accepted.size() && !*bits_vary_; ++i) {
      const Trial& trial = trials_.accepted[i];
      bits_vary_ = returns_[i] && judge(clause("same_bits"), trial).kind == Verdict::Kind::broken;
    }
    return *bits_vary_;
  }

  const ContractOptions& options_;
  Trials trials_;
  std::vector<bool> returns_;                   // of each accepted trial: forward ends normally
  std::vector<std::optional<Verdict>> values_;  // of each accepted trial, once it was asked for
  std::optional<bool> bits_vary_;
  ContractReport report_;
};

}  // namespace

std::span<const Clause> clauses() { return kClauses; }

}  // namespace contract

std::vector<ClauseInfo> contract_clauses() {
  std::vector<ClauseInfo> infos;
  for (const contract::Clause& clause : contract::clauses()) infos.push_back(clause.info);
  return infos;
}

const char* to_string(ClauseStatus status) {
  switch (status) {
    case ClauseStatus::passed:
      return "passed";
    case ClauseStatus::failed:
      return "failed";
    case ClauseStatus::not_applicable:
      return "not_applicable";
  }
  return "";
}

bool ContractReport::kept() const {
  return std::none_of(clauses.begin(), clauses.end(), [](const ClauseResult& result) {
    return result.status == ClauseStatus::failed;
  });
}

const ClauseResult& ContractReport::of(std::string_view clause) const {
  const auto found = std::find_if(clauses.begin(), clauses.end(), [&](const ClauseResult& result) {
    return result.clause == clause;
  });
  if (found == clauses.end()) {
    throw std::logic_error("the report says nothing of clause '" + std::string(clause) + "'");
  }
  return *found;
}

ContractReport check_variant(const CatalogueEntry& entry, const ContractOptions& options) {
  std::vector<std::string> names;
  for (const ClauseInfo& info : contract_clauses()) names.emplace_back(info.name);
  for (const std::string& wanted : options.clauses) {
    if (std::find(names.begin(), names.end(), wanted) == names.end()) {
      throw Error("the contract has no clause '" + wanted + "'" + suggestion(wanted, names));
    }
  }
  return contract::Examination(entry, options).report();
}

}  // namespace subquad

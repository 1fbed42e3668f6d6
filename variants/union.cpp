// union: several patterns inside one head, under one softmax. A query sees a key if one of the
// patterns lets it, and counts it once.
//
//   union(a,b,...):  S_i = S_i^a + S_i^b + ... as sets,  out_i = softmax over S_i
//
// This is how BigBird (Zaheer et al. 2020, arXiv:2007.14062, section 2) puts window, global and
// random keys together, and Sparse Transformer (Child et al. 2019, arXiv:1904.10509, section 4.3)
// its two factors where one head has both. Time and memory are the sum of the patterns'.
//
// Passes of the patterns that go over neighbouring queries become one, whose plans are merged key
// by key; other passes stay, each less the pairs of the earlier ones. Pairs are asked about one by
// one only where two patterns may meet.

#include <algorithm>
#include <numeric>
#include <optional>
#include <vector>

#include "kernels/plan_pieces.h"
#include "subquad/member_tensors.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

/// Finds out whether a pattern owns tensors.
class TensorCount final : public TensorVisitor {
 public:
  Index count = 0;

  void declare(TensorDeclaration) override { ++count; }
};

class Union final : public Restriction {
 public:
  void compose(std::vector<Member> members) override {
    for (Member& member : members) {
      auto* const pattern = dynamic_cast<Restriction*>(member.variant.get());
      if (pattern == nullptr) {
        throw Error("union: " + member.name +
                    " does not say which keys a query sees (it has no power 'plan'), and cannot "
                    "be a part");
      }
      if (pattern->operand_roundoff() != 0) {
        throw Error("union: precision is the union's own parameter; " + member.name +
                    " cannot have another one");
      }
      member.variant.release();
      patterns_.emplace_back(pattern);
      names_.push_back(member.name);
    }
  }

  std::string refuses(const Problem& problem) const override {
    for (std::size_t m = 0; m < patterns_.size(); ++m) {
      const Target target = patterns_[m]->target(problem);
      if (target != Target::restriction && target != Target::control) {
        return names_[m] + " takes its keys from the data, or does more than choosing keys: a " +
               "union holds patterns only";
      }
      const std::string reason = patterns_[m]->refuses(problem);
      if (!reason.empty()) return names_[m] + ": " + reason;
    }
    return {};
  }

  void tensors(const Problem& problem, TensorVisitor& visit) const override {
    for (std::size_t m = 0; m < patterns_.size(); ++m) {
      MemberTensorVisitor own(visit, m);
      patterns_[m]->tensors(problem, own);
    }
  }

  bool sees(const PlanCall& call, Index query, Index key) const override {
    for (std::size_t m = 0; m < patterns_.size(); ++m) {
      const MemberTensors tensors(call.tensors, m);
      if (patterns_[m]->sees({call.problem, tensors}, query, key)) return true;
    }
    return false;
  }

  Index passes(const Problem& problem) const override {
    Index others = 0;
    for_each_other(problem, [&](const Part&) {
      ++others;
      return false;
    });
    return 1 + others;
  }

  QueryPass pass(const Problem& problem, Index number) const override {
    if (number > 0) {
      const Part part = other_part(problem, number);
      return patterns_[part.pattern]->pass(problem, part.pass);
    }
    // A tile lies in one block of every pattern.
    Index block = 0;
    for_each_joint(problem, [&](const Part& part) {
      block = std::gcd(block, patterns_[part.pattern]->pass(problem, part.pass).block);
      return false;
    });
    return {.block = block};
  }

  Index list_rows(const PlanCall& call, std::span<std::int32_t> rows) const override {
    const Part part = other_part(call.problem, call.pass);
    const MemberTensors tensors(call.tensors, part.pattern);
    return patterns_[part.pattern]->list_rows({call.problem, tensors, part.pass}, rows);
  }

  bool belongs(const PlanCall& call, Index query, Index key) const override {
    const auto shows = [&](const Part& part) {
      const MemberTensors tensors(call.tensors, part.pattern);
      return patterns_[part.pattern]->belongs({call.problem, tensors, part.pass}, query, key);
    };
    bool found = for_each_joint(call.problem, shows);
    if (call.pass == 0 || found) return found && call.pass == 0;
    Index number = 0;
    Index first = 0;
    for_each_other(call.problem, [&](const Part& part) {
      ++number;
      if (first == 0 && shows(part)) first = number;
      return number == call.pass;
    });
    return first == call.pass;
  }

  PlanLimits plan_limits(const Problem& problem) const override {
    const PlanLimits all = sum_of_limits(problem);
    Scratch spare;
    spare.worker<KeySpan>(all.spans).worker<std::int32_t>(all.singles);
    // What the patterns take is free again when their plans are put together.
    const std::size_t joint = Scratch().worker<Index>(2 * all.spans).worker_bytes;
    const bool others = for_each_other(problem, [](const Part&) { return true; });
    const std::size_t pieces =
        others ? Scratch().worker<KeySpan>(most_pieces(all)).worker_bytes : 0;
    return {.spans = most_pieces(all),
            .singles = all.singles,
            .spare_bytes = spare.worker_bytes + std::max({all.spare_bytes, joint, pieces})};
  }

  void plan(const PlanCall& call, Rows queries, KeyPlan& keys) const override {
    if (call.pass == 0) {
      plan_joint(call, queries, keys);
    } else {
      plan_other(call, queries, keys);
    }
  }

  /// Patterns that are drawn may meet anywhere.
  double pairs(const Problem& problem) const override {
    if (!draws(problem)) return Restriction::pairs(problem);
    double sum = 0;
    for (const auto& pattern : patterns_) sum += pattern->pairs(problem);
    return std::min(sum, problem.pairs());
  }
  Cost cost(const Problem& problem) const override {
    Cost cost = Restriction::cost(problem);
    cost.exact = !draws(problem);
    return cost;
  }

 private:
  /// A pass of one of the patterns.
  struct Part {
    std::size_t pattern;
    Index pass;
  };

  static bool is_joint(const QueryPass& pass) { return pass.step == 1 && pass.listed == 0; }

  /// Calls `body` for passes over neighbouring queries (or the others) until it returns true;
  /// returns whether it did.
  template <class Body>
  bool for_each_part(const Problem& problem, bool joint, const Body& body) const {
    for (std::size_t m = 0; m < patterns_.size(); ++m) {
      const Index count = patterns_[m]->passes(problem);
      for (Index number = 0; number < count; ++number) {
        if (is_joint(patterns_[m]->pass(problem, number)) == joint && body(Part{m, number})) {
          return true;
        }
      }
    }
    return false;
  }
  template <class Body>
  bool for_each_joint(const Problem& problem, const Body& body) const {
    return for_each_part(problem, true, body);
  }
  template <class Body>
  bool for_each_other(const Problem& problem, const Body& body) const {
    return for_each_part(problem, false, body);
  }

  /// That of pass `number`, from 1.
  Part other_part(const Problem& problem, Index number) const {
    Part found{};
    for_each_other(problem, [&](const Part& part) {
      found = part;
      return --number == 0;
    });
    return found;
  }

  PlanLimits sum_of_limits(const Problem& problem) const {
    PlanLimits sum{.spans = 1};
    for (const auto& pattern : patterns_) {
      const PlanLimits one = pattern->plan_limits(problem);
      const Index passes = pattern->passes(problem);
      sum.spans += passes * one.spans;
      sum.singles += passes * one.singles;
      sum.spare_bytes = std::max(sum.spare_bytes, one.spare_bytes);
    }
    return sum;
  }

  bool draws(const Problem& problem) const {
    TensorCount tensors;
    for (const auto& pattern : patterns_) pattern->tensors(problem, tensors);
    return tensors.count > 0;
  }

  KeyPlan plan_of(const PlanCall& call, const Part& part, Rows queries, std::span<KeySpan> spans,
                  std::span<std::int32_t> singles, Arena& spare) const {
    KeyPlan plan(call.problem.keys, spans, singles, &spare);
    const MemberTensors tensors(call.tensors, part.pattern);
    const std::size_t mark = spare.used();
    patterns_[part.pattern]->plan({call.problem, tensors, part.pass}, queries, plan);
    spare.rewind(mark);
    return plan;
  }

  void plan_joint(const PlanCall& call, Rows queries, KeyPlan& keys) const {
    const PlanLimits all = sum_of_limits(call.problem);
    const std::span<KeySpan> spans = keys.spare().take<KeySpan>(all.spans);
    const std::span<std::int32_t> singles = keys.spare().take<std::int32_t>(all.singles);
    std::size_t span_count = 0, single_count = 0;
    for_each_joint(call.problem, [&](const Part& part) {
      const KeyPlan one = plan_of(call, part, queries, spans.subspan(span_count),
                                  singles.subspan(single_count), keys.spare());
      span_count += one.spans().size();
      single_count += one.singles().size();
      return false;
    });
    std::sort(singles.begin(), singles.begin() + single_count);
    single_count = static_cast<std::size_t>(
        std::unique(singles.begin(), singles.begin() + single_count) - singles.begin());
    merge_plans(spans.first(span_count), singles.first(single_count),
                keys.spare().take<Index>(2 * all.spans), keys);
  }

  void plan_other(const PlanCall& call, Rows queries, KeyPlan& keys) const {
    const PlanLimits all = sum_of_limits(call.problem);
    const std::span<KeySpan> spans = keys.spare().take<KeySpan>(all.spans);
    const std::span<std::int32_t> singles = keys.spare().take<std::int32_t>(all.singles);
    const Taken taken = taken_before(call, queries, spans, singles, keys.spare());
    const Part part = other_part(call.problem, call.pass);
    const KeyPlan one = plan_of(call, part, queries, spans, singles, keys.spare());
    const std::span<KeySpan> pieces = keys.spare().take<KeySpan>(most_pieces(all));
    std::size_t count = 0;
    const auto add = [&](const KeySpan& span) {
      if (taken.band && take_out(*taken.band, span, pieces, count)) return;
      cut_span(span, taken.stretches, pieces, count);
    };
    for (const KeySpan& span : one.spans()) add(span);
    for (const std::int32_t& key : one.singles()) {
      if (taken.stretches.meets(key, key + 1)) {
        add({{key, 1}, Seen::all});
      } else {
        keys.single({&key, 1});
      }
    }
    std::sort(pieces.begin(), pieces.begin() + count,
              [](const KeySpan& x, const KeySpan& y) { return x.keys.begin < y.keys.begin; });
    for (const KeySpan& piece : pieces.first(count)) {
      add_span(piece, piece.keys.begin, piece.keys.last() + 1, keys);
    }
  }

  static Index most_pieces(const PlanLimits& all) {
    return static_cast<Index>(2 * Stretches::kMost + 1) * all.spans + all.singles;
  }

  /// What earlier passes may see of a tile.
  struct Taken {
    Stretches stretches;
    std::optional<Band> band;  ///< what they see is this band of every query, and nothing else
  };

  /// Row by row: a tile of one row suits every pass.
  Taken taken_before(const PlanCall& call, Rows queries, std::span<KeySpan> spans,
                     std::span<std::int32_t> singles, Arena& spare) const {
    Taken taken;
    Index plans = 0, in_band = 0;
    const auto take = [&](const Part& part) {
      for (Index i = 0; i < queries.count; ++i) {
        const KeyPlan one = plan_of(call, part, {queries[i], 1}, spans, singles, spare);
        for (const KeySpan& span : one.spans()) {
          taken.stretches.add({span.keys.begin, span.keys.last() + 1});
        }
        for (const std::int32_t key : one.singles()) taken.stretches.add({key, key + 1});
        const std::optional<Band> band = whole_band(call.problem, queries[i], one);
        if (plans == 0) taken.band = band;
        ++plans;
        in_band += band.has_value() && band == taken.band;
      }
      return false;
    };
    for_each_joint(call.problem, take);
    Index number = 0;
    for_each_other(call.problem, [&](const Part& part) {
      if (++number == call.pass) return true;
      take(part);
      return false;
    });
    if (in_band < plans) taken.band.reset();
    return taken;
  }

  /// The band that a plan for one query consists of, none of its keys left out.
  static std::optional<Band> whole_band(const Problem& problem, Index query, const KeyPlan& plan) {
    if (plan.spans().size() != 1 || !plan.singles().empty()) return std::nullopt;
    const KeySpan& span = plan.spans().front();
    const Index position = problem.position(query);
    const bool whole =
        span.seen == Seen::band && span.keys.step == 1 &&
        span.keys.begin <= std::max<Index>(0, position - span.below) &&
        span.keys.last() >=
            std::min(problem.keys - 1, problem.causal ? position : position + span.above);
    return whole ? std::optional(Band{span.below, span.above}) : std::nullopt;
  }

  std::vector<std::unique_ptr<Restriction>> patterns_;
  std::vector<std::string> names_;
};

SUBQUAD_VARIANT(Union, {.name = "union",
                        .summary = "several patterns in one head, under one softmax",
                        .citation = "arXiv:2007.14062",
                        .time = "the patterns' sum",
                        .memory = "the patterns' sum",
                        .members = "local(radius=8),random_pattern(keys=8)"});

}  // namespace
}  // namespace subquad

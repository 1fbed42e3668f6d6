#include "layers/layer.h"

#include <algorithm>
#include <stdexcept>

#include "layers/tensor_declarations.h"
#include "subquad/error.h"

namespace subquad {
namespace {

/// The expressions that `heads(...)` lists, or the expression itself.
std::vector<Expression> listed(const Expression& expression, Index heads) {
  if (expression.name != "heads") return {expression};
  std::vector<Expression> result;
  for (const Expression::Argument& argument : expression.arguments) {
    if (!argument.key.empty()) {
      throw Error(expression.text() + ": heads(...) lists variants; '" + argument.key + "=" +
                  argument.value + "' is none");
    }
    const Expression& member = argument.nested.front();
    if (is_layer_word(member.name)) {
      throw Error(expression.text() + ": " + member.name + "(...) cannot stand inside heads(...)");
    }
    result.push_back(member);
  }
  if (result.empty()) throw Error(expression.text() + ": heads(...) lists no variant");
  if (static_cast<Index>(result.size()) > heads) {
    throw Error(expression.text() + ": lists " + std::to_string(result.size()) + " variants for " +
                std::to_string(heads) + (heads == 1 ? " head" : " heads"));
  }
  return result;
}

void check_problem(const Problem& problem, Index heads) {
  const std::pair<const char*, Index> extents[] = {{"heads", heads},
                                                   {"queries", problem.queries},
                                                   {"keys", problem.keys},
                                                   {"dim", problem.dim},
                                                   {"value_dim", problem.value_dim}};
  for (const auto& [name, extent] : extents) {
    if (extent < 1) {
      throw Error("a layer with " + std::string(name) + " = " + std::to_string(extent) +
                  " (at least 1 is needed)");
    }
  }
  if (problem.first_query < 0) {
    throw Error("first_query = " + std::to_string(problem.first_query) + " (at least 0 is needed)");
  }
}

Problem widened(Problem problem, Index heads) {
  problem.dim *= heads;
  problem.value_dim *= heads;
  return problem;
}

/// Rank of a claim: the higher, the less it promises about dense attention.
int weakness(Target target) {
  switch (target) {
    case Target::exact:
      return 0;
    case Target::oracle:
      return 1;
    case Target::estimator:
      return 2;
    case Target::restriction:
      return 3;
    case Target::operation:
      return 4;
    case Target::control:
      return 5;
  }
  throw std::logic_error("a target without a rank");
}

}  // namespace

Layer::Layer(const Expression& expression, const Problem& problem, Index heads)
    : source_(TensorSource::of(expression)),
      head_problem_(problem),
      call_problem_(problem),
      heads_(heads),
      is_heads_expression_(source_.layer.name == "heads"),
      members_(listed(source_.layer, heads)) {
  check_problem(problem, heads);
  for (const Expression& member : members_) {
    variants_.push_back(make_variant(member, problem));
    if (variants_.back()->scope() == Scope::head) continue;
    if (is_heads_expression_) {
      throw Error(expression.text() + ": " + member.name +
                  " works on the whole width of a layer and cannot serve single heads");
    }
    scope_ = Scope::layer;
    call_problem_ = widened(problem, heads);
    // Again, because parameters may name the dim that the variant will see.
    variants_.back() = make_variant(member, call_problem_);
  }
}

/// What reason_of(index) says of the first variant that it says something of.
template <class ReasonOf>
std::string Layer::first_reason(ReasonOf reason_of) const {
  for (std::size_t i = 0; i < variants_.size(); ++i) {
    const std::string reason = reason_of(i);
    if (!reason.empty()) {
      return is_heads_expression_
                 ? "head " + std::to_string(i) + " (" + members_[i].name + "): " + reason
                 : reason;
    }
  }
  return {};
}

std::string Layer::refuses() const {
  const std::string reason =
      first_reason([&](std::size_t i) { return refusal_of(*variants_[i], call_problem_); });
  if (!reason.empty() || source_.from != TensorSource::From::windows) return reason;
  return refuses_fitting();
}

std::string Layer::refuses_fitting() const {
  if (scope_ == Scope::layer)
    return "works on the whole width of a layer, and windows are of heads";
  for (const auto& variant : variants_) {
    for (const TensorDeclaration& tensor : declared_tensors(*variant, call_problem_)) {
      if (tensor.is_fitted()) return {};
    }
  }
  return "nothing in it is fitted: no tensor says how, with these parameters on this problem";
}

std::string Layer::refuses_decoding() const {
  if (scope_ == Scope::layer) {
    return "works on the whole width of a layer and cannot be decoded token by token";
  }
  return first_reason([&](std::size_t i) {
    const Powers& powers = Catalogue::instance().find(members_[i].name).registration->powers;
    return powers.stream ? variants_[i]->refuses_stream(call_problem_)
                         : "has no stream, so it cannot be decoded token by token";
  });
}

Target Layer::target() const {
  Target weakest = variants_.front()->target(call_problem_);
  for (const auto& variant : variants_) {
    const Target target = variant->target(call_problem_);
    if (weakness(target) > weakness(weakest)) weakest = target;
  }
  return weakest;
}

std::string Layer::dense_target() const {
  const std::string first = variants_.front()->dense_target(call_problem_);
  for (const auto& variant : variants_) {
    if (variant->dense_target(call_problem_) != first) return "dense";
  }
  return first;
}

std::vector<std::string> Layer::members() const {
  std::vector<std::string> texts;
  for (const Expression& member : members_) texts.push_back(member.text());
  return texts;
}

Expression Layer::resolved_layer() const {
  Expression mixture{"heads", {}};
  for (const Expression& member : members_) {
    mixture.arguments.push_back({{}, {}, {resolved_expression(member, call_problem_)}});
  }
  return is_heads_expression_ ? mixture : mixture.arguments.front().nested.front();
}

Consumes Layer::consumes() const {
  Consumes any{.q = false, .k = false, .v = false, .x = false};
  for (const auto& variant : variants_) {
    const Consumes one = variant->consumes();
    any = {any.q || one.q, any.k || one.k, any.v || one.v, any.x || one.x};
  }
  return any;
}

Cost Layer::cost(const Problem& problem) const {
  std::vector<Cost> costs;
  for (const auto& variant : variants_) costs.push_back(variant->cost(problem));
  Cost sum;
  for (Index call = 0; call < calls(); ++call) {
    const Cost& one = costs[static_cast<std::size_t>(call) % costs.size()];
    sum.useful += one.useful;
    sum.bytes += one.bytes;
    sum.exact = sum.exact && one.exact;
  }
  return sum;
}

bool Layer::gives_log_sum_exp() const {
  return std::all_of(variants_.begin(), variants_.end(),
                     [](const auto& variant) { return variant->gives_log_sum_exp(); });
}

double Layer::operand_roundoff() const {
  double largest = 0;
  for (const auto& variant : variants_) largest = std::max(largest, variant->operand_roundoff());
  return largest;
}

const char* to_string(Target target) {
  switch (target) {
    case Target::exact:
      return "exact";
    case Target::estimator:
      return "estimator";
    case Target::restriction:
      return "restriction";
    case Target::operation:
      return "operation";
    case Target::control:
      return "control";
    case Target::oracle:
      return "oracle";
  }
  throw std::logic_error("a target without a name");
}

}  // namespace subquad

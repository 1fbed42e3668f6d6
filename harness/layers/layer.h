#pragma once

#include <memory>
#include <string>
#include <vector>

#include "layers/catalogue.h"
#include "layers/tensor_source.h"
#include "subquad/variant.h"

namespace subquad {

/// A layer expression on a problem: the variant of each head. `heads(a,b,...)` gives head h the
/// expression number h modulo their count; any other expression serves all heads. `fitted(...)` and
/// `loaded(...)` around it say where its tensors come from (tensor_source.h).
class Layer {
 public:
  /// `problem` is that of one head. Throws Error for what cannot be constructed.
  Layer(const Expression& expression, const Problem& problem, Index heads);

  Index heads() const { return heads_; }
  Scope scope() const { return scope_; }
  /// The problem that a call sees: of one head, or of the whole width for `Scope::layer`.
  const Problem& problem() const { return call_problem_; }
  const Problem& head_problem() const { return head_problem_; }
  /// Calls that one forward pass of one sequence takes: heads, or 1 for `Scope::layer`.
  Index calls() const { return scope_ == Scope::layer ? 1 : heads_; }
  const Variant& variant(Index call) const { return *variants_[call % variants_.size()]; }
  const std::string& variant_name(Index call) const {
    return members_[call % members_.size()].name;
  }
  /// The expressions of the different variants, as they were written.
  std::vector<std::string> members() const;
  /// How many different variants the expression holds (1 without `heads`).
  Index distinct() const { return static_cast<Index>(variants_.size()); }

  /// Where its tensors come from; who makes them has to see to that.
  const TensorSource& tensor_source() const { return source_; }

  /// Reason why not, of the first head that refuses, or empty.
  std::string refuses() const;
  /// Reason why the layer cannot be decoded token by token, likewise, beside those of `refuses`.
  std::string refuses_decoding() const;
  /// Target of the layer: that of its heads if they agree, otherwise the weakest claim among them.
  Target target() const;
  /// Expression of the dense target, "dense" where heads disagree.
  std::string dense_target() const;
  /// The expression with every parameter evaluated.
  std::string resolved() const { return source_.around(resolved_layer()).text(); }
  /// Likewise, without what stands around the layer.
  Expression resolved_layer() const;
  Consumes consumes() const;  ///< of any head
  /// Useful work and compulsory bytes of all calls on one sequence.
  Cost cost() const { return cost(call_problem_); }
  Cost cost(const Problem& problem) const;  ///< the same on a call of another length
  bool gives_log_sum_exp() const;
  double operand_roundoff() const;  ///< the largest of any head

 private:
  template <class ReasonOf>
  std::string first_reason(ReasonOf reason_of) const;
  std::string refuses_fitting() const;

  TensorSource source_;
  Problem head_problem_;
  Problem call_problem_;
  Index heads_;
  Scope scope_ = Scope::head;
  bool is_heads_expression_ = false;
  std::vector<Expression> members_;
  std::vector<std::unique_ptr<Variant>> variants_;
};

const char* to_string(Target target);

}  // namespace subquad

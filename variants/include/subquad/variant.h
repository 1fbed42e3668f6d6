#pragma once

/// The interface of subquad: a variant is a function of one head, matrices in, matrix out. The
/// harness owns batch, heads, sharing of keys among query heads, ragged lengths, threads, seeds and
/// memory, so every variant is parallelised, timed and accounted in the same way.
///
/// A variant derives from `Variant` (or from `Restriction`, restriction.h, if it is a softmax over
/// fewer keys), overrides what it has, and ends its file with SUBQUAD_VARIANT (registry.h). The
/// required part comes first below; an optional power is declared by overriding it.
/// docs/add_a_variant.md walks through a complete file.

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "subquad/error.h"
#include "subquad/parameters.h"
#include "subquad/problem.h"
#include "subquad/run.h"
#include "subquad/tensor.h"
#include "subquad/view.h"

namespace subquad {

/// What a variant at given parameters claims to compute, and so what its "error" means.
enum class Target {
  exact,        ///< softmax(scale Q K^T) V itself
  estimator,    ///< approximates it: the error goes to 0 as the budget grows
  restriction,  ///< softmax over a subset of the keys
  operation,    ///< something else by design: its figure against dense is a distance
  control,      ///< what a useful method must beat
  oracle,       ///< what no method of its family can beat
};

/// Matrices that a variant reads. `x` is the layer's input, which methods without queries or keys
/// read; where an input has none, x is V (a layer without projections has Q = K = V = X).
struct Consumes {
  bool q = true, k = true, v = true, x = false;
};

/// `layer` is for what mixes over the whole width of the model: its views have heads x dim columns.
enum class Scope { head, layer };

/// Useful work of one forward call: what the method asks for, not what tiles round it up to.
struct Cost {
  Work useful;
  double bytes = 0;  ///< compulsory memory traffic: each input and tensor read once, output written
  bool exact = true;  ///< false: an upper bound, because the work depends on the data
};

/// Softmax attention over so many pairs of query and key: a dot product, an exponential and a
/// weighted value each.
inline Cost softmax_cost(const Problem& problem, double pairs) {
  const Index elements = (problem.queries + problem.keys) * (problem.dim + problem.value_dim);
  return {.useful = {.multiply_adds = pairs * static_cast<double>(problem.dim + problem.value_dim),
                     .exponentials = pairs},
          .bytes = sizeof(float) * static_cast<double>(elements)};
}

/// Inputs of `forward`. Views that the variant does not consume are empty.
struct Call {
  const Problem& problem;
  ConstView q;  ///< [queries, dim], before scaling
  ConstView k;  ///< [keys, dim]
  ConstView v;  ///< [keys, value_dim]
  ConstView x;  ///< [queries, columns of the layer's input]
  View out;     ///< [queries, value_dim]; contents undefined, every element is to be written
  /// [queries], or null when nobody asks: log(sum over seen keys of exp(score)), scores scaled;
  /// -infinity for a query that sees no key (its output is 0).
  float* row_log_sum_exp;
  const Tensors& tensors;
  /// What `prepare` left, or empty when it was not called: then forward does that work itself.
  std::span<const std::byte> prepared;
  Run& run;
};

/// Inputs of `reference` and `weights`: the same in double precision. Choice tensors hold what
/// `forward` chose.
struct ReferenceCall {
  const Problem& problem;
  MatrixView<const double> q, k, v, x;
  MatrixView<double> out;
  double* row_log_sum_exp;  ///< null when nobody asks
  const Tensors& tensors;
};

/// One token of a sequence that is decoded, and what asks at its position.
struct Token {
  /// [count, dim]: the queries of all heads that share the token's key. None: the token is taken in
  /// and nothing is asked (a prompt).
  ConstView queries;
  const float* key;    ///< [dim]
  const float* value;  ///< [value_dim]
  ConstView x;         ///< [1, columns of the layer's input]; empty where x is not consumed
  View out;            ///< [count, value_dim]
};

/// Token-by-token decoding, with a state that queries share.
class Stream {
 public:
  virtual ~Stream() = default;
  /// Takes in the next token, then writes the output of each of its queries.
  virtual void step(const Token& token) = 0;
  /// A second stream that has read the same, and goes on by itself.
  virtual std::unique_ptr<Stream> clone() const = 0;
  /// Bytes that the state holds now.
  virtual std::size_t state_bytes() const = 0;
};

/// One sample of a head's inputs for `calibrate`, all of them, whatever the variant consumes; x is
/// V where the layer has no projections.
struct Window {
  ConstView q, k, v, x;
  ConstView target;  ///< [queries, value_dim]: the dense output that fitting aims at
};

/// Gradients for `backward`: d_out is given, the others are to be filled.
struct BackwardCall {
  const Call& forward;
  ConstView d_out;
  View d_q, d_k, d_v, d_x;
  const Tensors& d_tensors;  ///< a `writable` matrix for each learned tensor
};

class Variant;

/// A variant that another is made of.
struct Member {
  std::string name;
  std::unique_ptr<Variant> variant;
};

class Variant {
 public:
  virtual ~Variant() = default;

  // ---- what it is: functions of its parameters -------------------------------------------------

  /// Takes the variants that stand in the parentheses of its expression, union(local,strided), at
  /// least one. Only a variant made of others overrides this; its `Info::members` says what stands
  /// there where an expression lists none. Throws Error for one that does not fit.
  virtual void compose(std::vector<Member> members);
  /// Visits every hyper-parameter (parameters.h).
  virtual void parameters(Parameters&) {}
  /// What the variant claims to be on this problem.
  virtual Target target(const Problem&) const = 0;
  /// The expression that an error is measured against beside plain `dense`: a restriction or
  /// estimator of another dense attention names it, such as "dense(keys=normalised_queries)".
  virtual std::string dense_target(const Problem&) const { return "dense"; }
  /// Parameters, as in an expression ("radius=2047,dilation=1"), at which the variant must equal
  /// its dense target on this problem; empty if there are none.
  virtual std::string exact_when(const Problem&) const { return {}; }
  virtual Consumes consumes() const { return {}; }
  virtual Scope scope() const { return Scope::head; }
  /// Why the variant cannot do this problem, or empty. Nothing ever falls back to dense.
  virtual std::string refuses(const Problem&) const { return {}; }
  /// Permuting keys together with their values changes nothing.
  virtual bool ignores_key_order(const Problem&) const { return false; }
  /// The output is a softmax over keys, and `forward` fills `row_log_sum_exp` on request.
  virtual bool gives_log_sum_exp() const { return false; }
  /// The foreign library that computes `forward`, with its version, if there is one ("oneDNN
  /// 2.6.3"). Of such a one it cannot be asked that it takes memory from the arenas alone: what
  /// else it takes shows in records, and it has to give it back.
  virtual std::string library() const { return {}; }
  /// Largest relative error of the rounding that Q, K, V and weights undergo before they are
  /// multiplied; 0 where float32 is multiplied as it is. The harness allows for it.
  virtual double operand_roundoff() const { return 0; }

  // ---- what a family of variants brings along, so that its members need not ---------------------

  /// Hyper-parameters beside `parameters`; only a base class of many variants overrides this.
  virtual void family_parameters(Parameters&) {}
  /// Reasons beside those of `refuses`; likewise.
  virtual std::string family_refuses(const Problem&) const { return {}; }

  // ---- what it needs ---------------------------------------------------------------------------

  /// Visits every tensor (tensor.h).
  virtual void tensors(const Problem&, TensorVisitor&) const {}
  virtual Scratch scratch(const Problem&) const { return {}; }
  virtual Cost cost(const Problem&) const = 0;

  // ---- what it computes ------------------------------------------------------------------------

  virtual void forward(const Call&) const = 0;
  /// The same, naive and in double, written from the paper: documentation and oracle at once. It
  /// shares no code with the kernels.
  virtual void reference(const ReferenceCall&) const = 0;

  // ---- optional powers: declared by overriding them ---------------------------------------------

  /// The matrix [queries, keys] that the output is `weights * V` with, in double.
  virtual void weights(const ReferenceCall&, MatrixView<double> weights) const;
  /// Work on K and V that queries can share (grouped queries, decoding): `prepared_bytes` of memory
  /// that later calls find in `Call::prepared`. Only k, v, tensors and run of the call are set.
  virtual std::size_t prepared_bytes(const Problem&) const;
  virtual void prepare(const Call&, std::span<std::byte> prepared) const;
  /// A decoder for a causal problem of up to `problem.keys` tokens; equals causal `forward`.
  virtual std::unique_ptr<Stream> stream(const Problem&, const Tensors&) const;
  /// Why a variant that has `stream` cannot decode this problem with these parameters, or empty.
  virtual std::string refuses_stream(const Problem&) const { return {}; }
  /// Writes the learned and running tensors that are declared as fitted (tensor.h) with these
  /// parameters, and no others, from windows of the problem's shape, one at least: of one head, or
  /// of all that share the tensors. Reads other tensors as they were drawn. Same windows, same
  /// bits. May allocate.
  virtual void calibrate(const Problem&, std::span<const Window>, const Tensors&) const;
  /// Gradients of inputs and learned tensors, from tensors of role `saved` that forward kept.
  virtual void backward(const BackwardCall&) const;
};

/// The optional powers that a variant has; found out at registration, never listed by hand.
struct Powers {
  bool compose = false;
  bool plan = false;  ///< derives from Restriction
  bool weights = false;
  bool prepare = false;
  bool stream = false;
  bool calibrate = false;
  bool backward = false;
};

}  // namespace subquad

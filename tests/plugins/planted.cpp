// Variants whose behaviour is known beforehand, to see whether the harness finds it.
//
// noisy: attention by the textbook, times a random factor,
//
//   out = (1 + spread z) softmax(scale Q K^T) V,   z ~ N(0, 1), one for each head,
//
// whose relative error is spread |z|: over draws of z it has the variance spread^2 (1 - 2 / pi).
//
// thirds: the mean of V; every third call, of whichever head, takes twice as long as the others.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <vector>

#include "subquad/registry.h"

namespace {

using namespace subquad;

template <class T, class U>
void attend(const Problem& problem, MatrixView<const U> q, MatrixView<const U> k,
            MatrixView<const U> v, double factor, MatrixView<T> out, std::vector<double>& weights) {
  for (Index i = 0; i < problem.queries; ++i) {
    double largest = -1e300, sum = 0;
    for (Index j = 0; j < problem.keys; ++j) {
      weights[j] = 0;
      for (Index c = 0; c < problem.dim; ++c) weights[j] += double(q(i, c)) * k(j, c);
      weights[j] *= problem.score_scale();
      largest = std::max(largest, weights[j]);
    }
    for (Index j = 0; j < problem.keys; ++j) sum += weights[j] = std::exp(weights[j] - largest);
    for (Index c = 0; c < problem.value_dim; ++c) {
      double value = 0;
      for (Index j = 0; j < problem.keys; ++j) value += weights[j] * v(j, c);
      out(i, c) = static_cast<T>(factor * value / sum);
    }
  }
}

class Noisy final : public Variant {
 public:
  void parameters(Parameters& visit) override {
    visit("spread", spread_, between(0, 1), "size of the error");
  }
  Target target(const Problem&) const override { return Target::estimator; }
  std::string refuses(const Problem& problem) const override {
    return problem.causal ? "it sees all keys" : "";
  }
  void tensors(const Problem&, TensorVisitor& visit) const override {
    visit("z", {{"one", 1}}, init::normal(1), Role::random, Sharing::head, "error of this head");
  }
  Cost cost(const Problem& problem) const override {
    return {.useful = {.multiply_adds =
                           problem.pairs() * static_cast<double>(problem.dim + problem.value_dim),
                       .exponentials = problem.pairs()}};
  }
  void forward(const Call& call) const override {
    std::vector<double> weights(static_cast<std::size_t>(call.problem.keys));
    attend<float, float>(call.problem, call.q, call.k, call.v, factor(call.tensors), call.out,
                         weights);
  }
  void reference(const ReferenceCall& call) const override {
    std::vector<double> weights(static_cast<std::size_t>(call.problem.keys));
    attend<double, double>(call.problem, call.q, call.k, call.v, factor(call.tensors), call.out,
                           weights);
  }

 private:
  double factor(const Tensors& tensors) const { return 1 + spread_ * tensors.matrix("z")(0, 0); }

  double spread_ = 0.1;
};

SUBQUAD_VARIANT(Noisy, {.name = "noisy",
                        .summary = "attention times a random factor",
                        .citation = "control",
                        .time = "n^2 d",
                        .memory = "n"});

class Thirds final : public Variant {
 public:
  Target target(const Problem&) const override { return Target::control; }
  Consumes consumes() const override { return {.q = false, .k = false, .v = true}; }
  Cost cost(const Problem&) const override { return {}; }

  void forward(const Call& call) const override {
    mean(call.v, call.out);
    const auto duration = std::chrono::microseconds(++calls_ % 3 == 0 ? 400 : 200);
    const auto end = std::chrono::steady_clock::now() + duration;
    while (std::chrono::steady_clock::now() < end) {
    }
  }
  void reference(const ReferenceCall& call) const override { mean(call.v, call.out); }

 private:
  template <class From, class To>
  static void mean(From v, To out) {
    for (Index c = 0; c < out.cols; ++c) {
      double sum = 0;
      for (Index j = 0; j < v.rows; ++j) sum += v(j, c);
      for (Index i = 0; i < out.rows; ++i) out(i, c) = sum / static_cast<double>(v.rows);
    }
  }

  mutable int calls_ = 0;
};

SUBQUAD_VARIANT(Thirds, {.name = "thirds",
                         .summary = "every third call takes twice as long",
                         .citation = "control",
                         .time = "n d",
                         .memory = "1"});

}  // namespace

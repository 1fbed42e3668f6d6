#pragma once

/// Windows for tests of `calibrate`: random ones, and those of a file of real Q, K and V.

#include <cmath>
#include <functional>
#include <vector>

#include "inputs/input.h"
#include "layers/catalogue.h"
#include "subquad/eigen.h"
#include "support/simple_run.h"
#include "support/variant_trial.h"

namespace subquad {

/// A trial's inputs, without a target. x is V.
inline Window window_of(const VariantTrial& trial) {
  return {.q = trial.q.view(),
          .k = trial.k.view(),
          .v = trial.v.view(),
          .x = trial.v.view(),
          .target = {}};
}

/// A window that owns what it shows. x is V.
struct OwnedWindow {
  RowMajor<float> q, k, v, target;

  Window view() const {
    const auto of = [](const RowMajor<float>& m) {
      return ConstView(m.data(), m.rows(), m.cols());
    };
    return {.q = of(q), .k = of(k), .v = of(v), .x = of(v), .target = of(target)};
  }
};

inline std::vector<Window> views(const std::vector<OwnedWindow>& windows) {
  std::vector<Window> result;
  for (const OwnedWindow& window : windows) result.push_back(window.view());
  return result;
}

/// softmax(scale Q K^T) V, in double.
inline RowMajor<float> dense_output(const Problem& problem, const OwnedWindow& window) {
  RowMajor<double> weights = RowMajor<double>::Zero(problem.queries, problem.keys);
  for (Index i = 0; i < problem.queries; ++i) {
    for (Index j = 0; j < problem.keys; ++j) {
      if (!problem.sees(i, j)) continue;
      const double score = window.q.row(i).cast<double>().dot(window.k.row(j).cast<double>());
      weights(i, j) = std::exp(problem.score_scale() * score);
    }
    weights.row(i) /= weights.row(i).sum();
  }
  return (weights * window.v.cast<double>()).cast<float>();
}

/// Normal numbers; the target is `make(window)`, or the dense output.
using MakeTarget = std::function<RowMajor<double>(const OwnedWindow&)>;
inline std::vector<OwnedWindow> random_windows(const Problem& problem, Index count,
                                               std::uint64_t seed = 1,
                                               const MakeTarget& make = {}) {
  Generator random(seed, 1234);
  const auto draw = [&](Index rows, Index cols) {
    return RowMajor<float>::NullaryExpr(rows, cols,
                                        [&] { return static_cast<float>(random.normal()); });
  };
  std::vector<OwnedWindow> windows;
  for (Index w = 0; w < count; ++w) {
    OwnedWindow window;
    window.q = draw(problem.queries, problem.dim);
    window.k = draw(problem.keys, problem.dim);
    window.v = draw(problem.keys, problem.value_dim);
    window.target = make ? make(window).cast<float>() : dense_output(problem, window);
    windows.push_back(std::move(window));
  }
  return windows;
}

/// Every second sequence of one head, beginning with `first`.
inline std::vector<OwnedWindow> real_windows(const LayerInput& input, Index head, Index first) {
  std::vector<OwnedWindow> windows;
  for (Index b = first; b < input.batch; b += 2) {
    OwnedWindow window{.q = as_eigen(input.q_of(b, head)),
                       .k = as_eigen(input.k_of(b, head)),
                       .v = as_eigen(input.v_of(b, head)),
                       .target = {}};
    const Problem problem{.queries = input.queries,
                          .keys = input.keys,
                          .dim = input.dim,
                          .value_dim = input.value_dim};
    window.target = dense_output(problem, window);
    windows.push_back(std::move(window));
  }
  return windows;
}

/// A variant with tensors of its own, to be fitted and applied to windows.
class FittedVariant {
 public:
  FittedVariant(const std::string& expression, const Problem& problem, std::uint64_t seed = 1)
      : problem_(problem),
        variant_(make_variant(parse_expression(expression), problem)),
        tensors_(*variant_, problem, seed) {}

  FittedVariant& fit(const std::vector<OwnedWindow>& windows) & {
    variant_->calibrate(problem_, views(windows), tensors_);
    return *this;
  }
  FittedVariant fit(const std::vector<OwnedWindow>& windows) && { return std::move(fit(windows)); }
  View tensor(const char* name) const { return tensors_.writable(name); }
  RowMajor<double> matrix(const char* name) const {
    return as_eigen(tensors_.matrix(name)).template cast<double>();
  }

  RowMajor<float> forward(const OwnedWindow& window) const {
    const Window inputs = window.view();
    const Consumes reads = variant_->consumes();
    RowMajor<float> out(problem_.queries, problem_.value_dim);
    SimpleRun run(variant_->scratch(problem_));
    variant_->forward({.problem = problem_,
                       .q = reads.q ? inputs.q : ConstView(),
                       .k = reads.k ? inputs.k : ConstView(),
                       .v = reads.v ? inputs.v : ConstView(),
                       .x = reads.x ? inputs.x : ConstView(),
                       .out = View(out.data(), out.rows(), out.cols()),
                       .row_log_sum_exp = nullptr,
                       .tensors = tensors_,
                       .prepared = {},
                       .run = run});
    return out;
  }

  /// Squared error over all windows against their targets, over the squared targets; its root.
  double error(const std::vector<OwnedWindow>& windows) const {
    double wrong = 0, all = 0;
    for (const OwnedWindow& window : windows) {
      const RowMajor<double> target = window.target.cast<double>();
      wrong += (forward(window).cast<double>() - target).squaredNorm();
      all += target.squaredNorm();
    }
    return std::sqrt(wrong / all);
  }

 private:
  Problem problem_;
  std::unique_ptr<Variant> variant_;
  DrawnMapTensors tensors_;
};

}  // namespace subquad

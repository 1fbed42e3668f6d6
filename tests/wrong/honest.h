#pragma once

/// Right variants, done plainly, for the wrong ones beside them to spoil in one point each.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "subquad/registry.h"
#include "subquad/restriction.h"

namespace subquad::wrong {

enum class Kind { softmax, uniform };

/// softmax(sharpness scale Q K^T) V times a gain per column. It claims little: the right twin of
/// variants that would make a claim untrue beside the one that they are to break.
class Modest : public Variant {
 public:
  Kind kind = Kind::softmax;
  double sharpness = 1;
  Index tile = 8;

  void parameters(Parameters& visit) override {
    visit("kind", kind, {"softmax", "uniform"}, "what the scores are");
    visit("sharpness", sharpness, between(0.25, 4), "factor of the scores");
    visit("tile", tile, between(1, 64), "queries per tile");
  }
  Target target(const Problem&) const override { return Target::operation; }
  std::string refuses(const Problem& problem) const override {
    if (problem.causal && problem.first_query + problem.queries > problem.keys) {
      return "a causal query behind the last key has no place";
    }
    return {};
  }
  void tensors(const Problem& problem, TensorVisitor& visit) const override {
    visit("gain", {{"value_dim", problem.value_dim}}, init::constant(1), Role::learned,
          Sharing::head, "factor of each output column");
  }
  Scratch scratch(const Problem& problem) const override {
    return Scratch().shared<float>(problem.queries * problem.dim).worker<float>(problem.keys);
  }
  Cost cost(const Problem& problem) const override {
    const double pairs = problem.pairs();
    return {.useful = {pairs * static_cast<double>(problem.dim + problem.value_dim), pairs},
            .bytes = 4.0 * static_cast<double>((problem.queries + problem.keys) *
                                               (problem.dim + problem.value_dim))};
  }

  void forward(const Call& call) const override {
    const Problem& problem = call.problem;
    const View scaled = call.run.shared().take_matrix(problem.queries, problem.dim);
    for (Index i = 0; i < problem.queries; ++i) {
      for (Index c = 0; c < problem.dim; ++c) {
        scaled(i, c) = static_cast<float>(factor(problem)) * call.q(i, c);
      }
    }
    call.run.parallel((problem.queries + tile - 1) / tile, [&](Index number, Worker& worker) {
      const std::span<float> scores = worker.scratch.take<float>(problem.keys);
      const Index end = std::min(problem.queries, (number + 1) * tile);
      for (Index i = number * tile; i < end; ++i) attend(call, scaled, i, scores, worker);
    });
  }

  void reference(const ReferenceCall& call) const override {
    std::vector<double> row(static_cast<std::size_t>(call.problem.keys));
    for (Index i = 0; i < call.problem.queries; ++i) {
      const double log_sum_exp = reference_weights(call, i, row.data());
      if (call.row_log_sum_exp != nullptr) call.row_log_sum_exp[i] = log_sum_exp;
      for (Index c = 0; c < call.problem.value_dim; ++c) {
        double sum = 0;
        for (Index j = 0; j < call.problem.keys; ++j) sum += row[j] * call.v(j, c);
        call.out(i, c) = sum * call.tensors.matrix("gain")(0, c);
      }
    }
  }

 protected:
  virtual double factor(const Problem& problem) const {
    return kind == Kind::uniform ? 0 : sharpness * problem.score_scale();
  }
  /// Keys that query row i sees: the first so many.
  virtual Index visible(const Problem& problem, Index i) const {
    return problem.causal ? std::min(problem.keys, problem.position(i) + 1) : problem.keys;
  }

  /// One query: scores, softmax, values.
  virtual void attend(const Call& call, ConstView scaled, Index i, std::span<float> scores,
                      Worker& worker) const {
    const Index seen = visible(call.problem, i);
    const float largest = fill_scores(call, scaled, i, scores.first(seen), worker);
    double sum = 0;
    for (Index j = 0; j < seen; ++j) sum += scores[j] = std::exp(scores[j] - largest);
    if (call.row_log_sum_exp != nullptr) {
      call.row_log_sum_exp[i] = static_cast<float>(largest + std::log(sum));
    }
    mix_values(call, i, scores.first(seen), sum);
  }

  float fill_scores(const Call& call, ConstView scaled, Index i, std::span<float> scores,
                    Worker& worker) const {
    float largest = -std::numeric_limits<float>::infinity();
    for (std::size_t j = 0; j < scores.size(); ++j) {
      double dot = 0;
      for (Index c = 0; c < call.problem.dim; ++c) {
        dot += static_cast<double>(scaled(i, c)) * call.k(static_cast<Index>(j), c);
      }
      scores[j] = static_cast<float>(dot);
      largest = std::max(largest, scores[j]);
    }
    const auto pairs = static_cast<double>(scores.size());
    worker.executed +=
        Work{pairs * static_cast<double>(call.problem.dim + call.problem.value_dim), pairs};
    return largest;
  }

  virtual void mix_values(const Call& call, Index i, std::span<const float> weights,
                          double sum) const {
    const ConstView gain = call.tensors.matrix("gain");
    for (Index c = 0; c < call.problem.value_dim; ++c) {
      double mixed = 0;
      for (std::size_t j = 0; j < weights.size(); ++j) {
        mixed += static_cast<double>(weights[j]) * call.v(static_cast<Index>(j), c);
      }
      call.out(i, c) = static_cast<float>(mixed / sum * gain(0, c));
    }
  }

  /// The score of a pair in the reference.
  virtual double reference_score(const ReferenceCall& call, Index i, Index j) const {
    double dot = 0;
    for (Index c = 0; c < call.problem.dim; ++c) dot += call.q(i, c) * call.k(j, c);
    return kind == Kind::uniform ? 0 : sharpness * call.problem.score_scale() * dot;
  }

  double reference_weights(const ReferenceCall& call, Index i, double* row) const {
    double largest = -std::numeric_limits<double>::infinity(), sum = 0;
    for (Index j = 0; j < call.problem.keys; ++j) {
      row[j] = call.problem.sees(i, j) ? reference_score(call, i, j)
                                       : -std::numeric_limits<double>::infinity();
      largest = std::max(largest, row[j]);
    }
    for (Index j = 0; j < call.problem.keys; ++j) sum += row[j] = std::exp(row[j] - largest);
    for (Index j = 0; j < call.problem.keys; ++j) row[j] /= sum;
    return largest + std::log(sum);
  }
};

/// The same with every claim and power that it can have.
class Honest : public Modest {
 public:
  Target target(const Problem&) const override {
    return kind == Kind::softmax && sharpness == 1 ? Target::exact : Target::operation;
  }
  std::string exact_when(const Problem&) const override { return "kind=softmax,sharpness=1"; }
  bool ignores_key_order(const Problem& problem) const override { return !problem.causal; }
  bool gives_log_sum_exp() const override { return true; }

  void tensors(const Problem& problem, TensorVisitor& visit) const override {
    visit("gain", {{"value_dim", problem.value_dim}}, init::constant(1), Role::learned,
          Sharing::head, "factor of each output column",
          fit::closed_form("least squares, column by column"));
  }
  void calibrate(const Problem& problem, std::span<const Window> windows,
                 const Tensors& tensors) const override {
    const View gain = tensors.writable("gain");
    for (Index c = 0; c < problem.value_dim; ++c) {
      double along = 0, squares = 0;
      for (const Window& window : windows) {
        for (Index i = 0; i < problem.queries; ++i) {
          const double out = fitted_output(problem, window, i, c);
          along += out * window.target(i, c);
          squares += out * out;
        }
      }
      gain(0, c) = static_cast<float>(along / squares);
    }
  }

  void weights(const ReferenceCall& call, MatrixView<double> weights) const override {
    for (Index i = 0; i < weights.rows; ++i) reference_weights(call, i, weights.row(i));
  }

  /// A packed copy of K.
  std::size_t prepared_bytes(const Problem& problem) const override {
    return static_cast<std::size_t>(problem.keys * problem.dim) * sizeof(float);
  }
  void prepare(const Call& call, std::span<std::byte> prepared) const override {
    const auto row_bytes = static_cast<std::size_t>(call.problem.dim) * sizeof(float);
    for (Index j = 0; j < call.problem.keys; ++j) {
      std::memcpy(prepared.data() + static_cast<std::size_t>(j) * row_bytes, call.k.row(j),
                  row_bytes);
    }
  }
  void forward(const Call& call) const override {
    if (call.prepared.empty()) return Modest::forward(call);
    Call on_prepared = call;
    on_prepared.k = {reinterpret_cast<const float*>(call.prepared.data()), call.problem.keys,
                     call.problem.dim};
    Modest::forward(on_prepared);
  }

  std::unique_ptr<Stream> stream(const Problem& problem, const Tensors& tensors) const override {
    return std::make_unique<Decoder>(factor(problem), problem, tensors.matrix("gain"));
  }

 protected:
  /// Column c of query i's output, at gain 1.
  double fitted_output(const Problem& problem, const Window& window, Index i, Index c) const {
    double sum = 0, mixed = 0;
    for (Index j = 0; j < visible(problem, i); ++j) {
      double dot = 0;
      for (Index d = 0; d < problem.dim; ++d) dot += double{window.q(i, d)} * window.k(j, d);
      const double weight = std::exp(factor(problem) * dot);
      sum += weight;
      mixed += weight * window.v(j, c);
    }
    return mixed / sum;
  }

  class Decoder : public Stream {
   public:
    Decoder(double factor, const Problem& problem, ConstView gain)
        : factor_(factor), dim_(problem.dim), value_dim_(problem.value_dim), gain_(gain) {}

    void step(const Token& token) override {
      keys_.insert(keys_.end(), token.key, token.key + dim_);
      values_.insert(values_.end(), token.value, token.value + value_dim_);
      for (Index i = 0; i < token.queries.rows; ++i) ask(token.queries.row(i), token.out.row(i));
    }
    std::unique_ptr<Stream> clone() const override { return std::make_unique<Decoder>(*this); }
    std::size_t state_bytes() const override {
      return (keys_.size() + values_.size()) * sizeof(float);
    }

   protected:
    void ask(const float* query, float* out) const {
      const Index seen = static_cast<Index>(values_.size()) / value_dim_;
      std::vector<double> scores(static_cast<std::size_t>(seen));
      double largest = -std::numeric_limits<double>::infinity(), sum = 0;
      for (Index j = 0; j < seen; ++j) {
        for (Index c = 0; c < dim_; ++c) scores[j] += factor_ * query[c] * keys_[j * dim_ + c];
        largest = std::max(largest, scores[j]);
      }
      for (double& score : scores) sum += score = std::exp(score - largest);
      for (Index c = 0; c < value_dim_; ++c) {
        double mixed = 0;
        for (Index j = 0; j < seen; ++j) mixed += scores[j] * values_[j * value_dim_ + c];
        out[c] = static_cast<float>(mixed / sum * gain_(0, c));
      }
    }

    double factor_;
    Index dim_, value_dim_;
    ConstView gain_;
    std::vector<float> keys_, values_;
  };
};

/// A window of keys around the query, through a plan.
class HonestWindow : public Restriction {
 public:
  Index radius = 5;

  void parameters(Parameters& visit) override {
    visit("radius", radius, at_least(0), "keys seen on either side of the query");
  }
  bool sees(const PlanCall& call, Index query, Index key) const override {
    return std::abs(key - call.problem.position(query)) <= radius;
  }
  void plan(const PlanCall& call, Rows queries, KeyPlan& keys) const override {
    keys.band(call.problem.position(queries.begin) - radius,
              call.problem.position(queries.last()) + radius + 1, 1, radius, radius);
  }
};

}  // namespace subquad::wrong

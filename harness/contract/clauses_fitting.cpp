// The clause about `calibrate`.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

#include "contract/clause.h"
#include "expressions/expression.h"
#include "layers/catalogue.h"
#include "layers/tensor_declarations.h"
#include "subquad/eigen.h"

namespace subquad::contract {
namespace {

constexpr int kWindows = 3;
/// Of the target's norm: what rounding the tensors to float may cost.
constexpr double kRounding = 1e-6;

/// Windows of a layer without projections, x being v, with what dense attention makes of them.
class Windows {
 public:
  explicit Windows(const Trial& trial) : problem_(trial.problem) {
    const auto dense = make_variant(parse_expression("dense"), problem_);
    for (int number = 0; number < kWindows; ++number) {
      inputs_.push_back(draw_inputs(problem_, trial.seed + 1 + static_cast<std::uint64_t>(number)));
      if (problem_.self_attention()) inputs_.back().x = inputs_.back().v;
      const BenchTensors none(*dense, problem_, 0);
      InDouble exact(*dense, problem_, inputs_.back(), none);
      exact.run();
      targets_.emplace_back(exact.out.begin(), exact.out.end());
    }
  }

  std::vector<Window> windows() const {
    std::vector<Window> all;
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      const Inputs& one = inputs_[i];
      all.push_back({.q = {one.q.data(), problem_.queries, problem_.dim},
                     .k = {one.k.data(), problem_.keys, problem_.dim},
                     .v = {one.v.data(), problem_.keys, problem_.value_dim},
                     .x = {one.x.data(), problem_.queries, problem_.value_dim},
                     .target = {targets_[i].data(), problem_.queries, problem_.value_dim}});
    }
    return all;
  }

  /// Frobenius norm of what the variant is off the targets, over all windows.
  double distance(Bench& bench) const {
    double sum = 0;
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      bench.inputs = inputs_[i];
      const std::vector<float> out = bench.run().out;
      for (std::size_t e = 0; e < out.size(); ++e) {
        sum += std::pow(double{out[e]} - targets_[i][e], 2);
      }
    }
    return std::sqrt(sum);
  }
  double norm() const {
    double sum = 0;
    for (const auto& target : targets_) {
      for (const float value : target) sum += double{value} * value;
    }
    return std::sqrt(sum);
  }

 private:
  const Problem& problem_;
  std::vector<Inputs> inputs_;
  std::vector<std::vector<float>> targets_;
};

using Bits = std::map<std::string, std::vector<std::uint32_t>>;

Bits bits_of(const std::vector<TensorDeclaration>& declared, const BenchTensors& tensors) {
  Bits bits;
  for (const TensorDeclaration& one : declared) {
    const auto count = static_cast<std::size_t>(element_count(one.shape));
    const void* const data = one.is_integer
                                 ? static_cast<const void*>(tensors.integers(one.name).data())
                                 : tensors.matrix(one.name).data;
    bits[one.name].resize(count);
    std::memcpy(bits[one.name].data(), data, count * sizeof(std::uint32_t));
  }
  return bits;
}

/// What `calibrate` did to the tensors that it may not write, or left in those that it is to.
std::optional<std::string> tensors_defect(const std::vector<TensorDeclaration>& declared,
                                          const Bench& bench, const Bits& drawn,
                                          const Bits& fitted) {
  for (const TensorDeclaration& one : declared) {
    if (!one.is_fitted() && drawn.at(one.name) != fitted.at(one.name)) {
      return fmt::format("writes tensor '{}', which is not declared as fitted", one.name);
    }
  }
  if (const std::string names = bench.tensors.not_finite(); !names.empty()) {
    return "leaves numbers that are not finite in " + names;
  }
  if (!bench.tensors.intact()) return "writes beside its tensors";
  return std::nullopt;
}

}  // namespace

Verdict calibrate(const Trial& trial) {
  Bench bench(trial);
  const std::vector<TensorDeclaration> declared = declared_tensors(*bench.variant, trial.problem);
  const auto is_fitted = [](const TensorDeclaration& one) { return one.is_fitted(); };
  const bool fits = std::any_of(declared.begin(), declared.end(), is_fitted);
  if (!trial.registration->powers.calibrate) {
    return fits ? Verdict::broken("declares fitted tensors, and has no calibrate")
                : Verdict::skipped("is not fitted");
  }
  if (!fits) return Verdict::skipped("nothing is fitted with these parameters");
  const Windows windows(trial);
  Bench again(trial);
  const double before = windows.distance(again);
  const Bits drawn = bits_of(declared, bench.tensors);
  bench.variant->calibrate(trial.problem, windows.windows(), bench.tensors);
  const Bits fitted = bits_of(declared, bench.tensors);
  if (auto found = tensors_defect(declared, bench, drawn, fitted)) return Verdict::broken(*found);
  again.variant->calibrate(trial.problem, windows.windows(), again.tensors);
  const Bits twice = bits_of(declared, again.tensors);
  for (const TensorDeclaration& one : declared) {
    if (one.is_fitted() && twice.at(one.name) != fitted.at(one.name)) {
      return Verdict::broken(fmt::format("the same windows give other bits in '{}'", one.name));
    }
  }
  if (auto found = off_reference(bench)) {
    return Verdict::broken("with fitted tensors, " + *found);
  }
  // Statistics of the data, such as centroids, promise no smaller error.
  const bool learns = std::any_of(declared.begin(), declared.end(), [](const auto& one) {
    return one.is_fitted() && one.role == Role::learned;
  });
  const double after = windows.distance(bench);
  if (learns && after > before * (1 + kRounding) + kRounding * windows.norm()) {
    return Verdict::broken(fmt::format(
        "on its own windows the distance to dense attention grows from {:.4g} to {:.4g}", before,
        after));
  }
  return Verdict::kept();
}

}  // namespace subquad::contract

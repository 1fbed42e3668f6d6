#include "kernels/descent.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <utility>
#include <vector>

namespace subquad {
namespace {

using Vector = std::vector<double>;

double dot(const Vector& a, const Vector& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

void add(double factor, const Vector& from, Vector& to) {
  for (std::size_t i = 0; i < to.size(); ++i) to[i] += factor * from[i];
}

Vector difference(const Vector& a, const Vector& b) {
  Vector result = a;
  add(-1, b, result);
  return result;
}

/// Steps and the changes of the gradient along them: what the inverse Hessian is guessed from.
class Curvature {
 public:
  explicit Curvature(int memory) : memory_(static_cast<std::size_t>(memory)) {}

  bool empty() const { return pairs_.empty(); }
  void clear() { pairs_.clear(); }

  /// Keeps a step along which the function curves upwards; any other would spoil the guess.
  void remember(Vector step, Vector change) {
    constexpr double kLeast = 1e-10;
    const double product = dot(step, change);
    if (!(product > kLeast * std::sqrt(dot(step, step) * dot(change, change)))) return;
    if (pairs_.size() == memory_) pairs_.pop_front();
    if (memory_ > 0) pairs_.push_back({std::move(step), std::move(change), 1 / product});
  }

  /// Minus the guessed inverse Hessian times the gradient (two-loop recursion).
  Vector direction(const Vector& gradient) const {
    Vector result = gradient;
    Vector shares;
    for (auto pair = pairs_.rbegin(); pair != pairs_.rend(); ++pair) {
      shares.push_back(pair->inverse * dot(pair->step, result));
      add(-shares.back(), pair->change, result);
    }
    if (!pairs_.empty()) {
      const Pair& last = pairs_.back();
      const double scale = 1 / (last.inverse * dot(last.change, last.change));
      for (double& value : result) value *= scale;
    }
    for (const Pair& pair : pairs_) {
      add(shares.back() - pair.inverse * dot(pair.change, result), pair.step, result);
      shares.pop_back();
    }
    for (double& value : result) value = -value;
    return result;
  }

 private:
  struct Pair {
    Vector step, change;
    double inverse;  ///< 1 / (step . change)
  };
  std::size_t memory_;
  std::deque<Pair> pairs_;
};

/// A place, the function there and its gradient.
struct Place {
  Vector at, gradient;
  double value;

  Place(const Objective& objective, Vector where)
      : at(std::move(where)), gradient(at.size()), value(objective(at, gradient)) {}
};

/// The first of step, step / 2, step / 4, ... along `direction` that lowers the value by its share
/// of what the slope promises; whether there is one.
bool advance(const Objective& objective, const Vector& direction, double step, int halvings,
             Place& place) {
  constexpr double kShare = 1e-4;
  const double slope = dot(direction, place.gradient);
  for (int i = 0; i <= halvings; ++i, step /= 2) {
    Vector at = place.at;
    add(step, direction, at);
    Place next(objective, std::move(at));
    // A value that is not a number fails the comparison.
    if (next.value < place.value && next.value <= place.value + kShare * step * slope) {
      place = std::move(next);
      return true;
    }
  }
  return false;
}

}  // namespace

Descent descend(const Objective& objective, std::span<double> parameters,
                const DescentOptions& options) {
  Place place(objective, {parameters.begin(), parameters.end()});
  Descent result{.before = place.value, .after = place.value, .steps = 0};
  Curvature curvature(options.memory);
  while (result.steps < options.steps) {
    const double size = std::sqrt(dot(place.gradient, place.gradient));
    if (!(size > 0)) break;
    const Place before = place;
    // Without a guess of the curvature, the length of a step is one too.
    const double step = curvature.empty() ? std::min(1.0, 1 / size) : 1;
    if (!advance(objective, curvature.direction(place.gradient), step, options.halvings, place)) {
      if (curvature.empty()) break;
      curvature.clear();  // once more, down the gradient
      continue;
    }
    ++result.steps;
    curvature.remember(difference(place.at, before.at),
                       difference(place.gradient, before.gradient));
  }
  result.after = place.value;
  std::copy(place.at.begin(), place.at.end(), parameters.begin());
  return result;
}

}  // namespace subquad

#pragma once

#include <functional>
#include <span>

namespace subquad {

/// A function that fitting minimises: returns its value at `parameters` and writes its gradient.
using Objective =
    std::function<double(std::span<const double> parameters, std::span<double> gradient)>;

struct DescentOptions {
  int steps = 200;    ///< at the most
  int memory = 10;    ///< steps of which the curvature is kept
  int halvings = 30;  ///< of one step, before the descent gives up
};

struct Descent {
  double before = 0, after = 0;  ///< values at the start and at what was found: after <= before
  int steps = 0;                 ///< that lowered the value
};

/// Lowers a smooth function by limited-memory BFGS (Liu and Nocedal, "On the limited memory BFGS
/// method for large scale optimization", Mathematical Programming 45, 1989), with steps that are
/// halved until the value falls enough (Armijo). Every accepted step lowers the value, so what is
/// left in `parameters` is the best point seen; a step to where the function is not finite is not
/// accepted. Deterministic. Takes (2 memory + 4) x parameters doubles and about one evaluation per
/// step. Ends early where the gradient is 0 or no step helps.
Descent descend(const Objective& objective, std::span<double> parameters,
                const DescentOptions& options = {});

}  // namespace subquad

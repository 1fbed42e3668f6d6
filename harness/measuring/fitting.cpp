#include "measuring/fitting.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <stdexcept>
#include <vector>

#include "layers/call_inputs.h"
#include "layers/team.h"
#include "layers/tensor_declarations.h"
#include "measuring/reference.h"
#include "subquad/error.h"

namespace subquad {
namespace {

void check_windows(const Layer& layer, const LayerInput& windows) {
  try {
    check_extents(layer, windows);
  } catch (const Error& error) {
    throw Error(layer.resolved() + ": windows: " + error.what());
  }
  if (windows.heads != layer.heads() && windows.heads != 1) {
    throw Error(fmt::format("{}: windows have {} heads; it takes {}, one for each of its own, or 1",
                            layer.resolved(), windows.heads, layer.heads()));
  }
  if (!windows.lengths.empty()) {
    throw Error(layer.resolved() + ": windows with lengths of their own are not fitted on");
  }
}

/// The calls that one call of `calibrate` serves: itself, or all that share what is fitted.
struct Job {
  Index call;
  std::vector<Index> sharers;
  std::vector<std::string> fitted;  ///< names of tensors
};

std::vector<Job> jobs_of(const Layer& layer) {
  std::vector<Job> jobs;
  for (Index call = 0; call < layer.calls(); ++call) {
    Job job{call, {}, {}};
    std::set<bool> shared;
    for (const TensorDeclaration& one : declared_tensors(layer.variant(call), layer.problem())) {
      if (!one.is_fitted()) continue;
      job.fitted.push_back(one.name);
      shared.insert(one.sharing != Sharing::head);
    }
    if (job.fitted.empty()) continue;
    if (shared.size() > 1) {
      throw std::logic_error(layer.variant_name(call) +
                             " fits tensors of single heads and shared ones at once");
    }
    const Index step = *shared.begin() ? layer.distinct() : layer.calls();
    if (call >= step) continue;  // served by the first that shares
    for (Index sharer = call; sharer < layer.calls(); sharer += step) job.sharers.push_back(sharer);
    jobs.push_back(std::move(job));
  }
  return jobs;
}

/// Dense outputs of all windows, in float as the variants take them.
class Targets {
 public:
  Targets(const Problem& problem, const LayerInput& windows)
      : rows_(problem.queries), cols_(problem.value_dim), heads_(windows.heads) {
    const Reference dense =
        *reference_of(parse_expression("dense"), windows, problem, problem.queries);
    for (const ReferenceHead& head : dense.heads) {
      values_.insert(values_.end(), head.out.begin(), head.out.end());
    }
  }
  ConstView of(Index sequence, Index head) const {
    return {values_.data() + (sequence * heads_ + head) * rows_ * cols_, rows_, cols_};
  }

 private:
  Index rows_, cols_, heads_;
  AlignedFloats values_;
};

std::vector<Window> windows_of(const Job& job, const LayerInput& input, const Targets& targets) {
  std::vector<Window> windows;
  for (const Index sharer : job.sharers) {
    if (input.heads == 1 && sharer != job.sharers.front()) continue;
    const Index head = input.heads == 1 ? 0 : sharer;
    for (Index sequence = 0; sequence < input.batch; ++sequence) {
      windows.push_back({.q = input.q_of(sequence, head),
                         .k = input.k_of(sequence, head),
                         .v = input.v_of(sequence, head),
                         .x = input.x_of(sequence, head),
                         .target = targets.of(sequence, head)});
    }
  }
  return windows;
}

void require_finite(const Layer& layer, const Job& job, const Tensors& tensors) {
  for (const std::string& name : job.fitted) {
    const ConstView matrix = tensors.matrix(name);
    const bool finite = std::all_of(matrix.data, matrix.data + matrix.rows * matrix.cols,
                                    [](float value) { return std::isfinite(value); });
    if (finite) continue;
    throw Error(fmt::format("{}: fitting left the tensor '{}' of head {} not finite",
                            layer.resolved(), name, job.call));
  }
}

}  // namespace

void fit_tensors(const Layer& layer, const LayerInput& windows, DrawnTensors& tensors) {
  check_windows(layer, windows);
  const std::vector<Job> jobs = jobs_of(layer);
  const Targets targets(layer.head_problem(), windows);
  set_up_in_parallel(static_cast<Index>(jobs.size()), [&](Index number) {
    const Job& job = jobs[static_cast<std::size_t>(number)];
    layer.variant(job.call).calibrate(layer.problem(), windows_of(job, windows, targets),
                                      tensors.of(job.call));
    require_finite(layer, job, tensors.of(job.call));
  });
}

TensorMaker::TensorMaker(const Layer& layer, const Expression& input, const InputRequest& request)
    : layer_(layer) {
  const TensorSource& source = layer.tensor_source();
  if (source.from == TensorSource::From::windows) windows_ = source.windows(input, request);
  if (source.from == TensorSource::From::file) {
    file_ = read_tensor_file(source.files(input).front());
  }
}

std::unique_ptr<DrawnTensors> TensorMaker::make(std::uint64_t seed) const {
  auto tensors = std::make_unique<DrawnTensors>(layer_, seed, file_ ? &*file_ : nullptr);
  if (windows_) fit_tensors(layer_, *windows_, *tensors);
  return tensors;
}

}  // namespace subquad

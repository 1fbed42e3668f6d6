#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "contract/trial.h"
#include "measuring/allocation_hooks.h"
#include "subquad/variant.h"

namespace subquad::contract {

/// A matrix inside memory that is filled with a pattern, so that a write beside it shows. Elements
/// around it are not-a-number: a result that they get into shows too.
class GuardedMatrix {
 public:
  /// Rows are `padding` elements apart, and the first begins `offset` elements behind a cache line.
  GuardedMatrix(Index rows, Index cols, Index padding = 0, Index offset = 0);

  View view() { return view_; }
  void fill(float value);
  /// Copies in what is contiguous elsewhere.
  void assign(const std::vector<float>& values);
  std::vector<float> values() const;
  /// Nothing but the matrix was written.
  bool intact() const;

 private:
  struct Release {
    void operator()(std::uint32_t* memory) const;
  };
  std::unique_ptr<std::uint32_t[], Release> memory_;
  std::size_t size_;
  View view_;
};

/// Contiguous contents of the inputs of one call: what the variant does not consume is there too,
/// but is not passed on.
struct Inputs {
  std::vector<float> q, k, v, x;
};
/// Gaussian, so that scores have about unit variance; `x` has value_dim columns, as it has where a
/// layer has no projections. Scores grow by `sharpness`, as do K and x by its square root.
Inputs draw_inputs(const Problem& problem, std::uint64_t seed, double sharpness = 1);
/// Largest |score| over all pairs, masked ones included.
double largest_score(const Problem& problem, const Inputs& inputs);

/// A variant's tensors, drawn from its declarations.
class BenchTensors final : public Tensors {
 public:
  /// Memory is filled with `poison` before the initialisers run.
  BenchTensors(const Variant& variant, const Problem& problem, std::uint64_t seed,
               std::uint8_t poison = 0);
  ~BenchTensors() override;

  ConstView matrix(std::string_view name) const override;
  std::span<const std::int32_t> integers(std::string_view name) const override;
  std::span<std::int32_t> choices(std::string_view name) const override;
  View writable(std::string_view name) const override;

  /// The bits of all tensors of these roles, one after the other in order of names.
  std::vector<std::uint32_t> bits(std::initializer_list<Role> roles) const;
  /// Names of tensors that hold a not-a-number or an infinity.
  std::string not_finite() const;
  bool intact() const;

 private:
  struct Held;
  struct Drawer;
  const Held& find(std::string_view name) const;
  std::map<std::string, std::unique_ptr<Held>, std::less<>> held_;
};

enum class TileOrder { ascending, descending, shuffled };

struct Conditions {
  int threads = 1;
  TileOrder order = TileOrder::ascending;
  Index padding = 0, offset = 0;  ///< of every matrix
  std::uint8_t scratch_fill = 0;  ///< what scratch holds at the start of a call and of a tile
  bool declared_scratch = false;  ///< no more than `scratch` says; otherwise amply more
  float output_fill = 0;          ///< what the outputs hold beforehand
  bool log_sum_exp = true;        ///< ask for it where it is given
  bool prepare = false;           ///< call `prepare` first
};

/// What one call did.
struct Result {
  std::vector<float> out, log_sum_exp;
  std::vector<std::uint32_t> choices;
  Work executed;
  std::size_t shared_high_water = 0, worker_high_water = 0;
  AllocationCounts allocations;  ///< of the calling thread
  std::string written_outside;   ///< where memory was written that is not the variant's, or empty
  std::string inputs_changed;    ///< which, or empty
};

/// One fresh object of a trial's variant with inputs and tensors.
struct Bench {
  explicit Bench(const Trial& trial, double sharpness = 1) : Bench(trial, trial.seed, sharpness) {}
  Bench(const Trial& trial, std::uint64_t seed, double sharpness);

  const Problem& problem;
  std::unique_ptr<Variant> variant;
  Inputs inputs;
  BenchTensors tensors;

  Result run(const Conditions& conditions = {}) const { return run_on(*variant, conditions); }
  /// The same inputs and tensors, on another object.
  Result run_on(const Variant& other, const Conditions& conditions = {}) const;
};

/// The inputs in double, and a reference call on them.
class InDouble {
 public:
  InDouble(const Variant& variant, const Problem& problem, const Inputs& inputs,
           const Tensors& tensors);
  /// Runs the reference; `out` and `log_sum_exp` hold its results.
  void run();
  /// Runs `weights`: [queries, keys].
  std::vector<double> weights();

  std::vector<double> out, log_sum_exp;

 private:
  ReferenceCall call();

  const Variant& variant_;
  const Problem& problem_;
  const Tensors& tensors_;
  std::vector<double> q_, k_, v_, x_;
};

}  // namespace subquad::contract

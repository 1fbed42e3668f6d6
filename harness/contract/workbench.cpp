#include "contract/workbench.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>

namespace subquad::contract {
namespace {

constexpr Index kGuard = 64;                    // elements on either side; keeps cache lines
constexpr std::uint32_t kPattern = 0x7fc5a5a5;  // a quiet not-a-number

/// Stable across machines; FNV-1a.
std::uint64_t hash(std::string_view text) {
  std::uint64_t value = 0xcbf29ce484222325;
  for (const char c : text) value = (value ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return value;
}

std::vector<double> to_double(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

}  // namespace

void GuardedMatrix::Release::operator()(std::uint32_t* memory) const {
  ::operator delete[](memory, std::align_val_t{kArenaAlignment});
}

GuardedMatrix::GuardedMatrix(Index rows, Index cols, Index padding, Index offset)
    : size_(static_cast<std::size_t>(2 * kGuard + offset + rows * (cols + padding))) {
  memory_.reset(static_cast<std::uint32_t*>(
      ::operator new[](size_ * sizeof(float), std::align_val_t{kArenaAlignment})));
  std::fill_n(memory_.get(), size_, kPattern);
  view_ = {reinterpret_cast<float*>(memory_.get()) + kGuard + offset, rows, cols, cols + padding};
}

void GuardedMatrix::fill(float value) {
  for (Index i = 0; i < view_.rows; ++i) std::fill_n(view_.row(i), view_.cols, value);
}

void GuardedMatrix::assign(const std::vector<float>& values) {
  for (Index i = 0; i < view_.rows; ++i) {
    std::copy_n(values.begin() + i * view_.cols, view_.cols, view_.row(i));
  }
}

std::vector<float> GuardedMatrix::values() const {
  std::vector<float> values;
  for (Index i = 0; i < view_.rows; ++i) {
    values.insert(values.end(), view_.row(i), view_.row(i) + view_.cols);
  }
  return values;
}

bool GuardedMatrix::intact() const {
  const Index before = view_.data - reinterpret_cast<float*>(memory_.get());
  for (Index at = 0; at < static_cast<Index>(size_); ++at) {
    const Index inside = at - before;
    const bool element = inside >= 0 && view_.stride > 0 && inside / view_.stride < view_.rows &&
                         inside % view_.stride < view_.cols;
    if (!element && memory_[at] != kPattern) return false;
  }
  return true;
}

Inputs draw_inputs(const Problem& problem, std::uint64_t seed, double sharpness) {
  const auto draw = [seed](Index rows, Index cols, std::uint64_t stream, double std) {
    Generator random(seed, stream);
    std::vector<float> values(static_cast<std::size_t>(rows * cols));
    for (float& value : values) value = static_cast<float>(std * random.normal());
    return values;
  };
  const double root = std::sqrt(sharpness);
  return {draw(problem.queries, problem.dim, 1, root), draw(problem.keys, problem.dim, 2, root),
          draw(problem.keys, problem.value_dim, 3, 1),
          draw(problem.queries, problem.value_dim, 4, root)};
}

double largest_score(const Problem& problem, const Inputs& inputs) {
  double largest = 0;
  for (Index i = 0; i < problem.queries; ++i) {
    for (Index j = 0; j < problem.keys; ++j) {
      double score = 0;
      for (Index c = 0; c < problem.dim; ++c) {
        score += static_cast<double>(inputs.q[i * problem.dim + c]) * inputs.k[j * problem.dim + c];
      }
      largest = std::max(largest, std::abs(score * problem.score_scale()));
    }
  }
  return largest;
}

struct BenchTensors::Held {
  GuardedMatrix memory;
  Role role;
  bool is_integer;

  std::span<std::int32_t> integers() {
    const View view = memory.view();
    return {reinterpret_cast<std::int32_t*>(view.data),
            static_cast<std::size_t>(view.rows * view.cols)};
  }
};

struct BenchTensors::Drawer final : TensorVisitor {
  Drawer(BenchTensors& owner, std::uint64_t seed, std::uint8_t poison)
      : owner(owner), seed(seed), poison(poison) {}

  Held& hold(std::string_view name, const Shape& shape, Role role, bool is_integer) {
    const Index cols = shape.empty() ? 1 : shape.back().size;
    const Index rows = cols == 0 ? 0 : element_count(shape) / cols;
    auto held = std::make_unique<Held>(Held{GuardedMatrix(rows, cols), role, is_integer});
    std::memset(held->memory.view().data, poison,
                static_cast<std::size_t>(rows * cols) * sizeof(float));
    return *(owner.held_[std::string(name)] = std::move(held));
  }

  void declare(TensorDeclaration declaration) override {
    const Shape& shape = declaration.shape;
    Held& held = hold(declaration.name, shape, declaration.role, declaration.is_integer);
    Generator random(seed, hash(declaration.name));
    if (declaration.is_integer && declaration.initialiser.integers) {
      declaration.initialiser.integers(random, shape, held.integers());
    } else if (!declaration.is_integer && declaration.initialiser.floats) {
      declaration.initialiser.floats(
          random, shape, {held.memory.view().data, static_cast<std::size_t>(element_count(shape))});
    }
  }

  BenchTensors& owner;
  std::uint64_t seed;
  std::uint8_t poison;
};

BenchTensors::BenchTensors(const Variant& variant, const Problem& problem, std::uint64_t seed,
                           std::uint8_t poison) {
  Drawer drawer(*this, seed, poison);
  variant.tensors(problem, drawer);
}

BenchTensors::~BenchTensors() = default;

const BenchTensors::Held& BenchTensors::find(std::string_view name) const {
  const auto found = held_.find(name);
  if (found == held_.end()) {
    throw std::logic_error("no tensor '" + std::string(name) + "' was declared");
  }
  return *found->second;
}

ConstView BenchTensors::matrix(std::string_view name) const { return writable(name); }

std::span<const std::int32_t> BenchTensors::integers(std::string_view name) const {
  return choices(name);
}

std::span<std::int32_t> BenchTensors::choices(std::string_view name) const {
  return const_cast<Held&>(find(name)).integers();
}

View BenchTensors::writable(std::string_view name) const {
  return const_cast<Held&>(find(name)).memory.view();
}

std::vector<std::uint32_t> BenchTensors::bits(std::initializer_list<Role> roles) const {
  std::vector<std::uint32_t> all;
  for (const auto& [name, held] : held_) {
    if (std::find(roles.begin(), roles.end(), held->role) == roles.end()) continue;
    for (const std::int32_t value : held->integers()) {
      all.push_back(static_cast<std::uint32_t>(value));
    }
  }
  return all;
}

std::string BenchTensors::not_finite() const {
  for (const auto& [name, held] : held_) {
    if (held->is_integer) continue;
    for (const float value : held->memory.values()) {
      if (!std::isfinite(value)) return name;
    }
  }
  return {};
}

bool BenchTensors::intact() const {
  return std::all_of(held_.begin(), held_.end(),
                     [](const auto& one) { return one.second->memory.intact(); });
}

Bench::Bench(const Trial& trial, std::uint64_t seed, double sharpness)
    : problem(trial.problem),
      variant(trial.make()),
      inputs(draw_inputs(problem, seed, sharpness)),
      tensors(*variant, problem, seed) {}

InDouble::InDouble(const Variant& variant, const Problem& problem, const Inputs& inputs,
                   const Tensors& tensors)
    : out(static_cast<std::size_t>(problem.queries * problem.value_dim),
          std::numeric_limits<double>::quiet_NaN()),
      log_sum_exp(variant.gives_log_sum_exp() ? static_cast<std::size_t>(problem.queries) : 0,
                  std::numeric_limits<double>::quiet_NaN()),
      variant_(variant),
      problem_(problem),
      tensors_(tensors),
      q_(to_double(inputs.q)),
      k_(to_double(inputs.k)),
      v_(to_double(inputs.v)),
      x_(to_double(inputs.x)) {}

ReferenceCall InDouble::call() {
  using Matrix = MatrixView<const double>;
  const Consumes consumes = variant_.consumes();
  const Problem& p = problem_;
  return {.problem = p,
          .q = consumes.q ? Matrix(q_.data(), p.queries, p.dim) : Matrix(),
          .k = consumes.k ? Matrix(k_.data(), p.keys, p.dim) : Matrix(),
          .v = consumes.v ? Matrix(v_.data(), p.keys, p.value_dim) : Matrix(),
          .x = consumes.x ? Matrix(x_.data(), p.queries, p.value_dim) : Matrix(),
          .out = {out.data(), p.queries, p.value_dim},
          .row_log_sum_exp = log_sum_exp.empty() ? nullptr : log_sum_exp.data(),
          .tensors = tensors_};
}

void InDouble::run() { variant_.reference(call()); }

std::vector<double> InDouble::weights() {
  std::vector<double> weights(static_cast<std::size_t>(problem_.queries * problem_.keys),
                              std::numeric_limits<double>::quiet_NaN());
  variant_.weights(call(), {weights.data(), problem_.queries, problem_.keys});
  return weights;
}

}  // namespace subquad::contract

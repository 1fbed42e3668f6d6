#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "subquad/random.h"
#include "subquad/view.h"

namespace subquad {

/// One extent of a tensor, with the word that documentation prints for it.
struct Extent {
  std::string_view name;
  Index size;
};
using Shape = std::vector<Extent>;

inline Index element_count(const Shape& shape) {
  Index count = 1;
  for (const Extent& extent : shape) count *= extent.size;
  return count;
}

/// Where a tensor's contents come from, and so in which column its bytes are counted.
enum class Role {
  learned,  ///< would be trained: drawn by its initialiser, loaded, or written by `calibrate`
  random,   ///< part of the method's randomness: drawn anew for every seed
  running,  ///< statistics gathered from data by `calibrate` (centroids)
  choice,   ///< discrete decisions that `forward` takes from the data and writes down (buckets,
            ///< labels, samples): int32 only; `reference` reads them
  saved,    ///< written by `forward` for `backward`: its bytes are the memory of training
};

/// Who shares one copy of a tensor.
enum class Sharing { head, layer, model };

/// Fills a drawn tensor. `text` is what `subquad describe` prints.
struct Initialiser {
  std::string text;
  std::function<void(Generator&, const Shape&, std::span<float>)> floats;
  std::function<void(Generator&, const Shape&, std::span<std::int32_t>)> integers;
};

/// The usual initialisers. Extents are those of the declared shape, row-major.
namespace init {
Initialiser zeros();
Initialiser constant(double value);
Initialiser normal(double std);
Initialiser uniform(double low, double high);
/// Ones where the last two extents' indices agree, else zeros.
Initialiser identity();
/// Whatever else: floats, or integers, from a function.
Initialiser custom(std::string text,
                   std::function<void(Generator&, const Shape&, std::span<float>)> fill);
Initialiser custom(std::string text,
                   std::function<void(Generator&, const Shape&, std::span<std::int32_t>)> fill);
}  // namespace init

/// How `calibrate` finds what a tensor holds, if it does.
struct Fitting {
  enum class Way {
    none,         ///< left as it is: drawn, or loaded
    closed_form,  ///< the solution of equations: the best there is, in the sense that `how` states
    iterative     ///< steps towards a better one
  };
  Way way = Way::none;
  std::string how;  ///< one line: what is minimised, over what, what is held fixed
};

namespace fit {
inline Fitting closed_form(std::string how) { return {Fitting::Way::closed_form, std::move(how)}; }
inline Fitting iterative(std::string how) { return {Fitting::Way::iterative, std::move(how)}; }
}  // namespace fit

/// A tensor as a variant declares it.
struct TensorDeclaration {
  std::string name;
  Shape shape;
  Initialiser initialiser;
  Role role;
  Sharing sharing;
  std::string doc;
  Fitting fitting = {};
  bool is_integer = false;

  /// Written by each call of `forward`, so every sequence has its own.
  bool belongs_to_sequence() const { return role == Role::choice || role == Role::saved; }
  /// Written by `calibrate`.
  bool is_fitted() const { return fitting.way != Fitting::Way::none; }
};

/// Visits the tensors that a variant owns, one call per tensor. The harness draws them, each from a
/// generator keyed by (seed, layer, head, name), counts their bytes, loads and saves them by name.
///
///     void tensors(const Problem& problem, TensorVisitor& visit) const override {
///       visit("e", {{"rank", rank}, {"keys", problem.keys}}, init::normal(1 / std::sqrt(rank)),
///             Role::learned, Sharing::layer, "projects keys along the length");
///     }
class TensorVisitor {
 public:
  virtual ~TensorVisitor() = default;

  /// Float32. What `calibrate` writes says how (`fit::closed_form`, `fit::iterative`).
  void operator()(std::string_view name, Shape shape, Initialiser initialiser, Role role,
                  Sharing sharing, std::string_view doc, Fitting fitting = {}) {
    declare({std::string(name), std::move(shape), std::move(initialiser), role, sharing,
             std::string(doc), std::move(fitting), false});
  }
  /// Int32 with an initialiser (`Role::random`, `Role::learned`), or without one: a choice.
  void integer(std::string_view name, Shape shape, Initialiser initialiser, Role role,
               Sharing sharing, std::string_view doc) {
    declare({std::string(name),
             std::move(shape),
             std::move(initialiser),
             role,
             sharing,
             std::string(doc),
             {},
             true});
  }
  void choice(std::string_view name, Shape shape, std::string_view doc) {
    declare({std::string(name),
             std::move(shape),
             {},
             Role::choice,
             Sharing::head,
             std::string(doc),
             {},
             true});
  }
  virtual void declare(TensorDeclaration declaration) = 0;
};

/// The tensors of one head during a call, found by the names they were declared with. A name that
/// was not declared is a bug in the variant and throws std::logic_error.
class Tensors {
 public:
  virtual ~Tensors() = default;

  /// A float tensor as a matrix: the last extent is the columns, all others are folded into rows.
  virtual ConstView matrix(std::string_view name) const = 0;
  /// An integer tensor, row-major; what a choice tensor holds after `forward`.
  virtual std::span<const std::int32_t> integers(std::string_view name) const = 0;
  /// A choice tensor, for `forward` to write.
  virtual std::span<std::int32_t> choices(std::string_view name) const = 0;
  /// A float tensor of role `learned`, `running` or `saved`, for `calibrate` and `forward` to
  /// write.
  virtual View writable(std::string_view name) const = 0;
};

}  // namespace subquad

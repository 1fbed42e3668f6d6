#include "layers/drawn_tensors.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <stdexcept>

#include "expressions/settings.h"
#include "layers/guarded_memory.h"
#include "layers/team.h"
#include "layers/tensor_declarations.h"
#include "subquad/error.h"

namespace subquad {
namespace {

/// Elements of one tensor, which several calls may share. Both element types take four bytes.
struct Elements {
  explicit Elements(Index count) : memory(static_cast<std::size_t>(count) * 4), count(count) {}

  std::span<float> floats() const { return {memory.as<float>(), std::size_t(count)}; }
  std::span<std::int32_t> integers() const {
    return {memory.as<std::int32_t>(), std::size_t(count)};
  }
  /// What nobody has written is not to be mistaken for data.
  void poison(bool as_integers) const {
    if (as_integers) {
      std::ranges::fill(integers(), std::numeric_limits<std::int32_t>::min());
    } else {
      std::ranges::fill(floats(), std::numeric_limits<float>::quiet_NaN());
    }
  }

  GuardedMemory memory;
  Index count;
};

struct Held {
  TensorDeclaration declaration;
  std::shared_ptr<Elements> elements;
  bool given = false;
};

/// The tensors of one call.
class CallTensors final : public Tensors {
 public:
  ConstView matrix(std::string_view name) const override { return view(floats(name)); }
  std::span<const std::int32_t> integers(std::string_view name) const override {
    return find(name, true).elements->integers();
  }
  std::span<std::int32_t> choices(std::string_view name) const override {
    const Held& held = find(name, true);
    if (held.declaration.role != Role::choice) fail(name, "is no choice");
    return held.elements->integers();
  }
  View writable(std::string_view name) const override {
    const Held& held = floats(name);
    if (held.declaration.role == Role::random) fail(name, "is random, so not to be written");
    return view(held);
  }

  std::vector<Held> held;

 private:
  [[noreturn]] static void fail(std::string_view name, const char* what) {
    throw std::logic_error("tensor '" + std::string(name) + "' " + what);
  }
  const Held& floats(std::string_view name) const { return find(name, false); }
  const Held& find(std::string_view name, bool as_integers) const {
    for (const Held& one : held) {
      if (one.declaration.name != name) continue;
      if (one.declaration.is_integer != as_integers) {
        fail(name, as_integers ? "does not hold integers" : "does not hold floats");
      }
      return one;
    }
    fail(name, "was not declared");
  }
  static View view(const Held& one) {
    const Shape& shape = one.declaration.shape;
    const Index cols = shape.empty() ? 1 : shape.back().size;
    return {one.elements->memory.as<float>(), cols == 0 ? 0 : one.elements->count / cols, cols};
  }
};

/// What all tensors of a layer are drawn from.
struct Source {
  std::uint64_t seed = 0;
  Index number = 0;  ///< of the layer in its model
};

std::string key_text(const TensorDeclaration& declaration, Index number, Index head) {
  const std::string layer = "layer=" + std::to_string(number) + ";";
  switch (declaration.sharing) {
    case Sharing::head:
      return layer + "head=" + std::to_string(head) + ";" + declaration.name;
    case Sharing::layer:
      return layer + declaration.name;
    case Sharing::model:
      return "model;" + declaration.name;
  }
  throw std::logic_error("a sharing without a key");
}

void draw(const TensorDeclaration& declaration, const Source& source, Index head,
          const Elements& elements) {
  elements.poison(declaration.is_integer);
  const std::string text = key_text(declaration, source.number, head);
  Generator generator(XXH64(text.data(), text.size(), source.seed));
  if (declaration.is_integer && declaration.initialiser.integers) {
    declaration.initialiser.integers(generator, declaration.shape, elements.integers());
  } else if (!declaration.is_integer && declaration.initialiser.floats) {
    declaration.initialiser.floats(generator, declaration.shape, elements.floats());
  }
}

std::shared_ptr<Elements> drawn(const TensorDeclaration& declaration, const Source& source,
                                Index head) {
  auto elements = std::make_shared<Elements>(element_count(declaration.shape));
  draw(declaration, source, head, *elements);
  return elements;
}

bool same_extents(const Shape& a, const Shape& b) {
  return std::ranges::equal(a, b, {}, &Extent::size, &Extent::size);
}

/// The part of `whole` with the lowest indices along each extent.
std::shared_ptr<Elements> leading_part(const Held& whole, const TensorDeclaration& part) {
  const Shape& from = whole.declaration.shape;
  const Shape& to = part.shape;
  bool fits = from.size() == to.size();
  for (std::size_t axis = 0; fits && axis < to.size(); ++axis) {
    fits = to[axis].size <= from[axis].size;
  }
  if (!fits) {
    throw Error("tensor '" + part.name + "' " + shape_text(from) + " cannot be cut to " +
                shape_text(to) + " for a shorter sequence");
  }
  auto elements = std::make_shared<Elements>(element_count(to));
  std::vector<Index> index(to.size(), 0);
  for (std::int32_t& element : elements->integers()) {
    Index offset = 0;
    for (std::size_t axis = 0; axis < to.size(); ++axis) {
      offset = offset * from[axis].size + index[axis];
    }
    element = whole.elements->integers()[static_cast<std::size_t>(offset)];
    for (std::size_t axis = to.size(); axis-- > 0;) {
      if (++index[axis] < to[axis].size) break;
      index[axis] = 0;
    }
  }
  return elements;
}

/// A tensor of `whole`'s call for the problem that `declaration` belongs to.
Held fitted(const Held& whole, TensorDeclaration declaration, const Source& source, Index head) {
  if (declaration.belongs_to_sequence()) {
    auto elements = std::make_shared<Elements>(element_count(declaration.shape));
    elements->poison(declaration.is_integer);
    return {std::move(declaration), std::move(elements)};
  }
  const bool same_shape = same_extents(declaration.shape, whole.declaration.shape);
  if (declaration.role == Role::random) {
    if (!whole.given) {
      auto elements = drawn(declaration, source, head);
      return {std::move(declaration), std::move(elements)};
    }
    if (!same_shape) {
      throw Error("tensor '" + declaration.name + "' was given as " +
                  shape_text(whole.declaration.shape) + "; a shorter sequence needs " +
                  shape_text(declaration.shape) + ", which random contents cannot be cut to");
    }
  }
  auto elements = same_shape ? whole.elements : leading_part(whole, declaration);
  return {std::move(declaration), std::move(elements), whole.given};
}

/// Fills `elements` from `array`, beginning at element `offset` of it.
void copy_elements(const Array& array, Index offset, const Elements& elements) {
  if (array.is_integer) {
    std::copy_n(array.integers.begin() + offset, elements.count, elements.integers().begin());
  } else {
    std::copy_n(array.floats.begin() + offset, elements.count, elements.floats().begin());
  }
}

void append_elements(const Elements& elements, Array& array) {
  if (array.is_integer) {
    array.integers.insert(array.integers.end(), elements.integers().begin(),
                          elements.integers().end());
  } else {
    array.floats.insert(array.floats.end(), elements.floats().begin(), elements.floats().end());
  }
}

}  // namespace

struct DrawnTensors::Impl {
  /// The tensors of all calls on one sequence.
  struct OfSequence {
    Index sequence;
    Problem problem;
    std::vector<CallTensors> calls;
  };

  Impl(const Layer& layer, const Source& source) : layer(layer), source(source) {
    auto whole = std::make_unique<OfSequence>(OfSequence{0, layer.problem(), {}});
    whole->calls.resize(static_cast<std::size_t>(layer.calls()));
    for (Index call = 0; call < layer.calls(); ++call) {
      for (TensorDeclaration& one : declared_tensors(layer.variant(call), layer.problem())) {
        add(*whole, call, std::move(one));
      }
    }
    draw_all(*whole);
    sequences.push_back(std::move(whole));
  }

  /// The call that owns what later calls of the same variant share with it.
  Index owner(const TensorDeclaration& declaration, Index call) const {
    return declaration.sharing == Sharing::head ? call : call % layer.distinct();
  }

  void add(OfSequence& whole, Index call, TensorDeclaration declaration) const {
    std::vector<Held>& held = whole.calls[static_cast<std::size_t>(call)].held;
    const Index owning = owner(declaration, call);
    auto elements = owning == call
                        ? std::make_shared<Elements>(element_count(declaration.shape))
                        : whole.calls[static_cast<std::size_t>(owning)].held[held.size()].elements;
    held.push_back({std::move(declaration), std::move(elements)});
  }

  /// Each tensor has a generator of its own, so that none waits for another.
  void draw_all(const OfSequence& whole) const {
    struct Job {
      const Held* held;
      Index call;
    };
    std::vector<Job> jobs;
    for (std::size_t call = 0; call < whole.calls.size(); ++call) {
      for (const Held& held : whole.calls[call].held) {
        const auto index = static_cast<Index>(call);
        if (owner(held.declaration, index) == index) jobs.push_back({&held, index});
      }
    }
    set_up_in_parallel(static_cast<Index>(jobs.size()), [&](Index number) {
      const Job& job = jobs[static_cast<std::size_t>(number)];
      draw(job.held->declaration, source, job.call, *job.held->elements);
    });
  }

  const OfSequence& whole() const { return *sequences.front(); }

  /// For a sequence, all but its choices and saved tensors shared with `model`.
  std::unique_ptr<OfSequence> made(Index sequence, const Problem& problem) const {
    const OfSequence* twin = nullptr;
    for (const auto& other : sequences) {
      if (other->problem == problem) twin = other.get();
    }
    auto result = std::make_unique<OfSequence>(OfSequence{sequence, problem, {}});
    result->calls.resize(whole().calls.size());
    for (Index call = 0; call < layer.calls(); ++call) {
      const auto at = static_cast<std::size_t>(call);
      std::vector<Held>& held = result->calls[at].held;
      for (TensorDeclaration& one : declared_tensors(layer.variant(call), problem)) {
        const std::size_t which = held.size();
        const Index owning = owner(one, call);
        if (twin && !one.belongs_to_sequence()) {
          held.push_back(twin->calls[at].held[which]);
        } else if (owning != call) {
          held.push_back(result->calls[static_cast<std::size_t>(owning)].held[which]);
        } else {
          held.push_back(matching(at, one, which, call));
        }
      }
    }
    return result;
  }

  Held matching(std::size_t at, TensorDeclaration& declaration, std::size_t which,
                Index call) const {
    const std::vector<Held>& full = whole().calls[at].held;
    if (which >= full.size() || full[which].declaration.name != declaration.name) {
      throw std::logic_error("tensor '" + declaration.name +
                             "' is declared for shorter sequences only");
    }
    return fitted(full[which], std::move(declaration), source, call);
  }

  const OfSequence& of_sequence(Index sequence, const Problem& problem) {
    const std::lock_guard lock(mutex);
    for (const auto& one : sequences) {
      if (one->sequence == sequence && one->problem == problem) return *one;
    }
    sequences.push_back(made(sequence, problem));
    return *sequences.back();
  }

  /// Calls that use the variant number `member`.
  Index users(Index member) const {
    return (layer.calls() - member + layer.distinct() - 1) / layer.distinct();
  }
  std::string file_name(const Held& held, Index member) const {
    return layer.distinct() == 1 ? held.declaration.name
                                 : std::to_string(member) + "." + held.declaration.name;
  }

  /// Calls visit(name in files, member, number of the tensor) for every tensor of every variant.
  template <class Visit>
  void for_each(Visit visit) const {
    for (Index member = 0; member < std::min(layer.distinct(), layer.calls()); ++member) {
      const std::vector<Held>& held = whole().calls[static_cast<std::size_t>(member)].held;
      for (std::size_t which = 0; which < held.size(); ++which) {
        visit(file_name(held[which], member), member, which);
      }
    }
  }

  Held& held(Index call, std::size_t which) const {
    return sequences.front()->calls[static_cast<std::size_t>(call)].held[which];
  }

  void take(const TensorFile& given) {
    std::vector<std::string> known;
    for_each([&](const std::string& name, Index member, std::size_t which) {
      known.push_back(name);
      const auto found = given.tensors.find(name);
      if (found != given.tensors.end()) take(name, found->second, member, which);
    });
    for (const auto& [name, array] : given.tensors) {
      if (std::ranges::find(known, name) == known.end()) {
        throw Error("tensor '" + name + "': " + layer.resolved() + " declares no such tensor" +
                    suggestion(name, known));
      }
    }
  }

  void take(const std::string& name, const Array& array, Index member, std::size_t which) {
    const TensorDeclaration& declaration = held(member, which).declaration;
    const bool per_head = declaration.sharing == Sharing::head;
    std::vector<Index> extents;
    for (const Extent& extent : declaration.shape) extents.push_back(extent.size);
    std::vector<Index> with_heads = extents;
    with_heads.insert(with_heads.begin(), users(member));
    const bool has_heads = per_head && array.shape == with_heads;
    if (!has_heads && array.shape != extents) {
      throw Error("tensor '" + name + "' has shape " + array.shape_text() + "; declared is " +
                  shape_text(declaration.shape) +
                  (per_head ? " or " + shape_text(declaration.shape, users(member)) : ""));
    }
    if (array.is_integer != declaration.is_integer) {
      throw Error("tensor '" + name + "' holds " + (array.is_integer ? "integers" : "floats") +
                  "; declared is " + (declaration.is_integer ? "int32" : "float32"));
    }
    for (std::size_t i = 0; i < array.floats.size(); ++i) {
      if (!std::isfinite(array.floats[i])) {
        throw Error("tensor '" + name + "': element " + std::to_string(i) + " is not finite");
      }
    }
    for (Index user = 0; user < users(member); ++user) {
      Held& target = held(member + user * layer.distinct(), which);
      target.given = true;
      copy_elements(array, has_heads ? user * target.elements->count : 0, *target.elements);
    }
  }

  Array saved(Index member, std::size_t which) const {
    const TensorDeclaration& declaration = held(member, which).declaration;
    const bool per_head = declaration.sharing == Sharing::head;
    Array array;
    array.is_integer = declaration.is_integer;
    if (per_head) array.shape.push_back(users(member));
    for (const Extent& extent : declaration.shape) array.shape.push_back(extent.size);
    for (Index user = 0; user < (per_head ? users(member) : 1); ++user) {
      append_elements(*held(member + user * layer.distinct(), which).elements, array);
    }
    return array;
  }

  const Layer& layer;
  const Source source;
  std::mutex mutex;
  std::vector<std::unique_ptr<OfSequence>> sequences;  ///< the whole problem's first
};

DrawnTensors::DrawnTensors(const Layer& layer, std::uint64_t seed, const TensorFile* given,
                           Index number)
    : impl_(std::make_unique<Impl>(layer, Source{seed, number})) {
  if (given) impl_->take(*given);
}

DrawnTensors::~DrawnTensors() = default;

const Tensors& DrawnTensors::of(Index call) const {
  return impl_->whole().calls.at(static_cast<std::size_t>(call));
}

const Tensors& DrawnTensors::of(Index call, Index sequence, const Problem& problem) const {
  return impl_->of_sequence(sequence, problem).calls.at(static_cast<std::size_t>(call));
}

std::size_t DrawnTensors::bytes(Role role) const {
  const std::lock_guard lock(impl_->mutex);
  std::vector<const Elements*> counted;
  std::size_t bytes = 0;
  for (const auto& sequence : impl_->sequences) {
    const bool whole = sequence == impl_->sequences.front();
    for (const CallTensors& call : sequence->calls) {
      for (const Held& one : call.held) {
        if (one.declaration.role != role) continue;
        if (!whole && !one.declaration.belongs_to_sequence()) continue;
        if (std::ranges::find(counted, one.elements.get()) != counted.end()) continue;
        counted.push_back(one.elements.get());
        bytes += one.elements->memory.bytes();
      }
    }
  }
  return bytes;
}

bool DrawnTensors::drawn_alike(const DrawnTensors& other) const {
  bool alike = true;
  impl_->for_each([&](const std::string&, Index member, std::size_t which) {
    if (impl_->held(member, which).declaration.belongs_to_sequence()) return;
    const Array mine = impl_->saved(member, which), its = other.impl_->saved(member, which);
    alike = alike && mine.floats == its.floats && mine.integers == its.integers;
  });
  return alike;
}

TensorFile DrawnTensors::save() const {
  TensorFile file;
  impl_->for_each([&](const std::string& name, Index member, std::size_t which) {
    file.tensors[name] = impl_->saved(member, which);
  });
  return file;
}

}  // namespace subquad

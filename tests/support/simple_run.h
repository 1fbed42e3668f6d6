#pragma once

/// What unit tests of kernels and variants need of the harness: a run on one thread and tensors in
/// memory.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "subquad/run.h"
#include "subquad/tensor.h"
#include "subquad/variant.h"

namespace subquad {

/// A run on the calling thread, with exactly the scratch that was declared.
class SimpleRun final : public Run {
 public:
  explicit SimpleRun(const Scratch& scratch)
      : memory_(allocate(scratch)), shared_arena_(memory_.get(), scratch.shared_bytes) {
    shared_ = &shared_arena_;
    worker_.scratch = Arena(memory_.get() + scratch.shared_bytes, scratch.worker_bytes);
  }

  Worker& worker() { return worker_; }
  const Work& executed() const { return worker_.executed; }

 protected:
  void parallel_tiles(Index tiles, TileFunction function, void* context) override {
    // Backwards: a body that relies on the order of tiles fails.
    for (Index tile = tiles; tile-- > 0;) {
      worker_.scratch.rewind(0);
      function(context, tile, worker_);
    }
  }

 private:
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  using Memory = std::unique_ptr<std::byte, Free>;

  static Memory allocate(const Scratch& scratch) {
    const std::size_t bytes = padded_bytes(scratch.shared_bytes + scratch.worker_bytes + 1);
    Memory memory(static_cast<std::byte*>(std::aligned_alloc(kArenaAlignment, bytes)));
    if (!memory) throw std::bad_alloc();
    // Contents of an arena are undefined: a float that is read before it was written is a NaN.
    std::fill_n(memory.get(), bytes, std::byte{0xff});
    return memory;
  }

  Memory memory_;
  Arena shared_arena_;
  Worker worker_;
};

/// Tensors by name, in memory.
class MapTensors : public Tensors {
 public:
  /// A float tensor of zeros, to be filled through `writable`.
  void add(const std::string& name, Index rows, Index cols) {
    floats_[name] = {std::vector<float>(static_cast<std::size_t>(rows * cols)), rows, cols};
  }
  void add_integers(const std::string& name, std::vector<std::int32_t> values) {
    integers_[name] = std::move(values);
  }

  ConstView matrix(std::string_view name) const override { return writable(name); }
  std::span<const std::int32_t> integers(std::string_view name) const override {
    return choices(name);
  }
  std::span<std::int32_t> choices(std::string_view name) const override {
    return find(integers_, name);
  }
  View writable(std::string_view name) const override {
    Matrix& matrix = find(floats_, name);
    return {matrix.values.data(), matrix.rows, matrix.cols};
  }

 private:
  struct Matrix {
    std::vector<float> values;
    Index rows, cols;
  };

  template <class Map>
  static typename Map::mapped_type& find(Map& map, std::string_view name) {
    const auto found = map.find(name);
    if (found == map.end()) throw std::logic_error("no tensor '" + std::string(name) + "'");
    return found->second;
  }

  // Views onto the contents are handed out by const members, as the interface asks.
  mutable std::map<std::string, Matrix, std::less<>> floats_;
  mutable std::map<std::string, std::vector<std::int32_t>, std::less<>> integers_;
};

/// Draws every tensor of a variant, as the harness would but from one generator per tensor.
class DrawnMapTensors final : public MapTensors {
 public:
  DrawnMapTensors(const Variant& variant, const Problem& problem, std::uint64_t seed);

 private:
  class Drawer;
};

class DrawnMapTensors::Drawer final : public TensorVisitor {
 public:
  Drawer(MapTensors& tensors, std::uint64_t seed) : tensors_(tensors), seed_(seed) {}

  void declare(TensorDeclaration declaration) override {
    const Index count = element_count(declaration.shape);
    Generator generator(seed_, next_stream_++);
    const Initialiser& initialiser = declaration.initialiser;
    if (declaration.is_integer) {
      tensors_.add_integers(declaration.name,
                            std::vector<std::int32_t>(static_cast<std::size_t>(count)));
      if (!initialiser.integers) return;
      initialiser.integers(generator, declaration.shape, tensors_.choices(declaration.name));
      return;
    }
    const Index cols = declaration.shape.empty() ? 1 : declaration.shape.back().size;
    tensors_.add(declaration.name, cols == 0 ? 0 : count / cols, cols);
    if (!initialiser.floats) return;
    initialiser.floats(generator, declaration.shape,
                       {tensors_.writable(declaration.name).data, static_cast<std::size_t>(count)});
  }

 private:
  MapTensors& tensors_;
  std::uint64_t seed_;
  std::uint64_t next_stream_ = 0;
};

inline DrawnMapTensors::DrawnMapTensors(const Variant& variant, const Problem& problem,
                                        std::uint64_t seed) {
  Drawer drawer(*this, seed);
  variant.tensors(problem, drawer);
}

}  // namespace subquad

#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <type_traits>

#include "subquad/view.h"

namespace subquad {

/// What a computation takes. Multiply-adds count products of matrices (a dot product of length d is
/// d), exponentials count exp, tanh and the like; additions, comparisons and hashing are not
/// counted.
struct Work {
  double multiply_adds = 0;
  double exponentials = 0;
  double bf16_multiply_adds = 0;  ///< those of `multiply_adds` that matrix units did in bf16
  /// Output rows whose weights summed to less than 0, so that they are no averages: no work, but
  /// counted with it.
  double negative_denominators = 0;

  Work& operator+=(const Work& other) {
    multiply_adds += other.multiply_adds;
    exponentials += other.exponentials;
    bf16_multiply_adds += other.bf16_multiply_adds;
    negative_denominators += other.negative_denominators;
    return *this;
  }
  friend bool operator==(const Work&, const Work&) = default;
};

/// Every allocation in an arena starts on a cache line and fills whole ones.
inline constexpr std::size_t kArenaAlignment = 64;
inline constexpr std::size_t padded_bytes(std::size_t bytes) {
  return (bytes + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment;
}

/// Temporary memory that a variant declares before it runs, in the unit in which it will ask:
///
///     Scratch scratch(const Problem& p) const override {
///       return Scratch().shared<float>(p.keys * p.dim).worker<float>(kTile * kTile);
///     }
struct Scratch {
  std::size_t shared_bytes = 0;  ///< for the whole call
  std::size_t worker_bytes = 0;  ///< for each worker of `Run::parallel`

  template <class T>
  Scratch& shared(Index count) {
    shared_bytes += padded_bytes(static_cast<std::size_t>(count) * sizeof(T));
    return *this;
  }
  template <class T>
  Scratch& worker(Index count) {
    worker_bytes += padded_bytes(static_cast<std::size_t>(count) * sizeof(T));
    return *this;
  }
};

/// Hands out a fixed block of memory from the front; freed as a whole. Contents start undefined.
/// Asking for more than there is means that `scratch` declared too little: std::logic_error.
class Arena {
 public:
  Arena() = default;
  Arena(std::byte* memory, std::size_t capacity) : memory_(memory), capacity_(capacity) {}

  template <class T>
  std::span<T> take(Index count) {
    static_assert(std::is_trivially_copyable_v<T> && alignof(T) <= kArenaAlignment);
    const auto size = static_cast<std::size_t>(count);
    return {reinterpret_cast<T*>(take_bytes(size * sizeof(T))), size};
  }
  View take_matrix(Index rows, Index cols) { return {take<float>(rows * cols).data(), rows, cols}; }

  /// Frees what was taken since `mark` was `used()`.
  void rewind(std::size_t mark) { used_ = mark; }
  std::size_t used() const { return used_; }
  std::size_t high_water() const { return high_water_; }
  std::size_t capacity() const { return capacity_; }

 private:
  std::byte* take_bytes(std::size_t bytes);

  std::byte* memory_ = nullptr;
  std::size_t capacity_ = 0;
  std::size_t used_ = 0;
  std::size_t high_water_ = 0;
};

/// What one thread of `Run::parallel` has to itself.
struct Worker {
  Arena scratch;  ///< `Scratch::worker_bytes`, empty again at the start of every tile
  Work executed;  ///< add what is done, whole tiles included
};

/// The harness's side of one call: memory and threads.
class Run {
 public:
  virtual ~Run() = default;

  /// Memory for the whole call (`Scratch::shared_bytes`).
  Arena& shared() { return *shared_; }

  /// Calls `body(Index tile, Worker& worker)` once for every tile in [0, tiles), on any thread and
  /// in any order. How work is cut into tiles depends on the problem alone, never on the number of
  /// threads, and results of tiles are combined in tile order: so every bit of the output is the
  /// same at any thread count.
  template <class Body>
  void parallel(Index tiles, Body&& body) {
    using Plain = std::remove_reference_t<Body>;
    parallel_tiles(
        tiles,
        [](void* context, Index tile, Worker& worker) {
          (*static_cast<Plain*>(context))(tile, worker);
        },
        const_cast<void*>(static_cast<const void*>(std::addressof(body))));
  }

 protected:
  using TileFunction = void (*)(void* context, Index tile, Worker& worker);
  virtual void parallel_tiles(Index tiles, TileFunction function, void* context) = 0;

  Arena* shared_ = nullptr;
};

}  // namespace subquad

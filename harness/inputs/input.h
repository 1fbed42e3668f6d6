#pragma once

#include <cstdint>
#include <new>
#include <optional>
#include <string>
#include <vector>

#include "expressions/expression.h"
#include "expressions/settings.h"
#include "subquad/random.h"
#include "subquad/view.h"

namespace subquad {

/// Memory that begins on a cache line, as a careful program would have it.
template <class T>
struct LineAllocator {
  using value_type = T;
  LineAllocator() = default;
  template <class U>
  LineAllocator(const LineAllocator<U>&) {}
  T* allocate(std::size_t count) {
    return static_cast<T*>(::operator new (count * sizeof(T), std::align_val_t{64}));
  }
  void deallocate(T* memory, std::size_t) { ::operator delete (memory, std::align_val_t{64}); }
  friend bool operator==(const LineAllocator&, const LineAllocator&) { return true; }
};
using AlignedFloats = std::vector<float, LineAllocator<float>>;

/// How a packed tensor holds the matrices of heads.
enum class Layout {
  by_head,  ///< [batch, heads, rows, columns]: each head by itself
  by_row,   ///< [batch, rows, heads, columns]: heads beside one another, the width of a model
};

/// Q, K, V of one layer: [batch, heads, rows, columns] unless `layout` says otherwise, row-major. K
/// and V may have fewer heads than Q (grouped queries): query head h reads key head h / (heads /
/// key_heads).
struct LayerInput {
  Index batch = 1, heads = 1, key_heads = 1;
  Index queries = 0, keys = 0, dim = 0, value_dim = 0, x_dim = 0;
  AlignedFloats q, k, v;
  AlignedFloats x;                  ///< [batch, heads, queries, x_dim], or empty: then x is v
  std::vector<Index> lengths;       ///< [batch] keys (and queries) that count, or empty: all
  Index rank = 4;                   ///< axes that q has in its file: 2, 3 or 4
  std::string provenance;           ///< metadata of a file, text for humans
  bool causal_regime = false;       ///< the file says that its model attends causally
  Layout layout = Layout::by_head;  ///< of q, k and v
  Layout x_layout = Layout::by_head;

  ConstView q_of(Index sequence, Index head) const;
  ConstView k_of(Index sequence, Index head) const;  ///< `head` counts query heads
  ConstView v_of(Index sequence, Index head) const;
  ConstView x_of(Index sequence, Index head) const;
  Index length(Index sequence) const { return lengths.empty() ? keys : lengths[sequence]; }
};

/// What an experiment asks of an input. A generator fills exactly this; a file has its own batch,
/// heads and dim and is cut to the first `keys` rows (its last `queries` rows, where fewer).
struct InputRequest {
  Index batch = 1, heads = 1, key_heads = 1;
  Index queries = 0, keys = 0, dim = 64, value_dim = 64;
  std::uint64_t seed = 0;
  Index first_sequence = 0;  ///< a generator's sequences have numbers from here on
};

/// Makes the input that `expression` names: a generator (gaussian, clustered, low_rank, smooth,
/// sinks, needle, alignment) or `file(path=...,batch=0,heads=0:4)`. Mistakes, non-finite values,
/// files shorter than asked throw Error.
LayerInput make_input(const Expression& expression, const InputRequest& request);

/// Files that an input expression reads: its arguments named `path`.
std::vector<std::string> input_files(const Expression& input);

/// For `list inputs` and help: every registered input with its parameters, sorted by name.
struct InputInfo {
  std::string name, summary;
  std::vector<ParameterInfo> parameters;
};
std::vector<InputInfo> input_infos();

/// Tensors q, k, v (x, lengths) of a file as a layer input; ranks 2 to 4 as DESIGN says.
LayerInput read_layer_input(const std::string& path);

}  // namespace subquad

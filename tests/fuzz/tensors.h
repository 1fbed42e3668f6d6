#pragma once

#include <cstring>

#include "fuzz.h"
#include "tensor_files/limits.h"
#include "tensor_files/tensor_file.h"

namespace subquad::fuzz {

/// A tensor of a file that was accepted.
inline void require_sound(const Array& array) {
  require(array.shape.size() <= kMaxRank, "a tensor has few axes");
  for (const Index extent : array.shape) require(extent >= 0, "no extent is negative");
  const std::size_t count = static_cast<std::size_t>(array.count());
  require(array.floats.size() == (array.is_integer ? 0 : count), "floats fit the shape");
  require(array.integers.size() == (array.is_integer ? count : 0), "integers fit the shape");
}

inline void require_sound(const TensorFile& file) {
  require(file.tensors.size() <= kMaxTensors, "a file holds not too many tensors");
  for (const auto& [name, array] : file.tensors) {
    require(accepts([&, &checked = name] { check_tensor_name(checked, "name"); }),
            "a tensor's name is harmless");
    require_sound(array);
  }
}

/// To the last bit, which NaN are not under ==.
inline bool same(const Array& a, const Array& b) {
  return a.shape == b.shape && a.is_integer == b.is_integer && a.integers == b.integers &&
         a.floats.size() == b.floats.size() &&
         (a.floats.empty() ||
          std::memcmp(a.floats.data(), b.floats.data(), a.floats.size() * sizeof(float)) == 0);
}

}  // namespace subquad::fuzz

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "layer.h"
#include "subquad/tensor.h"
#include "tensor_file.h"

namespace subquad {

/// A declared tensor, for documentation and byte counts.
struct TensorInfo {
  std::string name;
  Shape shape;
  std::string element;  ///< "float32" or "int32"
  std::string initialiser;
  Role role;
  Sharing sharing;
  std::string doc;
  std::size_t bytes() const { return static_cast<std::size_t>(element_count(shape)) * 4; }
};
std::vector<TensorInfo> tensor_infos(const Variant& variant, const Problem& problem);

const char* to_string(Role role);
const char* to_string(Sharing sharing);

/// All tensors of a layer: drawn from (seed, layer, head, name), or taken from a file.
class DrawnTensors {
 public:
  /// Draws everything. With `given`, tensors found there by name replace drawn ones: with the
  /// declared shape, or that shape behind an axis of heads. Names that nobody declared, wrong
  /// shapes and wrong element types throw Error.
  DrawnTensors(const Layer& layer, std::uint64_t seed, const TensorFile* given = nullptr);
  ~DrawnTensors();

  /// What a call of the layer sees (`Layer::calls`).
  const Tensors& of(Index call) const;
  /// Bytes over the whole layer by role, shared tensors counted once.
  std::size_t bytes(Role role) const;
  /// As they are now, choices included, by name with a leading axis of heads, none where shared.
  TensorFile save() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace subquad

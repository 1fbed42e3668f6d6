#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "layers/layer.h"
#include "subquad/tensor.h"
#include "tensor_files/tensor_file.h"

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
  Fitting fitting;
  std::size_t bytes() const { return static_cast<std::size_t>(element_count(shape)) * 4; }
};
std::vector<TensorInfo> tensor_infos(const Variant& variant, const Problem& problem);

const char* to_string(Role role);
const char* to_string(Sharing sharing);
const char* to_string(Fitting::Way way);

/// All tensors of a layer: drawn from (seed, layer, head, name), or taken from a file. Each comes
/// from a generator of its own, keyed by XXH64("layer=0;head=3;name") with the seed ("layer=0;name"
/// and "model;name" where heads or layers share it), so it depends on no other tensor and not on
/// the number of heads. The layer must outlive this.
class DrawnTensors {
 public:
  /// Draws everything. With `given`, tensors found there by name replace drawn ones: with the
  /// declared shape, or that shape behind an axis of heads. Names that nobody declared, wrong
  /// shapes and wrong element types throw Error. Where `heads(...)` lists several variants, names
  /// are "1.name" for the variant number 1 (from 0), and the axis is over the heads that use it.
  /// `number` is that of the layer in its model, "layer=0" above.
  DrawnTensors(const Layer& layer, std::uint64_t seed, const TensorFile* given = nullptr,
               Index number = 0);
  ~DrawnTensors();

  /// What a call of the layer sees (`Layer::calls`): the first sequence, at full length.
  const Tensors& of(Index call) const;
  /// What a call sees on `sequence`, whose problem is `problem`: the layer's, or that of a shorter
  /// sequence. Made when first asked for, the same object ever after; any thread may ask. Each
  /// sequence has choices and saved tensors of its own. A shorter sequence reads the leading part
  /// of learned and running tensors along every extent, as they are when it is first asked for
  /// (Linformer's released code cuts E so), and random ones drawn for its own problem. Throws Error
  /// where a tensor cannot be cut so.
  const Tensors& of(Index call, Index sequence, const Problem& problem) const;
  /// Bytes over the whole layer by role, shared tensors counted once. Choices and saved tensors are
  /// counted for every sequence that was asked for.
  std::size_t bytes(Role role) const;
  /// Whether two draws of the same layer hold the same, choices and saved tensors apart: so they do
  /// whatever the seed where nothing is random.
  bool drawn_alike(const DrawnTensors& other) const;
  /// As they are now, choices (of the first sequence) included, by name with a leading axis of
  /// heads, none where shared.
  TensorFile save() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace subquad

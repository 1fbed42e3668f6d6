#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "subquad/view.h"

namespace subquad {

/// A tensor in memory: float32 or int32, row-major.
struct Array {
  std::vector<Index> shape;
  std::vector<float> floats;
  std::vector<std::int32_t> integers;  ///< used instead of `floats` where `is_integer`
  bool is_integer = false;

  Index count() const;
  std::string shape_text() const;  ///< "[2, 8, 4096, 15]"
};

/// Named tensors of a file, and the strings of a safetensors header's `__metadata__`.
struct TensorFile {
  std::map<std::string, Array> tensors;
  std::map<std::string, std::string> metadata;
};

/// Reads .safetensors (F16, BF16, F32, F64, I32, I64, U8), .npy (one tensor, named as `npy_name`)
/// and .npz (stored or deflated). Everything is converted to float32 or int32. Any defect (missing,
/// truncated, header too large, offsets that overlap or leave the file, shape that does not fit the
/// bytes, unknown dtype, a name that cannot be printed, an archive that unpacks to a hundred times
/// its size and more than 256 MiB) throws Error naming file, tensor and reason; Fortran order is
/// transposed. Nothing is allocated on a header's word before it was checked against the size of
/// the file.
TensorFile read_tensor_file(const std::string& path, std::string_view npy_name = "q");

/// Writes .safetensors, atomically (temporary file, fsync, rename). Floats as F32 or, on request,
/// F16.
void write_safetensors(const std::string& path, const TensorFile& file, bool half = false);

}  // namespace subquad

#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tensor_files/tensor_file.h"

namespace subquad {

/// Element types that files may hold.
enum class Element { f16, bf16, f32, f64, i32, i64, u8 };

std::size_t element_bytes(Element element);

/// Bytes that a tensor takes, or nothing where it would not fit 64 bits at the widest element type
/// and without extents that are 0. Extents are not negative.
std::optional<std::size_t> tensor_bytes(const std::vector<Index>& shape, Element element);

/// "[2, 8, 4096, 15]"
std::string shape_text(const std::vector<Index>& shape);

/// Little-endian elements of `shape`, row-major, as float32 or int32. `bytes` has exactly the size
/// that `tensor_bytes` says. A finite value that the target cannot hold throws Error, which begins
/// with `where` ("file: tensor 'q'").
Array decode(Element element, std::span<const std::byte> bytes, std::vector<Index> shape,
             const std::string& where);

/// Float16 bits of `values`, rounded to nearest even. Finite values beyond float16's range throw
/// Error.
std::vector<std::byte> encode_half(std::span<const float> values, const std::string& where);

}  // namespace subquad

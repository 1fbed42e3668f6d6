#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "tensor_files/tensor_file.h"

namespace subquad {

/// The contents of a file.
struct FileBytes {
  std::unique_ptr<std::byte[]> data;
  std::size_t size = 0;
  std::span<const std::byte> all() const { return {data.get(), size}; }
};

/// Reads a regular file whole; whatever hinders that throws Error naming the path.
FileBytes read_bytes(const std::string& path);

/// Each parses one format; errors begin with `where`, the path of the file (and entry).
TensorFile parse_safetensors(std::span<const std::byte> bytes, const std::string& where);
Array parse_npy(std::span<const std::byte> bytes, const std::string& where);
TensorFile parse_npz(std::span<const std::byte> bytes, const std::string& where);

}  // namespace subquad

// Any bytes are a .npy file or refused. Of one that is accepted, elements fit the shape, and the
// same array in row-major order as numpy would write it reads as the same.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string>

#include "fuzz.h"
#include "tensor_files/formats.h"
#include "tensors.h"

namespace subquad {
namespace {

std::string npy_of(const Array& array) {
  const std::string header =
      fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}{}), }}\n",
                  array.is_integer ? "<i4" : "<f4", fmt::join(array.shape, ", "),
                  array.shape.empty() ? "" : ",");
  std::string bytes = "\x93NUMPY\x01";
  bytes += '\0';
  bytes += static_cast<char>(header.size() & 0xff);
  bytes += static_cast<char>(header.size() >> 8);
  bytes += header;
  const auto append = [&](const auto& values) {
    bytes.append(reinterpret_cast<const char*>(values.data()),
                 values.size() * sizeof(values.front()));
  };
  if (array.is_integer) {
    append(array.integers);
  } else {
    append(array.floats);
  }
  return bytes;
}

}  // namespace
}  // namespace subquad

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace subquad;
  Array array;
  const auto bytes = std::as_bytes(std::span(data, size));
  if (!fuzz::accepts([&] { array = parse_npy(bytes, "x.npy"); })) return 0;
  fuzz::require_sound(array);
  const std::string written = npy_of(array);
  const Array again = parse_npy(std::as_bytes(std::span(written)), "again.npy");
  fuzz::require(fuzz::same(again, array), "an array is read as it was written");
  return 0;
}

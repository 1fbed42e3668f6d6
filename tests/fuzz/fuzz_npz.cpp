// Any bytes are a .npz archive or refused. Of one that is accepted, every tensor has a harmless
// name and the elements that its shape says, and together they unpack to no bomb.

#include "fuzz.h"
#include "tensor_files/formats.h"
#include "tensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace subquad;
  TensorFile file;
  const auto bytes = std::as_bytes(std::span(data, size));
  if (!fuzz::accepts([&] { file = parse_npz(bytes, "x.npz"); })) return 0;
  fuzz::require(!file.tensors.empty() && file.metadata.empty(), "an archive holds tensors alone");
  fuzz::require_sound(file);
  std::size_t elements = 0;
  for (const auto& [name, array] : file.tensors)
    elements += static_cast<std::size_t>(array.count());
  // Each takes a byte of the unpacked archive at the least.
  fuzz::require(elements <= std::size_t{256} << 20 || elements <= 100 * size, "no bomb goes off");
  return 0;
}

// Any bytes are a safetensors file or refused. Of one that is accepted, every tensor has as many
// elements as its shape says, and writing it gives a file with the same tensors and metadata.

#include <unistd.h>

#include <filesystem>
#include <string>

#include "fuzz.h"
#include "tensor_files/formats.h"
#include "tensors.h"

namespace subquad {
namespace {

/// In memory where there is such a folder: the target writes it some thousand times a second.
std::string written_path() {
  const std::filesystem::path memory = "/dev/shm";
  const auto folder =
      std::filesystem::is_directory(memory) ? memory : std::filesystem::temp_directory_path();
  return folder / ("subquad_fuzz_" + std::to_string(::getpid()) + ".safetensors");
}

struct WrittenFile {
  std::string path = written_path();
  ~WrittenFile() { ::unlink(path.c_str()); }
};

}  // namespace
}  // namespace subquad

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace subquad;
  TensorFile file;
  const auto bytes = std::as_bytes(std::span(data, size));
  if (!fuzz::accepts([&] { file = parse_safetensors(bytes, "x.safetensors"); })) return 0;
  fuzz::require_sound(file);
  const WrittenFile written;
  write_safetensors(written.path, file);
  const TensorFile again = read_tensor_file(written.path);
  fuzz::require(again.metadata == file.metadata, "metadata are written as read");
  fuzz::require(again.tensors.size() == file.tensors.size(), "every tensor is written");
  for (const auto& [name, array] : file.tensors) {
    fuzz::require(again.tensors.contains(name) && fuzz::same(again.tensors.at(name), array),
                  "a tensor is written as read");
  }
  return 0;
}

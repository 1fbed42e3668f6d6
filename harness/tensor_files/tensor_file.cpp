#include "tensor_files/tensor_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "records/resident.h"
#include "subquad/error.h"
#include "tensor_files/elements.h"
#include "tensor_files/formats.h"

namespace subquad {
namespace {

[[noreturn]] void fail_with_errno(const std::string& path) {
  throw Error(fmt::format("{}: {}", path, std::strerror(errno)));
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  int close() { return ::close(std::exchange(fd_, -1)); }

 private:
  int fd_;
};

/// A file beside its final place that takes the name only when it is whole and on the disk, so that
/// nobody ever reads half a file.
class AtomicFile {
 public:
  explicit AtomicFile(const std::string& path)
      : path_(path),
        temporary_(fmt::format("{}.{}.tmp", path, ::getpid())),
        fd_(::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)) {
    if (fd_.get() < 0) fail_with_errno(path);
  }
  ~AtomicFile() {
    if (!committed_) ::unlink(temporary_.c_str());
  }

  void write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t written = ::write(fd_.get(), bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail_with_errno(path_);
      bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
  }

  void commit() {
    if (::fsync(fd_.get()) != 0 || fd_.close() != 0) fail_with_errno(path_);
    if (std::rename(temporary_.c_str(), path_.c_str()) != 0) fail_with_errno(path_);
    committed_ = true;
    // The new name is on the disk only when its folder is.
    const auto folder = std::filesystem::path(path_).parent_path();
    const Descriptor fd(::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_CLOEXEC));
    if (fd.get() >= 0) ::fsync(fd.get());
  }

 private:
  std::string path_, temporary_;
  Descriptor fd_;
  bool committed_ = false;
};

struct Piece {
  const std::string* name;
  const Array* array;
  Element element;
};

/// The tensors in the order of their bytes. Wider elements first, so that each is aligned.
std::vector<Piece> pieces_of(const TensorFile& file, bool half) {
  std::vector<Piece> pieces;
  for (const auto& [name, array] : file.tensors) {
    const std::size_t held = array.is_integer ? array.integers.size() : array.floats.size();
    if (array.count() != static_cast<Index>(held)) {
      throw std::logic_error(fmt::format("write_safetensors: '{}' holds {} elements, shape {}",
                                         name, held, array.shape_text()));
    }
    pieces.push_back({&name, &array,
                      array.is_integer ? Element::i32
                      : half           ? Element::f16
                                       : Element::f32});
  }
  std::ranges::stable_sort(pieces, [](const Piece& a, const Piece& b) {
    return element_bytes(a.element) > element_bytes(b.element);
  });
  return pieces;
}

std::string header_text(const TensorFile& file, const std::vector<Piece>& pieces,
                        const std::string& path) {
  nlohmann::json header = nlohmann::json::object();
  if (!file.metadata.empty()) header["__metadata__"] = file.metadata;
  std::size_t offset = 0;
  for (const Piece& piece : pieces) {
    const std::size_t begin = offset;
    offset += *tensor_bytes(piece.array->shape, piece.element);
    header[*piece.name] = {{"dtype", piece.element == Element::i32   ? "I32"
                                     : piece.element == Element::f16 ? "F16"
                                                                     : "F32"},
                           {"shape", piece.array->shape},
                           {"data_offsets", {begin, offset}}};
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const nlohmann::json::exception&) {
    throw Error(path + ": a tensor's name or the metadata is not UTF-8");
  }
  text.resize((text.size() + 7) / 8 * 8, ' ');  // data begin aligned; the format allows spaces
  return text;
}

}  // namespace

Index Array::count() const {
  Index product = 1;
  for (const Index extent : shape) product *= extent;
  return product;
}

std::string Array::shape_text() const { return subquad::shape_text(shape); }

FileBytes read_bytes(const std::string& path) {
  const Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) fail_with_errno(path);
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) fail_with_errno(path);
  if (!S_ISREG(status.st_mode)) throw Error(path + ": not a regular file");
  FileBytes bytes;
  bytes.size = static_cast<std::size_t>(status.st_size);
  // A sparse file costs its maker nothing.
  if (const std::uint64_t memory = total_memory(); memory > 0 && bytes.size > memory) {
    throw Error(fmt::format("{}: {} bytes are more than this machine's memory", path, bytes.size));
  }
  bytes.data = std::make_unique_for_overwrite<std::byte[]>(bytes.size);
  for (std::size_t done = 0; done < bytes.size;) {
    const ssize_t count = ::read(fd.get(), bytes.data.get() + done, bytes.size - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_with_errno(path);
    if (count == 0) throw Error(path + ": became shorter while it was read");
    done += static_cast<std::size_t>(count);
  }
  return bytes;
}

TensorFile read_tensor_file(const std::string& path, std::string_view npy_name) {
  if (path.ends_with(".npz")) return parse_npz(read_bytes(path).all(), path);
  if (path.ends_with(".npy")) {
    TensorFile file;
    file.tensors[std::string(npy_name)] = parse_npy(read_bytes(path).all(), path);
    return file;
  }
  if (path.ends_with(".safetensors")) return parse_safetensors(read_bytes(path).all(), path);
  throw Error(path + ": the name must end in .safetensors, .npy or .npz");
}

void write_safetensors(const std::string& path, const TensorFile& file, bool half) {
  const std::vector<Piece> pieces = pieces_of(file, half);
  const std::string header = header_text(file, pieces, path);
  const std::uint64_t header_bytes = header.size();
  AtomicFile out(path);
  out.write(std::as_bytes(std::span(&header_bytes, 1)));
  out.write(std::as_bytes(std::span(header)));
  for (const Piece& piece : pieces) {
    if (piece.element == Element::i32) {
      out.write(std::as_bytes(std::span(piece.array->integers)));
    } else if (piece.element == Element::f16) {
      out.write(
          encode_half(piece.array->floats, fmt::format("{}: tensor '{}'", path, *piece.name)));
    } else {
      out.write(std::as_bytes(std::span(piece.array->floats)));
    }
  }
  out.commit();
}

}  // namespace subquad

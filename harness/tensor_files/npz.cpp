// .npz: a zip archive of .npy files, stored or deflated.

#include <fmt/format.h>
#include <zip.h>

#include <algorithm>
#include <memory>

#include "subquad/error.h"
#include "tensor_files/formats.h"
#include "tensor_files/limits.h"
#include "texts/plain_text.h"

namespace subquad {
namespace {

// Zeros deflate a thousandfold, so a ratio alone would refuse honest files: small archives may
// unpack to this much whatever their ratio, large ones to this many times their size.
constexpr std::uint64_t kFreeBytes = std::uint64_t{256} << 20;
constexpr std::uint64_t kMaxRatio = 100;

struct Close {
  void operator()(zip_t* archive) const { zip_discard(archive); }
  void operator()(zip_file_t* entry) const { zip_fclose(entry); }
};
using Archive = std::unique_ptr<zip_t, Close>;

[[noreturn]] void fail_with(zip_error_t& error, const std::string& where) {
  const std::string reason = zip_error_strerror(&error);
  zip_error_fini(&error);
  throw Error(fmt::format("{}: {}", where, reason));
}

Archive open_archive(std::span<const std::byte> bytes, const std::string& where) {
  zip_error_t error;
  zip_error_init(&error);
  zip_source_t* source = zip_source_buffer_create(bytes.data(), bytes.size(), 0, &error);
  if (source == nullptr) fail_with(error, where);
  Archive archive(zip_open_from_source(source, ZIP_RDONLY | ZIP_CHECKCONS, &error));
  if (!archive) {
    zip_source_free(source);  // an opened archive owns it, one that fails to open does not
    fail_with(error, where);
  }
  zip_error_fini(&error);
  return archive;
}

/// Name of the tensor that an entry holds.
std::string tensor_name(zip_t* archive, zip_uint64_t index, const std::string& where) {
  constexpr std::string_view kSuffix = ".npy";
  const char* entry = zip_get_name(archive, index, 0);
  std::string name = entry != nullptr ? entry : "";
  if (!name.ends_with(kSuffix)) {
    throw Error(fmt::format("{}: entry '{}' is no .npy", where, printable(name)));
  }
  name.resize(name.size() - kSuffix.size());
  check_tensor_name(name, where);
  return name;
}

/// Bytes that an entry claims to unpack to, if it is of a kind that is read.
std::uint64_t declared_bytes(zip_t* archive, zip_uint64_t index, const std::string& where) {
  zip_stat_t stat;
  zip_stat_init(&stat);
  constexpr zip_uint64_t kNeeded =
      ZIP_STAT_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
  if (zip_stat_index(archive, index, 0, &stat) != 0 || (stat.valid & kNeeded) != kNeeded) {
    throw Error(fmt::format("{}: {}", where, zip_strerror(archive)));
  }
  if (stat.encryption_method != ZIP_EM_NONE) throw Error(where + ": is encrypted");
  if (stat.comp_method != ZIP_CM_STORE && stat.comp_method != ZIP_CM_DEFLATE) {
    throw Error(
        fmt::format("{}: compression method {} is not supported (known: 0 stored, "
                    "8 deflated)",
                    where, stat.comp_method));
  }
  return stat.size;
}

/// The bytes of an entry that claims to hold `declared` of them. Memory grows with what is really
/// unpacked, and no further than the claim.
std::vector<std::byte> unpack(zip_t* archive, zip_uint64_t index, std::uint64_t declared,
                              const std::string& where) {
  const std::unique_ptr<zip_file_t, Close> entry(zip_fopen_index(archive, index, 0));
  if (!entry) throw Error(fmt::format("{}: {}", where, zip_strerror(archive)));
  constexpr std::uint64_t kChunk = 1 << 20;
  std::vector<std::byte> bytes;
  for (std::uint64_t used = 0;;) {
    // One byte more than the claim, to see whether there is more. The end must be read in any case:
    // only there is the checksum compared.
    bytes.resize(used + std::min(kChunk, declared - used + 1));
    const zip_int64_t count = zip_fread(entry.get(), bytes.data() + used, bytes.size() - used);
    if (count < 0) throw Error(fmt::format("{}: {}", where, zip_file_strerror(entry.get())));
    used += static_cast<std::uint64_t>(count);
    if (used > declared || (count == 0 && used < declared)) {
      throw Error(fmt::format("{}: unpacks to {} bytes than the {} that the archive gives", where,
                              used > declared ? "more" : "fewer", declared));
    }
    if (count == 0) {
      bytes.resize(used);
      return bytes;
    }
  }
}

}  // namespace

TensorFile parse_npz(std::span<const std::byte> bytes, const std::string& where) {
  const Archive archive = open_archive(bytes, where);
  const auto entries =
      static_cast<std::uint64_t>(std::max<zip_int64_t>(0, zip_get_num_entries(archive.get(), 0)));
  if (entries == 0) throw Error(where + ": holds no arrays");
  if (entries > kMaxTensors) {
    throw Error(fmt::format("{}: {} entries are more than {}", where, entries, kMaxTensors));
  }
  // Over all entries, since entries can share their compressed bytes.
  std::uint64_t left = std::max(kFreeBytes, kMaxRatio * bytes.size());
  TensorFile file;
  for (std::uint64_t i = 0; i < entries; ++i) {
    const std::string name = tensor_name(archive.get(), i, where);
    const std::string at = fmt::format("{}: tensor '{}'", where, name);
    if (file.tensors.contains(name)) throw Error(at + " is there twice");
    const std::uint64_t declared = declared_bytes(archive.get(), i, at);
    if (declared > left) {
      throw Error(fmt::format("{}: takes {} bytes unpacked, too much of an archive of {} bytes", at,
                              declared, bytes.size()));
    }
    left -= declared;
    file.tensors[name] = parse_npy(unpack(archive.get(), i, declared, at), at);
  }
  return file;
}

}  // namespace subquad

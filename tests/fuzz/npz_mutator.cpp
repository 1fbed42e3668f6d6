// Bytes of an archive that are changed at random hardly ever pass its checksums, so half of all
// mutations change the contents of one entry, or its name, and write the archive anew.

#include <zip.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "fuzz.h"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);

namespace {

struct Entry {
  std::string name, contents;
  bool deflated = false;
};

zip_t* open_buffer(const void* data, std::size_t size, int flags, zip_source_t** source) {
  *source = zip_source_buffer_create(data, size, 0, nullptr);
  zip_t* archive = zip_open_from_source(*source, flags, nullptr);
  if (archive == nullptr) zip_source_free(*source);
  return archive;
}

std::vector<Entry> read_entries(const std::uint8_t* data, std::size_t size) {
  std::vector<Entry> entries;
  zip_source_t* source = nullptr;
  zip_t* archive = open_buffer(data, size, ZIP_RDONLY, &source);
  if (archive == nullptr) return entries;
  for (zip_int64_t i = 0; i < std::min<zip_int64_t>(zip_get_num_entries(archive, 0), 8); ++i) {
    const auto index = static_cast<zip_uint64_t>(i);
    zip_stat_t stat;
    zip_file_t* file = nullptr;
    if (zip_stat_index(archive, index, 0, &stat) == 0) file = zip_fopen_index(archive, index, 0);
    if (file == nullptr) continue;
    std::string contents(4096, '\0');
    const zip_int64_t count = zip_fread(file, contents.data(), contents.size());
    zip_fclose(file);
    contents.resize(static_cast<std::size_t>(std::max<zip_int64_t>(0, count)));
    entries.push_back({stat.name, contents, stat.comp_method == ZIP_CM_DEFLATE});
  }
  zip_discard(archive);
  return entries;
}

std::string write_entries(const std::vector<Entry>& entries) {
  zip_source_t* source = nullptr;
  zip_t* archive = open_buffer(nullptr, 0, ZIP_CREATE | ZIP_TRUNCATE, &source);
  if (archive == nullptr) return {};
  zip_source_keep(source);  // closing the archive would free what was written
  for (const Entry& entry : entries) {
    zip_source_t* contents =
        zip_source_buffer(archive, entry.contents.data(), entry.contents.size(), 0);
    const zip_int64_t index = zip_file_add(archive, entry.name.c_str(), contents, 0);
    if (index < 0) {
      zip_source_free(contents);  // a name that is there already, or none
      continue;
    }
    zip_set_file_compression(archive, static_cast<zip_uint64_t>(index),
                             entry.deflated ? ZIP_CM_DEFLATE : ZIP_CM_STORE, 0);
  }
  std::string bytes;
  if (zip_close(archive) != 0) {
    zip_discard(archive);
  } else if (zip_source_open(source) == 0) {
    zip_source_seek(source, 0, SEEK_END);
    bytes.resize(static_cast<std::size_t>(std::max<zip_int64_t>(0, zip_source_tell(source))));
    zip_source_seek(source, 0, SEEK_SET);
    zip_source_read(source, bytes.data(), bytes.size());
    zip_source_close(source);
  }
  zip_source_free(source);
  return bytes;
}

void mutate(std::string& text, std::size_t most) {
  const std::size_t size = std::min(text.size(), most);
  text.resize(most);
  text.resize(LLVMFuzzerMutate(reinterpret_cast<std::uint8_t*>(text.data()), size, most));
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t most, unsigned seed) {
  if (seed % 2 == 0) return LLVMFuzzerMutate(data, size, most);
  std::vector<Entry> entries = read_entries(data, size);
  if (entries.empty()) return LLVMFuzzerMutate(data, size, most);
  Entry& entry = entries[seed / 2 % entries.size()];
  if (seed / 16 % 4 == 0) {
    mutate(entry.name, 64);
  } else {
    mutate(entry.contents, 1024);
  }
  entry.deflated = seed / 64 % 2 == 0;
  const std::string written = write_entries(entries);
  if (written.empty() || written.size() > most) return LLVMFuzzerMutate(data, size, most);
  std::memcpy(data, written.data(), written.size());
  return written.size();
}

// safetensors: 8 bytes of little-endian header length, a JSON header, then the tensors' bytes
// without gaps. The header maps a name to {dtype, shape, data_offsets} and `__metadata__` to
// strings.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <nlohmann/json.hpp>
#include <tuple>
#include <utility>

#include "subquad/error.h"
#include "tensor_files/elements.h"
#include "tensor_files/formats.h"
#include "tensor_files/limits.h"
#include "texts/plain_text.h"
#include "texts/strict_json.h"

namespace subquad {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kLengthBytes = 8;
// The format's own bound: more is no header but some other file.
constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;
// Header, tensor, shape. Deeper nesting is an attack on the reader or another format. A tensor has
// at most kMaxRank extents and six values beside them.
constexpr JsonLimits kHeaderLimits = {
    .depth = 3, .values = kMaxTensors * (kMaxRank + 6), .elements = kMaxRank};

struct Entry {
  std::string name;
  Element element;
  std::vector<Index> shape;
  std::uint64_t begin, end;  ///< of its bytes, from the end of the header
};

constexpr std::array<std::pair<std::string_view, Element>, 7> kTypes = {{{"F16", Element::f16},
                                                                         {"BF16", Element::bf16},
                                                                         {"F32", Element::f32},
                                                                         {"F64", Element::f64},
                                                                         {"I32", Element::i32},
                                                                         {"I64", Element::i64},
                                                                         {"U8", Element::u8}}};

Json parse_header(std::span<const std::byte> bytes, const std::string& where) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  Json header = parse_strict_json(text, kHeaderLimits, where + ": header");
  if (!header.is_object()) throw Error(where + ": header is no JSON object");
  return header;
}

const Json& member(const Json& tensor, const char* key, const std::string& where) {
  const auto found = tensor.find(key);
  if (found == tensor.end()) throw Error(fmt::format("{}: '{}' is missing", where, key));
  return *found;
}

Element element_of(const Json& dtype, const std::string& where) {
  std::string known;
  for (const auto& [name, element] : kTypes) {
    if (dtype == name) return element;
    known += (known.empty() ? "" : ", ") + std::string(name);
  }
  throw Error(fmt::format("{}: dtype {} is not supported (known: {})", where,
                          printable(dtype.dump()), known));
}

std::vector<std::uint64_t> counts(const Json& list, const char* key, const std::string& where) {
  if (!list.is_array()) throw Error(fmt::format("{}: '{}' is no list", where, key));
  std::vector<std::uint64_t> out;
  for (const Json& value : list) {
    if (!value.is_number_unsigned() || !std::in_range<Index>(value.get<std::uint64_t>())) {
      throw Error(
          fmt::format("{}: '{}' holds {}, which is no count", where, key, printable(value.dump())));
    }
    out.push_back(value.get<std::uint64_t>());
  }
  return out;
}

Entry read_entry(const std::string& name, const Json& json, std::uint64_t data_bytes,
                 const std::string& where) {
  if (!json.is_object()) throw Error(where + ": header entry is no JSON object");
  for (const auto& item : json.items()) {
    if (item.key() != "dtype" && item.key() != "shape" && item.key() != "data_offsets") {
      throw Error(fmt::format("{}: unknown key '{}'", where, printable(item.key())));
    }
  }
  const Element element = element_of(member(json, "dtype", where), where);
  const auto extents = counts(member(json, "shape", where), "shape", where);
  const auto offsets = counts(member(json, "data_offsets", where), "data_offsets", where);
  if (offsets.size() != 2 || offsets[0] > offsets[1]) {
    throw Error(where + ": data_offsets must be [begin, end] with begin <= end");
  }
  if (offsets[1] > data_bytes) {
    throw Error(fmt::format("{}: data_offsets end at byte {}, the file holds {} bytes of data",
                            where, offsets[1], data_bytes));
  }
  std::vector<Index> shape(extents.begin(), extents.end());
  const auto bytes = tensor_bytes(shape, element);
  if (!bytes) throw Error(fmt::format("{}: shape {} overflows", where, shape_text(shape)));
  if (*bytes != offsets[1] - offsets[0]) {
    throw Error(fmt::format("{}: shape {} takes {} bytes, data_offsets give {}", where,
                            shape_text(shape), *bytes, offsets[1] - offsets[0]));
  }
  return {name, element, std::move(shape), offsets[0], offsets[1]};
}

/// The format asks that tensors cover the data without gaps; so no byte is hidden or shared.
void check_cover(std::vector<Entry>& entries, std::uint64_t data_bytes, const std::string& where) {
  std::ranges::sort(entries, [](const Entry& a, const Entry& b) {
    return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
  });
  std::uint64_t covered = 0;
  for (const Entry& entry : entries) {
    if (entry.begin != covered) {
      throw Error(fmt::format(
          "{}: tensor '{}': data begin at byte {} and {} (expected {})", where, entry.name,
          entry.begin, entry.begin < covered ? "overlap another tensor" : "leave a gap", covered));
    }
    covered = entry.end;
  }
  if (covered != data_bytes) {
    throw Error(fmt::format("{}: {} bytes after the last tensor", where, data_bytes - covered));
  }
}

std::map<std::string, std::string> read_metadata(const Json& json, const std::string& where) {
  if (!json.is_object()) throw Error(where + ": __metadata__ is no JSON object");
  std::map<std::string, std::string> out;
  for (const auto& item : json.items()) {
    if (!item.value().is_string()) {
      throw Error(fmt::format("{}: __metadata__: '{}' is no string", where, printable(item.key())));
    }
    out[item.key()] = item.value().get<std::string>();
  }
  return out;
}

}  // namespace

TensorFile parse_safetensors(std::span<const std::byte> bytes, const std::string& where) {
  if (bytes.size() < kLengthBytes) {
    throw Error(
        fmt::format("{}: {} bytes are too few for a safetensors file", where, bytes.size()));
  }
  std::uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data(), kLengthBytes);
  const std::uint64_t rest = bytes.size() - kLengthBytes;
  if (header_bytes > std::min(rest, kMaxHeaderBytes)) {
    throw Error(fmt::format("{}: header of {} bytes is longer than {}", where, header_bytes,
                            rest < kMaxHeaderBytes ? "the file" : "the format allows"));
  }
  const Json header = parse_header(bytes.subspan(kLengthBytes, header_bytes), where);
  const auto data = bytes.subspan(kLengthBytes + header_bytes);

  if (header.size() > kMaxTensors) {
    throw Error(fmt::format("{}: {} tensors are more than {}", where, header.size(), kMaxTensors));
  }
  TensorFile file;
  std::vector<Entry> entries;
  for (const auto& item : header.items()) {
    if (item.key() == "__metadata__") {
      file.metadata = read_metadata(item.value(), where);
    } else {
      check_tensor_name(item.key(), where);
      entries.push_back(read_entry(item.key(), item.value(), data.size(),
                                   fmt::format("{}: tensor '{}'", where, item.key())));
    }
  }
  check_cover(entries, data.size(), where);
  for (Entry& entry : entries) {
    file.tensors[entry.name] =
        decode(entry.element, data.subspan(entry.begin, entry.end - entry.begin),
               std::move(entry.shape), fmt::format("{}: tensor '{}'", where, entry.name));
  }
  return file;
}

}  // namespace subquad

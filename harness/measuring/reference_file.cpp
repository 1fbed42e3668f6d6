#include "measuring/reference_file.h"

#include <cstdint>
#include <cstring>
#include <string_view>

#include "records/hash.h"

namespace subquad {
namespace {

constexpr std::string_view kMagic = "subquad reference 1\n";
constexpr std::size_t kDigits = 32;

void put(std::string& bytes, std::int64_t value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

template <class T>
void put(std::string& bytes, const std::vector<T>& values) {
  static_assert(sizeof(T) == 8);
  put(bytes, static_cast<std::int64_t>(values.size()));
  bytes.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

/// Reads what `put` wrote; the checksum has been compared, so sizes are what they were.
struct Source {
  std::string_view left;

  std::int64_t number() {
    std::int64_t value = 0;
    std::memcpy(&value, left.data(), sizeof value);
    left.remove_prefix(sizeof value);
    return value;
  }
  template <class T>
  void numbers(std::vector<T>& values) {
    values.resize(static_cast<std::size_t>(number()));
    const std::size_t size = values.size() * sizeof(T);
    if (size > 0) std::memcpy(values.data(), left.data(), size);
    left.remove_prefix(size);
  }
};

}  // namespace

std::string to_bytes(const Reference& reference) {
  std::string payload;
  put(payload, reference.value_dim);
  put(payload, reference.rows);
  put(payload, std::int64_t{reference.sampled});
  put(payload, static_cast<std::int64_t>(reference.heads.size()));
  for (const ReferenceHead& head : reference.heads) {
    put(payload, head.rows);
    put(payload, head.out);
    put(payload, head.log_sum_exp);
  }
  const std::string digest = Hash().text(payload).hex();
  return std::string(kMagic) + digest + payload;
}

std::optional<Reference> reference_from_bytes(const std::string& bytes) {
  const std::size_t header = kMagic.size() + kDigits;
  if (bytes.size() < header || !bytes.starts_with(kMagic)) return {};
  const auto payload = std::string_view(bytes).substr(header);
  if (Hash().text(payload).hex() != std::string_view(bytes).substr(kMagic.size(), kDigits)) {
    return {};
  }
  Source source{payload};
  Reference reference;
  reference.value_dim = source.number();
  reference.rows = source.number();
  reference.sampled = source.number() != 0;
  reference.heads.resize(static_cast<std::size_t>(source.number()));
  for (ReferenceHead& head : reference.heads) {
    source.numbers(head.rows);
    source.numbers(head.out);
    source.numbers(head.log_sum_exp);
  }
  return reference;
}

}  // namespace subquad

// .npy: magic, version, header length, a Python dictionary such as
// {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }, then the elements
// (numpy.lib.format).

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <optional>

#include "subquad/error.h"
#include "tensor_files/elements.h"
#include "tensor_files/formats.h"
#include "tensor_files/limits.h"
#include "texts/plain_text.h"

namespace subquad {
namespace {

// Headers of plain arrays take 128 bytes; numpy itself reads no more than 10000 by default.
constexpr std::size_t kMaxHeaderBytes = 65'535;

struct NpyHeader {
  std::string descr;
  bool fortran_order = false;
  std::vector<Index> shape;
};

/// Reads the one kind of Python dictionary that numpy writes.
class NpyHeaderReader {
 public:
  NpyHeaderReader(std::string_view text, const std::string& where) : rest_(text), where_(where) {}

  NpyHeader read() {
    std::optional<std::string> descr;
    std::optional<bool> fortran_order;
    std::optional<std::vector<Index>> shape;
    expect('{');
    while (!accept('}')) {
      const std::string key = quoted();
      expect(':');
      if (key == "descr" && !descr) {
        descr = quoted();
      } else if (key == "fortran_order" && !fortran_order) {
        fortran_order = boolean();
      } else if (key == "shape" && !shape) {
        shape = tuple();
      } else {
        fail(fmt::format("unexpected key '{}'", printable(key)));
      }
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_space();
    if (!rest_.empty()) fail("text after the dictionary");
    if (!descr || !fortran_order || !shape) fail("descr, fortran_order or shape is missing");
    return {*descr, *fortran_order, *shape};
  }

 private:
  [[noreturn]] void fail(const std::string& reason) const {
    throw Error(fmt::format("{}: .npy header: {}", where_, reason));
  }
  void skip_space() {
    const auto first = rest_.find_first_not_of(" \t\n\r");
    rest_.remove_prefix(std::min(first, rest_.size()));
  }
  bool accept(char c) {
    skip_space();
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void expect(char c) {
    if (!accept(c)) fail(fmt::format("'{}' expected (structured types are not supported)", c));
  }
  std::string quoted() {
    skip_space();
    const char quote = rest_.empty() ? '\0' : rest_.front();
    if (quote != '\'' && quote != '"') fail("a quoted text expected, not a structured type");
    const auto end = rest_.find(quote, 1);
    if (end == std::string_view::npos) fail("a quoted text does not end");
    const std::string text(rest_.substr(1, end - 1));
    rest_.remove_prefix(end + 1);
    return text;
  }
  bool boolean() {
    skip_space();
    for (const std::string_view word : {"True", "False"}) {
      if (rest_.starts_with(word)) {
        rest_.remove_prefix(word.size());
        return word == "True";
      }
    }
    fail("fortran_order must be True or False");
  }
  std::vector<Index> tuple() {
    std::vector<Index> extents;
    expect('(');
    while (!accept(')')) {
      skip_space();
      Index extent = 0;
      const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), extent);
      if (error != std::errc{} || extent < 0) fail("shape holds something that is no count");
      rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
      if (extents.size() == kMaxRank) fail(fmt::format("shape has more than {} axes", kMaxRank));
      extents.push_back(extent);
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    return extents;
  }

  std::string_view rest_;
  const std::string& where_;
};

Element element_of(const std::string& descr, const std::string& where) {
  constexpr std::array<std::pair<std::string_view, Element>, 6> kTypes = {{{"f2", Element::f16},
                                                                           {"f4", Element::f32},
                                                                           {"f8", Element::f64},
                                                                           {"i4", Element::i32},
                                                                           {"i8", Element::i64},
                                                                           {"u1", Element::u8}}};
  for (const auto& [code, element] : kTypes) {
    // '|': a single byte has no order.
    const bool order = descr.starts_with('<') || (descr.starts_with('|') && code.ends_with('1'));
    if (order && std::string_view(descr).substr(1) == code) return element;
  }
  throw Error(fmt::format(
      "{}: dtype '{}' is not supported (known: <f2, <f4, <f8, <i4, <i8, |u1, little-endian)", where,
      printable(descr)));
}

/// Elements in column-major order, put into row-major order.
template <class T>
std::vector<T> transposed(const std::vector<T>& values, const std::vector<Index>& shape) {
  std::vector<T> out(values.size());
  std::vector<Index> at(shape.size(), 0), step(shape.size());
  Index product = 1;
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    step[axis] = product;
    product *= shape[axis];
  }
  Index from = 0;
  for (T& value : out) {
    value = values[from];
    for (std::size_t axis = shape.size(); axis-- > 0;) {  // last index first, like an odometer
      from += step[axis];
      if (++at[axis] < shape[axis]) break;
      from -= step[axis] * shape[axis];
      at[axis] = 0;
    }
  }
  return out;
}

}  // namespace

Array parse_npy(std::span<const std::byte> bytes, const std::string& where) {
  constexpr std::string_view kMagic = "\x93NUMPY";
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (!text.starts_with(kMagic) || text.size() < kMagic.size() + 2) {
    throw Error(where + ": does not begin as a .npy file");
  }
  const int version = static_cast<unsigned char>(text[kMagic.size()]);
  const int minor = static_cast<unsigned char>(text[kMagic.size() + 1]);
  if (version < 1 || version > 3 || minor != 0) {
    throw Error(fmt::format("{}: .npy version {}.{} is not supported (known: 1.0, 2.0, 3.0)", where,
                            version, minor));
  }
  const std::size_t length_bytes = version == 1 ? 2 : 4;
  const std::size_t begin = kMagic.size() + 2 + length_bytes;
  std::uint32_t header_bytes = 0;
  if (text.size() >= begin) {
    std::memcpy(&header_bytes, text.data() + kMagic.size() + 2, length_bytes);
  }
  if (text.size() < begin || header_bytes > text.size() - begin) {
    throw Error(where + ": ends within the .npy header");
  }
  if (header_bytes > kMaxHeaderBytes) {
    throw Error(fmt::format("{}: .npy header of {} bytes is longer than {}", where, header_bytes,
                            kMaxHeaderBytes));
  }
  NpyHeader header = NpyHeaderReader(text.substr(begin, header_bytes), where).read();
  const Element element = element_of(header.descr, where);
  const auto data = bytes.subspan(begin + header_bytes);
  const auto expected = tensor_bytes(header.shape, element);
  if (!expected) {
    throw Error(fmt::format("{}: shape {} overflows", where, shape_text(header.shape)));
  }
  if (*expected != data.size()) {
    throw Error(fmt::format("{}: shape {} takes {} bytes, the file holds {}", where,
                            shape_text(header.shape), *expected, data.size()));
  }
  Array array = decode(element, data, std::move(header.shape), where);
  if (header.fortran_order) {
    array.floats = transposed(array.floats, array.shape);
    array.integers = transposed(array.integers, array.shape);
  }
  return array;
}

}  // namespace subquad

#include "tensor_files/elements.h"

#include <fmt/format.h>

#include <Eigen/Core>
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "subquad/error.h"

namespace subquad {
namespace {

static_assert(std::endian::native == std::endian::little, "files hold little-endian numbers");

template <class T>
T load(std::span<const std::byte> bytes, std::size_t i) {
  T value;  // by memcpy: tensors of a file need not be aligned
  std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
  return value;
}

float from_half_bits(std::uint16_t bits) {
  return static_cast<float>(Eigen::numext::bit_cast<Eigen::half>(bits));
}

template <class Stored, class Convert>
std::vector<float> floats(std::span<const std::byte> bytes, Convert convert) {
  std::vector<float> out(bytes.size() / sizeof(Stored));
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = convert(load<Stored>(bytes, i));
  return out;
}

std::vector<float> narrowed_doubles(std::span<const std::byte> bytes, const std::string& where) {
  std::vector<float> out(bytes.size() / sizeof(double));
  for (std::size_t i = 0; i < out.size(); ++i) {
    const double value = load<double>(bytes, i);
    out[i] = static_cast<float>(value);
    if (std::isfinite(value) && !std::isfinite(out[i])) {
      throw Error(fmt::format("{}: element {}: {} does not fit float32", where, i, value));
    }
  }
  return out;
}

template <class Stored>
std::vector<std::int32_t> integers(std::span<const std::byte> bytes, const std::string& where) {
  std::vector<std::int32_t> out(bytes.size() / sizeof(Stored));
  for (std::size_t i = 0; i < out.size(); ++i) {
    const auto value = load<Stored>(bytes, i);
    if (!std::in_range<std::int32_t>(value)) {
      throw Error(fmt::format("{}: element {}: {} does not fit int32", where, i, value));
    }
    out[i] = static_cast<std::int32_t>(value);
  }
  return out;
}

}  // namespace

std::size_t element_bytes(Element element) {
  switch (element) {
    case Element::u8:
      return 1;
    case Element::f16:
    case Element::bf16:
      return 2;
    case Element::f32:
    case Element::i32:
      return 4;
    case Element::f64:
    case Element::i64:
      return 8;
  }
  throw std::logic_error("element_bytes: no such element");
}

std::optional<std::size_t> tensor_bytes(const std::vector<Index>& shape, Element element) {
  // Extents beside a 0 count too, because others multiply some of them, and elements may get wider
  // when they are read.
  auto widest = static_cast<Index>(element_bytes(Element::f64));
  std::size_t count = 1;
  for (const Index extent : shape) {
    if (__builtin_mul_overflow(widest, std::max<Index>(1, extent), &widest)) return std::nullopt;
    count *= static_cast<std::size_t>(extent);
  }
  return count * element_bytes(element);
}

std::string shape_text(const std::vector<Index>& shape) {
  std::string text;
  for (const Index extent : shape) text += (text.empty() ? "" : ", ") + std::to_string(extent);
  return "[" + text + "]";
}

Array decode(Element element, std::span<const std::byte> bytes, std::vector<Index> shape,
             const std::string& where) {
  if (tensor_bytes(shape, element) != bytes.size()) {
    throw std::logic_error("decode: " + where + ": bytes do not fit the shape");
  }
  Array array;
  array.shape = std::move(shape);
  switch (element) {
    case Element::f16:
      array.floats = floats<std::uint16_t>(bytes, from_half_bits);
      break;
    case Element::bf16:  // the upper half of a float32
      array.floats = floats<std::uint16_t>(bytes, [](std::uint16_t bits) {
        return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
      });
      break;
    case Element::f32:
      array.floats = floats<float>(bytes, [](float value) { return value; });
      break;
    case Element::f64:
      array.floats = narrowed_doubles(bytes, where);
      break;
    case Element::i32:
      array.integers = integers<std::int32_t>(bytes, where);
      break;
    case Element::i64:
      array.integers = integers<std::int64_t>(bytes, where);
      break;
    case Element::u8:
      array.integers = integers<std::uint8_t>(bytes, where);
      break;
  }
  array.is_integer = element == Element::i32 || element == Element::i64 || element == Element::u8;
  return array;
}

std::vector<std::byte> encode_half(std::span<const float> values, const std::string& where) {
  std::vector<std::byte> out(2 * values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto half = static_cast<Eigen::half>(values[i]);
    if (std::isfinite(values[i]) && !std::isfinite(static_cast<float>(half))) {
      throw Error(fmt::format("{}: element {}: {} does not fit float16", where, i, values[i]));
    }
    const auto bits = Eigen::numext::bit_cast<std::uint16_t>(half);
    std::memcpy(out.data() + 2 * i, &bits, 2);
  }
  return out;
}

}  // namespace subquad

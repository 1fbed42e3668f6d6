#include "models/language_weights.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>
#include <cmath>
#include <map>
#include <optional>
#include <vector>

#include "subquad/error.h"
#include "texts/plain_text.h"

namespace subquad {
namespace {

std::string name_in_layer(Index layer, const std::string& name) {
  return fmt::format("layers.{}.{}", layer, name);
}

/// That of rotary.h.
constexpr Index kRotaryBase = 10000;

/// Looks at a file's tensors and says what is wrong with them.
class Reading {
 public:
  Reading(const TensorFile& file, const std::string& path) : file_(file), path_(path) {}

  LanguageShape shape() const {
    const std::string first_up = name_in_layer(0, "feed_forward.up.weight");
    LanguageShape shape{.layers = layers(),
                        .heads = heads(),
                        .dim = 0,
                        .feed_forward = needed(first_up, "[hidden, width]").shape.front()};
    const Index width = needed("embedding.weight", "[256, width]").shape.back();
    if (width % (2 * shape.heads) != 0) {
      fail(
          fmt::format("'heads' = {} in __metadata__ does not share a width of {} in heads of even "
                      "width, which rotary positions need",
                      shape.heads, width));
    }
    shape.dim = width / shape.heads;
    check_metadata("layers", shape.layers);
    check_metadata("width", width);
    check_metadata("feed_forward", shape.feed_forward);
    check_metadata("vocabulary", kVocabulary);
    check_metadata("rotary_base", kRotaryBase);
    return shape;
  }

  /// Every tensor that belongs to a model of this shape is there, and no other.
  void check_tensors(const LanguageShape& shape) const {
    const std::map<std::string, std::vector<Index>> expected = shapes_of(shape);
    for (const auto& [name, extents] : expected) check_tensor(name, extents);
    for (const auto& [name, array] : file_.tensors) {
      if (expected.count(name) > 0) continue;
      fail(fmt::format("tensor '{}': a model of {} layers has none of this name", printable(name),
                       shape.layers));
    }
  }

 private:
  static std::map<std::string, std::vector<Index>> shapes_of(const LanguageShape& shape) {
    const Index width = shape.width(), hidden = shape.feed_forward;
    std::map<std::string, std::vector<Index>> shapes = {{"embedding.weight", {kVocabulary, width}},
                                                        {"final_norm.weight", {width}},
                                                        {"final_norm.bias", {width}},
                                                        {"head.weight", {kVocabulary, width}}};
    const std::map<std::string, std::vector<Index>> of_layer = {
        {"attention_norm.weight", {width}},
        {"attention_norm.bias", {width}},
        {"attention.qkv.weight", {3 * width, width}},
        {"attention.output.weight", {width, width}},
        {"feed_forward_norm.weight", {width}},
        {"feed_forward_norm.bias", {width}},
        {"feed_forward.up.weight", {hidden, width}},
        {"feed_forward.up.bias", {hidden}},
        {"feed_forward.down.weight", {width, hidden}},
        {"feed_forward.down.bias", {width}}};
    for (Index layer = 0; layer < shape.layers; ++layer) {
      for (const auto& [name, extents] : of_layer) {
        shapes.emplace(name_in_layer(layer, name), extents);
      }
    }
    return shapes;
  }

  /// As many as have projections, without a gap.
  Index layers() const {
    Index count = 0;
    while (file_.tensors.count(name_in_layer(count, "attention.qkv.weight")) > 0) ++count;
    if (count > 0) return count;
    fail("tensor 'layers.0.attention.qkv.weight' is missing: [3 width, width] is needed");
  }

  const Array& needed(const std::string& name, const std::string& shape) const {
    const auto found = file_.tensors.find(name);
    if (found == file_.tensors.end()) {
      fail(fmt::format("tensor '{}' is missing: {} is needed", name, shape));
    }
    if (found->second.shape.size() != 2 || found->second.count() == 0) {
      fail(fmt::format("tensor '{}' has shape {}: {} is needed", name, found->second.shape_text(),
                       shape));
    }
    return found->second;
  }

  void check_tensor(const std::string& name, const std::vector<Index>& extents) const {
    const std::string shape = fmt::format("[{}]", fmt::join(extents, ", "));
    const auto found = file_.tensors.find(name);
    if (found == file_.tensors.end()) {
      fail(fmt::format("tensor '{}' is missing: {} is needed", name, shape));
    }
    const Array& array = found->second;
    if (array.is_integer) {
      fail(fmt::format("tensor '{}' holds integers: floats are needed", name));
    }
    if (array.shape != extents) {
      fail(fmt::format("tensor '{}' has shape {}: {} is needed", name, array.shape_text(), shape));
    }
    for (std::size_t i = 0; i < array.floats.size(); ++i) {
      if (std::isfinite(array.floats[i])) continue;
      fail(fmt::format("tensor '{}' holds {} (element {}), which is not finite", name,
                       array.floats[i], i));
    }
  }

  const std::string* metadata(const std::string& key) const {
    const auto found = file_.metadata.find(key);
    return found == file_.metadata.end() ? nullptr : &found->second;
  }

  Index heads() const {
    constexpr Index kMost = 1 << 16;
    const std::string* text = metadata("heads");
    if (text == nullptr) {
      fail("__metadata__ does not say 'heads', how many of them share the width");
    }
    const std::optional<Index> heads = whole_number(*text);
    if (!heads || *heads < 1 || *heads > kMost) {
      fail(fmt::format("'heads' = '{}' in __metadata__ is no whole number from 1 to {}",
                       printable(*text), kMost));
    }
    return *heads;
  }

  void check_metadata(const std::string& key, Index actual) const {
    const std::string* text = metadata(key);
    if (text == nullptr || whole_number(*text) == actual) return;
    fail(fmt::format("'{}' = '{}' in __metadata__: {} is needed", key, printable(*text), actual));
  }

  static std::optional<Index> whole_number(const std::string& text) {
    Index number = 0;
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (code != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return number;
  }

  [[noreturn]] void fail(const std::string& what) const { throw Error(path_ + ": " + what); }

  const TensorFile& file_;
  const std::string& path_;
};

}  // namespace

Problem attention_problem(const LanguageShape& shape, Index length) {
  return {
      .queries = length, .keys = length, .dim = shape.dim, .value_dim = shape.dim, .causal = true};
}

std::string weights_path(const std::string& folder) { return folder + "/weights.safetensors"; }

LanguageWeights::LanguageWeights(const std::string& folder) {
  const std::string path = weights_path(folder);
  file_ = read_tensor_file(path);
  const Reading reading(file_, path);
  shape_ = reading.shape();
  reading.check_tensors(shape_);
}

ConstView LanguageWeights::matrix(const std::string& name) const {
  const Array& array = file_.tensors.at(name);
  return {array.floats.data(), array.shape[0], array.shape[1]};
}

std::span<const float> LanguageWeights::vector(const std::string& name) const {
  return file_.tensors.at(name).floats;
}

ConstView LanguageWeights::matrix(Index layer, const std::string& name) const {
  return matrix(name_in_layer(layer, name));
}

std::span<const float> LanguageWeights::vector(Index layer, const std::string& name) const {
  return vector(name_in_layer(layer, name));
}

std::size_t LanguageWeights::bytes() const {
  std::size_t elements = 0;
  for (const auto& [name, array] : file_.tensors) elements += array.floats.size();
  return elements * sizeof(float);
}

}  // namespace subquad

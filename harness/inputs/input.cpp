#include "inputs/input.h"

#include <algorithm>

#include "inputs/generator.h"
#include "subquad/error.h"

namespace subquad {
namespace {

/// Of a head of a sequence, in a tensor of so many heads.
ConstView matrix(const AlignedFloats& packed, Layout layout, Index sequence, Index head,
                 Index heads, Index rows, Index cols) {
  if (layout == Layout::by_head) {
    return {packed.data() + (sequence * heads + head) * rows * cols, rows, cols};
  }
  return {packed.data() + (sequence * rows * heads + head) * cols, rows, cols, heads * cols};
}

}  // namespace

ConstView LayerInput::q_of(Index sequence, Index head) const {
  return matrix(q, layout, sequence, head, heads, queries, dim);
}

ConstView LayerInput::k_of(Index sequence, Index head) const {
  return matrix(k, layout, sequence, head / (heads / key_heads), key_heads, keys, dim);
}

ConstView LayerInput::v_of(Index sequence, Index head) const {
  return matrix(v, layout, sequence, head / (heads / key_heads), key_heads, keys, value_dim);
}

ConstView LayerInput::x_of(Index sequence, Index head) const {
  if (!x.empty()) return matrix(x, x_layout, sequence, head, heads, queries, x_dim);
  return v_of(sequence, head);
}

LayerInput make_input(const Expression& expression, const InputRequest& request) {
  std::vector<std::string> names;
  for (const InputKind& kind : input_kinds()) {
    if (kind.name == expression.name) return kind.make(expression, request);
    names.emplace_back(kind.name);
  }
  std::ranges::sort(names);
  throw Error("unknown input '" + expression.name + "'" + suggestion(expression.name, names));
}

std::vector<std::string> input_files(const Expression& input) {
  std::vector<std::string> files;
  for (const Expression::Argument& argument : input.arguments) {
    if (argument.key == "path") files.push_back(argument.value);
  }
  return files;
}

std::vector<InputInfo> input_infos() {
  std::vector<InputInfo> infos;
  for (const InputKind& kind : input_kinds()) {
    infos.push_back({std::string(kind.name), std::string(kind.summary), kind.parameters()});
  }
  std::ranges::sort(infos, {}, &InputInfo::name);
  return infos;
}

}  // namespace subquad

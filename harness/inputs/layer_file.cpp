// Reads tensors q, k, v (x, lengths) of a file as the input of a layer.

#include <fmt/format.h>

#include <cmath>
#include <filesystem>

#include "inputs/input.h"
#include "subquad/error.h"
#include "tensor_files/tensor_file.h"
#include "texts/plain_text.h"

namespace subquad {
namespace {

/// Axes of a tensor of rank 2 to 4; axes that it lacks count 1.
struct Axes {
  Index batch = 1, heads = 1, rows = 0, cols = 0;
};

[[noreturn]] void fail(const std::string& path, std::string_view name, const std::string& reason) {
  throw Error(fmt::format("{}: tensor '{}': {}", path, name, reason));
}

/// "[0, 3, 17, 2]", the place of the element at `linear`.
std::string place_text(const Array& array, Index linear) {
  Array place;
  place.shape.resize(array.shape.size());
  for (std::size_t axis = array.shape.size(); axis-- > 0;) {
    place.shape[axis] = linear % array.shape[axis];
    linear /= array.shape[axis];
  }
  return place.shape_text();
}

Axes axes_of(const Array& array, const std::string& path, std::string_view name) {
  const std::size_t rank = array.shape.size();
  if (array.is_integer) fail(path, name, "holds integers, floats are needed");
  if (rank < 2 || rank > 4) {
    fail(path, name,
         fmt::format("shape {}: [batch, heads, n, dim], [heads, n, dim] or [n, dim] is needed",
                     array.shape_text()));
  }
  for (const Index extent : array.shape) {
    if (extent == 0) fail(path, name, fmt::format("shape {}: no element", array.shape_text()));
  }
  for (std::size_t i = 0; i < array.floats.size(); ++i) {
    if (std::isfinite(array.floats[i])) continue;
    fail(path, name,
         fmt::format("{} at {}, which is not finite", array.floats[i],
                     place_text(array, static_cast<Index>(i))));
  }
  Axes axes;
  axes.cols = array.shape[rank - 1];
  axes.rows = array.shape[rank - 2];
  if (rank >= 3) axes.heads = array.shape[rank - 3];
  if (rank == 4) axes.batch = array.shape[0];
  return axes;
}

/// A .npy holds one tensor, so `q.npy` (`layer3_q.npy`) stands for itself and its neighbours
/// `k.npy`, `v.npy` and, where they exist, `x.npy` and `lengths.npy`.
TensorFile read_npy_neighbours(const std::string& path) {
  const std::filesystem::path q = path;
  const std::string stem = q.stem().string();
  if (stem != "q" && !stem.ends_with("_q")) {
    throw Error(path +
                ": holds one tensor; name it q.npy (or NAME_q.npy) beside k.npy and v.npy, " +
                "or use .npz or .safetensors");
  }
  TensorFile file;
  for (const std::string name : {"q", "k", "v", "x", "lengths"}) {
    const auto other = q.parent_path() / (stem.substr(0, stem.size() - 1) + name + ".npy");
    const bool optional = name == "x" || name == "lengths";
    if (optional && !std::filesystem::exists(other)) continue;
    file.tensors.merge(read_tensor_file(other.string(), name).tensors);
  }
  return file;
}

Array& find(TensorFile& file, const std::string& path, const std::string& name) {
  const auto found = file.tensors.find(name);
  if (found != file.tensors.end()) return found->second;
  std::string names;
  for (const auto& [other, array] : file.tensors) names += (names.empty() ? "" : ", ") + other;
  names = printable(names, 200);
  throw Error(fmt::format("{}: tensor '{}' is missing ({})", path, name,
                          names.empty() ? "the file holds none" : "found: " + names));
}

std::vector<Index> read_lengths(const Array& array, const LayerInput& input,
                                const std::string& path) {
  if (array.shape != std::vector<Index>{input.batch}) {
    fail(path, "lengths",
         fmt::format("shape {}: [batch] = [{}] is needed", array.shape_text(), input.batch));
  }
  std::vector<Index> lengths;
  for (Index i = 0; i < input.batch; ++i) {
    const double value = array.is_integer ? array.integers[i] : array.floats[i];
    if (!(value >= 1 && value <= static_cast<double>(input.keys)) || value != std::floor(value)) {
      fail(path, "lengths",
           fmt::format("{} at [{}]: a whole number in 1 ... {} is needed", value, i, input.keys));
    }
    lengths.push_back(static_cast<Index>(value));
  }
  return lengths;
}

/// Throws unless `got` is `needed`, both counts of what `what` says.
void agree(const std::string& path, std::string_view name, const Array& array, const char* what,
           Index got, Index needed) {
  if (got == needed) return;
  fail(path, name,
       fmt::format("shape {}: {} = {}, {} needed", array.shape_text(), what, got, needed));
}

void check_ranks(const std::string& path, TensorFile& file) {
  const std::size_t rank = find(file, path, "q").shape.size();
  for (const char* name : {"k", "v", "x"}) {
    if (name == std::string_view("x") && !file.tensors.contains("x")) continue;
    const Array& array = find(file, path, name);
    if (array.shape.size() == rank) continue;
    fail(path, name, fmt::format("shape {}: rank {} needed, as q has", array.shape_text(), rank));
  }
}

void take_q_k_v(LayerInput& input, TensorFile& file, const std::string& path) {
  Array &q = find(file, path, "q"), &k = find(file, path, "k"), &v = find(file, path, "v");
  check_ranks(path, file);
  const Axes of_q = axes_of(q, path, "q"), of_k = axes_of(k, path, "k"),
             of_v = axes_of(v, path, "v");
  agree(path, "k", k, "batch", of_k.batch, of_q.batch);
  agree(path, "k", k, "dim", of_k.cols, of_q.cols);
  agree(path, "v", v, "batch", of_v.batch, of_q.batch);
  agree(path, "v", v, "heads", of_v.heads, of_k.heads);
  agree(path, "v", v, "n", of_v.rows, of_k.rows);
  if (of_q.heads % of_k.heads != 0) {
    fail(path, "k",
         fmt::format("shape {}: {} heads of q cannot share {} heads evenly", k.shape_text(),
                     of_q.heads, of_k.heads));
  }
  input.rank = static_cast<Index>(q.shape.size());
  input.batch = of_q.batch;
  input.heads = of_q.heads;
  input.key_heads = of_k.heads;
  input.queries = of_q.rows;
  input.keys = of_k.rows;
  input.dim = of_q.cols;
  input.value_dim = of_v.cols;
  input.q.assign(q.floats.begin(), q.floats.end());
  input.k.assign(k.floats.begin(), k.floats.end());
  input.v.assign(v.floats.begin(), v.floats.end());
}

void take_x(LayerInput& input, Array& x, const std::string& path) {
  const Axes axes = axes_of(x, path, "x");
  agree(path, "x", x, "batch", axes.batch, input.batch);
  agree(path, "x", x, "heads", axes.heads, input.heads);
  agree(path, "x", x, "n", axes.rows, input.queries);
  input.x_dim = axes.cols;
  input.x.assign(x.floats.begin(), x.floats.end());
}

std::string provenance_of(const TensorFile& file) {
  std::string text;
  for (const char* key : {"source", "regime"}) {
    const auto found = file.metadata.find(key);
    if (found == file.metadata.end()) continue;
    // A report prints it, and every record of the input holds it.
    text += (text.empty() ? "" : "; ") + printable(found->second, 1000);
  }
  return text;
}

bool says_causal(const TensorFile& file, const std::string& path) {
  const auto found = file.metadata.find("causal");
  if (found == file.metadata.end() || found->second == "false") return false;
  if (found->second == "true") return true;
  throw Error(fmt::format("{}: __metadata__: causal = '{}' is neither true nor false", path,
                          printable(found->second)));
}

}  // namespace

LayerInput read_layer_input(const std::string& path) {
  TensorFile file = path.ends_with(".npy") ? read_npy_neighbours(path) : read_tensor_file(path);
  LayerInput input;
  take_q_k_v(input, file, path);
  if (file.tensors.contains("x")) take_x(input, file.tensors["x"], path);
  if (file.tensors.contains("lengths")) {
    input.lengths = read_lengths(file.tensors["lengths"], input, path);
  }
  input.provenance = provenance_of(file);
  input.causal_regime = says_causal(file, path);
  return input;
}

}  // namespace subquad

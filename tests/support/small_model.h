#pragma once

/// A language model small enough for naive loops, with weights of its own in a folder, and those
/// loops.

#include <cmath>
#include <filesystem>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "models/language_weights.h"
#include "subquad/random.h"
#include "tensor_files/tensor_file.h"

namespace subquad {

inline constexpr Index kSmallLayers = 2, kSmallHeads = 2, kSmallDim = 6, kSmallHidden = 20;
inline constexpr Index kSmallWidth = kSmallHeads * kSmallDim;

inline Array random_array(std::vector<Index> shape, std::uint64_t seed, double std, double mean) {
  Array array;
  array.shape = std::move(shape);
  array.floats.resize(static_cast<std::size_t>(array.count()));
  Generator random(seed);
  random.normals(array.floats, std);
  for (float& value : array.floats) value += static_cast<float>(mean);
  return array;
}

/// Logits of size 1 or so, heads that attend to some keys more than to others.
inline TensorFile small_model_file() {
  TensorFile file;
  std::uint64_t seed = 100;
  const auto add = [&](const std::string& name, std::vector<Index> shape, double std,
                       double mean = 0) {
    file.tensors[name] = random_array(std::move(shape), seed++, std, mean);
  };
  const auto add_norm = [&](const std::string& name) {
    add(name + ".weight", {kSmallWidth}, 0.3, 1);
    add(name + ".bias", {kSmallWidth}, 0.3);
  };
  add("embedding.weight", {kVocabulary, kSmallWidth}, 1);
  add("head.weight", {kVocabulary, kSmallWidth}, 0.5);
  add_norm("final_norm");
  for (Index layer = 0; layer < kSmallLayers; ++layer) {
    const std::string in = "layers." + std::to_string(layer) + ".";
    add_norm(in + "attention_norm");
    add_norm(in + "feed_forward_norm");
    add(in + "attention.qkv.weight", {3 * kSmallWidth, kSmallWidth}, 0.6);
    add(in + "attention.output.weight", {kSmallWidth, kSmallWidth}, 0.4);
    add(in + "feed_forward.up.weight", {kSmallHidden, kSmallWidth}, 0.4);
    add(in + "feed_forward.up.bias", {kSmallHidden}, 0.4);
    add(in + "feed_forward.down.weight", {kSmallWidth, kSmallHidden}, 0.4);
    add(in + "feed_forward.down.bias", {kSmallWidth}, 0.4);
  }
  file.metadata = {{"heads", std::to_string(kSmallHeads)}, {"rotary_base", "10000"}};
  return file;
}

/// Every weight moved by one float epsilon, up or down: what that does to an output is what
/// rounding once on the way does to it.
inline TensorFile shaken(TensorFile file) {
  Generator random(7);
  for (auto& [name, array] : file.tensors) {
    std::vector<float> signs(array.floats.size());
    random.normals(signs, 1);
    for (std::size_t i = 0; i < signs.size(); ++i) {
      array.floats[i] *= 1 + std::copysign(std::numeric_limits<float>::epsilon(), signs[i]);
    }
  }
  return file;
}

inline void write_model(const std::filesystem::path& folder, const TensorFile& file) {
  std::filesystem::create_directories(folder);
  write_safetensors((folder / "weights.safetensors").string(), file);
}

/// The model by the book, in double: logits [bytes, 256]. sees(layer, query, key) says which keys a
/// query attends to.
class NaiveModel {
 public:
  using Sees = std::function<bool(Index layer, Index query, Index key)>;
  using Matrix = std::vector<std::vector<double>>;

  explicit NaiveModel(const TensorFile& file) : file_(file) {}

  Matrix logits(const std::vector<std::uint8_t>& bytes, const Sees& sees) const {
    Matrix x;
    for (const std::uint8_t byte : bytes) x.push_back(row("embedding.weight", byte));
    for (Index layer = 0; layer < kSmallLayers; ++layer) {
      const std::string in = "layers." + std::to_string(layer) + ".";
      add(x, times(attention(in, norm(x, in + "attention_norm"), layer, sees),
                   in + "attention.output"));
      Matrix hidden = times(norm(x, in + "feed_forward_norm"), in + "feed_forward.up");
      for (auto& values : hidden) {
        for (double& value : values) value = value * 0.5 * (1 + std::erf(value / std::sqrt(2.0)));
      }
      add(x, times(hidden, in + "feed_forward.down"));
    }
    return times(norm(x, "final_norm"), "head");
  }

 private:
  std::vector<double> row(const std::string& name, Index i) const {
    const Array& array = file_.tensors.at(name);
    const Index cols = array.shape.back();
    return {array.floats.begin() + i * cols, array.floats.begin() + (i + 1) * cols};
  }

  /// x W^T, plus a bias if there is one.
  Matrix times(const Matrix& x, const std::string& name) const {
    const Index outs = file_.tensors.at(name + ".weight").shape[0];
    const auto bias = file_.tensors.find(name + ".bias");
    Matrix product(x.size(), std::vector<double>(static_cast<std::size_t>(outs)));
    for (std::size_t o = 0; o < product.front().size(); ++o) {
      const std::vector<double> weights = row(name + ".weight", static_cast<Index>(o));
      for (std::size_t i = 0; i < x.size(); ++i) {
        double sum = bias == file_.tensors.end() ? 0 : bias->second.floats[o];
        for (std::size_t c = 0; c < weights.size(); ++c) sum += x[i][c] * weights[c];
        product[i][o] = sum;
      }
    }
    return product;
  }

  Matrix norm(const Matrix& x, const std::string& name) const {
    const std::vector<float>&gain = file_.tensors.at(name + ".weight").floats,
          &bias = file_.tensors.at(name + ".bias").floats;
    Matrix normed = x;
    for (auto& values : normed) {
      double mean = 0, variance = 0;
      for (const double value : values) mean += value / kSmallWidth;
      for (const double value : values) variance += (value - mean) * (value - mean) / kSmallWidth;
      for (std::size_t c = 0; c < values.size(); ++c) {
        values[c] = (values[c] - mean) / std::sqrt(variance + 1e-5) * gain[c] + bias[c];
      }
    }
    return normed;
  }

  /// Rotary scores by their definition: pairs are complex numbers, and the product of a query at p
  /// with the conjugate of a key at s is turned by the angle (p - s) 10000^(-2 i / dim).
  static double score(const double* q, const double* k, Index p, Index s) {
    double sum = 0;
    for (Index i = 0; i < kSmallDim / 2; ++i) {
      const double angle = static_cast<double>(p - s) * std::pow(10000.0, -2.0 * i / kSmallDim);
      const double real = q[2 * i] * k[2 * i] + q[2 * i + 1] * k[2 * i + 1];
      const double imaginary = q[2 * i + 1] * k[2 * i] - q[2 * i] * k[2 * i + 1];
      sum += real * std::cos(angle) - imaginary * std::sin(angle);
    }
    return sum / std::sqrt(static_cast<double>(kSmallDim));
  }

  Matrix attention(const std::string& in, const Matrix& x, Index layer, const Sees& sees) const {
    const Matrix qkv = times(x, in + "attention.qkv");
    const auto n = static_cast<Index>(x.size());
    Matrix out(x.size(), std::vector<double>(kSmallWidth, 0.0));
    for (Index head = 0; head < kSmallHeads; ++head) {
      const Index q = head * kSmallDim, k = kSmallWidth + q, v = 2 * kSmallWidth + q;
      for (Index i = 0; i < n; ++i) {
        std::vector<double> weights(x.size(), 0.0);
        double sum = 0;
        for (Index j = 0; j <= i; ++j) {
          if (!sees(layer, i, j)) continue;
          weights[j] = std::exp(score(qkv[i].data() + q, qkv[j].data() + k, i, j));
          sum += weights[j];
        }
        for (Index j = 0; j <= i && sum > 0; ++j) {
          for (Index c = 0; c < kSmallDim; ++c) {
            out[i][q + c] += weights[j] / sum * qkv[j][v + c];
          }
        }
      }
    }
    return out;
  }

  static void add(Matrix& x, const Matrix& more) {
    for (std::size_t i = 0; i < x.size(); ++i) {
      for (std::size_t c = 0; c < x[i].size(); ++c) x[i][c] += more[i][c];
    }
  }

  const TensorFile& file_;
};

}  // namespace subquad

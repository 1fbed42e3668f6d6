#pragma once

// Products of bf16 matrices by oneDNN's matmul primitive, and what peers round beforehand.

#include <map>
#include <mutex>
#include <oneapi/dnnl/dnnl.hpp>
#include <tuple>
#include <vector>

#include "bf16_rows.h"
#include "dense_peer.h"
#include "openmp_threads.h"

namespace subquad {

/// Relative error of rounding to the 8 significant bits of bf16.
inline constexpr double kBf16Roundoff = 0x1p-8;

inline const dnnl::engine& processor() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

/// c [m, n] float32 (+)= a [m, k] b [k, n], both bf16. Distances are those of rows and columns.
struct Bf16Shape {
  Index m, n, k, a_row, b_row, b_column, c_row;
  bool add = false;
  auto key() const { return std::tie(m, n, k, a_row, b_row, b_column, c_row, add); }
  bool operator<(const Bf16Shape& other) const { return key() < other.key(); }
};

/// A product as the library compiled it.
struct Bf16Matmul {
  dnnl::memory::desc a, b, c, scratchpad;
  dnnl::matmul product;
};

inline Bf16Matmul compile(const Bf16Shape& shape) {
  using dnnl::memory;
  using Type = memory::data_type;
  Bf16Matmul made;
  made.a = {{shape.m, shape.k}, Type::bf16, memory::dims{shape.a_row, 1}};
  made.b = {{shape.k, shape.n}, Type::bf16, memory::dims{shape.b_row, shape.b_column}};
  made.c = {{shape.m, shape.n}, Type::f32, memory::dims{shape.c_row, 1}};
  dnnl::primitive_attr attributes;
  // With the library's own a primitive would not serve several threads at a time.
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (shape.add) {
    dnnl::post_ops sum;
    sum.append_sum(1);
    attributes.set_post_ops(sum);
  }
  const dnnl::matmul::primitive_desc description(dnnl::matmul::desc(made.a, made.b, made.c),
                                                 attributes, processor());
  made.scratchpad = description.scratchpad_desc();
  made.product = dnnl::matmul(description);
  return made;
}

/// Compiled once for each shape and kept, as a framework does.
inline const Bf16Matmul& compiled(const Bf16Shape& shape) {
  static std::mutex mutex;
  static std::map<Bf16Shape, Bf16Matmul> known;
  const std::lock_guard lock(mutex);
  const auto found = known.find(shape);
  return found != known.end() ? found->second : known.emplace(shape, compile(shape)).first->second;
}

inline void multiply(const Bf16Shape& shape, const Bf16* a, const Bf16* b, float* c) {
  use_no_openmp_threads(reinterpret_cast<const void*>(&dnnl_primitive_execute));
  thread_local dnnl::stream stream(processor());
  thread_local std::vector<std::byte> scratchpad;
  const Bf16Matmul& made = compiled(shape);
  if (scratchpad.size() < made.scratchpad.get_size()) {
    scratchpad.resize(made.scratchpad.get_size());
  }
  using dnnl::memory;
  const auto wrap = [](const memory::desc& what, const void* data) {
    return memory(what, processor(), const_cast<void*>(data));
  };
  made.product.execute(stream, {{DNNL_ARG_SRC, wrap(made.a, a)},
                                {DNNL_ARG_WEIGHTS, wrap(made.b, b)},
                                {DNNL_ARG_DST, wrap(made.c, c)},
                                {DNNL_ARG_SCRATCHPAD, wrap(made.scratchpad, scratchpad.data())}});
  stream.wait();
}

/// Shared scratch that the call's Q, K and V take when rounded.
inline Scratch rounded_scratch(const Problem& problem) {
  return Scratch()
      .shared<Bf16>(problem.queries * problem.dim)
      .shared<Bf16>(problem.keys * problem.dim)
      .shared<Bf16>(problem.keys * problem.value_dim);
}

/// A matrix of the call's times `factor`, rounded, in shared scratch.
inline MatrixView<const Bf16> rounded(const Call& call, ConstView from, float factor) {
  const MatrixView<Bf16> to(call.run.shared().take<Bf16>(from.rows * from.cols).data(), from.rows,
                            from.cols);
  constexpr Index kRows = 256;
  call.run.parallel((from.rows + kRows - 1) / kRows, [&](Index tile, Worker&) {
    for (Index i = tile * kRows; i < std::min((tile + 1) * kRows, from.rows); ++i) {
      round_row(from.row(i), from.cols, factor, to.row(i));
    }
  });
  return to;
}

/// Why oneDNN multiplies no bf16 matrices here, or empty.
inline std::string refuses_bf16() {
  try {
    compiled({.m = 16, .n = 16, .k = 16, .a_row = 16, .b_row = 1, .b_column = 16, .c_row = 16});
    return {};
  } catch (const dnnl::error&) {
    return "oneDNN has no product of bf16 matrices for this processor";
  }
}

inline std::string onednn_version() {
  const dnnl_version_t& version = *dnnl_version();
  return version_text("oneDNN", {version.major, version.minor, version.patch});
}

}  // namespace subquad

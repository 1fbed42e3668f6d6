#include "libtorch/attention.h"

#include <ATen/Parallel.h>
#include <ATen/ops/_scaled_dot_product_attention.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/InferenceMode.h>
#include <torch/version.h>

#include <string>

namespace {

/// [batch, heads, rows, cols], as the function wants it.
at::Tensor tensor_of(const subquad::TorchMatrix& matrix) {
  return at::from_blob(matrix.data, {1, 1, matrix.rows, matrix.cols}, {0, 0, matrix.stride, 1},
                       at::kFloat);
}

}  // namespace

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED const char* subquad_torch_attention(subquad::TorchMatrix q, subquad::TorchMatrix k,
                                             subquad::TorchMatrix v, subquad::TorchMatrix out) {
  thread_local bool alone = false;
  thread_local std::string problem;
  try {
    if (!alone) at::set_num_threads(1);
    alone = true;
    const c10::InferenceMode no_gradients;
    const at::Tensor result =
        std::get<0>(at::_scaled_dot_product_attention(tensor_of(q), tensor_of(k), tensor_of(v)));
    tensor_of(out).copy_(result);
    return nullptr;
  } catch (const std::exception& error) {
    problem = error.what();
    return problem.c_str();
  }
}

EXPORTED const char* subquad_torch_version() { return TORCH_VERSION; }

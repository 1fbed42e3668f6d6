#pragma once

// What the library beside peer_libtorch exports. It lies between the peer and libtorch because
// libtorch's BLAS decides when it is loaded which kernels it takes, and has to be told before.

namespace subquad {

/// A matrix [rows, cols] with rows `stride` apart.
struct TorchMatrix {
  float* data;
  long rows, cols, stride;
};

/// out = softmax(Q K^T / sqrt(dim)) V on the calling thread alone. Returns null, or what went
/// wrong, which lasts until the thread's next call.
using TorchAttention = const char* (*)(TorchMatrix q, TorchMatrix k, TorchMatrix v,
                                       TorchMatrix out);
inline constexpr const char* kTorchAttention = "subquad_torch_attention";
/// "1.13.1".
using TorchVersion = const char* (*)();
inline constexpr const char* kTorchVersion = "subquad_torch_version";

}  // namespace subquad

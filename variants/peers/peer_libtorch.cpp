// peer_libtorch: dense attention by PyTorch's own function, one head at a time
// (`_scaled_dot_product_attention`; in 1.13, which Debian has, that is the product of Q and K^T,
// the softmax of the whole n x n matrix, and the product with V).
//
// Set as well as a user can set it: AVX-512 kernels, of libtorch's own and of OpenBLAS where that
// is the system's BLAS, and a heap that keeps large blocks instead of mapping them anew in every
// call.
//
// Causal problems are refused: 1.13 adds its mask to the scores, so a later token's NaN reaches
// earlier queries; and so is any scale but its own.

#include <dlfcn.h>
#include <malloc.h>

#include <cstdlib>
#include <limits>
#include <stdexcept>

#include "dense_peer.h"
#include "libtorch/attention.h"

namespace subquad {
namespace {

class Torch {
 public:
  static const Torch& instance() {
    static const Torch library;
    return library;
  }
  TorchAttention attention;
  TorchVersion version;

 private:
  Torch() {
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")) {
      ::setenv("OPENBLAS_CORETYPE", "SKYLAKEX", 0);
      ::setenv("ATEN_CPU_CAPABILITY", "avx512", 0);
    }
    ::setenv("OPENBLAS_NUM_THREADS", "1", 1);
    ::mallopt(M_MMAP_MAX, 0);
    ::mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
    void* const library = ::dlopen(SUBQUAD_TORCH_CALLS, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) throw std::runtime_error(std::string("libtorch: ") + ::dlerror());
    attention = reinterpret_cast<TorchAttention>(::dlsym(library, kTorchAttention));
    version = reinterpret_cast<TorchVersion>(::dlsym(library, kTorchVersion));
    if (attention == nullptr || version == nullptr) {
      throw std::runtime_error(std::string("libtorch: ") + ::dlerror());
    }
  }
};

class PeerLibtorch final : public DensePeer {
 public:
  bool gives_log_sum_exp() const override { return false; }
  std::string library() const override {
    return std::string("PyTorch ") + Torch::instance().version();
  }

  std::string refuses(const Problem& problem) const override {
    if (problem.causal) return "PyTorch's mask lets a later token's NaN reach earlier queries";
    if (problem.scale != 0) return "PyTorch's function has a scale of its own, 1 / sqrt(dim)";
    return {};
  }

  void forward(const Call& call) const override {
    const Torch& torch = Torch::instance();
    call.run.parallel(1, [&](Index, Worker& worker) {
      const char* problem =
          torch.attention(matrix(call.q), matrix(call.k), matrix(call.v), matrix(call.out));
      if (problem != nullptr) throw std::runtime_error(problem);
      worker.executed += cost(call.problem).useful;
    });
  }

 private:
  static TorchMatrix matrix(ConstView view) {
    return {const_cast<float*>(view.data), view.rows, view.cols, view.stride};
  }
};

SUBQUAD_VARIANT(PeerLibtorch, {.name = "peer_libtorch",
                               .summary = "dense by PyTorch's scaled_dot_product_attention",
                               .citation = "arXiv:1706.03762",
                               .time = "n^2 d",
                               .memory = "n^2"});

}  // namespace
}  // namespace subquad

// peer_openblas: dense attention as a loop over OpenBLAS's `cblas_sgemm`, with tiles of queries
// against blocks of keys, or (block_keys=0) a block of query rows against all keys at once.
//
// Debian's OpenBLAS knows fewer processors than there are and may take kernels of an older kind
// (0.3.21: AVX2 ones on Sapphire Rapids). What it takes is decided when it is loaded, so it is
// loaded from here, after it has been told; a user who sets OPENBLAS_CORETYPE is obeyed.

#include <cblas.h>
#include <dlfcn.h>

#include <cstdlib>
#include <stdexcept>
#include <string>

#include "blocked_attention.h"

namespace subquad {
namespace {

const char* suitable_core() {
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")) return "SKYLAKEX";
  return nullptr;
}

class OpenBlas {
 public:
  static const OpenBlas& instance() {
    static const OpenBlas library;
    return library;
  }

  decltype(&cblas_sgemm) sgemm;
  decltype(&openblas_get_config) config;
  decltype(&openblas_get_corename) core;

 private:
  OpenBlas() {
    // Single-threaded: tiles are spread over the harness's threads.
    ::setenv("OPENBLAS_NUM_THREADS", "1", 1);
    if (const char* core = suitable_core()) ::setenv("OPENBLAS_CORETYPE", core, 0);
    void* const library = ::dlopen(SUBQUAD_OPENBLAS, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) throw std::runtime_error(std::string("OpenBLAS: ") + ::dlerror());
    find(library, "cblas_sgemm", sgemm);
    find(library, "openblas_get_config", config);
    find(library, "openblas_get_corename", core);
  }

  template <class Function>
  static void find(void* library, const char* name, Function& function) {
    function = reinterpret_cast<Function>(::dlsym(library, name));
    if (function == nullptr) throw std::runtime_error(std::string("OpenBLAS: ") + ::dlerror());
  }
};

class OpenBlasProduct final : public FloatProduct {
 public:
  using FloatProduct::FloatProduct;

  void scores(Rows queries, Rows keys, View scores) const {
    multiply(CblasTrans, call_.q.row_range(queries.begin, queries.count), call_.k.row(keys.begin),
             call_.k.stride, factor_, 0, scores);
  }
  void values(ConstView weights, ConstView values, bool add, View out) const {
    multiply(CblasNoTrans, weights, values.data, values.stride, 1, add ? 1.0f : 0.0f, out);
  }

 private:
  void multiply(CBLAS_TRANSPOSE form, ConstView a, const float* b, Index b_stride, float alpha,
                float beta, View c) const {
    const auto size = [](Index count) { return static_cast<blasint>(count); };
    library_.sgemm(CblasRowMajor, CblasNoTrans, form, size(c.rows), size(c.cols), size(a.cols),
                   alpha, a.data, size(a.stride), b, size(b_stride), beta, c.data, size(c.stride));
  }
  const OpenBlas& library_ = OpenBlas::instance();
};

class PeerOpenBlas final : public BlockedAttention<OpenBlasProduct> {
 public:
  PeerOpenBlas() : BlockedAttention(0, 512) {}
  /// The processor, in its words, whose kernels it takes.
  std::string library() const override {
    const std::string config = library_.config();  // "OpenBLAS 0.3.21 NO_LAPACKE ..."
    return config.substr(0, config.find(' ', config.find(' ') + 1)) + " (" + library_.core() + ")";
  }

 private:
  const OpenBlas& library_ = OpenBlas::instance();
};

SUBQUAD_VARIANT(PeerOpenBlas, {.name = "peer_openblas",
                               .summary = "dense by OpenBLAS's sgemm, in tiles",
                               .citation = "arXiv:2112.05682",
                               .time = "n^2 d",
                               .memory = "block_queries block_keys"});

}  // namespace
}  // namespace subquad

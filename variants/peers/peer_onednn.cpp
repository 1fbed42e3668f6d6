// peer_onednn: dense attention as a loop over oneDNN's float32 matrix product (`dnnl_sgemm`), as
// newer PyTorch runs it on CPUs: tiles of queries against blocks of keys, or (block_keys=0) a block
// of query rows against all keys at once.
//
// The library is single-threaded here: tiles are spread over the harness's threads.

#include <oneapi/dnnl/dnnl.h>

#include <stdexcept>

#include "blocked_attention.h"
#include "openmp_threads.h"

namespace subquad {
namespace {

class OneDnnProduct final : public FloatProduct {
 public:
  using FloatProduct::FloatProduct;

  void scores(Rows queries, Rows keys, View scores) const {
    multiply('T', call_.q.row_range(queries.begin, queries.count), call_.k.row(keys.begin),
             call_.k.stride, factor_, 0, scores);
  }
  void values(ConstView weights, ConstView values, bool add, View out) const {
    multiply('N', weights, values.data, values.stride, 1, add ? 1.0f : 0.0f, out);
  }

 private:
  static void multiply(char form, ConstView a, const float* b, Index b_stride, float alpha,
                       float beta, View c) {
    use_no_openmp_threads(reinterpret_cast<const void*>(&dnnl_sgemm));
    const dnnl_status_t status = dnnl_sgemm('N', form, c.rows, c.cols, a.cols, alpha, a.data,
                                            a.stride, b, b_stride, beta, c.data, c.stride);
    if (status != dnnl_success) throw std::runtime_error("dnnl_sgemm failed");
  }
};

class PeerOneDnn final : public BlockedAttention<OneDnnProduct> {
 public:
  PeerOneDnn() : BlockedAttention(0, 512) {}
  std::string library() const override {
    const dnnl_version_t& version = *dnnl_version();
    return version_text("oneDNN", {version.major, version.minor, version.patch});
  }
};

SUBQUAD_VARIANT(PeerOneDnn, {.name = "peer_onednn",
                             .summary = "dense by oneDNN's sgemm, blocked as newer PyTorch does",
                             .citation = "arXiv:2112.05682",
                             .time = "n^2 d",
                             .memory = "block_queries block_keys"});

}  // namespace
}  // namespace subquad

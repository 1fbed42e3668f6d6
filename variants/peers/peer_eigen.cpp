// peer_eigen: dense attention as a loop over Eigen's float32 matrix products, with tiles of queries
// against blocks of keys, or (block_keys=0) a block of query rows against all keys at once.

// As Eigen is by default: the rest of the build forbids it large temporaries on the stack, which
// would send it to the heap at every product.
#undef EIGEN_STACK_ALLOCATION_LIMIT
#define EIGEN_DONT_PARALLELIZE

#include "blocked_attention.h"
#include "subquad/eigen.h"

namespace subquad {
namespace {

class EigenProduct final : public FloatProduct {
 public:
  using FloatProduct::FloatProduct;

  void scores(Rows queries, Rows keys, View scores) const {
    as_eigen(scores).noalias() = factor_ *
                                 as_eigen(call_.q.row_range(queries.begin, queries.count)) *
                                 as_eigen(call_.k.row_range(keys.begin, keys.count)).transpose();
  }
  void values(ConstView weights, ConstView values, bool add, View out) const {
    if (add) {
      as_eigen(out).noalias() += as_eigen(weights) * as_eigen(values);
    } else {
      as_eigen(out).noalias() = as_eigen(weights) * as_eigen(values);
    }
  }

 private:
};

class PeerEigen final : public BlockedAttention<EigenProduct> {
 public:
  PeerEigen() : BlockedAttention(0, 512) {}
  std::string library() const override {
    return version_text("Eigen", {EIGEN_WORLD_VERSION, EIGEN_MAJOR_VERSION, EIGEN_MINOR_VERSION});
  }
};

SUBQUAD_VARIANT(PeerEigen, {.name = "peer_eigen",
                            .summary = "dense by Eigen's products, in tiles",
                            .citation = "arXiv:2112.05682",
                            .time = "n^2 d",
                            .memory = "block_queries block_keys"});

}  // namespace
}  // namespace subquad

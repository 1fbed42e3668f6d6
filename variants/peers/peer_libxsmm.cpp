// peer_libxsmm: dense attention with a running maximum and sum over tiles that libxsmm compiles
// just in time. Nothing that a user could pick ready-made: an upper reference, which tells how much
// of a machine well-generated tile products leave to such a loop.
//
// libxsmm compiles no product with the keys transposed, so K is transposed beforehand, once a call,
// in panels of consecutive keys, with the factor of the scores in it.

#include <libxsmm.h>

#include <stdexcept>

#include "blocked_attention.h"

namespace subquad {
namespace {

/// Keys of a panel.
constexpr Index kPanel = 128;

class LibxsmmProduct final : public FloatProduct {
 public:
  static Scratch scratch(const Problem& problem) {
    return Scratch().shared<float>(panels(problem) * kPanel * problem.dim);
  }

  LibxsmmProduct(const Call& call, float factor)
      : FloatProduct(call, factor),
        keys_(call.run.shared()
                  .take<float>(panels(call.problem) * kPanel * call.problem.dim)
                  .data()) {
    call.run.parallel(panels(call.problem), [&](Index panel, Worker&) {
      const Index begin = panel * kPanel;
      const Index count = std::min(kPanel, call.problem.keys - begin);
      for (Index c = 0; c < call.problem.dim; ++c) {
        float* const to = panel_of(begin) + c * kPanel;
        for (Index j = 0; j < count; ++j) to[j] = factor * call.k(begin + j, c);
      }
    });
  }

  void scores(Rows queries, Rows keys, View scores) const {
    const ConstView q = call_.q.row_range(queries.begin, queries.count);
    const Index end = keys.begin + keys.count;
    for (Index begin = keys.begin; begin < end;) {
      const Index next = std::min(end, (begin / kPanel + 1) * kPanel);
      multiply(q, {panel_of(begin) + begin % kPanel, q.cols, next - begin, kPanel}, false,
               scores.col_range(begin - keys.begin, next - begin));
      begin = next;
    }
  }

  void values(ConstView weights, ConstView values, bool add, View out) const {
    multiply(weights, values, add, out);
  }

 private:
  static Index panels(const Problem& problem) { return (problem.keys + kPanel - 1) / kPanel; }
  float* panel_of(Index key) const { return keys_ + key / kPanel * kPanel * call_.problem.dim; }

  /// c (+)= a b. libxsmm counts columns first, so that it sees c^T = b^T a^T.
  static void multiply(ConstView a, ConstView b, bool add, View c) {
    const auto size = [](Index count) { return static_cast<libxsmm_blasint>(count); };
    const libxsmm_blasint strides[] = {size(b.stride), size(a.stride), size(c.stride)};
    const float alpha = 1, beta = add ? 1 : 0;
    const libxsmm_smmfunction kernel =
        libxsmm_smmdispatch(size(c.cols), size(c.rows), size(a.cols), &strides[0], &strides[1],
                            &strides[2], &alpha, &beta, nullptr, nullptr);
    if (kernel == nullptr) throw std::runtime_error("libxsmm has no kernel for this product");
    kernel(b.data, a.data, c.data);
  }

  float* keys_;  ///< [panels, dim, kPanel]
};

class PeerLibxsmm final : public BlockedAttention<LibxsmmProduct> {
 public:
  PeerLibxsmm() : BlockedAttention(64, 128) {}
  std::string library() const override {
    return version_text("libxsmm",
                        {LIBXSMM_VERSION_MAJOR, LIBXSMM_VERSION_MINOR, LIBXSMM_VERSION_UPDATE}) +
           " (" + libxsmm_get_target_arch() + ")";
  }
};

SUBQUAD_VARIANT(PeerLibxsmm, {.name = "peer_libxsmm",
                              .summary = "dense over tiles that libxsmm compiles: upper reference",
                              .citation = "arXiv:2112.05682",
                              .time = "n^2 d",
                              .memory = "n d"});

}  // namespace
}  // namespace subquad

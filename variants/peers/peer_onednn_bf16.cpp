// peer_onednn_bf16: dense attention as a loop over oneDNN's bf16 matrix products (its matmul
// primitive; AMX where the processor has it), with tiles of queries against blocks of keys, or
// (block_keys=0) a block of query rows, or all of them, against all keys at once.
//
// Q, K and V are rounded to bf16 in every call, with the factor of the scores in Q, and so are the
// weights; scores, maxima, sums and the output are float32. What the rounding of Q, K and V costs
// shows in the difference between conversions=2, which does it twice, and conversions=1.

#include "blocked_attention.h"
#include "onednn_bf16.h"

namespace subquad {
namespace {

class Bf16Product {
 public:
  using Values = MatrixView<const Bf16>;
  static constexpr bool kBf16 = true;

  static Scratch scratch(const Problem& problem) { return rounded_scratch(problem); }

  Bf16Product(const Call& call, float factor)
      : queries_(rounded(call, call.q, factor)),
        keys_(rounded(call, call.k, 1)),
        values_(rounded(call, call.v, 1)) {}

  void scores(Rows queries, Rows keys, View scores) const {
    multiply({.m = scores.rows,
              .n = scores.cols,
              .k = queries_.cols,
              .a_row = queries_.stride,
              .b_row = 1,
              .b_column = keys_.stride,
              .c_row = scores.stride},
             queries_.row(queries.begin), keys_.row(keys.begin), scores.data);
  }

  void values(ConstView weights, Values values, bool add, View out) const {
    multiply({.m = out.rows,
              .n = out.cols,
              .k = weights.cols,
              .a_row = weights.cols,
              .b_row = values.stride,
              .b_column = 1,
              .c_row = out.stride,
              .add = add},
             reinterpret_cast<const Bf16*>(weights.data), values.data, out.data);
  }

  Values values_of(Rows keys) const { return values_.row_range(keys.begin, keys.count); }
  static Values converted(ConstView values) {
    thread_local std::vector<Bf16> memory;
    memory.resize(static_cast<std::size_t>(values.rows * values.cols));
    for (Index j = 0; j < values.rows; ++j) {
      round_row(values.row(j), values.cols, 1, memory.data() + j * values.cols);
    }
    return {memory.data(), values.rows, values.cols};
  }
  /// Rounded rows close up: the library has its fast kernels for rows without gaps only.
  static void convert_weights(View weights, Index r) {
    round_row(weights.row(r), weights.cols, 1,
              reinterpret_cast<Bf16*>(weights.data) + r * weights.cols);
  }
  static float weight(ConstView weights, Index r, Index key) {
    return to_float(reinterpret_cast<const Bf16*>(weights.data)[r * weights.cols + key]);
  }

 private:
  Values queries_, keys_, values_;
};

class PeerOneDnnBf16 final : public BlockedAttention<Bf16Product> {
 public:
  PeerOneDnnBf16() : BlockedAttention(256, 512) {}

  void parameters(Parameters& visit) override {
    BlockedAttention::parameters(visit);
    visit("conversions", conversions_, between(1, 8),
          "times that Q, K and V are rounded to bf16, so that what once takes can be told");
  }

  double operand_roundoff() const override { return kBf16Roundoff; }
  std::string refuses(const Problem&) const override { return refuses_bf16(); }

  void forward(const Call& call) const override {
    const std::size_t mark = call.run.shared().used();
    for (Index i = 1; i < conversions_; ++i) {
      Bf16Product(call, 1);
      call.run.shared().rewind(mark);
    }
    BlockedAttention::forward(call);
  }

  std::string library() const override { return onednn_version(); }

 private:
  Index conversions_ = 1;
};

SUBQUAD_VARIANT(PeerOneDnnBf16, {.name = "peer_onednn_bf16",
                                 .summary = "dense by oneDNN's bf16 products, in tiles",
                                 .citation = "arXiv:2112.05682",
                                 .time = "n^2 d",
                                 .memory = "n d + block_queries block_keys"});

}  // namespace
}  // namespace subquad

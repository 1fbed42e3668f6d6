// peer_onednn_primitives: dense attention as three primitives of oneDNN in bf16 (AMX where the
// processor has it), a block of query rows, or all of them, at a time:
//
//   S = Q K^T (bf16 to float32);   P = softmax of each row (float32, then to bf16);   out = P V
//
// What one writes with the library alone; peer_onednn_bf16 has faster rows between its products.
// Rounding Q, K and V to bf16 belongs to the call. The softmax primitive knows no mask and does not
// tell its sums, so there is no causal form and no log-sum-exp.

#include "onednn_bf16.h"

namespace subquad {
namespace {

using dnnl::memory;

/// Softmax of the rows of a dense matrix [rows, keys] and its rounding, as the library compiled
/// them.
struct Rows16 {
  memory::desc scores, weights;
  dnnl::softmax_forward softmax;
  dnnl::reorder to_bf16;
};

Rows16 compile_rows(Index rows, Index keys) {
  using Type = memory::data_type;
  using Format = memory::format_tag;
  Rows16 made;
  made.scores = {{rows, keys}, Type::f32, Format::ab};
  made.weights = {{rows, keys}, Type::bf16, Format::ab};
  made.softmax = dnnl::softmax_forward(
      {dnnl::softmax_forward::desc(dnnl::prop_kind::forward_inference, made.scores, 1),
       processor()});
  made.to_bf16 = dnnl::reorder({processor(), made.scores, processor(), made.weights});
  return made;
}

const Rows16& compiled_rows(Index rows, Index keys) {
  static std::mutex mutex;
  static std::map<std::pair<Index, Index>, Rows16> known;
  const std::lock_guard lock(mutex);
  const auto found = known.find({rows, keys});
  if (found != known.end()) return found->second;
  return known.emplace(std::pair(rows, keys), compile_rows(rows, keys)).first->second;
}

void softmax_rows(Index rows, Index keys, float* scores, Bf16* weights) {
  thread_local dnnl::stream stream(processor());
  const Rows16& made = compiled_rows(rows, keys);
  const memory from(made.scores, processor(), scores), to(made.weights, processor(), weights);
  made.softmax.execute(stream, {{DNNL_ARG_SRC, from}, {DNNL_ARG_DST, from}});
  made.to_bf16.execute(stream, {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}});
  stream.wait();
}

class PeerOneDnnPrimitives final : public DensePeer {
 public:
  void parameters(Parameters& visit) override {
    visit("block_queries", block_queries_, at_least(0), "query rows of a block; 0: all");
  }

  bool gives_log_sum_exp() const override { return false; }
  double operand_roundoff() const override { return kBf16Roundoff; }
  std::string library() const override { return onednn_version(); }

  std::string refuses(const Problem& problem) const override {
    if (problem.causal) return "oneDNN's softmax primitive knows no mask";
    return refuses_bf16();
  }

  Scratch scratch(const Problem& problem) const override {
    const Index pairs = block_rows(problem) * problem.keys;
    return rounded_scratch(problem).worker<float>(pairs).worker<Bf16>(pairs);
  }

  void forward(const Call& call) const override {
    const Problem& problem = call.problem;
    const auto q = rounded(call, call.q, static_cast<float>(problem.score_scale()));
    const auto k = rounded(call, call.k, 1), v = rounded(call, call.v, 1);
    const Index rows = block_rows(problem);
    call.run.parallel((problem.queries + rows - 1) / rows, [&](Index block, Worker& worker) {
      const Index begin = block * rows, count = std::min(rows, problem.queries - begin);
      float* const scores = worker.scratch.take<float>(count * problem.keys).data();
      Bf16* const weights = worker.scratch.take<Bf16>(count * problem.keys).data();
      multiply({.m = count,
                .n = problem.keys,
                .k = problem.dim,
                .a_row = q.stride,
                .b_row = 1,
                .b_column = k.stride,
                .c_row = problem.keys},
               q.row(begin), k.data, scores);
      softmax_rows(count, problem.keys, scores, weights);
      multiply({.m = count,
                .n = problem.value_dim,
                .k = problem.keys,
                .a_row = problem.keys,
                .b_row = v.stride,
                .b_column = 1,
                .c_row = call.out.stride},
               weights, v.data, call.out.row(begin));
      const double pairs = static_cast<double>(count) * static_cast<double>(problem.keys);
      worker.executed.multiply_adds += pairs * static_cast<double>(problem.dim + problem.value_dim);
      worker.executed.exponentials += pairs;
    });
  }

 private:
  Index block_rows(const Problem& problem) const {
    return block_queries_ == 0 ? problem.queries : std::min(block_queries_, problem.queries);
  }

  Index block_queries_ = 128;
};

SUBQUAD_VARIANT(PeerOneDnnPrimitives,
                {.name = "peer_onednn_primitives",
                 .summary = "dense by oneDNN's bf16 matmul and softmax primitives",
                 .citation = "arXiv:1706.03762",
                 .time = "n^2 d",
                 .memory = "n d + block_queries n"});

}  // namespace
}  // namespace subquad

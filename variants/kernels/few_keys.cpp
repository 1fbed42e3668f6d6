#include "kernels/few_keys.h"

#include <algorithm>

namespace subquad {
namespace {

Index tile_rows(Index queries, Index dim, Index value_dim) {
  return softmax_tile_rows(queries, dim, value_dim, Precision::f32);
}

}  // namespace

FewKeys::FewKeys(std::span<const std::byte> prepared, Index rows, const Problem& problem) {
  Arena arena(const_cast<std::byte*>(prepared.data()), prepared.size());
  *this = FewKeys(arena, rows, problem);
}

void attend_all(SoftmaxOperands operands, Run& run) {
  const Index queries = operands.q.rows;
  const Index rows = tile_rows(queries, operands.q.cols, operands.v.cols);
  if (queries > rows) pack_keys(operands, run);
  run.parallel((queries + rows - 1) / rows, [&](Index tile, Worker& worker) {
    KeySpan spans[1];
    KeyPlan plan(operands.k.rows, spans, {});
    plan.all(0, operands.k.rows);
    const Index begin = tile * rows;
    streaming_softmax(operands, {begin, std::min(rows, queries - begin)}, plan, nullptr, worker);
  });
}

void declare_attend_all(Index queries, Index keys, Index dim, Index value_dim, Scratch& scratch) {
  const Index rows = tile_rows(queries, dim, value_dim);
  if (queries > rows) declare_packed_keys(keys, dim, value_dim, Precision::f32, scratch);
  scratch.worker_bytes = std::max(scratch.worker_bytes,
                                  softmax_scratch_bytes(std::min(rows, queries), dim, value_dim));
}

}  // namespace subquad

#include "kernels/sampled_blocks.h"

#include <cmath>

#include "kernels/hashing.h"
#include "kernels/prefetch-inl.h"
#include "kernels/streaming_softmax.h"

namespace subquad {
namespace {

using Numbers = std::span<const std::int32_t>;

/// Adds the logarithm of a key's weight to its score.
class KeyWeights final : public ScoreEdit {
 public:
  KeyWeights(Numbers keys, const float* logs) : keys_(keys), logs_(logs) {}

  void edit(Index, Numbers keys, float* scores) const override {
    if (keys_[found_] != keys.front()) {  // mostly it is the block of the query before
      found_ = std::lower_bound(keys_.begin(), keys_.end(), keys.front()) - keys_.begin();
    }
    const float* const logs = logs_ + found_;
    const auto count = static_cast<Index>(keys.size());
    for (Index j = 0; j < count; ++j) scores[j] += logs[j];
  }

 private:
  Numbers keys_;
  const float* logs_;
  mutable Index found_ = 0;
};

/// One side of the squares of a level.
struct Side {
  Numbers places;
  std::span<std::int32_t> order;   ///< tokens of each square by (block, position)
  std::span<std::int32_t> blocks;  ///< of each token
};

class Pass {
 public:
  Pass(const SampledBlocks& shape, const Call& call, Numbers query_places, Numbers key_places,
       Numbers drawn)
      : shape_(shape),
        call_(call),
        drawn_(drawn),
        rows_(shape.tile_rows()),
        worker_bytes_(static_cast<Index>(shape.scratch().worker_bytes)) {
    Arena& arena = call.run.shared();
    const auto side = [&](Numbers places) -> Side {
      const auto count = static_cast<Index>(places.size());
      return {places, arena.take<std::int32_t>(count), arena.take<std::int32_t>(count)};
    };
    queries_ = side(query_places);
    keys_ = side(key_places);
    operands_ = {.q = call.q,
                 .k = call.k,
                 .v = call.v,
                 .out = call.out,
                 .scale = static_cast<float>(call.problem.score_scale()),
                 .precision = shape.precision};
    if (call.problem.causal && shape.levels() > 0) {
      operands_.row_log_sum_exp = arena.take<float>(call.problem.queries).data();
    }
  }

  void run() {
    if (call_.problem.causal) {
      operands_.causal = true;
      for (Index level = 0; level <= shape_.levels(); ++level) attend_exactly(level);
      operands_.causal = false;
      operands_.merge = true;
    }
    for (Index level = 0; level < shape_.levels(); ++level) {
      sort_level(level);
      attend_level(level);
    }
  }

 private:
  /// What is taken shall not depend on which samples lie in which block.
  void reserve(Worker& worker) const {
    worker.scratch.take<std::byte>(worker_bytes_);
    worker.scratch.rewind(0);
  }

  /// Pieces of a level that are short enough.
  void attend_exactly(Index level) const {
    const Index keys = call_.problem.keys;
    const Index tiles = (std::min(shape_.min_length, keys) + rows_ - 1) / rows_;
    call_.run.parallel(shape_.count(level) * tiles, [&](Index number, Worker& worker) {
      const Segment piece = shape_.piece(level, number / tiles);
      const Index begin = piece.begin + number % tiles * rows_;
      if (piece.size() > shape_.min_length || begin >= piece.end) return;
      reserve(worker);
      KeySpan span;
      KeyPlan plan(keys, {&span, 1}, {});
      plan.all(piece.begin, piece.end);
      streaming_softmax(operands_, {begin, std::min(rows_, piece.end - begin)}, plan, nullptr,
                        worker);
    });
  }

  void sort_level(Index level) const {
    call_.run.parallel(2 * shape_.count(level), [&](Index number, Worker& worker) {
      const Square square = shape_.square(level, number / 2);
      if (square.blocks == 0) return;
      if (number % 2 == 0) {
        sort(square, square.queries, queries_, worker);
      } else {
        sort(square, square.keys, keys_, worker);
      }
    });
  }

  void sort(const Square& square, const Segment& range, const Side& side, Worker& worker) const {
    const std::span<std::int32_t> blocks = range.of(side.blocks), order = range.of(side.order);
    const std::span<std::int32_t> ends =
        worker.scratch.take<std::int32_t>(std::max(shape_.places, square.blocks));
    sort_by_bucket(range.of(side.places), order,
                   ends.first(static_cast<std::size_t>(shape_.places)));
    for (Index block = 0; block < square.blocks; ++block) {
      for (const std::int32_t token : square.part(range, block).of(order)) {
        blocks[token] = static_cast<std::int32_t>(block);
      }
    }
    sort_by_bucket(blocks, order, ends.first(static_cast<std::size_t>(square.blocks)));
    for (std::int32_t& token : order) token += static_cast<std::int32_t>(range.begin);
  }

  void attend_level(Index level) const {
    Index most_blocks = 0, most_queries = 0;
    for (Index i = 0; i < shape_.count(level); ++i) {
      const Square square = shape_.square(level, i);
      if (square.blocks == 0) continue;
      most_blocks = std::max(most_blocks, square.blocks);
      most_queries =
          std::max(most_queries, (square.queries.size() + square.blocks - 1) / square.blocks);
    }
    const Index tiles = (most_queries + rows_ - 1) / rows_;
    const Index all = shape_.count(level) * most_blocks * tiles;
    call_.run.parallel(all, [&](Index number, Worker& worker) {
      const Square square = shape_.square(level, number / tiles / most_blocks);
      const Index block = number / tiles % most_blocks;
      if (block >= square.blocks) return;
      const Segment queries = square.part(square.queries, block);
      const Index begin = queries.begin + number % tiles * rows_;
      if (begin >= queries.end) return;
      const Segment tile{begin, std::min(begin + rows_, queries.end)};
      attend(square, block, tile.of(square.queries.of(Numbers(queries_.order))), worker);
    });
  }

  void attend(const Square& square, Index block, Numbers queries, Worker& worker) const {
    reserve(worker);
    prefetch_rows(call_.q, queries);
    prefetch_rows(call_.out, queries);
    const Numbers own = square.part(square.keys, block).of(square.keys.of(Numbers(keys_.order)));
    const Numbers drawn = drawn_.empty() ? drawn_ : shape_.samples_of(square, drawn_);
    const auto most = static_cast<Index>(own.size() + drawn.size());
    const std::span<std::int32_t> keys = worker.scratch.take<std::int32_t>(most);
    float* const logs = worker.scratch.take<float>(most).data();

    // Both lists ascend. What a sample counts is known only when all of them were looked at.
    const Numbers blocks = square.keys.of(Numbers(keys_.blocks));
    Index count = 0, outside = 0;
    auto next = own.begin();
    const auto take = [&](std::int32_t key, float sampled) {
      logs[count] = sampled;
      keys[count++] = key;
    };
    for (const std::int32_t sample : drawn) {
      if (blocks[sample] == block) continue;
      const auto key = static_cast<std::int32_t>(square.keys.begin + sample);
      while (next != own.end() && *next < key) take(*next++, 0);
      take(key, 1);
      ++outside;
    }
    while (next != own.end()) take(*next++, 0);
    if (outside > 0) {
      const auto log = static_cast<float>(shape_.log_weight(
          square, static_cast<Index>(own.size()), outside, static_cast<Index>(drawn.size())));
      for (Index j = 0; j < count; ++j) logs[j] *= log;
    }
    const Numbers list = Segment{0, count}.of(Numbers(keys));
    KeyPlan plan(call_.problem.keys, {}, worker.scratch.take<std::int32_t>(most));
    plan.single(list);
    const KeyWeights weights(list, logs);
    streaming_softmax(operands_, Rows::of(queries), plan, outside > 0 ? &weights : nullptr, worker);
  }

  const SampledBlocks& shape_;
  const Call& call_;
  Numbers drawn_;
  Index rows_;  ///< of a tile
  Index worker_bytes_;
  Side queries_, keys_;
  SoftmaxOperands operands_;
};

}  // namespace

Index SampledBlocks::levels() const {
  if (!problem.causal) return 1;
  Index levels = 0;
  for (Index size = problem.keys; size > min_length; size -= size / 2) ++levels;
  return levels;
}

Segment SampledBlocks::piece(Index level, Index i) const {
  Segment range{0, problem.keys};
  for (Index bit = level; bit-- > 0;) {
    if (range.size() <= min_length) return {};
    const Index middle = range.begin + range.size() / 2;
    range = (i >> bit & 1) != 0 ? Segment{middle, range.end} : Segment{range.begin, middle};
  }
  return range;
}

Square SampledBlocks::square(Index level, Index i) const {
  Square one{{0, problem.queries}, {0, problem.keys}, 0, count(level) - 1 + i};
  if (problem.causal) {
    const Segment whole = piece(level, i);
    if (whole.size() <= min_length) return {};
    const Index middle = whole.begin + whole.size() / 2;
    one.queries = {middle, whole.end};
    one.keys = {whole.begin, middle};
  }
  one.blocks = (one.keys.size() + block - 1) / block;
  return one;
}

double SampledBlocks::log_weight(const Square& one, Index block_keys, Index outside,
                                 Index drawn) const {
  const Index stood_for = one.keys.size() - (stand_for_all ? 0 : block_keys);
  const Index standing = stand_for_all ? drawn : outside;
  return std::log(static_cast<double>(stood_for) / static_cast<double>(standing));
}

Index SampledBlocks::tile_rows() const {
  Index longest = std::min(min_length, problem.keys);
  if (!problem.causal) {
    const Index blocks = square(0, 0).blocks;
    longest = (problem.queries + blocks - 1) / blocks;
  } else if (levels() > 0) {
    // The later half may be longer by one.
    longest = std::max(longest, std::min(block, problem.keys / 2) + 1);
  }
  return std::min(softmax_tile_rows(problem.dim, problem.value_dim, precision), longest);
}

Scratch SampledBlocks::scratch() const {
  Scratch scratch;
  const std::size_t softmax_bytes =
      softmax_scratch_bytes(tile_rows(), problem.dim, problem.value_dim, precision);
  if (levels() == 0) return {.worker_bytes = softmax_bytes};
  if (problem.causal) scratch.shared<float>(problem.queries);
  for (const Index count : {problem.queries, problem.keys}) {
    scratch.shared<std::int32_t>(count).shared<std::int32_t>(count);
  }
  const Index keys = std::min(block, problem.keys) + width();
  scratch.worker<std::int32_t>(keys).worker<std::int32_t>(keys).worker<float>(keys);
  scratch.worker_bytes += softmax_bytes;
  const Index ends = std::max(places, (problem.keys + block - 1) / block);
  scratch.worker_bytes =
      std::max(scratch.worker_bytes, Scratch().worker<std::int32_t>(ends).worker_bytes);
  return scratch;
}

void SampledBlocks::forward(const Call& call, Numbers query_places, Numbers key_places,
                            Numbers drawn) const {
  Pass(*this, call, query_places, key_places, drawn).run();
}

}  // namespace subquad

#pragma once

// What becomes of single scores in bucket attention, vector by vector.

#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>

#include "kernels/rowwise-inl.h"
#include "kernels/streaming_softmax.h"

HWY_BEFORE_NAMESPACE();
namespace subquad {
namespace HWY_NAMESPACE {

/// What is known of the rounds that were before.
struct Earlier {
  Index rounds = 0;
  Index n = 0;
  std::span<const std::int32_t> cells;  ///< [rounds, n], of the queries
  std::int32_t cells_per_bucket = 0;
  std::int32_t last_chunk = 0;
  bool wrap = false;

  std::int32_t own(Index round, Index query) const { return cells[round * n + query]; }
  /// The cell that a query sees beside its own; if there is none, a number that no key has.
  std::int32_t back(std::int32_t own) const {
    return wrap && own % cells_per_bucket == 0 ? own + last_chunk : own - 1;
  }
};

/// Keys of a tile, ascending, and what scores with them are changed by.
struct TileKeys {
  std::span<const std::int32_t> tokens;
  const float* factors = nullptr;       ///< [keys], of scores; null: 1
  const std::int32_t* cells = nullptr;  ///< [earlier rounds, keys]
};

/// Keys of length 1, the self rule, and no pair twice.
class PairRule final : public ScoreEdit {
 public:
  PairRule(const TileKeys& keys, const Earlier& earlier, float self_penalty)
      : keys_(keys), earlier_(earlier), self_penalty_(self_penalty) {}

  void edit(Index query, std::span<const std::int32_t> keys, float* scores) const override {
    const Index at = find(keys.front()), count = static_cast<Index>(keys.size());
    if (keys_.factors != nullptr) normalise(query, at, count, scores);
    if (earlier_.rounds > 0) drop_found(query, at, count, scores);
  }

 private:
  static constexpr Tag<float> d_{};
  static constexpr hn::RebindToSigned<Tag<float>> di_{};

  /// Where the keys of a block begin: mostly where they did for the query before.
  Index find(std::int32_t token) const {
    const auto& tokens = keys_.tokens;
    if (tokens[found_] != token) {
      found_ = std::lower_bound(tokens.begin(), tokens.end(), token) - tokens.begin();
    }
    return found_;
  }

  void normalise(Index query, Index at, Index count, float* scores) const {
    const auto self = hn::Set(di_, static_cast<std::int32_t>(query));
    const auto penalty = hn::Set(d_, self_penalty_);
    for (Index j = 0; j < count; j += kLanes<float>) {
      const Index left = std::min(kLanes<float>, count - j);
      const auto tokens = load_first<std::int32_t>(keys_.tokens.data() + at + j, left, -1);
      const auto is_self = hn::RebindMask(d_, hn::Eq(tokens, self));
      const auto scaled = hn::Mul(load_first<float>(scores + j, left, 0),
                                  load_first<float>(keys_.factors + at + j, left, 0));
      store_first<float>(hn::Sub(scaled, hn::IfThenElseZero(is_self, penalty)), left, scores + j);
    }
  }

  /// Pairs that an earlier round has found are not seen.
  void drop_found(Index query, Index at, Index count, float* scores) const {
    const auto nothing = hn::Set(d_, -std::numeric_limits<float>::infinity());
    for (Index r = 0; r < earlier_.rounds; ++r) {
      const std::int32_t own = earlier_.own(r, query);
      const auto here = hn::Set(di_, own), before = hn::Set(di_, earlier_.back(own));
      const std::int32_t* const cells = keys_.cells + r * keys_.tokens.size() + at;
      for (Index j = 0; j < count; j += kLanes<float>) {
        const Index left = std::min(kLanes<float>, count - j);
        const auto cell = load_first<std::int32_t>(cells + j, left, -1);
        const auto found = hn::RebindMask(d_, hn::Or(hn::Eq(cell, here), hn::Eq(cell, before)));
        const auto score = load_first<float>(scores + j, left, 0);
        store_first<float>(hn::IfThenElse(found, nothing, score), left, scores + j);
      }
    }
  }

  const TileKeys& keys_;
  const Earlier& earlier_;
  float self_penalty_;
  mutable Index found_ = 0;
};

}  // namespace HWY_NAMESPACE
}  // namespace subquad
HWY_AFTER_NAMESPACE();

#pragma once

// The two products of the streaming softmax in bf16 on AMX tiles, with sums in float: queries,
// keys, values and weights are rounded to bf16 (to nearest), all else is as with floats.
//
// Groups of 32 queries against blocks of 128 keys: 2 x 2 tiles of sums, so that four tile loads
// serve four products. A tile product takes 16 cycles for 8192 multiply-adds while two loads of a
// tile take as long, and exponentials run beside the tiles where the order of instructions allows
// it. They are cut to what bf16 can tell apart (power_bits below), and a whole group's are made in
// one pass, straight into tile order; what bounds the kernel then is how fast tiles come from the
// second-level cache, values and sums above all (docs/kernels.md).
//
// Error against exact arithmetic on the given floats, with u = 2^-8 the relative error of rounding
// to bf16: q and k together put 2 u on every term of a score, so that a score is off by 2 u x its
// own size where terms do not cancel (they do: their errors too). A weight inherits that as a
// relative error, once in the numerator and once in the sum: 4 u x the largest |score|. Weights
// themselves are rounded by u and 2^-13.7 of the polynomial, again in both, and values by u:
// together below 8 u x max(1, largest |score|) of the largest |value|. Sums are those of the
// rounded weights, so that the weights of a row add up to 1 as exactly as with floats.
//
// Tile products take subnormal numbers for 0: values below 2^-100 may be lost.

#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>

#include "kernels/amx_packing-inl.h"
#include "kernels/bf16-inl.h"
#include "kernels/product-inl.h"
#include "kernels/streaming_softmax_parts-inl.h"

#if SUBQUAD_HAS_AMX
#include <immintrin.h>

HWY_BEFORE_NAMESPACE();
namespace subquad {
namespace HWY_NAMESPACE {

class AmxProducts : private AmxPacking {
 public:
  using Real = float;
  static constexpr Index kGroupRows = 32;
  static constexpr Index kGroups = 1;
  static constexpr Index kBlock = AmxPacking::kBlock;
  static constexpr Index kLaneStep = AmxPacking::kLaneStep;
  static constexpr bool kWeighs = true;
  static constexpr bool kMatrixUnits = true;

  AmxProducts(Arena& arena, Index rows, Index dim, Index value_dim)
      : shape_(dim, value_dim),
        queries_(arena.take<Bf16>(round_up(rows, kGroupRows) * shape_.dim).data()),
        outputs_(arena.take<float>(round_up(rows, kGroupRows) * shape_.value_stride).data()),
        own_keys_(arena.take<Pair>(shape_.key_pairs()).data()),
        own_values_(arena.take<Pair>(shape_.value_pairs()).data()),
        scores_(arena.take<float>(kGroupRows * kBlock).data()),
        weights_(arena.take<Pair>(kGroupRows * kBlock / 2).data()) {}

  static std::size_t bytes(Index rows, Index dim, Index value_dim) {
    const Shape shape(dim, value_dim);
    rows = round_up(rows, kGroupRows);
    return Scratch()
        .worker<Bf16>(rows * shape.dim)
        .worker<float>(rows * shape.value_stride)
        .worker<Pair>(shape.key_pairs())
        .worker<Pair>(shape.value_pairs())
        .worker<float>(kGroupRows * kBlock)
        .worker<Pair>(kGroupRows * kBlock / 2)
        .worker_bytes;
  }

  /// Takes the queries, times `factor`; outputs begin at 0.
  void begin(MatrixView<const float> q, Rows rows, double factor) {
    const Index padded = round_up(rows.count, kGroupRows);
    for (Index i = 0; i < padded; ++i) {
      round_row(q.row(rows[std::min(i, rows.count - 1)]), q.cols, static_cast<float>(factor),
                queries_ + i * shape_.dim);
    }
    std::fill_n(outputs_, padded * shape_.value_stride, 0.0f);
  }

  static Index packed_elements(Index dim, Index value_dim) {
    const Shape shape(dim, value_dim);
    return shape.key_pairs() + shape.value_pairs();
  }

  /// Packs a block, values too, for `use_keys`; returns whether the values are finite.
  static bool pack_block(const float* const* keys, const float* const* values, Index count,
                         Index dim, Index value_dim, float* to) {
    const Shape shape(dim, value_dim);
    Pair* const pairs = reinterpret_cast<Pair*>(to);
    AmxPacking::pack_keys(shape, keys, count, pairs);
    return AmxPacking::pack_values(shape, values, count, pairs + shape.key_pairs());
  }

  void pack_keys(const float* const* lines, Index count) {
    AmxPacking::pack_keys(shape_, lines, count, own_keys_);
    keys_ = own_keys_;
  }

  /// Takes keys that were packed before; `use_values` then takes the values beside them.
  void use_keys(const float* packed) { keys_ = reinterpret_cast<const Pair*>(packed); }

  /// Returns whether all values are finite; those that are not become 0.
  bool pack_values(const float* const* lines, Index count, Index) {
    values_ = own_values_;
    return AmxPacking::pack_values(shape_, lines, count, own_values_);
  }

  bool use_values(MatrixView<const float>, bool known) {
    values_ = keys_ + shape_.key_pairs();
    return known;
  }

  void score(std::span<const Group> groups) {
    for (const Group& group : groups) {
      for (Index chunk = first_chunk(group); chunk < end_chunk(group); ++chunk) {
        score_chunk(group, chunk);
      }
    }
  }

  /// `score` and `weigh` of one group at once: while exponentials of one chunk are taken, the tiles
  /// are at the next.
  bool score_and_weigh(const Group& group, const float* references) {
    __m512i bits = _mm512_setzero_si512();
    score_chunk(group, first_chunk(group));
    for (Index chunk = first_chunk(group); chunk < end_chunk(group); ++chunk) {
      if (chunk + 1 < end_chunk(group)) score_chunk(group, chunk + 1);
      bits = _mm512_or_si512(bits, weigh_chunk(group, references, chunk));
    }
    return below_two(bits);
  }

  /// Scores of row `row` of a group, [kBlock].
  float* scores(const Group&, Index row) { return scores_ + row * kBlock; }

  /// Weights 2^(score - reference of the row) out of the scores, rounded. Returns false, and leaves
  /// weights that are of no use, where one of them is 2 or more, infinite or not a number; so it
  /// does where a row that has no reference yet (-infinity) sees a key. Half of the exponent's
  /// range lies below that, so nobody needs to look for the largest score beforehand.
  bool weigh(const Group& group, const float* references) {
    __m512i bits = _mm512_setzero_si512();
    for (Index chunk = first_chunk(group); chunk < end_chunk(group); ++chunk) {
      bits = _mm512_or_si512(bits, weigh_chunk(group, references, chunk));
    }
    return below_two(bits);
  }

  float weight(const Group&, Index row, Index lane) const {
    const Index within = lane % kLaneStep;
    const Pair pair =
        weights_[(lane / kLaneStep * kGroupRows + row) * kTileRows + within % kTileRows];
    return hwy::F32FromBF16({static_cast<Bf16>(within < kTileRows ? pair : pair >> 16)});
  }

  static float operand(float given) { return round_to_bf16(given); }

  /// outputs += weights values, over the lanes that a group sees.
  void add_values(std::span<const Group> groups) {
    for (const Group& group : groups) {
      if (group.rows > kTileRows) {
        add_rows<2>(group);
      } else {
        add_rows<1>(group);
      }
    }
  }

  /// Sums of a tile's row, not yet divided.
  float* outputs(Index row) { return outputs_ + row * shape_.value_stride; }
  /// The sum of its weights.
  float sum(Index row) { return outputs(row)[shape_.given_value_dim]; }

  void rescale(Index row, float factor) {
    scale_vectors(outputs(row), shape_.value_stride, factor);
  }

  /// Multiply-adds that one group takes, whole tiles included.
  double multiply_adds(const Group& group) const {
    const Index rows = group.rows > kTileRows ? kGroupRows : kTileRows;
    const Index lanes = (end_chunk(group) - first_chunk(group)) * kLaneStep;
    return static_cast<double>(rows * lanes * (shape_.dim + shape_.value_stride));
  }

 private:
  static constexpr __mmask32 kHighHalves = 0xaaaaaaaa;

  static Index first_chunk(const Group& group) {
    return group.first_vector * kLanes<float> / kLaneStep;
  }
  static Index end_chunk(const Group& group) {
    return first_chunk(group) + group.vectors * kLanes<float> / kLaneStep;
  }

  /// 2^x in the upper half of each lane, rounded to nearest; 0 for -infinity, while infinity and
  /// not-a-number show in the highest bit of the exponent. 2^floor(x) is exact, and the polynomial
  /// for the fraction, minimax on [0, 1], is off by 2^-13.7 at the most; its constant term has half
  /// a unit of the last place added, so that cutting off the lower bits rounds.
  static HWY_INLINE __m512i power_bits(__m512 x) {
    constexpr float kHalfUnit = 0x1p-8f;
    const __m512 fraction = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF);
    __m512 power = _mm512_set1_ps(0x1.3f96a4p-4f);
    power = _mm512_fmadd_ps(power, fraction, _mm512_set1_ps(0x1.cefc4cp-3f));
    power = _mm512_fmadd_ps(power, fraction, _mm512_set1_ps(0x1.64444cp-1f));
    power = _mm512_fmadd_ps(power, fraction, _mm512_set1_ps(0x1.fff632p-1f + kHalfUnit));
    return _mm512_castps_si512(_mm512_scalef_ps(power, x));
  }

  /// Weights of a chunk of keys; returns which bits are set in any of them.
  HWY_INLINE __m512i weigh_chunk(const Group& group, const float* references, Index chunk) {
    const float* from = scores_ + chunk * kLaneStep;
    Pair* to = weights_ + chunk * kGroupRows * kTileRows;
    __m512i bits = _mm512_setzero_si512();
    for (Index r = 0; r < group.rows; ++r, from += kBlock, to += kTileRows) {
      const __m512 shift = _mm512_max_ps(_mm512_set1_ps(references[group.first + r]),
                                         _mm512_set1_ps(std::numeric_limits<float>::lowest()));
      const __m512i low = power_bits(_mm512_sub_ps(_mm512_load_ps(from), shift));
      const __m512i high = power_bits(_mm512_sub_ps(_mm512_load_ps(from + kTileRows), shift));
      const __m512i pairs = _mm512_mask_blend_epi16(kHighHalves, _mm512_srli_epi32(low, 16), high);
      bits = _mm512_or_si512(bits, pairs);
      _mm512_store_si512(to, pairs);
    }
    return bits;
  }

  /// Numbers of 2 or more, infinity and not-a-number have the exponent's highest bit.
  static bool below_two(__m512i bits) {
    return _mm512_test_epi16_mask(bits, _mm512_set1_epi16(0x4000)) == 0;
  }

  void score_chunk(const Group& group, Index chunk) {
    if (group.rows > kTileRows) {
      score_chunk<2>(group.first, chunk);
    } else {
      score_chunk<1>(group.first, chunk);
    }
  }

  /// Scores of one or two tiles of queries against two tiles of keys.
  template <int kRowTiles>
  void score_chunk(Index first_row, Index chunk) {
    const Bf16* const queries = queries_ + first_row * shape_.dim;
    const Index query_stride = shape_.dim * static_cast<Index>(sizeof(Bf16));
    const Index lane = chunk * kLaneStep;
    const Pair* const keys =
        keys_ + lane / kPanelColumns * (kPanelColumns * shape_.dim / 2) + lane % kPanelColumns;
    constexpr Index kKeyStride = kPanelColumns * sizeof(Pair);
    amx::zero<0>();
    amx::zero<1>();
    if constexpr (kRowTiles == 2) {
      amx::zero<2>();
      amx::zero<3>();
    }
    for (Index c = 0; c < shape_.dim; c += kLaneStep) {
      const Pair* const pairs = keys + c / 2 * kPanelColumns;
      amx::load<4>(queries + c, query_stride);
      amx::load<6>(pairs, kKeyStride);
      amx::multiply_add<0, 4, 6>();
      amx::load<7>(pairs + kTileRows, kKeyStride);
      amx::multiply_add<1, 4, 7>();
      if constexpr (kRowTiles == 2) {
        amx::load<5>(queries + kTileRows * shape_.dim + c, query_stride);
        amx::multiply_add<2, 5, 6>();
        amx::multiply_add<3, 5, 7>();
      }
    }
    float* const to = scores_ + lane;
    constexpr Index kStride = kBlock * sizeof(float);
    amx::store<0>(to, kStride);
    amx::store<1>(to + kTileRows, kStride);
    if constexpr (kRowTiles == 2) {
      amx::store<2>(to + kTileRows * kBlock, kStride);
      amx::store<3>(to + kTileRows * kBlock + kTileRows, kStride);
    }
  }

  template <int kRowTiles>
  void add_rows(const Group& group) {
    Index c = 0;
    for (; c + 2 * kTileRows <= shape_.value_stride; c += 2 * kTileRows) {
      add_columns<kRowTiles, 2>(group, c);
    }
    if (c < shape_.value_stride) add_columns<kRowTiles, 1>(group, c);
  }

  /// Columns c ... of the outputs, one or two tiles of them.
  template <int kRowTiles, int kColumnTiles>
  void add_columns(const Group& group, Index c) {
    constexpr bool kTwoRows = kRowTiles == 2, kTwoColumns = kColumnTiles == 2;
    constexpr Index kStride = amx::kTileBytes;
    const Index stride = shape_.value_stride * static_cast<Index>(sizeof(float));
    float* const low = outputs(group.first) + c;
    float* const high = low + kTileRows * shape_.value_stride;
    amx::load<0>(low, stride);
    if constexpr (kTwoColumns) amx::load<1>(low + kTileRows, stride);
    if constexpr (kTwoRows) amx::load<2>(high, stride);
    if constexpr (kTwoRows && kTwoColumns) amx::load<3>(high + kTileRows, stride);
    for (Index chunk = first_chunk(group); chunk < end_chunk(group); ++chunk) {
      const Pair* const weights = weights_ + chunk * kGroupRows * kTileRows;
      const Pair* const values = values_ + chunk * kTileRows * shape_.value_stride + c * kTileRows;
      amx::load<4>(weights, kStride);
      amx::load<6>(values, kStride);
      amx::multiply_add<0, 4, 6>();
      if constexpr (kTwoColumns) {
        amx::load<7>(values + kTileRows * kTileRows, kStride);
        amx::multiply_add<1, 4, 7>();
      }
      if constexpr (kTwoRows) {
        amx::load<5>(weights + kTileRows * kTileRows, kStride);
        amx::multiply_add<2, 5, 6>();
        if constexpr (kTwoColumns) amx::multiply_add<3, 5, 7>();
      }
    }
    amx::store<0>(low, stride);
    if constexpr (kTwoColumns) amx::store<1>(low + kTileRows, stride);
    if constexpr (kTwoRows) amx::store<2>(high, stride);
    if constexpr (kTwoRows && kTwoColumns) amx::store<3>(high + kTileRows, stride);
  }

  Shape shape_;
  Bf16* queries_;     ///< [rows, dim], scaled
  float* outputs_;    ///< [rows, value_stride]
  Pair* own_keys_;    ///< room for a block's keys, panels of 64: [dim / 2, 64]
  Pair* own_values_;  ///< room for its values, chunks of 32: [value tiles, 16, 16]
  const Pair* keys_ = nullptr;
  const Pair* values_ = nullptr;
  float* scores_;  ///< [kGroupRows, kBlock]
  Pair* weights_;  ///< chunks of 32 keys: [kGroupRows, 16]
  amx::Session session_;
};

}  // namespace HWY_NAMESPACE
}  // namespace subquad
HWY_AFTER_NAMESPACE();

#endif  // SUBQUAD_HAS_AMX

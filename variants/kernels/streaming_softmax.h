#pragma once

#include <span>

#include "subquad/precision.h"
#include "subquad/restriction.h"

namespace subquad {

/// Changes the scores of one query before they enter the softmax: a pair mask (set a score to
/// -infinity) or a bias. Called once per query and block of keys.
class ScoreEdit {
 public:
  virtual ~ScoreEdit() = default;
  /// `scores[j]`, already scaled, belongs to query row `query` and key row `keys[j]`.
  virtual void edit(Index query, std::span<const std::int32_t> keys, float* scores) const = 0;
  /// Whether keys that the plan describes so are edited at all; single keys count as `Seen::all`.
  /// Blocks that are not edited run faster.
  virtual bool edits(Seen) const { return true; }
};

/// Operands of streaming softmax attention of one head.
struct SoftmaxOperands {
  ConstView q;                       ///< [queries, dim]
  ConstView k;                       ///< [keys, dim]
  ConstView v;                       ///< [keys, value_dim]
  View out;                          ///< [queries, value_dim]
  float* row_log_sum_exp = nullptr;  ///< [queries] or null
  /// `out` and `row_log_sum_exp` (not null then) hold the result over other keys, into which this
  /// one is merged.
  bool merge = false;
  float scale = 1;
  bool causal = false;    ///< key row j is seen by query row i if j <= first_query + i
  Index first_query = 0;  ///< position of query row 0, for causality and bands
  Precision precision = Precision::f32;
  /// What `pack_keys` leaves; null where it has not been called or is not worth while.
  const float* packed_keys = nullptr;
  const std::uint8_t* finite_values = nullptr;
};

/// Packs all keys (for tile products values too) once for all tiles of a head, in shared scratch:
/// `keys * dim` floats or so, which `declare_packed_keys` asks for. Consecutive keys of a plan are
/// then taken from there, in blocks that begin at multiples of 64 (128 for tile products); of other
/// keys, and without this, each tile packs its own. Worth while where many queries see whole
/// blocks; a window's ends rarely fall on multiples of 64.
void pack_keys(SoftmaxOperands& operands, Run& run);
void declare_packed_keys(Index keys, Index dim, Index value_dim, Precision precision,
                         Scratch& scratch);

/// Query rows that a tile holds at the most, for these widths.
Index softmax_tile_rows(Index dim, Index value_dim, Precision precision = Precision::f32);
/// Rows of each tile (but the last) when `queries` rows are cut into tiles: into a multiple of 16,
/// or of 8, 4, 2, as long as tiles stay longer than half of the most, so that threads end together.
Index softmax_tile_rows(Index queries, Index dim, Index value_dim, Precision precision);

/// Worker scratch that `streaming_softmax` takes for a tile of up to `rows` queries.
std::size_t softmax_scratch_bytes(Index rows, Index dim, Index value_dim,
                                  Precision precision = Precision::f32);

/// Attention of the query rows `queries` (at most `softmax_tile_rows`) over the keys of `plan`:
/// blocks of keys in turn, with a running maximum and sum per row (Milakov and Gimelshein 2018,
/// arXiv:1805.02867; Rabe and Staats 2021, arXiv:2112.05682; Dao et al. 2022, arXiv:2205.14135), so
/// no [queries, keys] matrix is ever formed. Writes the rows of `out` and of `row_log_sum_exp`; a
/// query that sees no key gets 0 and -infinity. `edit`, where given, changes scores block by block;
/// pairs of spans marked `Seen::asked` are its to decide. Pairs that are not seen contribute
/// nothing, whatever their keys and values hold (NaN included). Adds what it does, whole blocks
/// included, to `worker.executed`.
///
/// Error against exact arithmetic: (8 + dim / 32) x epsilon x max(1, largest |score|) of the
/// largest |value|. Scores up to a third of the largest float are safe. In bf16: 8 x 2^-8 in the
/// place of the first two factors (amx_products-inl.h derives it). `precision` must not be one that
/// this machine `refuses`: std::logic_error.
void streaming_softmax(const SoftmaxOperands& operands, Rows queries, const KeyPlan& plan,
                       const ScoreEdit* edit, Worker& worker);

}  // namespace subquad

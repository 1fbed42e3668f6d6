#pragma once

#include <memory>

#include "subquad/variant.h"

namespace subquad {

/// How large the features of a row are, beside what the map writes down.
enum class FeatureScale {
  none,     ///< features are the numbers written
  row,      ///< features of a row are the numbers written times exp(logs[row])
  feature,  ///< features are exp(numbers written): for positive ones that may overflow
};

/// Maps rows of Q and of K to features, whose inner product stands for the exponential of a score.
/// T is what is computed in: float, or double where sums may cancel.
template <class T>
class FeatureMap {
 public:
  virtual ~FeatureMap() = default;

  /// Features of a row that has `dim` columns.
  virtual Index features(Index dim) const = 0;
  virtual FeatureScale scale() const { return FeatureScale::none; }
  /// rows [count, dim], tokens at positions `first`, `first` + 1, ..., to `features` [count,
  /// features(dim)] (rows may lie apart) and, for `FeatureScale::row`, `logs` [count], null
  /// otherwise. What becomes of one row must not depend on another row. Adds what is done to
  /// `worker.executed`; may take worker scratch of up to `scratch_bytes(count, dim)`.
  virtual void map_queries(ConstView rows, Index first, MatrixView<T> features, T* logs,
                           Worker& worker) const = 0;
  virtual void map_keys(ConstView rows, Index first, MatrixView<T> features, T* logs,
                        Worker& worker) const = 0;
  virtual std::size_t scratch_bytes(Index /*count*/, Index /*dim*/) const { return 0; }
};

/// What the state loses with each token before that token's own contribution is added.
template <class T>
class Forgetting {
 public:
  virtual ~Forgetting() = default;

  /// Gates of a token: 1, for all features alike, or as many as there are features.
  virtual Index width(Index features) const = 0;
  /// Writes the logarithms of the gates, at most 0, of tokens at positions `first`, `first` + 1,
  /// ... to `logs` [count, width]. `keys` and `x` hold the rows of these tokens (x: none where the
  /// variant does not consume it).
  virtual void log_gates(ConstView keys, ConstView x, Index first, MatrixView<T> logs,
                         Worker& worker) const = 0;
  virtual std::size_t scratch_bytes(Index /*count*/, Index /*features*/) const { return 0; }
};

/// What the sum of weighted values is divided by.
enum class Normaliser {
  weights,    ///< the sum of the weights, plus `epsilon`, at least `least`
  positions,  ///< each feature of the keys by its sum over all keys; not causal. Queries' features
              ///< are the numbers written, whatever the scale
  count,      ///< the number of keys that are seen
  none,
};

/// Keys that some query sees, and whose features are computed.
Index mapped_keys(const Problem& problem);

/// Attention by features phi (Katharopoulos et al. 2020, arXiv:2006.16236, section 3.2):
///
///   out_i = phi(q_i)^T S_i / norm_i,   S_i = sum over seen j of phi(k_j) v_j^T,
///
/// and, where `forgetting` is given (causal, FeatureScale::none), S_i = diag(gate_i) S_(i-1) +
/// phi(k_i) v_i^T.
///
/// Without causality S is the same for all queries. With it, queries go in chunks: keys before the
/// chunk are in a state that is carried from chunk to chunk, keys inside it are reached by a
/// triangular product, so all the work is matrix products. Keys (and causal queries) are cut into
/// at most `kLinearSegments` segments that start from the states of the segments before them.
///
/// Features of `FeatureScale::feature` are held relative to the largest that each feature has had
/// over the keys so far, and queries take that up, so that no sum of weights underflows; a chunk
/// ends before a key that outgrows what the chunk is relative to. So nothing of a later key reaches
/// an earlier query, not even by rounding.
///
/// A row whose weights sum to less than 0 is counted in `Work::negative_denominators`. A value that
/// is not finite makes its own row, and those after it, NaN.
template <class T>
struct LinearAttention {
  const FeatureMap<T>& map;
  Index chunk = 64;  ///< rows of a chunk, at least 1; changes no result but by rounding
  Normaliser normaliser = Normaliser::weights;
  double epsilon = 0;
  double least = 0;
  const Forgetting<T>* forgetting = nullptr;

  /// Multiply-adds that are asked for, the map's own not among them.
  double multiply_adds(const Problem& problem) const;
  Scratch scratch(const Problem& problem) const;
  /// Reads q, k, v, x, problem, prepared and run of the call, and writes its `out`.
  void forward(const Call& call) const;
  /// The state after all keys, which queries that share keys can share: not causal.
  std::size_t prepared_bytes(const Problem& problem) const;
  void prepare(const Call& call, std::span<std::byte> prepared) const;
};

extern template struct LinearAttention<float>;
extern template struct LinearAttention<double>;

/// Segments at the most. Each holds one state, so scratch does not grow with the length.
inline constexpr Index kLinearSegments = 16;

/// The recurrent form: a state [features, value_dim] that each token is added to. `options` as
/// above, but that it owns what they point at.
template <class T>
std::unique_ptr<Stream> linear_stream(std::shared_ptr<const FeatureMap<T>> map,
                                      std::shared_ptr<const Forgetting<T>> forgetting,
                                      const LinearAttention<T>& options, const Problem& problem);

extern template std::unique_ptr<Stream> linear_stream(std::shared_ptr<const FeatureMap<float>>,
                                                      std::shared_ptr<const Forgetting<float>>,
                                                      const LinearAttention<float>&,
                                                      const Problem&);
extern template std::unique_ptr<Stream> linear_stream(std::shared_ptr<const FeatureMap<double>>,
                                                      std::shared_ptr<const Forgetting<double>>,
                                                      const LinearAttention<double>&,
                                                      const Problem&);

}  // namespace subquad

#include "kernels/channel_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/channel_bias-inl.h"
#include "kernels/product.h"
#include "kernels/rowwise.h"

namespace subquad {
namespace {

using Kind = PairBias::Kind;

constexpr Index kTile = 64;
constexpr float kNone = -std::numeric_limits<float>::infinity();

/// Each term that vanished was below the smallest normal number; a normaliser from here on has lost
/// no more than a rounding to them.
float least_normaliser(Index keys) {
  using Float = std::numeric_limits<float>;
  return static_cast<float>(keys) * Float::min() / Float::epsilon();
}

Index tiles_of(Index rows) { return (rows + kTile - 1) / kTile; }

/// One forward call: what all tiles share.
class Pass {
 public:
  Pass(const ChannelAttention& options, const Call& call)
      : call_(call),
        problem_(call.problem),
        bias_(options.bias),
        d_(problem_.dim),
        key_columns_(options.one_key ? 1 : d_),
        width_(key_columns_ + d_),
        tiles_(tiles_of(problem_.keys)),
        keys_(call.k) {
    Arena& arena = call.run.shared();
    maxima_ = arena.take_matrix(tiles_, key_columns_);
    factors_ = arena.take_matrix(tiles_, key_columns_);
    weighted_ = arena.take_matrix(problem_.keys, width_);
    before_ = arena.take_matrix(tiles_ + 1, width_);
    after_ = arena.take_matrix(tiles_ + 1, width_);
    if (options.one_key) keys_ = means_ = arena.take_matrix(problem_.keys, 1);
    if (bias_.kind == Kind::shift) filter_ = arena.take<float>(shift_columns(bias_, problem_));
  }

  static Scratch scratch(const ChannelAttention& options, const Problem& problem) {
    const PairBias& bias = options.bias;
    const Index tiles = tiles_of(problem.keys);
    const Index key_columns = options.one_key ? 1 : problem.dim, width = key_columns + problem.dim;
    const Index rows = std::min(kTile, problem.queries), keys = std::min(kTile, problem.keys);
    // A tile of other keys, and the queries' own tile: never at a time.
    const bool other_tiles = bias.kind != Kind::none && (!problem.causal || tiles > 1);
    std::size_t product = other_tiles ? product_scratch_bytes(rows, width, keys) : 0;
    if (bias.rank > 0) product = std::max(product, product_scratch_bytes(rows, keys, bias.rank));
    Scratch own;
    if (problem.causal) {
      own.worker<float>(keys * width).worker<float>(keys * key_columns).worker<float>(key_columns);
    }
    Scratch worker;
    worker.worker<float>(rows * width)
        .worker<float>(rows * keys)
        .worker<float>(rows)
        .worker<std::byte>(static_cast<Index>(std::max(product, own.worker_bytes)));
    const Scratch adding = Scratch().worker<double>(width);
    Scratch scratch;
    scratch.shared<float>(tiles * key_columns)
        .shared<float>(tiles * key_columns)
        .shared<float>(problem.keys * width)
        .shared<float>((tiles + 1) * width)
        .shared<float>((tiles + 1) * width)
        .worker<std::byte>(static_cast<Index>(std::max(worker.worker_bytes, adding.worker_bytes)));
    if (options.one_key) scratch.shared<float>(problem.keys);
    if (bias.kind == Kind::shift) scratch.shared<float>(shift_columns(bias, problem));
    return scratch;
  }

  void run() {
    if (bias_.kind == Kind::shift) {
      call_.run.parallel(1, [&](Index, Worker& worker) { make_filter(worker); });
    }
    call_.run.parallel(tiles_, [&](Index tile, Worker&) { find_maximum(tile); });
    call_.run.parallel(1, [&](Index, Worker& worker) { spread_maxima(worker); });
    call_.run.parallel(tiles_, [&](Index tile, Worker& worker) { weigh(tile, worker); });
    call_.run.parallel(1, [&](Index, Worker& worker) { add_up(worker); });
    const Index first = problem_.first_query / kTile;
    const Index last = problem_.position(problem_.queries - 1) / kTile;
    call_.run.parallel(last - first + 1,
                       [&](Index tile, Worker& worker) { write(first + tile, worker); });
  }

 private:
  /// What a worker keeps for a tile of queries.
  struct Rows {
    Index begin, count;  ///< query rows
    View sums;           ///< [count, width]: normaliser of each key column, then weighted values
    View bias;           ///< [count, keys of a tile]
    float* row_max;      ///< what w of each row is taken relative to
  };

  Index tile_begin(Index tile) const { return tile * kTile; }
  Index tile_end(Index tile) const { return std::min((tile + 1) * kTile, problem_.keys); }

  /// exp(w - shift) of a row of biases that all positions share.
  void make_filter(Worker& worker) {
    shift_ = std::max(0.0f, max_of({bias_.values.row(0), filter_.size()}));
    outside_ = std::exp(-shift_);
    std::copy_n(bias_.values.row(0), filter_.size(), filter_.data());
    exp_minus(filter_, shift_);
    worker.executed.exponentials += static_cast<double>(filter_.size() + 1);
  }

  void find_maximum(Index tile) const {
    if (!means_.empty()) mean_keys(tile);
    float* maximum = maxima_.row(tile);
    std::fill_n(maximum, key_columns_, kNone);
    for (Index j = tile_begin(tile); j < tile_end(tile); ++j) {
      const float* k = keys_.row(j);
      for (Index c = 0; c < key_columns_; ++c) maximum[c] = std::max(maximum[c], k[c]);
    }
  }
  void mean_keys(Index tile) const {
    for (Index j = tile_begin(tile); j < tile_end(tile); ++j) {
      double sum = 0;
      for (Index c = 0; c < d_; ++c) sum += call_.k(j, c);
      means_(j, 0) = static_cast<float>(sum / static_cast<double>(d_));
    }
  }

  /// Makes each tile's maximum that of all keys up to its end, or, where nothing is causal, of all
  /// keys; `factors_` leads from one tile's scale to the next one's.
  void spread_maxima(Worker& worker) const {
    for (Index tile = 1; tile < tiles_; ++tile) {
      for (Index c = 0; c < key_columns_; ++c) {
        maxima_(tile, c) = std::max(maxima_(tile - 1, c), maxima_(tile, c));
      }
    }
    for (Index tile = 0; tile < tiles_; ++tile) {
      if (!problem_.causal && tile + 1 < tiles_) {
        std::copy_n(maxima_.row(tiles_ - 1), key_columns_, maxima_.row(tile));
      }
      for (Index c = 0; c < key_columns_; ++c) {
        factors_(tile, c) =
            problem_.causal && tile > 0 ? std::exp(maxima_(tile - 1, c) - maxima_(tile, c)) : 1.0f;
      }
    }
    if (!problem_.causal) return;
    worker.executed.exponentials += static_cast<double>((tiles_ - 1) * key_columns_);
  }

  /// [exp(k - maximum), exp(k - maximum) v] of a tile's keys, and their sum.
  void weigh(Index tile, Worker& worker) const {
    float* sum = before_.row(tile + 1);
    std::fill_n(sum, width_, 0.0f);
    for (Index j = tile_begin(tile); j < tile_end(tile); ++j) {
      float* weighted = weighted_.row(j);
      weigh_key(j, maxima_.row(tile), weighted);
      for (Index c = 0; c < width_; ++c) sum[c] += weighted[c];
    }
    count_weighed(tile_end(tile) - tile_begin(tile), worker);
  }
  void weigh_key(Index j, const float* maximum, float* out) const {
    const float* k = keys_.row(j);
    const float* v = call_.v.row(j);
    for (Index c = 0; c < key_columns_; ++c) out[c] = k[c] - maximum[c];
    exp_minus({out, static_cast<std::size_t>(key_columns_)}, 0);
    if (key_columns_ == d_) {
      for (Index c = 0; c < d_; ++c) out[d_ + c] = out[c] * v[c];
    } else {
      for (Index c = 0; c < d_; ++c) out[1 + c] = out[0] * v[c];
    }
  }
  void count_weighed(Index keys, Worker& worker) const {
    worker.executed += {.multiply_adds = static_cast<double>(keys * d_),
                        .exponentials = static_cast<double>(keys * key_columns_)};
  }

  /// A row of sums times a factor for each key column.
  void scale_sums(float* sums, const float* factors) const {
    if (key_columns_ == d_) {
      for (Index c = 0; c < d_; ++c) sums[c] *= factors[c];
      for (Index c = 0; c < d_; ++c) sums[d_ + c] *= factors[c];
    } else {
      scale_by({sums, static_cast<std::size_t>(width_)}, factors[0]);
    }
  }

  /// From the sums of single tiles (row t + 1 of `before_` holds that of tile t): sums over the
  /// tiles before tile t, in the scale of tile t - 1, and over tiles t, t + 1, ...; in double, as
  /// there may be very many.
  void add_up(Worker& worker) const {
    const std::span<double> sum = worker.scratch.take<double>(width_);
    if (!problem_.causal) {
      std::fill(sum.begin(), sum.end(), 0.0);
      for (Index tile = tiles_; tile >= 0; --tile) {
        for (Index c = 0; c < width_; ++c) {
          if (tile < tiles_) sum[c] += before_(tile + 1, c);
          after_(tile, c) = static_cast<float>(sum[c]);
        }
      }
    }
    std::fill(sum.begin(), sum.end(), 0.0);
    std::fill_n(before_.row(0), width_, 0.0f);
    for (Index tile = 0; tile < tiles_; ++tile) {
      const float* const factors = factors_.row(tile);
      float* const before = before_.row(tile + 1);
      for (Index c = 0; c < width_; ++c) {
        sum[c] = sum[c] * double{factors[c < key_columns_ ? c : key_column(c - key_columns_)]} +
                 before[c];
        before[c] = static_cast<float>(sum[c]);
      }
    }
  }
  /// Key column of channel c.
  Index key_column(Index c) const { return key_columns_ == d_ ? c : 0; }

  /// Outputs of the queries whose positions lie in a tile.
  void write(Index tile, Worker& worker) const {
    const Index first = std::max(tile_begin(tile), problem_.first_query);
    const Index last = std::min(tile_begin(tile) + kTile, problem_.position(problem_.queries));
    const Index count = last - first;
    const Rows rows{first - problem_.first_query, count, worker.scratch.take_matrix(count, width_),
                    worker.scratch.take_matrix(count, std::min(kTile, problem_.keys)),
                    worker.scratch.take<float>(count).data()};
    const Index whole = problem_.causal ? tile : tiles_;  // tiles that all the rows see whole
    Index low = whole, high = whole;                      // of these, those with a bias
    if (bias_.kind != Kind::none) {
      low = std::clamp<Index>(first_biased_key(bias_, first) / kTile, 0, whole);
      high = std::clamp<Index>(last_biased_key(bias_, problem_, last - 1) / kTile + 1, low, whole);
    }
    start_from_sums(rows, low, high);
    for (Index b = low; b < high; ++b) add_tile(rows, b, worker);
    if (problem_.causal) add_own_tile(rows, tile, worker);
    finish(rows, worker);
  }

  /// Keys of tiles below `low` and from `high` on, whose pairs have no bias.
  void start_from_sums(const Rows& rows, Index low, Index high) const {
    const bool any = low > 0 || (!problem_.causal && high < tiles_);
    for (Index i = 0; i < rows.count; ++i) {
      rows.row_max[i] = any ? 0 : kNone;
      if (bias_.kind == Kind::shift) {
        rows.row_max[i] = shift_;
      } else if (bias_.kind != Kind::none && bias_.rank == 0) {
        rows.row_max[i] = largest_bias(bias_, problem_, problem_.position(rows.begin + i));
      }
      // Where there is nothing to start from, exp may overflow.
      const float factor = any ? std::exp(-rows.row_max[i]) : 0;
      for (Index c = 0; c < width_; ++c) {
        rows.sums(i, c) = factor * (before_(low, c) + (problem_.causal ? 0 : after_(high, c)));
      }
    }
  }

  /// u v^T of the rows with all keys begin ... end - 1, where w is factorised.
  void multiply_factors(const Rows& rows, Index begin, Index end, Worker& worker) const {
    if (bias_.rank == 0) return;
    multiply_transposed(bias_.u.row_range(problem_.position(rows.begin), rows.count),
                        bias_.v.row_range(begin, end - begin), rows.bias.col_range(0, end - begin),
                        worker);
  }

  /// exp(w - row maximum) of row i with keys begin ... end - 1.
  void weigh_pairs(const Rows& rows, Index i, Index begin, Index end, Worker& worker) const {
    float* const row = rows.bias.row(i);
    const std::span<float> pairs{row, static_cast<std::size_t>(end - begin)};
    const Index t = problem_.position(rows.begin + i);
    if (bias_.kind == Kind::none) {
      std::fill(pairs.begin(), pairs.end(), 1.0f);
      return;
    }
    if (bias_.kind == Kind::shift) {
      copy_band(bias_, filter_.data(), t, begin, end, outside_, row);
      return;
    }
    if (bias_.rank > 0) {
      if (bias_.kind == Kind::band) clear_outside_band(bias_, t, begin, end, row);
      raise_maximum(rows, i, max_of(pairs));
    } else if (bias_.kind == Kind::all) {
      std::copy_n(bias_.values.row(t) + begin, end - begin, row);
    } else {
      copy_band(bias_, bias_.values.row(t), t, begin, end, 0, row);
    }
    exp_minus(pairs, rows.row_max[i]);
    worker.executed.exponentials += static_cast<double>(pairs.size());
  }

  /// A factorised w is met tile by tile: where its maximum grows, what the row has summed so far
  /// shrinks.
  void raise_maximum(const Rows& rows, Index i, float largest) const {
    if (largest <= rows.row_max[i]) return;
    scale_by({rows.sums.row(i), static_cast<std::size_t>(width_)},
             std::exp(rows.row_max[i] - largest));
    rows.row_max[i] = largest;
  }

  void add_tile(const Rows& rows, Index tile, Worker& worker) const {
    for (Index i = 0; problem_.causal && i < rows.count; ++i) {
      scale_sums(rows.sums.row(i), factors_.row(tile));
    }
    const Index begin = tile_begin(tile), keys = tile_end(tile) - begin;
    multiply_factors(rows, begin, begin + keys, worker);
    for (Index i = 0; i < rows.count; ++i) weigh_pairs(rows, i, begin, begin + keys, worker);
    multiply(rows.bias.col_range(0, keys), weighted_.row_range(begin, keys), rows.sums, worker, 1,
             true);
  }

  /// Keys of the queries' own tile, of which row i sees those up to its own position.
  void add_own_tile(const Rows& rows, Index tile, Worker& worker) const {
    const Index begin = tile_begin(tile);
    const Index keys = problem_.position(rows.begin + rows.count - 1) + 1 - begin;
    multiply_factors(rows, begin, begin + keys, worker);
    const View weighted = worker.scratch.take_matrix(keys, width_);
    const View steps = worker.scratch.take_matrix(keys, key_columns_);
    float* maximum = worker.scratch.take<float>(key_columns_).data();
    for (Index c = 0; c < key_columns_; ++c) maximum[c] = tile > 0 ? maxima_(tile - 1, c) : kNone;
    for (Index j = 0; j < keys; ++j) {
      for (Index c = 0; c < key_columns_; ++c) {
        const float next = std::max(maximum[c], keys_(begin + j, c));
        steps(j, c) = maximum[c] - next;
        maximum[c] = next;
      }
      exp_minus({steps.row(j), static_cast<std::size_t>(key_columns_)}, 0);
      weigh_key(begin + j, maximum, weighted.row(j));
    }
    count_weighed(keys, worker);
    worker.executed.exponentials += static_cast<double>(keys * key_columns_);
    for (Index i = 0; i < rows.count; ++i) {
      const Index seen = problem_.position(rows.begin + i) + 1 - begin;
      float* const sums = rows.sums.row(i);
      Index first = 0;
      weigh_pairs(rows, i, begin, begin + seen, worker);
      if (bias_.kind == Kind::none && i > 0) {
        // Without a bias, a row's sums are those of the row before and its own key.
        first = seen - 1;
        std::copy_n(rows.sums.row(i - 1), width_, sums);
      }
      for (Index j = first; j < seen; ++j) {
        step(sums, steps.row(j), rows.bias(i, j), weighted.row(j));
      }
      worker.executed.multiply_adds += static_cast<double>((seen - first) * width_);
    }
  }

  /// sums = sums * step + weight * weighted, with a step for each key column.
  void step(float* sums, const float* steps, float weight, const float* weighted) const {
    for (Index c = 0; c < key_columns_; ++c) sums[c] = sums[c] * steps[c] + weight * weighted[c];
    sums += key_columns_;
    weighted += key_columns_;
    if (key_columns_ == d_) {
      for (Index c = 0; c < d_; ++c) sums[c] = sums[c] * steps[c] + weight * weighted[c];
    } else {
      for (Index c = 0; c < d_; ++c) sums[c] = sums[c] * steps[0] + weight * weighted[c];
    }
  }

  void finish(const Rows& rows, Worker& worker) const {
    const float least = least_normaliser(problem_.keys);
    for (Index i = 0; i < rows.count; ++i) {
      const Index row = rows.begin + i;
      float* out = call_.out.row(row);
      for (Index c = 0; c < d_; ++c) out[c] = -call_.q(row, c);
      exp_minus({out, static_cast<std::size_t>(d_)}, 0);
      const float* const norms = rows.sums.row(i);
      const float* const values = norms + key_columns_;
      if (key_columns_ == d_) {
        for (Index c = 0; c < d_; ++c) out[c] = values[c] / (norms[c] * (1 + out[c]));
      } else {
        for (Index c = 0; c < d_; ++c) out[c] = values[c] / (norms[0] * (1 + out[c]));
      }
      int lost = 0;  // counted first, which vectorises: hardly ever is there one
      for (Index c = 0; c < key_columns_; ++c) lost += norms[c] < least;
      for (Index c = 0; lost > 0 && c < d_; ++c) {
        if (norms[key_column(c)] >= least) continue;
        out[c] = term_by_term(row, c) / (1 + std::exp(-call_.q(row, c)));
      }
    }
    worker.executed.exponentials += static_cast<double>(rows.count * d_);
  }

  /// The mean of one channel of one row where float lost the scale of its terms.
  float term_by_term(Index row, Index c) const {
    const Index t = problem_.position(row);
    const Index end = problem_.causal ? t + 1 : problem_.keys;
    const auto score = [&](Index j) { return keys_(j, key_column(c)) + pair_bias(bias_, t, j); };
    double largest = score(0), sum = 0, norm = 0;
    for (Index j = 1; j < end; ++j) largest = std::max(largest, score(j));
    for (Index j = 0; j < end; ++j) {
      const double weight = std::exp(score(j) - largest);
      sum += weight * call_.v(j, c);
      norm += weight;
    }
    return static_cast<float>(sum / norm);
  }

  const Call& call_;
  const Problem& problem_;
  const PairBias& bias_;
  Index d_, key_columns_, width_, tiles_;
  ConstView keys_;  ///< [keys, key columns]
  View means_;      ///< the same, where they are made here
  View maxima_, factors_, weighted_, before_, after_;
  std::span<float> filter_;        ///< of biases that positions share: exp(w - shift)
  float shift_ = 0, outside_ = 1;  ///< largest bias, 0 included, and exp(0 - shift)
};

}  // namespace

Scratch ChannelAttention::scratch(const Problem& problem) const {
  return Pass::scratch(*this, problem);
}

void ChannelAttention::forward(const Call& call) const { Pass(*this, call).run(); }

}  // namespace subquad

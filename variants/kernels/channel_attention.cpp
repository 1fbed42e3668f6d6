#include "kernels/channel_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/product.h"
#include "kernels/rowwise.h"

namespace subquad {
namespace {

constexpr Index kTile = 64;
/// Normalisers below this may have lost terms: a float holds 1e-38.
constexpr float kLeast = 1e-30f;
constexpr float kNone = -std::numeric_limits<float>::infinity();

/// values[c] *= factors[c] in both halves of [2 d].
void scale_halves(float* values, const float* factors, Index d) {
  for (Index c = 0; c < d; ++c) values[c] *= factors[c];
  for (Index c = 0; c < d; ++c) values[d + c] *= factors[c];
}

/// sums = sums * step + weight * weighted, with a step for each channel of both halves.
void step_halves(float* sums, const float* step, float weight, const float* weighted, Index d) {
  for (Index c = 0; c < d; ++c) sums[c] = sums[c] * step[c] + weight * weighted[c];
  for (Index c = 0; c < d; ++c) sums[d + c] = sums[d + c] * step[c] + weight * weighted[d + c];
}

Index tiles_of(Index rows) { return (rows + kTile - 1) / kTile; }

/// One forward call: what all tiles share.
class Pass {
 public:
  Pass(const ChannelAttention& options, const Call& call)
      : options_(options),
        call_(call),
        problem_(call.problem),
        d_(problem_.dim),
        tiles_(tiles_of(problem_.keys)),
        w_(options.bias_values) {
    Arena& arena = call.run.shared();
    maxima_ = arena.take_matrix(tiles_, d_);
    factors_ = arena.take_matrix(tiles_, d_);
    weighted_ = arena.take_matrix(problem_.keys, 2 * d_);
    before_ = arena.take_matrix(tiles_ + 1, 2 * d_);
    after_ = arena.take_matrix(tiles_ + 1, 2 * d_);
  }

  static Scratch scratch(ChannelBias bias, const Problem& problem) {
    const Index d = problem.dim, tiles = tiles_of(problem.keys);
    const Index rows = std::min(kTile, problem.queries), keys = std::min(kTile, problem.keys);
    // A tile of other keys, and the queries' own tile: never at a time.
    const bool other_tiles = bias != ChannelBias::none && (!problem.causal || tiles > 1);
    const std::size_t product = other_tiles ? product_scratch_bytes(rows, 2 * d, keys) : 0;
    Scratch own;
    if (problem.causal) own.worker<float>(keys * 2 * d).worker<float>(keys * d).worker<float>(d);
    Scratch worker;
    worker.worker<float>(rows * 2 * d)
        .worker<float>(rows * keys)
        .worker<float>(rows)
        .worker<std::byte>(static_cast<Index>(std::max(product, own.worker_bytes)));
    const Scratch adding = Scratch().worker<double>(2 * d);
    return Scratch()
        .shared<float>(tiles * d)
        .shared<float>(tiles * d)
        .shared<float>(problem.keys * 2 * d)
        .shared<float>((tiles + 1) * 2 * d)
        .shared<float>((tiles + 1) * 2 * d)
        .worker<std::byte>(static_cast<Index>(std::max(worker.worker_bytes, adding.worker_bytes)));
  }

  void run() {
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
    View sums;           ///< [count, 2 d]: normaliser and weighted values
    View bias;           ///< [count, keys of a tile]
    float* row_max;      ///< largest w of each row
  };

  Index tile_begin(Index tile) const { return tile * kTile; }
  Index tile_end(Index tile) const { return std::min((tile + 1) * kTile, problem_.keys); }

  void find_maximum(Index tile) const {
    float* maximum = maxima_.row(tile);
    std::fill_n(maximum, d_, kNone);
    for (Index j = tile_begin(tile); j < tile_end(tile); ++j) {
      for (Index c = 0; c < d_; ++c) maximum[c] = std::max(maximum[c], call_.k(j, c));
    }
  }

  /// Makes each tile's maximum that of all keys up to its end, or, where nothing is causal, of all
  /// keys; `factors_` leads from one tile's scale to the next one's.
  void spread_maxima(Worker& worker) const {
    for (Index tile = 1; tile < tiles_; ++tile) {
      for (Index c = 0; c < d_; ++c) {
        maxima_(tile, c) = std::max(maxima_(tile - 1, c), maxima_(tile, c));
      }
    }
    for (Index tile = 0; tile < tiles_; ++tile) {
      if (!problem_.causal && tile + 1 < tiles_) {
        std::copy_n(maxima_.row(tiles_ - 1), d_, maxima_.row(tile));
      }
      for (Index c = 0; c < d_; ++c) {
        factors_(tile, c) =
            problem_.causal && tile > 0 ? std::exp(maxima_(tile - 1, c) - maxima_(tile, c)) : 1.0f;
      }
    }
    if (problem_.causal) worker.executed.exponentials += static_cast<double>((tiles_ - 1) * d_);
  }

  /// [exp(k - maximum), exp(k - maximum) v] of a tile's keys, and their sum.
  void weigh(Index tile, Worker& worker) const {
    float* sum = before_.row(tile + 1);
    std::fill_n(sum, 2 * d_, 0.0f);
    for (Index j = tile_begin(tile); j < tile_end(tile); ++j) {
      float* weighted = weighted_.row(j);
      weigh_key(j, maxima_.row(tile), weighted);
      for (Index c = 0; c < 2 * d_; ++c) sum[c] += weighted[c];
    }
    const double elements = static_cast<double>((tile_end(tile) - tile_begin(tile)) * d_);
    worker.executed += {.multiply_adds = elements, .exponentials = elements};
  }
  void weigh_key(Index j, const float* maximum, float* out) const {
    const float* k = call_.k.row(j);
    const float* v = call_.v.row(j);
    for (Index c = 0; c < d_; ++c) out[c] = k[c] - maximum[c];
    exp_minus({out, static_cast<std::size_t>(d_)}, 0);
    for (Index c = 0; c < d_; ++c) out[d_ + c] = out[c] * v[c];
  }

  /// From the sums of single tiles (row t + 1 of `before_` holds that of tile t): sums over the
  /// tiles before tile t, in the scale of tile t - 1, and over tiles t, t + 1, ...; in double, as
  /// there may be very many.
  void add_up(Worker& worker) const {
    const std::span<double> sum = worker.scratch.take<double>(2 * d_);
    if (!problem_.causal) {
      std::fill(sum.begin(), sum.end(), 0.0);
      for (Index tile = tiles_; tile >= 0; --tile) {
        for (Index c = 0; c < 2 * d_; ++c) {
          if (tile < tiles_) sum[c] += before_(tile + 1, c);
          after_(tile, c) = static_cast<float>(sum[c]);
        }
      }
    }
    std::fill(sum.begin(), sum.end(), 0.0);
    std::fill_n(before_.row(0), 2 * d_, 0.0f);
    for (Index tile = 0; tile < tiles_; ++tile) {
      const float* const factors = factors_.row(tile);
      float* const before = before_.row(tile + 1);
      for (Index c = 0; c < 2 * d_; ++c) {
        sum[c] = sum[c] * double{factors[c < d_ ? c : c - d_]} + before[c];
        before[c] = static_cast<float>(sum[c]);
      }
    }
  }

  /// Outputs of the queries whose positions lie in a tile.
  void write(Index tile, Worker& worker) const {
    const Index first = std::max(tile_begin(tile), problem_.first_query);
    const Index last = std::min(tile_begin(tile) + kTile, problem_.position(problem_.queries));
    const Index count = last - first;
    const Rows rows{first - problem_.first_query, count, worker.scratch.take_matrix(count, 2 * d_),
                    worker.scratch.take_matrix(count, std::min(kTile, problem_.keys)),
                    worker.scratch.take<float>(count).data()};
    find_row_maxima(rows);

    const Index whole = problem_.causal ? tile : tiles_;  // tiles that all the rows see whole
    const Index low = std::clamp<Index>(first_biased(first), 0, whole);
    const Index high = std::clamp<Index>(last_biased(last - 1) + 1, low, whole);
    start_from_sums(rows, low, high);
    for (Index b = low; b < high; ++b) add_tile(rows, b, worker);
    if (problem_.causal) add_own_tile(rows, tile, worker);
    finish(rows, worker);
  }

  /// First and last tile of keys in which some pair with position t has a bias.
  Index first_biased(Index t) const {
    if (options_.bias == ChannelBias::none) return problem_.causal ? tiles_ : 0;
    return options_.bias == ChannelBias::all ? 0
                                             : std::max<Index>(t - options_.window + 1, 0) / kTile;
  }
  Index last_biased(Index t) const {
    if (options_.bias == ChannelBias::none) return -1;
    return options_.bias == ChannelBias::all ? tiles_ - 1 : (t + options_.window - 1) / kTile;
  }

  /// Largest bias of each row among the keys that it sees; a key outside the window has 0.
  void find_row_maxima(const Rows& rows) const {
    for (Index i = 0; i < rows.count; ++i) {
      rows.row_max[i] = 0;
      if (options_.bias == ChannelBias::none) continue;
      const Index t = problem_.position(rows.begin + i);
      const Index end = problem_.causal ? t + 1 : problem_.keys;
      if (options_.bias == ChannelBias::all) {
        rows.row_max[i] = max_of({w_.row(t), static_cast<std::size_t>(end)});
        continue;
      }
      const Index from = std::max<Index>(t - options_.window + 1, 0),
                  to = std::min(end, t + options_.window);
      for (Index j = from; j < to; ++j) {
        rows.row_max[i] = std::max(rows.row_max[i], w_(t, j - t + options_.window - 1));
      }
    }
  }

  /// Keys of tiles below `low` and from `high` on, whose pairs have no bias.
  void start_from_sums(const Rows& rows, Index low, Index high) const {
    for (Index i = 0; i < rows.count; ++i) {
      // Where all pairs have a bias there is nothing to start from, and the factor may overflow.
      const float factor = options_.bias == ChannelBias::all ? 0.0f : std::exp(-rows.row_max[i]);
      for (Index c = 0; c < 2 * d_; ++c) {
        rows.sums(i, c) = factor * (before_(low, c) + (problem_.causal ? 0 : after_(high, c)));
      }
    }
  }

  /// exp(w - row maximum) of row i with keys begin, begin + 1, ... below end.
  void bias_row(const Rows& rows, Index i, Index begin, Index end, Worker& worker) const {
    float* row = rows.bias.row(i);
    const Index t = problem_.position(rows.begin + i);
    if (options_.bias == ChannelBias::all) {
      std::copy_n(w_.row(t) + begin, end - begin, row);
    } else {
      std::fill_n(row, end - begin, 0.0f);
      if (options_.bias == ChannelBias::band) {
        const Index first = std::max(begin, t - options_.window + 1);
        const Index last = std::min(end, t + options_.window);
        for (Index j = first; j < last; ++j) row[j - begin] = w_(t, j - t + options_.window - 1);
      }
    }
    exp_minus({row, static_cast<std::size_t>(end - begin)}, rows.row_max[i]);
    worker.executed.exponentials += static_cast<double>(end - begin);
  }

  void add_tile(const Rows& rows, Index tile, Worker& worker) const {
    for (Index i = 0; problem_.causal && i < rows.count; ++i) {
      scale_halves(rows.sums.row(i), factors_.row(tile), d_);
    }
    const Index begin = tile_begin(tile), keys = tile_end(tile) - begin;
    for (Index i = 0; i < rows.count; ++i) bias_row(rows, i, begin, begin + keys, worker);
    multiply(rows.bias.col_range(0, keys), weighted_.row_range(begin, keys), rows.sums, worker, 1,
             true);
  }

  /// Keys of the queries' own tile, of which row i sees those up to its own position.
  void add_own_tile(const Rows& rows, Index tile, Worker& worker) const {
    const Index begin = tile_begin(tile);
    const Index keys = problem_.position(rows.begin + rows.count - 1) + 1 - begin;
    const View weighted = worker.scratch.take_matrix(keys, 2 * d_);
    const View steps = worker.scratch.take_matrix(keys, d_);
    float* maximum = worker.scratch.take<float>(d_).data();
    for (Index c = 0; c < d_; ++c) maximum[c] = tile > 0 ? maxima_(tile - 1, c) : kNone;
    for (Index j = 0; j < keys; ++j) {
      for (Index c = 0; c < d_; ++c) {
        const float next = std::max(maximum[c], call_.k(begin + j, c));
        steps(j, c) = maximum[c] - next;
        maximum[c] = next;
      }
      exp_minus({steps.row(j), static_cast<std::size_t>(d_)}, 0);
      weigh_key(begin + j, maximum, weighted.row(j));
    }
    worker.executed.exponentials += static_cast<double>(2 * keys * d_);
    worker.executed.multiply_adds += static_cast<double>(keys * d_);
    for (Index i = 0; i < rows.count; ++i) {
      const Index seen = problem_.position(rows.begin + i) + 1 - begin;
      float* const sums = rows.sums.row(i);
      Index first = 0;
      if (options_.bias == ChannelBias::none) {
        std::fill_n(rows.bias.row(i), seen, 1.0f);
        // Without a bias, a row's sums are those of the row before and its own key.
        if (i > 0) {
          first = seen - 1;
          std::copy_n(rows.sums.row(i - 1), 2 * d_, sums);
        }
      } else {
        bias_row(rows, i, begin, begin + seen, worker);
      }
      for (Index j = first; j < seen; ++j) {
        step_halves(sums, steps.row(j), rows.bias(i, j), weighted.row(j), d_);
      }
      worker.executed.multiply_adds += static_cast<double>(2 * (seen - first) * d_);
    }
  }

  void finish(const Rows& rows, Worker& worker) const {
    for (Index i = 0; i < rows.count; ++i) {
      const Index row = rows.begin + i;
      float* out = call_.out.row(row);
      for (Index c = 0; c < d_; ++c) out[c] = -call_.q(row, c);
      exp_minus({out, static_cast<std::size_t>(d_)}, 0);
      const float* const norms = rows.sums.row(i);
      for (Index c = 0; c < d_; ++c) out[c] = norms[d_ + c] / (norms[c] * (1 + out[c]));
      for (Index c = 0; c < d_; ++c) {
        if (norms[c] < kLeast) out[c] = term_by_term(row, c) / (1 + std::exp(-call_.q(row, c)));
      }
    }
    worker.executed.exponentials += static_cast<double>(rows.count * d_);
  }

  /// The mean of one channel of one row where float lost the scale of its terms.
  float term_by_term(Index row, Index c) const {
    const Index t = problem_.position(row);
    const Index end = problem_.causal ? t + 1 : problem_.keys;
    const auto score = [&](Index j) {
      const bool in_window = std::abs(t - j) < options_.window;
      return call_.k(j, c) + (options_.bias == ChannelBias::all ? double{w_(t, j)}
                              : options_.bias == ChannelBias::band && in_window
                                  ? double{w_(t, j - t + options_.window - 1)}
                                  : 0.0);
    };
    double largest = score(0), sum = 0, norm = 0;
    for (Index j = 1; j < end; ++j) largest = std::max(largest, score(j));
    for (Index j = 0; j < end; ++j) {
      const double weight = std::exp(score(j) - largest);
      sum += weight * call_.v(j, c);
      norm += weight;
    }
    return static_cast<float>(sum / norm);
  }

  const ChannelAttention& options_;
  const Call& call_;
  const Problem& problem_;
  Index d_, tiles_;
  ConstView w_;
  View maxima_, factors_, weighted_, before_, after_;
};

}  // namespace

Scratch ChannelAttention::scratch(const Problem& problem) const {
  return Pass::scratch(bias, problem);
}

void ChannelAttention::forward(const Call& call) const { Pass(*this, call).run(); }

}  // namespace subquad

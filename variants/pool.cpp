// pool: each token becomes the average of its neighbours, less itself. Yu et al. 2021, "MetaFormer
// is actually what you need for vision" (arXiv:2111.11418), section 3.2, equation 4 (PoolFormer).
//
//   out_i = (1 / |N(i)|) sum_{j in N(i)} v_j - v_i,   N(i): the `window` keys around i that exist
//
// Time O(n d), whatever the window; memory O(d). No parameters. Borders are averages of what is
// there, as in the authors' code. The block around it adds its input again, which is why the token
// is subtracted; subtract=false leaves that out.
//
// Different from the paper: tokens stand in a sequence, not in an image of 3 x 3 patches; where it
// is causal, N(i) is the last `window` tokens, i among them. The paper has no projections and
// averages the layer's input. Here it is the values: averages of tokens commute with a projection
// of columns, so W_V before this is W_V behind it, and the matrix of weights has V to act on.

#include <algorithm>
#include <memory>
#include <span>
#include <vector>

#include "kernels/naive-inl.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

/// Rows that a tile writes at the least, if there are as many.
constexpr Index kRows = 64;

void add_row(const float* row, std::span<double> sum) {
  for (std::size_t c = 0; c < sum.size(); ++c) sum[c] += row[c];
}

/// Keys [begin, end).
struct Span {
  Index begin, end;
  double count() const { return static_cast<double>(end - begin); }
};

/// Which keys a token is averaged with.
struct Neighbours {
  Index behind, ahead;  ///< of the token

  Neighbours(Index window, bool causal)
      : behind(causal ? window - 1 : window / 2), ahead(window - 1 - behind) {}
  Span of(Index position, Index keys) const {
    return {std::max<Index>(position - behind, 0), std::min(position + ahead + 1, keys)};
  }
};

/// Decoder. Tokens come in blocks of the window's length, and a window is the end of one block and
/// the beginning of the next: so it takes the sums of all ends of a block, and a running sum, and
/// never the difference of two sums, in which what has left the window would stay as a rounding
/// error.
class PoolStream final : public Stream {
 public:
  PoolStream(Index window, bool subtract, const Problem& problem)
      : window_(window),
        subtract_(subtract),
        dim_(problem.value_dim),
        // A window that the sequence never fills has no second block.
        rows_(static_cast<std::size_t>(std::min(window, problem.keys) * dim_)),
        sum_(static_cast<std::size_t>(dim_)) {}

  void step(const Token& token) override {
    const Index row = read_ % window_;
    if (row == 0 && read_ > 0) add_up_ends();
    add_row(token.value, sum_);
    std::copy_n(token.value, dim_, ring(row));
    ++read_;
    const bool ends = read_ > window_ && row + 1 < window_;
    const double count = static_cast<double>(std::min(read_, window_));
    for (Index i = 0; i < token.out.rows; ++i) {
      for (Index c = 0; c < dim_; ++c) {
        const double sum = sum_[c] + (ends ? ring(row + 1)[c] : 0);
        token.out(i, c) = static_cast<float>(sum / count - (subtract_ ? token.value[c] : 0));
      }
    }
  }
  std::unique_ptr<Stream> clone() const override { return std::make_unique<PoolStream>(*this); }
  std::size_t state_bytes() const override {
    return rows_.size() * sizeof(float) + sum_.size() * sizeof(double);
  }

 private:
  float* ring(Index row) { return rows_.data() + row * dim_; }

  /// Row r of the finished block becomes the sum of rows r, r + 1, ...
  void add_up_ends() {
    std::fill(sum_.begin(), sum_.end(), 0.0);
    for (Index row = window_; row-- > 0;) {
      add_row(ring(row), sum_);
      for (Index c = 0; c < dim_; ++c) ring(row)[c] = static_cast<float>(sum_[c]);
    }
    std::fill(sum_.begin(), sum_.end(), 0.0);
  }

  Index window_;
  bool subtract_;
  Index dim_;
  std::vector<float> rows_;  ///< before `row`: this block's tokens; from there: ends of the last
  std::vector<double> sum_;  ///< of this block's tokens
  Index read_ = 0;
};

class Pool final : public Variant {
 public:
  Index window = 3;
  bool subtract = true;

  void parameters(Parameters& visit) override {
    visit("window", window, at_least(1), "tokens that are averaged, the token itself among them");
    visit("subtract", subtract, "take the token itself off the average");
  }
  Target target(const Problem&) const override { return Target::operation; }
  Consumes consumes() const override { return {.q = false, .k = false, .v = true}; }
  std::string refuses(const Problem& problem) const override {
    if (problem.position(problem.queries) <= problem.keys) return {};
    return "averages around a query's own key, so queries must be among the keys";
  }

  Scratch scratch(const Problem& problem) const override {
    return Scratch().worker<double>(problem.value_dim);
  }
  Cost cost(const Problem& problem) const override {
    // Sums only: no multiply-add of a product, no exponential.
    const Neighbours neighbours(window, problem.causal);
    const Index end = neighbours.of(problem.position(problem.queries - 1), problem.keys).end;
    const Index keys = end - neighbours.of(problem.first_query, problem.keys).begin;
    return {.bytes =
                sizeof(float) * static_cast<double>((keys + problem.queries) * problem.value_dim)};
  }

  void forward(const Call& call) const override {
    // Blocks of the window's length (`write_block`), several to a tile if they are short.
    const Index length = std::min(window, call.problem.queries);
    const Index rows = std::max<Index>(kRows / length, 1) * length;
    call.run.parallel((call.problem.queries + rows - 1) / rows, [&](Index tile, Worker& worker) {
      const std::span<double> sum = worker.scratch.take<double>(call.problem.value_dim);
      const Index end = std::min((tile + 1) * rows, call.problem.queries);
      for (Index begin = tile * rows; begin < end; begin += length) {
        write_block(call, begin, std::min(length, end - begin), sum);
      }
    });
  }

  void reference(const ReferenceCall& call) const override {
    naive_outputs(call, [&](Index i, double* row) { naive_weights(call.problem, i, row); });
  }
  void weights(const ReferenceCall& call, MatrixView<double> weights) const override {
    for (Index i = 0; i < weights.rows; ++i) naive_weights(call.problem, i, weights.row(i));
  }

  std::unique_ptr<Stream> stream(const Problem& problem, const Tensors&) const override {
    return std::make_unique<PoolStream>(window, subtract, problem);
  }

 private:
  /// Rows begin ... begin + count - 1, at most as many as the window has keys, so that some key is
  /// in the windows of all. Their windows' parts up to that key are summed from the last row to the
  /// first, those behind it from the first row to the last: additions alone, two for each element.
  /// A running sum from which keys are taken off again would keep their rounding errors.
  void write_block(const Call& call, Index begin, Index count, std::span<double> sum) const {
    const Neighbours neighbours(window, call.problem.causal);
    const Index common = call.problem.position(begin) + neighbours.ahead;
    std::fill(sum.begin(), sum.end(), 0.0);
    Index summed = std::min(common + 1, call.problem.keys);
    for (Index i = begin + count; i-- > begin;) {
      const Span span = neighbours.of(call.problem.position(i), call.problem.keys);
      while (summed > span.begin) add_row(call.v.row(--summed), sum);
      std::copy(sum.begin(), sum.end(), call.out.row(i));
    }
    std::fill(sum.begin(), sum.end(), 0.0);
    summed = common + 1;
    for (Index i = begin; i < begin + count; ++i) {
      const Index position = call.problem.position(i);
      const Span span = neighbours.of(position, call.problem.keys);
      for (; summed < span.end; ++summed) add_row(call.v.row(summed), sum);
      float* const out = call.out.row(i);
      const float* const own = call.v.row(position);
      const double share = 1 / span.count();
      const double less = subtract ? 1 : 0;
      for (Index c = 0; c < call.out.cols; ++c) {
        out[c] = static_cast<float>((out[c] + sum[c]) * share - less * own[c]);
      }
    }
  }

  /// Row i of the average less the identity.
  void naive_weights(const Problem& problem, Index i, double* row) const {
    const Index position = problem.position(i);
    double count = 0;
    for (Index j = 0; j < problem.keys; ++j) {
      const bool averaged = problem.causal
                                ? j <= position && position - j < window
                                : j - position < (window + 1) / 2 && position - j <= window / 2;
      row[j] = averaged ? 1 : 0;
      count += row[j];
    }
    for (Index j = 0; j < problem.keys; ++j) row[j] /= count;
    if (subtract) row[position] -= 1;
  }
};

SUBQUAD_VARIANT(Pool, {.name = "pool",
                       .summary = "average of the tokens around each, less the token itself",
                       .citation = "arXiv:2111.11418",
                       .time = "n d",
                       .memory = "d"});

}  // namespace
}  // namespace subquad

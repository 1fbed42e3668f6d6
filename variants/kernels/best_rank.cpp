#include "kernels/best_rank.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "kernels/product.h"
#include "kernels/symmetric_eigen.h"
#include "subquad/eigen.h"
#include "subquad/random.h"

namespace subquad {
namespace {

using Doubles = MatrixView<double>;
using ConstDoubles = MatrixView<const double>;

/// Rows or columns of a product that are one tile.
constexpr Index kTile = 256;
/// Any fixed number: an oracle must not depend on a seed.
constexpr std::uint64_t kStartKey = 0x72616e6b;
/// A row that shrinks to this part of itself beside others lies in their span, up to rounding.
constexpr double kDependent = 1e-10;

/// body(begin, count, worker) for parts of [0, size).
template <class Body>
void in_tiles(Run& run, Index size, Body body) {
  run.parallel((size + kTile - 1) / kTile, [&](Index tile, Worker& worker) {
    body(tile * kTile, std::min(kTile, size - tile * kTile), worker);
  });
}

Eigen::Map<Eigen::VectorXd> vector(Doubles rows, Index i) { return {rows.row(i), rows.cols}; }

}  // namespace

/// One matrix on its way; memory comes from the run's arena.
class BestRank::Call {
 public:
  Call(const BestRank& shape, ConstDoubles a, Run& run) : shape_(shape), a_(a), run_(run) {}

  /// Orthonormal rows [kept, side] that span what is kept.
  ConstDoubles basis() { return shape_.direct() ? direct_basis() : krylov_basis(); }

  void project(ConstDoubles basis, ConstDoubles v, Doubles out, bool accumulate) {
    const Doubles inside = take(shape_.basis_rows(), v.cols).row_range(0, basis.rows);
    const Doubles at_side = take(shape_.side_, v.cols);
    const bool right = by_columns();
    if (!right) multiply_rows(a_, v, at_side, false);
    multiply_rows(basis, right ? v : ConstDoubles(at_side), inside, false);
    const Doubles back = right ? at_side : out;
    in_tiles(run_, shape_.side_, [&](Index begin, Index count, Worker& worker) {
      multiply_left_transposed(basis.col_range(begin, count), inside, back.row_range(begin, count),
                               worker, 1, !right && accumulate);
    });
    if (right) multiply_rows(a_, at_side, out, accumulate);
  }

  /// c = a b, tiles of rows.
  void multiply_rows(ConstDoubles a, ConstDoubles b, Doubles c, bool accumulate) {
    in_tiles(run_, c.rows, [&](Index begin, Index count, Worker& worker) {
      subquad::multiply(a.row_range(begin, count), b, c.row_range(begin, count), worker, 1,
                        accumulate);
    });
  }

 private:
  /// The basis is one of the row space, columns being no more than rows.
  bool by_columns() const { return shape_.side_ == shape_.cols_; }

  Doubles take(Index rows, Index cols) {
    return {run_.shared().take<double>(rows * cols).data(), rows, cols};
  }

  Index kept(std::span<const double> squares) const {
    const double least = std::sqrt(squares[shape_.rank_ - 1]) * (1 - kTie);
    Index count = shape_.rank_;
    while (count < static_cast<Index>(squares.size()) && std::sqrt(squares[count]) >= least) {
      ++count;
    }
    return count;
  }

  ConstDoubles direct_basis() {
    const Doubles gram = take(shape_.side_, shape_.side_);
    const std::span<double> squares = run_.shared().take<double>(shape_.side_);
    in_tiles(run_, shape_.side_, [&](Index begin, Index count, Worker& worker) {
      const Doubles rows = gram.row_range(begin, count);
      if (by_columns()) {
        multiply_left_transposed(a_.col_range(begin, count), a_, rows, worker);
      } else {
        multiply_transposed(a_.row_range(begin, count), a_, rows, worker);
      }
    });
    symmetric_eigen(gram, squares, run_.shared());
    return gram.row_range(0, kept(squares));
  }

  ConstDoubles krylov_basis() {
    const Index block = shape_.block(), size = shape_.basis_rows();
    const Doubles basis = take(size, shape_.side_), images = take(size, shape_.across_);
    const Doubles ritz = take(size, size), overlaps = take(block, size);
    const std::span<double> squares = run_.shared().take<double>(size);
    // Images are done with once their products are: the new basis takes their place.
    const Doubles found(images.data, size, shape_.side_);
    const auto combine = [&](Index count) {
      in_tiles(run_, shape_.side_, [&](Index begin, Index width, Worker& worker) {
        subquad::multiply(ritz.row_range(0, count), basis.col_range(begin, width),
                          found.row_range(0, count).col_range(begin, width), worker);
      });
      return found.row_range(0, count);
    };
    Generator random(kStartKey);
    for (double& value : std::span(basis.data, static_cast<std::size_t>(block * shape_.side_))) {
      value = random.normal();
    }
    for (Index round = 0; round < kRounds; ++round) {
      extend(basis, images, overlaps);
      multiply_gram(images, ritz);
      symmetric_eigen(ritz, squares, run_.shared());
      if (round + 1 == kRounds) break;
      const Doubles next = combine(block);
      std::copy_n(next.data, block * shape_.side_, basis.data);
    }
    return combine(kept(squares));
  }

  /// Orthonormalises the first block and adds the others; `images` are those of all rows under A.
  void extend(Doubles basis, Doubles images, Doubles overlaps) {
    const Index block = shape_.block();
    for (Index begin = 0; begin < basis.rows; begin += block) {
      const Doubles rows = basis.row_range(begin, block), its = images.row_range(begin, block);
      orthonormalise(basis.row_range(0, begin), rows, overlaps);
      map(rows, its, by_columns());
      if (begin + block < basis.rows) {
        map(its, basis.row_range(begin + block, block), !by_columns());
      }
    }
  }

  /// y = x A^T, or x A.
  void map(ConstDoubles x, Doubles y, bool transposed) {
    in_tiles(run_, y.cols, [&](Index begin, Index count, Worker& worker) {
      const Doubles part = y.col_range(begin, count);
      if (transposed) {
        multiply_transposed(x, a_.row_range(begin, count), part, worker);
      } else {
        subquad::multiply(x, a_.col_range(begin, count), part, worker);
      }
    });
  }

  void multiply_gram(ConstDoubles x, Doubles gram) {
    in_tiles(run_, gram.rows, [&](Index begin, Index count, Worker& worker) {
      multiply_transposed(x.row_range(begin, count), x, gram.row_range(begin, count), worker);
    });
  }

  /// Twice, because what is left after cancellation is not orthogonal (Giraud, Langou and Rozloznik
  /// 2005). Rows that depend on others become zero: they add nothing, now or later.
  void orthonormalise(ConstDoubles before, Doubles rows, Doubles memory) {
    const std::size_t mark = run_.shared().used();
    const std::span<double> sizes = run_.shared().take<double>(rows.rows);
    for (Index i = 0; i < rows.rows; ++i) sizes[i] = vector(rows, i).norm();
    for (int pass = 0; pass < 2; ++pass) {
      if (before.rows > 0) project_out(before, rows, memory.col_range(0, before.rows));
      for (Index i = 0; i < rows.rows; ++i) {
        auto row = vector(rows, i);
        for (Index j = 0; j < i; ++j) row -= row.dot(vector(rows, j)) * vector(rows, j);
        const double left = row.norm();
        row *= left <= kDependent * sizes[i] ? 0 : 1 / left;
        sizes[i] = 1;
      }
    }
    run_.shared().rewind(mark);
  }

  /// Takes the span of orthonormal rows `before` out of `rows`.
  void project_out(ConstDoubles before, Doubles rows, Doubles overlaps) {
    in_tiles(run_, before.rows, [&](Index begin, Index count, Worker& worker) {
      multiply_transposed(rows, before.row_range(begin, count), overlaps.col_range(begin, count),
                          worker);
    });
    in_tiles(run_, rows.cols, [&](Index begin, Index count, Worker& worker) {
      subquad::multiply(overlaps, before.col_range(begin, count), rows.col_range(begin, count),
                        worker, -1, true);
    });
  }

  const BestRank& shape_;
  ConstDoubles a_;
  Run& run_;
};

BestRank::BestRank(Index rows, Index cols, Index rank)
    : rows_(rows),
      cols_(cols),
      rank_(rank),
      side_(std::min(rows, cols)),
      across_(std::max(rows, cols)) {}

bool BestRank::direct() const {
  // Beyond four fifths of the side the basis saves nothing.
  return side_ <= kDirectSide || 5 * kBlocks * block() >= 4 * side_;
}

void BestRank::multiply(ConstDoubles a, ConstDoubles v, Doubles out, Run& run,
                        bool accumulate) const {
  Call call(*this, a, run);
  if (whole()) return call.multiply_rows(a, v, out, accumulate);
  const std::size_t mark = run.shared().used();
  call.project(call.basis(), v, out, accumulate);
  run.shared().rewind(mark);
}

Scratch BestRank::scratch(Index width) const {
  Scratch scratch;
  scratch.worker_bytes = product_scratch_bytes<double>(rows_, width, whole() ? cols_ : across_);
  if (whole()) return scratch;
  const Index size = basis_rows();
  Scratch inside;
  inside.shared_bytes = symmetric_eigen_scratch_bytes(size);
  if (direct()) {
    scratch.shared<double>(size * size).shared<double>(size);
  } else {
    scratch.shared<double>(size * side_).shared<double>(size * across_);
    scratch.shared<double>(size * size).shared<double>(block() * size).shared<double>(size);
    inside.shared_bytes =
        std::max(inside.shared_bytes, Scratch().shared<double>(block()).shared_bytes);
  }
  const Scratch projecting = Scratch().shared<double>(size * width).shared<double>(side_ * width);
  scratch.shared_bytes += std::max(inside.shared_bytes, projecting.shared_bytes);
  return scratch;
}

double BestRank::multiply_adds(Index width) const {
  const auto rows = static_cast<double>(rows_), cols = static_cast<double>(cols_);
  const auto side = static_cast<double>(side_), across = static_cast<double>(across_);
  const auto columns = static_cast<double>(width), size = static_cast<double>(basis_rows());
  const double applying = rows * cols * columns;
  if (whole()) return applying;
  const double projecting = applying + 2 * size * side * columns;
  if (direct()) return side * side * across + projecting;
  const auto extra = static_cast<double>(block());
  // A round's products: with A for each block and with its transpose for all but the last; with
  // earlier blocks, there and back, twice; of the images with one another; and of the new basis.
  const double round = (2 * size - extra) * rows * cols + 2 * size * (size - extra) * side +
                       size * size * across + extra * size * side;
  return static_cast<double>(kRounds) * round + size * size * side + projecting;
}

}  // namespace subquad

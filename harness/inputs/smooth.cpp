// smooth: neighbours along the sequence are alike, and a token's query is like its key.
//
//   every column is made of stationary AR(1) processes of variance 1,
//   y_t = correlation y_(t-1) + sqrt(1 - correlation^2) noise:
//   q = a (sqrt(shared) h + sqrt(1 - shared) own),  k likewise with the same process h,  v own
//   a^2 shared dim / sqrt(dim) = margin
//
// so the mean score of positions i and j is margin correlation^|i - j|: attention decays with
// distance, as in the local heads that sliding windows (Longformer, arXiv:2004.05150) are built
// for, and means of neighbouring keys (landmarks, pooling) represent them well.

#include <algorithm>

#include "inputs/draw.h"
#include "inputs/generator.h"

namespace subquad {
namespace {

/// One row after another of `cols` independent stationary processes.
class Autoregression {
 public:
  Autoregression(Generator random, Index cols, double correlation)
      : random_(random),
        correlation_(correlation),
        innovation_(std::sqrt(1 - correlation * correlation)),
        row_(normal_vector(random_, cols)) {}

  /// The present row; moves on to the next.
  std::vector<double> next() {
    std::vector<double> present = row_;
    for (double& value : row_) value = correlation_ * value + innovation_ * random_.normal();
    return present;
  }

 private:
  Generator random_;
  double correlation_, innovation_;
  std::vector<double> row_;
};

class Smooth final : public InputGenerator {
 public:
  void parameters(Parameters& visit) override {
    visit("correlation", correlation_, between(0, 1), "of a row with the next");
    visit("shared", shared_, between(0.01, 1),
          "part of the variance that q and k of a token share");
    visit("margin", margin_, at_least(0), "mean score of a token's query with its own key");
  }

  void fill_keys(const HeadStreams& streams, View k, View v) const override {
    fill(streams.structure(), streams.keys(), k);
    Autoregression values(streams.values(), v.cols, correlation_);
    for (Index j = 0; j < v.rows; ++j) std::ranges::copy(values.next(), v.row(j));
  }

  void fill_queries(const HeadStreams& streams, ConstView, View q) const override {
    fill(streams.structure(), streams.queries(), q);
  }

 private:
  void fill(Generator common_stream, Generator own_stream, View out) const {
    const double scale = std::sqrt(margin_ / (shared_ * std::sqrt(static_cast<double>(out.cols))));
    Autoregression common(common_stream, out.cols, correlation_);
    Autoregression own(own_stream, out.cols, correlation_);
    for (Index i = 0; i < out.rows; ++i) {
      const auto h = common.next(), y = own.next();
      for (Index c = 0; c < out.cols; ++c) {
        const double mixed = std::sqrt(shared_) * h[c] + std::sqrt(1 - shared_) * y[c];
        out(i, c) = static_cast<float>(scale * mixed);
      }
    }
  }

  double correlation_ = 0.95;
  double shared_ = 0.75;
  double margin_ = 8;
};

SUBQUAD_INPUT(Smooth, "smooth", "neighbours are alike: attention decays with distance");

}  // namespace
}  // namespace subquad

// smooth: neighbours along the sequence are alike, and a token's query is like its key.
//
//   every column of q, k and v is a stationary AR(1) process of variance 1:
//   y_t = correlation y_(t-1) + sqrt(1 - correlation^2) noise
//   q = sqrt(shared) h + sqrt(1 - shared) own,  k likewise with the same process h
//
// so the mean score of positions i and j is shared sqrt(dim) correlation^|i - j|: attention decays
// with distance, as in the local heads that sliding windows (Longformer, arXiv:2004.05150) are
// built for, and means of neighbouring keys (landmarks, pooling) represent them well.

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
    visit("shared", shared_, between(0, 1), "part of the variance that q and k of a token share");
  }

  void fill_keys(const HeadStreams& streams, View k, View v) const override {
    fill(streams.structure(), streams.keys(), shared_, k);
    fill(streams.structure(), streams.values(), 0, v);
  }

  void fill_queries(const HeadStreams& streams, ConstView, View q) const override {
    fill(streams.structure(), streams.queries(), shared_, q);
  }

 private:
  void fill(Generator common_stream, Generator own_stream, double shared, View out) const {
    Autoregression common(common_stream, out.cols, correlation_);
    Autoregression own(own_stream, out.cols, correlation_);
    for (Index i = 0; i < out.rows; ++i) {
      const auto h = common.next(), y = own.next();
      for (Index c = 0; c < out.cols; ++c) {
        out(i, c) = static_cast<float>(std::sqrt(shared) * h[c] + std::sqrt(1 - shared) * y[c]);
      }
    }
  }

  double correlation_ = 0.95;
  double shared_ = 0.75;
};

SUBQUAD_INPUT(Smooth, "smooth", "neighbours are alike: attention decays with distance");

}  // namespace
}  // namespace subquad

// sinks: the first keys draw most of every query's mass and carry next to nothing.
//
// Trained causal models park attention on the first tokens, whose values are small, when there is
// nothing to look at (StreamingLLM, arXiv:2309.17453). A window that loses those keys renormalises
// over the rest, and its output grows many times too large; a window that keeps them is fine.
//
//   q_i = g_i + a u,   k_j = g_j, for a sink g_j + a u,   g orthogonal to the unit vector u
//   a^2 / sqrt(dim) = strength + ln((n - tokens) / tokens)
//
// Whatever n is, the sinks together then weigh exp(strength) times as much as all other keys
// together, up to the spread over queries.

#include <algorithm>

#include "inputs/draw.h"
#include "inputs/generator.h"

namespace subquad {
namespace {

class Sinks final : public InputGenerator {
 public:
  void parameters(Parameters& visit) override {
    visit("tokens", tokens_, at_least(1), "keys at the beginning that are sinks");
    visit("strength", strength_, between(-50, 50), "log of the sinks' mass over that of the rest");
    visit("value_std", value_std_, at_least(0), "standard deviation of the sinks' values");
  }

  void fill_keys(const HeadStreams& streams, View k, View v) const override {
    Generator keys = streams.keys(), values = streams.values();
    const Index sinks = std::min(tokens_, k.rows);
    const double excess = excess_score(k.rows);
    // Queries carry the positive root, so a negative excess takes its sign here.
    const double along = std::copysign(component(excess, k.cols), excess);
    fill_around(streams, keys, along, k.row_range(0, sinks));
    fill_around(streams, keys, 0, k.row_range(sinks, k.rows - sinks));
    fill_normal(values, v.row_range(0, sinks), value_std_);
    fill_normal(values, v.row_range(sinks, v.rows - sinks));
  }

  void fill_queries(const HeadStreams& streams, ConstView k, View q) const override {
    Generator queries = streams.queries();
    fill_around(streams, queries, component(excess_score(k.rows), k.cols), q);
  }

 private:
  /// By how much the score of a sink exceeds that of another key.
  double excess_score(Index keys) const {
    if (keys <= tokens_) return strength_;
    const auto sinks = static_cast<double>(tokens_);
    return strength_ + std::log((static_cast<double>(keys) - sinks) / sinks);
  }

  static double component(double excess, Index dim) {
    return std::sqrt(std::abs(excess) * std::sqrt(static_cast<double>(dim)));
  }

  /// Normal rows, their component along the sinks' direction replaced by `along`.
  static void fill_around(const HeadStreams& streams, Generator& random, double along, View out) {
    Generator structure = streams.structure();
    const auto direction = unit_vector(structure, out.cols);
    for (Index i = 0; i < out.rows; ++i) {
      const auto row = normal_vector(random, out.cols);
      double drawn = 0;
      for (Index c = 0; c < out.cols; ++c) drawn += row[c] * direction[c];
      for (Index c = 0; c < out.cols; ++c) {
        out(i, c) = static_cast<float>(row[c] + (along - drawn) * direction[c]);
      }
    }
  }

  Index tokens_ = 4;
  double strength_ = 2;
  double value_std_ = 0.05;
};

SUBQUAD_INPUT(Sinks, "sinks", "the first keys draw most mass and have small values");

}  // namespace
}  // namespace subquad

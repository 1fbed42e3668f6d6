// needle: every query has one key, anywhere before it, that holds what it looks for; all other keys
// are noise.
//
//   q_i = s sqrt(dim) k_p / |k_p|^2 + noise,  p uniform in 0 ... i,  v ~ N(0, 1)
//
// so the needle scores s and dense attention answers about v_p. A method that misses the needle
// answers something else of the same size: relative error about 1. It imitates associative recall,
// the skill that separates subquadratic models from attention (Zoology, arXiv:2312.04927), and
// needle-in-a-haystack tests.
//
// s is chosen so that the needle weighs exp(strength) times as much as the n other keys together.
// These score about N(0, s^2 / dim + noise^2), hence s = strength + ln n + (s^2 / dim + noise^2)/2,
// of which s is the smaller root. Below about 2 ln n dimensions there is none (random keys cannot
// be told apart that well): s is then dim, where the needle stands out most.

#include <algorithm>

#include "inputs/draw.h"
#include "inputs/generator.h"

namespace subquad {
namespace {

class Needle final : public InputGenerator {
 public:
  void parameters(Parameters& visit) override {
    visit("strength", strength_, between(-50, 50), "log of the needle's mass over all other keys'");
    visit("noise", noise_, at_least(0), "standard deviation of the query's random part");
  }

  void fill_keys(const HeadStreams& streams, View k, View v) const override {
    Generator keys = streams.keys(), values = streams.values();
    fill_normal(keys, k);
    fill_normal(values, v);
  }

  void fill_queries(const HeadStreams& streams, ConstView k, View q) const override {
    Generator queries = streams.queries();
    const double factor = score(k.rows, k.cols) * std::sqrt(static_cast<double>(k.cols));
    for (Index i = 0; i < q.rows; ++i) {
      const float* needle = k.row(queries.below(std::min(i + 1, k.rows)));
      double squares = 0;
      for (Index c = 0; c < k.cols; ++c) squares += static_cast<double>(needle[c]) * needle[c];
      for (Index c = 0; c < q.cols; ++c) {
        q(i, c) = static_cast<float>(factor * needle[c] / squares + noise_ * queries.normal());
      }
    }
  }

 private:
  double score(Index keys, Index dim) const {
    const auto d = static_cast<double>(dim);
    const double lead = strength_ + std::log(static_cast<double>(keys)) + noise_ * noise_ / 2;
    const double root = 1 - 2 * lead / d;
    return root > 0 ? d * (1 - std::sqrt(root)) : d;
  }

  double strength_ = 2;
  double noise_ = 0.3;
};

SUBQUAD_INPUT(Needle, "needle", "each query seeks one key somewhere before it");

}  // namespace
}  // namespace subquad

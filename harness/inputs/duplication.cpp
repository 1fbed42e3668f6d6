// duplication: 0w0w. Every token stands twice, half a sequence apart, and each of the two seeks the
// other: what the Reformer paper (arXiv:2001.04451, section 5) has a model copy, without the model.
//
//   code_p = (a c_p + b e_p) / |.|,  code_p' = (a c_p - b e_p) / |.|,  p' = p + n/2,
//   a^2 + b^2 = 1,  a^2 - b^2 = similarity,  c_p, e_p of length 1 and orthogonal
//   q_i = sharpness sqrt(dim) code_i + noise,  k_j = code of the other of j,  v ~ N(0, 1)
//
// So a query scores `sharpness` with the key that it seeks, similarity * sharpness with its own,
// and little with all others: dense attention answers v of the other. Shared queries and keys (LSH
// of Reformer), which make keys of queries and keep a token from itself, find the other with
// similarity * sharpness. v differs between the two, so that whoever looks at himself is wrong. Of
// an odd number of tokens the last is its own other. It needs two dimensions; in one there is no e.

#include <algorithm>

#include "inputs/draw.h"
#include "inputs/generator.h"

namespace subquad {
namespace {

class Duplication final : public InputGenerator {
 public:
  void parameters(Parameters& visit) override {
    visit("similarity", similarity_, between(0, 1), "cosine of the queries of a pair");
    visit("sharpness", sharpness_, at_least(0), "score of a query with the key that it seeks");
    visit("noise", noise_, at_least(0), "standard deviation of the query's random part");
  }

  void fill_keys(const HeadStreams& streams, View k, View v) const override {
    Generator values = streams.values();
    each_code(streams, k.rows, k.cols, [&](Index token, Index other, const auto& code) {
      (void)token;
      for (Index c = 0; c < k.cols; ++c) k(other, c) = static_cast<float>(code[c]);
    });
    fill_normal(values, v);
  }

  void fill_queries(const HeadStreams& streams, ConstView k, View q) const override {
    Generator queries = streams.queries();
    fill_normal(queries, q, noise_);
    const double size = sharpness_ * std::sqrt(static_cast<double>(q.cols));
    each_code(streams, k.rows, q.cols, [&](Index token, Index, const auto& code) {
      // Tokens beyond the keys are those of another repetition.
      for (Index i = token; i < q.rows; i += k.rows) {
        for (Index c = 0; c < q.cols; ++c) q(i, c) += static_cast<float>(size * code[c]);
      }
    });
  }

 private:
  /// use(token, the other of its pair, code of the token), for all tokens.
  template <class Use>
  void each_code(const HeadStreams& streams, Index tokens, Index dim, Use use) const {
    Generator structure = streams.structure();
    const Index half = tokens / 2;
    const double common = std::sqrt((1 + similarity_) / 2), own = std::sqrt((1 - similarity_) / 2);
    for (Index p = 0; p < half; ++p) {
      const std::vector<double> shared = unit_vector(structure, dim);
      const std::vector<double> apart = unit_vector_across(structure, shared);
      use(p, p + half, combined(common, shared, own, apart));
      use(p + half, p, combined(common, shared, -own, apart));
    }
    if (tokens % 2 == 1) use(tokens - 1, tokens - 1, unit_vector(structure, dim));
  }

  /// Uniform on the unit sphere orthogonal to `axis`, of length 1; 0 in one dimension.
  static std::vector<double> unit_vector_across(Generator& random,
                                                const std::vector<double>& axis) {
    std::vector<double> out = normal_vector(random, static_cast<Index>(axis.size()));
    double along = 0, squares = 0;
    for (std::size_t c = 0; c < out.size(); ++c) along += out[c] * axis[c];
    for (std::size_t c = 0; c < out.size(); ++c) {
      out[c] -= along * axis[c];
      squares += out[c] * out[c];
    }
    const double factor = axis.size() > 1 ? 1 / std::sqrt(squares) : 0;
    for (double& value : out) value *= factor;
    return out;
  }

  static std::vector<double> combined(double a, const std::vector<double>& x, double b,
                                      const std::vector<double>& y) {
    std::vector<double> sum(x.size());
    for (std::size_t c = 0; c < x.size(); ++c) sum[c] = a * x[c] + b * y[c];
    return sum;
  }

  double similarity_ = 0.8;
  double sharpness_ = 20;
  double noise_ = 0.3;
};

SUBQUAD_INPUT(Duplication, "duplication", "every token seeks its double, half a sequence away");

}  // namespace
}  // namespace subquad

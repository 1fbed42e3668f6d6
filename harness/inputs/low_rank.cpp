// low_rank: queries and keys vary in few directions, the same for both, and values follow keys.
//
//   q_i = a_i B + noise,  k_j = b_j B + noise,  v_j = b_j C + noise,
//   a_i, b_j ~ N(0, 1)^rank,  B [rank, dim] and C [rank, value_dim] ~ N(0, 1 / rank)
//
// The scores have rank `rank` up to the noise. It imitates the fast-falling spectrum of trained
// attention that Linformer (arXiv:2006.04768, section 3) and Nystromformer (arXiv:2102.03902)
// build on.

#include "inputs/draw.h"
#include "inputs/generator.h"

namespace subquad {
namespace {

class LowRank final : public InputGenerator {
 public:
  void parameters(Parameters& visit) override {
    visit("rank", rank_, between(1, 1 << 16), "directions in which queries and keys vary");
    visit("noise", noise_, at_least(0), "standard deviation of what lies outside of them");
  }

  void fill_keys(const HeadStreams& streams, View k, View v) const override {
    Generator structure = streams.structure();
    const auto basis = normal_matrix(structure, rank_, k.cols);
    const auto value_basis = normal_matrix(structure, rank_, v.cols);
    Generator keys = streams.keys(), values = streams.values();
    for (Index j = 0; j < k.rows; ++j) {
      const auto place = normal_vector(keys, rank_);
      spanned(place, basis, keys, k.row_range(j, 1));
      spanned(place, value_basis, values, v.row_range(j, 1));
    }
  }

  void fill_queries(const HeadStreams& streams, ConstView, View q) const override {
    Generator structure = streams.structure(), queries = streams.queries();
    const auto basis = normal_matrix(structure, rank_, q.cols);
    for (Index i = 0; i < q.rows; ++i) {
      spanned(normal_vector(queries, rank_), basis, queries, q.row_range(i, 1));
    }
  }

 private:
  void spanned(const std::vector<double>& place, const std::vector<double>& basis,
               Generator& random, View row) const {
    const double scale = 1 / std::sqrt(static_cast<double>(rank_));
    for (Index c = 0; c < row.cols; ++c) {
      double sum = 0;
      for (Index r = 0; r < rank_; ++r) sum += place[r] * basis[r * row.cols + c];
      row(0, c) = static_cast<float>(scale * sum + noise_ * random.normal());
    }
  }

  Index rank_ = 8;
  double noise_ = 0.1;
};

SUBQUAD_INPUT(LowRank, "low_rank", "queries and keys vary in few directions");

}  // namespace
}  // namespace subquad

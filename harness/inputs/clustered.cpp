// clustered: queries and keys lie around common centres, so a query attends to its own cluster,
// wherever in the sequence its members stand.
//
//   q_i, k_j = a (centre + spread noise),  a^2 dim / sqrt(dim) = margin
//   v_j      = (value centre + spread noise) / sqrt(1 + spread^2)
//
// What content-based sparsity is made for: hashing (Reformer, arXiv:2001.04451), routing by
// k-means (Routing Transformer, arXiv:2003.05997), clustered queries (arXiv:2007.04825). Values
// belong to the cluster too: as in trained models, V correlates with K.

#include "inputs/draw.h"
#include "inputs/generator.h"

namespace subquad {
namespace {

class Clustered final : public InputGenerator {
 public:
  void parameters(Parameters& visit) override {
    visit("clusters", clusters_, between(1, 1 << 20), "centres that queries and keys share");
    visit("spread", spread_, at_least(0), "deviation from the centre, relative to the centre");
    visit("margin", margin_, at_least(0), "mean score of a query with a key of its own cluster");
  }

  void fill_keys(const HeadStreams& streams, View k, View v) const override {
    Generator structure = streams.structure();
    const auto centres = normal_matrix(structure, clusters_, k.cols);
    const auto value_centres = normal_matrix(structure, clusters_, v.cols);
    Generator keys = streams.keys(), values = streams.values();
    const double value_scale = 1 / std::sqrt(1 + spread_ * spread_);
    for (Index j = 0; j < k.rows; ++j) {
      const Index cluster = keys.below(clusters_);
      around(&centres[cluster * k.cols], scale(k.cols), keys, k.row_range(j, 1));
      around(&value_centres[cluster * v.cols], value_scale, values, v.row_range(j, 1));
    }
  }

  void fill_queries(const HeadStreams& streams, ConstView, View q) const override {
    Generator structure = streams.structure(), queries = streams.queries();
    const auto centres = normal_matrix(structure, clusters_, q.cols);
    for (Index i = 0; i < q.rows; ++i) {
      const Index cluster = queries.below(clusters_);
      around(&centres[cluster * q.cols], scale(q.cols), queries, q.row_range(i, 1));
    }
  }

 private:
  double scale(Index dim) const { return std::sqrt(margin_ / std::sqrt(static_cast<double>(dim))); }

  void around(const double* centre, double scale, Generator& random, View row) const {
    for (Index c = 0; c < row.cols; ++c) {
      row(0, c) = static_cast<float>(scale * (centre[c] + spread_ * random.normal()));
    }
  }

  Index clusters_ = 16;
  double spread_ = 0.3;
  double margin_ = 6;
};

SUBQUAD_INPUT(Clustered, "clustered", "queries attend to the keys of their own cluster");

}  // namespace
}  // namespace subquad

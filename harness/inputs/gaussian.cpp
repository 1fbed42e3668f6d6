// gaussian: independent normal Q, K and V, the input of most published accuracy figures.
//
//   q, k ~ N(0, std^2),  v ~ N(0, 1),  so scores q.k / sqrt(dim) are about N(0, std^4)
//
// With std = 1 attention is diffuse and has no structure to exploit: no locality, no clusters, V
// independent of K. Rankings found here need not hold on real input. `std` is the temperature:
// from about 2 on, each query attends to a few unpredictable keys.

#include "inputs/draw.h"
#include "inputs/generator.h"

namespace subquad {
namespace {

class Gaussian final : public InputGenerator {
 public:
  void parameters(Parameters& visit) override {
    visit("std", std_, at_least(0), "standard deviation of queries and keys");
  }

  void fill_keys(const HeadStreams& streams, View k, View v) const override {
    Generator keys = streams.keys(), values = streams.values();
    fill_normal(keys, k, std_);
    fill_normal(values, v);
  }

  void fill_queries(const HeadStreams& streams, ConstView, View q) const override {
    Generator queries = streams.queries();
    fill_normal(queries, q, std_);
  }

 private:
  double std_ = 1;
};

SUBQUAD_INPUT(Gaussian, "gaussian", "independent normal Q, K, V: no structure at all");

}  // namespace
}  // namespace subquad

// alignment: the attention of a translator. Keys are the words of a source sentence, queries the
// states of a decoder that writes another sentence, so there may be fewer or more of them; each
// looks for the one word that it translates.
//
//   k_j = word(w_j) + position(j),   w_j uniform in the vocabulary, word ~ N(0, 1)
//   q_i = sharpness sqrt(dim) k_a / |k_a|^2 + noise,   a = the word that query i is aligned to
//   v_j = (value of the word + 0.3 noise) / sqrt(1.09)
//
// so q_i scores `sharpness` on its own word. The sentences of a batch are in one language: a head
// has one vocabulary for all of them. Alignments are monotone on the whole, a = (i + 1/2) keys /
// queries rounded down, displaced by up to `reorder` either way (neighbours change places), and
// with probability `repeats` a query stays at the word of the one before it, unless that one stayed
// already (one word becomes two). Weights of dense attention show it as a broken diagonal with
// faint copies where the same word stands elsewhere, much as the pictures of Bahdanau et al.
// (arXiv:1409.0473, figure 3) do. position(j) has pairs sin, cos of j / 10000^(2c / dim), times
// sqrt(2), so that it weighs as much as the word (Vaswani et al., arXiv:1706.03762, section 3.5).

#include <algorithm>

#include "inputs/draw.h"
#include "inputs/generator.h"

namespace subquad {
namespace {

class Alignment final : public InputGenerator {
 public:
  void parameters(Parameters& visit) override {
    visit("vocabulary", vocabulary_, between(1, 1 << 20), "different words of the source");
    visit("sharpness", sharpness_, at_least(0),
          "score of a query with the word that it is aligned to");
    visit("reorder", reorder_, at_least(0), "words by which an alignment is displaced at the most");
    visit("repeats", repeats_, between(0, 1),
          "probability that a query stays at the word of the one before it");
    visit("noise", noise_, at_least(0), "standard deviation of the query's random part");
  }
  bool queries_are_tokens_of_their_own() const override { return true; }

  void fill_keys(const HeadStreams& streams, View k, View v) const override {
    Generator vocabulary = streams.vocabulary(), keys = streams.keys(), values = streams.values();
    const auto words = normal_matrix(vocabulary, vocabulary_, k.cols);
    const auto word_values = normal_matrix(vocabulary, vocabulary_, v.cols);
    constexpr double kSpread = 0.3;
    const double scale = 1 / std::sqrt(1 + kSpread * kSpread);
    for (Index j = 0; j < k.rows; ++j) {
      const Index word = keys.below(vocabulary_);
      for (Index c = 0; c < k.cols; ++c) {
        k(j, c) = static_cast<float>(words[word * k.cols + c] + position(j, c, k.cols));
      }
      for (Index c = 0; c < v.cols; ++c) {
        const double noise = kSpread * values.normal();
        v(j, c) = static_cast<float>(scale * (word_values[word * v.cols + c] + noise));
      }
    }
  }

  void fill_queries(const HeadStreams& streams, ConstView k, View q) const override {
    Generator queries = streams.queries();
    // All of them before the noise, so that they are the same whatever noise is asked for.
    const std::vector<Index> aligned = alignments(queries, q.rows, k.rows);
    const double factor = sharpness_ * std::sqrt(static_cast<double>(k.cols));
    for (Index i = 0; i < q.rows; ++i) {
      const float* const key = k.row(aligned[i]);
      double squares = 0;
      for (Index c = 0; c < k.cols; ++c) squares += static_cast<double>(key[c]) * key[c];
      for (Index c = 0; c < q.cols; ++c) {
        q(i, c) = static_cast<float>(factor * key[c] / squares + noise_ * queries.normal());
      }
    }
  }

 private:
  static double position(Index j, Index column, Index dim) {
    const double exponent = static_cast<double>(column / 2 * 2) / static_cast<double>(dim);
    const double angle = static_cast<double>(j) * std::pow(10000, -exponent);
    return std::sqrt(2) * (column % 2 == 0 ? std::sin(angle) : std::cos(angle));
  }

  /// The key of each query.
  std::vector<Index> alignments(Generator& random, Index queries, Index keys) const {
    std::vector<Index> all(static_cast<std::size_t>(queries));
    const double step = static_cast<double>(keys) / static_cast<double>(queries);
    const double last = static_cast<double>(keys - 1);
    bool stays = false;
    for (Index i = 0; i < queries; ++i) {
      const double place =
          (static_cast<double>(i) + 0.5) * step + random.uniform(-reorder_, reorder_);
      stays = random.uniform() < repeats_ && i > 0 && !stays;
      all[i] = stays ? all[i - 1] : static_cast<Index>(std::clamp(std::floor(place), 0.0, last));
    }
    return all;
  }

  Index vocabulary_ = 32;
  double sharpness_ = 12;
  double reorder_ = 1;
  double repeats_ = 0.15;
  double noise_ = 0.3;
};

SUBQUAD_INPUT(Alignment, "alignment", "decoder states that look for the words they translate");

}  // namespace
}  // namespace subquad

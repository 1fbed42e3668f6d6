#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/linear_attention.h"
#include "kernels/lone_worker-inl.h"

namespace subquad {
namespace {

/// The sums of linear_attention.h, token by token: S and z of all that was read.
template <class T>
class LinearStream final : public Stream {
 public:
  LinearStream(std::shared_ptr<const FeatureMap<T>> map,
               std::shared_ptr<const Forgetting<T>> forgetting, const LinearAttention<T>& options,
               const Problem& problem)
      : map_(std::move(map)),
        forgetting_(std::move(forgetting)),
        normaliser_(options.normaliser),
        epsilon_(static_cast<T>(options.epsilon)),
        least_(static_cast<T>(options.least)),
        dim_(problem.dim),
        features_(map_->features(problem.dim)),
        columns_(problem.value_dim),
        sums_(static_cast<std::size_t>(features_ * columns_)),
        norms_(static_cast<std::size_t>(features_)),
        scales_(static_cast<std::size_t>(scale_count()), kNoScale),
        gates_(static_cast<std::size_t>(forgetting_ ? forgetting_->width(features_) : 0)),
        key_(norms_.size()),
        query_(norms_.size()),
        mixed_(static_cast<std::size_t>(columns_)),
        lone_(std::max(map_->scratch_bytes(1, dim_),
                       forgetting_ ? forgetting_->scratch_bytes(1, features_) : 0)) {}

  void step(const Token& token) override {
    forget(token);
    T log = 0;
    Worker worker = lone_.worker();
    map_->map_keys({token.key, 1, dim_}, read_, {key_.data(), 1, features_}, &log, worker);
    scale_key(log);
    for (Index f = 0; f < features_; ++f) {
      T* const sums = sums_.data() + f * columns_;
      const T feature = key_[f];
      for (Index c = 0; c < columns_; ++c) sums[c] += feature * static_cast<T>(token.value[c]);
      norms_[f] += feature;
    }
    ++read_;
    ask(token);
  }

  std::unique_ptr<Stream> clone() const override { return std::make_unique<LinearStream>(*this); }

  std::size_t state_bytes() const override {
    const std::size_t norms = normaliser_ == Normaliser::weights ? norms_.size() : 0;
    return sizeof(T) * (sums_.size() + norms + scales_.size());
  }

 private:
  /// Far below every logarithm of a feature.
  static constexpr T kNoScale = -1e30f;

  Index scale_count() const {
    const FeatureScale scale = map_->scale();
    return scale == FeatureScale::none ? 0 : scale == FeatureScale::row ? 1 : features_;
  }

  void scale_feature(Index feature, T factor) {
    if (factor == 1) return;
    T* const sums = sums_.data() + feature * columns_;
    for (Index c = 0; c < columns_; ++c) sums[c] *= factor;
    norms_[feature] *= factor;
  }

  void forget(const Token& token) {
    if (!forgetting_) return;
    const Index width = static_cast<Index>(gates_.size());
    Worker worker = lone_.worker();
    forgetting_->log_gates({token.key, 1, dim_}, token.x, read_, {gates_.data(), 1, width}, worker);
    for (Index f = 0; f < features_; ++f) scale_feature(f, std::exp(gates_[width == 1 ? 0 : f]));
  }

  /// Makes the key's features relative to the scale, and the state to one that is raised.
  void scale_key(T log) {
    if (scales_.empty()) return;
    const bool by_row = map_->scale() == FeatureScale::row;
    const T old = scales_[0];
    if (by_row) scales_[0] = std::max(old, log);
    for (Index f = 0; f < features_; ++f) {
      if (by_row) {
        scale_feature(f, std::exp(old - scales_[0]));
        key_[f] *= std::exp(log - scales_[0]);
      } else {
        const T raised = std::max(scales_[f], key_[f]);
        scale_feature(f, std::exp(scales_[f] - raised));
        scales_[f] = raised;
        key_[f] = std::exp(key_[f] - raised);
      }
    }
  }

  /// One query after the other: rows of a map are at consecutive positions, and these are at one.
  void ask(const Token& token) {
    for (Index i = 0; i < token.queries.rows; ++i) {
      T log = 0;
      Worker worker = lone_.worker();
      map_->map_queries(token.queries.row_range(i, 1), read_ - 1, {query_.data(), 1, features_},
                        &log, worker);
      answer(query_.data(), token.out.row(i));
    }
  }

  void answer(T* query, float* out) {
    if (map_->scale() == FeatureScale::feature) {
      for (Index f = 0; f < features_; ++f) query[f] += scales_[f];
      const T largest = *std::max_element(query, query + features_);
      for (Index f = 0; f < features_; ++f) query[f] = std::exp(query[f] - largest);
    }
    std::fill(mixed_.begin(), mixed_.end(), T{0});
    T sum = 0;
    for (Index f = 0; f < features_; ++f) {
      const T* const sums = sums_.data() + f * columns_;
      const T feature = query[f];
      for (Index c = 0; c < columns_; ++c) mixed_[c] += feature * sums[c];
      sum += feature * norms_[f];
    }
    const T factor = factor_of(sum);
    for (Index c = 0; c < columns_; ++c) out[c] = static_cast<float>(factor * mixed_[c]);
  }

  T factor_of(T sum) const {
    if (normaliser_ == Normaliser::count) return T{1} / static_cast<T>(read_);
    if (normaliser_ != Normaliser::weights) return 1;
    return 1 / (least_ > 0 ? std::max(sum + epsilon_, least_) : sum + epsilon_);
  }

  std::shared_ptr<const FeatureMap<T>> map_;
  std::shared_ptr<const Forgetting<T>> forgetting_;
  Normaliser normaliser_;
  T epsilon_, least_;
  Index dim_, features_, columns_;
  Index read_ = 0;
  std::vector<T> sums_, norms_;  ///< [features, value_dim], [features]
  std::vector<T> scales_;        ///< logarithms that sums are to be multiplied by the power of
  std::vector<T> gates_, key_, query_, mixed_;  ///< of one token
  LoneWorker lone_;
};

}  // namespace

template <class T>
std::unique_ptr<Stream> linear_stream(std::shared_ptr<const FeatureMap<T>> map,
                                      std::shared_ptr<const Forgetting<T>> forgetting,
                                      const LinearAttention<T>& options, const Problem& problem) {
  return std::make_unique<LinearStream<T>>(std::move(map), std::move(forgetting), options, problem);
}

template std::unique_ptr<Stream> linear_stream(std::shared_ptr<const FeatureMap<float>>,
                                               std::shared_ptr<const Forgetting<float>>,
                                               const LinearAttention<float>&, const Problem&);
template std::unique_ptr<Stream> linear_stream(std::shared_ptr<const FeatureMap<double>>,
                                               std::shared_ptr<const Forgetting<double>>,
                                               const LinearAttention<double>&, const Problem&);

}  // namespace subquad

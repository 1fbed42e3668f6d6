#pragma once

#include <memory>
#include <utility>

#include "kernels/linear_attention.h"

namespace subquad {

/// Base of a variant that is attention by a feature map (linear_attention.h) and says which one;
/// everything else follows. `Derived` has, computing in T,
///
///     auto map(const Problem&, const Tensors* tensors) const;  // a FeatureMap<T>, by value;
///     without
///                                                              // tensors for its sizes alone
///     LinearAttention<T> kernel(const FeatureMap<T>& map) const;
template <class Derived, class T>
class FeatureAttention : public Variant {
 public:
  void family_parameters(Parameters& visit) final {
    visit("chunk", chunk, between(1, 4096),
          "rows handled by one matrix product; changes no result");
  }
  bool ignores_key_order(const Problem& problem) const override { return !problem.causal; }

  Scratch scratch(const Problem& problem) const final {
    const auto map = self().map(problem, nullptr);
    return self().kernel(map).scratch(problem);
  }
  void forward(const Call& call) const final {
    const auto map = self().map(call.problem, &call.tensors);
    self().kernel(map).forward(call);
  }
  std::size_t prepared_bytes(const Problem& problem) const final {
    const auto map = self().map(problem, nullptr);
    return self().kernel(map).prepared_bytes(problem);
  }
  void prepare(const Call& call, std::span<std::byte> prepared) const final {
    const auto map = self().map(call.problem, &call.tensors);
    self().kernel(map).prepare(call, prepared);
  }
  std::unique_ptr<Stream> stream(const Problem& problem, const Tensors& tensors) const final {
    auto map = self().map(problem, &tensors);
    const auto kept = std::make_shared<const decltype(map)>(std::move(map));
    return linear_stream<T>(kept, nullptr, self().kernel(*kept), problem);
  }

 protected:
  /// Multiply-adds of the kernel, the map's own not among them.
  double kernel_multiply_adds(const Problem& problem) const {
    const auto map = self().map(problem, nullptr);
    return self().kernel(map).multiply_adds(problem);
  }

  Index chunk = 64;

 private:
  const Derived& self() const { return static_cast<const Derived&>(*this); }
};

}  // namespace subquad

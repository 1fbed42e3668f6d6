#include "layers/shared_keys.h"

#include <algorithm>

#include "layers/drawn_tensors.h"

namespace subquad {
namespace {

bool has_own_tensors(const Variant& variant, const Problem& problem) {
  const std::vector<TensorInfo> tensors = tensor_infos(variant, problem);
  return std::ranges::any_of(
      tensors, [](const TensorInfo& tensor) { return tensor.sharing == Sharing::head; });
}

}  // namespace

std::vector<std::vector<Index>> calls_sharing_keys(const Layer& layer, Index key_heads) {
  std::vector<bool> alone;
  for (Index i = 0; i < layer.distinct(); ++i) {
    alone.push_back(has_own_tensors(layer.variant(i), layer.problem()));
  }
  const Index heads_per_key = layer.heads() / key_heads;
  const auto variant_of = [&](Index call) { return call % layer.distinct(); };
  std::vector<std::vector<Index>> groups;
  for (Index call = 0; call < layer.calls(); ++call) {
    const auto shares = [&](const std::vector<Index>& group) {
      const Index other = group.front();
      return other / heads_per_key == call / heads_per_key &&
             variant_of(other) == variant_of(call) &&
             !alone[static_cast<std::size_t>(variant_of(call))];
    };
    const auto found = std::ranges::find_if(groups, shares);
    if (found != groups.end()) {
      found->push_back(call);
    } else {
      groups.push_back({call});
    }
  }
  return groups;
}

}  // namespace subquad

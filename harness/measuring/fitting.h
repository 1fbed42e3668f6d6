#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "inputs/input.h"
#include "layers/drawn_tensors.h"
#include "layers/layer.h"

namespace subquad {

/// Fits what the layer's variants declare as fitted, by their `calibrate`, on windows: all
/// sequences of `windows`, in order. The target is plain dense attention on them, in double. A head
/// is fitted on its own head of each window, or on the only one where the windows have one head; a
/// tensor that heads share, on the windows of all of these, head after head. Everything else is
/// left as it is. Throws Error where the windows do not fit the layer, have lengths of their own,
/// or where fitting leaves a number that is not finite.
void fit_tensors(const Layer& layer, const LayerInput& windows, DrawnTensors& tensors);

/// Makes a layer's tensors from where its expression says that they come (tensor_source.h).
class TensorMaker {
 public:
  /// Reads windows or file: those of a layer that meets `input` under `request`. Throws Error. The
  /// layer must outlive this.
  TensorMaker(const Layer& layer, const Expression& input, const InputRequest& request);

  /// Drawn from the seed; then loaded, or fitted.
  std::unique_ptr<DrawnTensors> make(std::uint64_t seed) const;

 private:
  const Layer& layer_;
  std::optional<LayerInput> windows_;
  std::optional<TensorFile> file_;
};

}  // namespace subquad

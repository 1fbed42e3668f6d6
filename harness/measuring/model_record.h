#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "experiments/experiment.h"
#include "experiments/points.h"
#include "layers/layer.h"
#include "models/language_model.h"
#include "records/record.h"

namespace subquad {

/// The attention of a model's layers: a variant in some, plain dense in the others.
class ModelLayers {
 public:
  /// `is_replaced` has one entry for each layer. Throws Error for what cannot be constructed.
  ModelLayers(const Expression& variant, const Problem& problem, Index heads,
              std::vector<bool> is_replaced);

  const Layer& replacement() const { return replacement_; }
  const Layer& dense() const { return dense_; }
  const std::vector<bool>& is_replaced() const { return is_replaced_; }
  std::vector<const Layer*> all() const;  ///< one entry for each layer
  /// Reason why the variant cannot stand in a model on this problem, or empty.
  std::string refuses() const;

 private:
  Layer replacement_, dense_;
  std::vector<bool> is_replaced_;
};

/// As in measure.h, of a point of mode `model`.
Record blank_model_record(const Experiment& single, const ModelInput& input);
/// `parameter_bytes`: the model's own.
void describe_model(const ModelLayers& layers, const LanguageShape& shape,
                    std::uint64_t parameter_bytes, Record& record);
/// From a blank record alone; throws what is wrong with the model.
void declare_model(Record& record);

}  // namespace subquad

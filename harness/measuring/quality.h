#pragma once

#include <span>
#include <string_view>

#include "inputs/text.h"
#include "layers/executor.h"
#include "measuring/metrics.h"
#include "records/record.h"

namespace subquad {

/// One figure of how well a model's answers fit what they are about.
struct QualityFigure {
  std::string_view key;    ///< in records
  std::string_view label;  ///< in tables
  std::string_view unit;
  Better better;
  std::string_view doc;
  /// Of one window: `logits` [positions, 256], and the byte that followed each position.
  double (*figure)(ConstView logits, std::span<const std::uint8_t> next);
};

/// Every such figure, the headline first. The only list of them there is.
std::span<const QualityFigure> quality_figures();

/// Of every window, in order.
HeadFigures qualities(const TextWindows& text, const LayerOutput& logits);

}  // namespace subquad

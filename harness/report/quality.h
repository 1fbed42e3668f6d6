#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "records/record.h"

namespace subquad {

/// A mean over windows of text, with their range.
struct WindowMean {
  double mean = 0, low = 0, high = 0;
};

/// One figure of a model's answers (measuring/quality.h).
struct Quality {
  WindowMean value;
  /// What it is beyond the anchor's, window by window; empty without an anchor on these windows.
  std::optional<WindowMean> beyond_anchor;
};
using Qualities = std::map<std::string, Quality>;

/// Over all windows of all seeds; a figure that is not a number somewhere makes all three so.
/// `anchors`: records of the anchor, those of the same seed or the first standing beside each.
Qualities qualities_of(const std::vector<const Record*>& seeds,
                       const std::vector<const Record*>& anchors);

}  // namespace subquad

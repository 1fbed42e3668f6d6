#include "report/quality.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "measuring/quality.h"

namespace subquad {
namespace {

std::optional<WindowMean> mean_of(const std::vector<double>& values) {
  if (values.empty()) return std::nullopt;
  if (std::any_of(values.begin(), values.end(), [](double v) { return std::isnan(v); })) {
    return WindowMean{std::nan(""), std::nan(""), std::nan("")};
  }
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  const double sum = std::accumulate(values.begin(), values.end(), 0.0);
  return WindowMean{sum / static_cast<double>(values.size()), *low, *high};
}

/// Windows of a record; none where it has no such figure.
std::vector<double> windows_of(const Record& record, const std::string& key) {
  const auto found = record.quality.find(key);
  return found == record.quality.end() ? std::vector<double>() : found->second;
}

const Record* beside(const Record& record, const std::vector<const Record*>& anchors) {
  if (anchors.empty()) return nullptr;
  const auto same = std::find_if(anchors.begin(), anchors.end(),
                                 [&](const Record* anchor) { return anchor->seed == record.seed; });
  return same == anchors.end() ? anchors.front() : *same;
}

}  // namespace

Qualities qualities_of(const std::vector<const Record*>& seeds,
                       const std::vector<const Record*>& anchors) {
  Qualities all;
  for (const QualityFigure& figure : quality_figures()) {
    const std::string key(figure.key);
    std::vector<double> values, differences;
    for (const Record* record : seeds) {
      const std::vector<double> own = windows_of(*record, key);
      values.insert(values.end(), own.begin(), own.end());
      const Record* anchor = beside(*record, anchors);
      if (anchor == nullptr) continue;
      const std::vector<double> its = windows_of(*anchor, key);
      if (its.size() != own.size()) continue;
      for (std::size_t i = 0; i < own.size(); ++i) differences.push_back(own[i] - its[i]);
    }
    if (const auto value = mean_of(values)) all[key] = {*value, mean_of(differences)};
  }
  return all;
}

}  // namespace subquad

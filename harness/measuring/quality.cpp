#include "measuring/quality.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

namespace subquad {
namespace {

/// Mean of -log2 softmax(logits)[next]. A logit that is not finite makes it not a number.
double bits_per_character(ConstView logits, std::span<const std::uint8_t> next) {
  double nats = 0;
  for (Index i = 0; i < logits.rows; ++i) {
    const float* row = logits.row(i);
    const double largest = *std::max_element(row, row + logits.cols);
    double sum = 0;
    for (Index c = 0; c < logits.cols; ++c) sum += std::exp(row[c] - largest);
    nats += std::log(sum) + largest - row[next[static_cast<std::size_t>(i)]];
  }
  return nats / std::numbers::ln2 / static_cast<double>(logits.rows);
}

/// Share of positions at which no other byte is more likely than the one that followed.
double guessed(ConstView logits, std::span<const std::uint8_t> next) {
  Index right = 0;
  for (Index i = 0; i < logits.rows; ++i) {
    const float* row = logits.row(i);
    const float* likeliest = std::max_element(row, row + logits.cols);
    right += likeliest - row == next[static_cast<std::size_t>(i)] ? 1 : 0;
  }
  return static_cast<double>(right) / static_cast<double>(logits.rows);
}

constexpr std::array kFigures = {
    QualityFigure{.key = "bits_per_character",
                  .label = "bits per character",
                  .unit = "bit",
                  .better = Better::lower,
                  .doc = "mean of -log2 of the probability that the model gave the next byte",
                  .figure = bits_per_character},
    QualityFigure{.key = "guessed",
                  .label = "guessed",
                  .unit = "1",
                  .better = Better::higher,
                  .doc = "share of bytes that the model held for the likeliest",
                  .figure = guessed}};

}  // namespace

std::span<const QualityFigure> quality_figures() { return kFigures; }

HeadFigures qualities(const TextWindows& text, const LayerOutput& logits) {
  HeadFigures all;
  for (const QualityFigure& one : quality_figures()) {
    std::vector<double>& values = all[std::string(one.key)];
    for (Index window = 0; window < text.batch; ++window) {
      values.push_back(one.figure(logits.of(window, 0), text.next(window)));
    }
  }
  return all;
}

}  // namespace subquad

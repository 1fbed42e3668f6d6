#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "expressions/expression.h"
#include "inputs/input.h"
#include "subquad/view.h"

namespace subquad {

/// Windows of a text, for a model that reads bytes: of each, `length` bytes to read and the one
/// that follows, so that every byte read has a next one to be predicted.
struct TextWindows {
  Index batch = 0, length = 0;
  std::vector<std::uint8_t> bytes;  ///< [batch, length + 1]
  std::string provenance;           ///< text for humans

  std::span<const std::uint8_t> read(Index window) const { return part(window, 0); }  ///< [length]
  /// [length]: what follows byte i of the window.
  std::span<const std::uint8_t> next(Index window) const { return part(window, 1); }

 private:
  std::span<const std::uint8_t> part(Index window, Index first) const {
    return std::span(bytes).subspan(static_cast<std::size_t>(window * (length + 1) + first),
                                    static_cast<std::size_t>(length));
  }
};

/// Windows of the text that `expression` names, text(path=...,offset=...,stride=...):
/// `request.batch` of them, `request.keys` bytes long. A text that is too short for them throws
/// Error, and so does an input that is no text.
TextWindows make_text(const Expression& expression, const InputRequest& request);

/// Whether the input is a text, and no Q, K, V. Throws Error for an unknown one.
bool gives_text(const Expression& expression);

}  // namespace subquad

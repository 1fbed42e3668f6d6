#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace subquad {

/// Without the spaces, tabs and line ends around it.
std::string_view trimmed(std::string_view text);

/// Foreign text (a tensor's name, a config's value, a record's field) as part of a message of one
/// line: whatever could drive a terminal or reorder what stands there (control characters, bytes
/// that are no UTF-8, marks of writing direction) is written as `\x1b` or `\u202e`, and what is
/// longer than `longest` bytes ends in "...".
std::string printable(std::string_view text, std::size_t longest = 100);

/// The same for a whole text of any length: line ends and tabs stay.
std::string printable_lines(std::string_view text);

/// What of `text` stands around `position`, printable: what an error shows of a long text.
std::string excerpt(std::string_view text, std::size_t position);

/// Whether `text` is UTF-8 without anything that `printable_lines` would spell out.
bool is_plain_text(std::string_view text);

}  // namespace subquad

#include "texts/plain_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

namespace subquad {
namespace {

struct Character {
  std::uint32_t code = 0;
  std::size_t bytes = 0;  ///< 0: no UTF-8 begins here
};

/// The first character of a text that is not empty (RFC 3629: shortest form, no surrogates, at most
/// U+10FFFF).
Character first_character(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const std::size_t bytes = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < bytes) return {};
  std::uint32_t code = lead & (0xffu >> (bytes + 1));
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {};
    code = code << 6 | (byte(i) & 0x3fu);
  }
  constexpr std::uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  if (code < kLeast[bytes] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return {};
  return {code, bytes};
}

bool is_harmless(std::uint32_t code) {
  const auto within = [code](std::uint32_t low, std::uint32_t high) {
    return code >= low && code <= high;
  };
  const bool control = code < 0x20 || within(0x7f, 0x9f);
  const bool direction =
      code == 0x61c || within(0x200e, 0x200f) || within(0x2028, 0x202e) || within(0x2066, 0x2069);
  return !control && !direction;
}

std::string escaped(std::string_view text, bool keep_lines) {
  std::string out;
  while (!text.empty()) {
    const Character next = first_character(text);
    const std::size_t bytes = std::max<std::size_t>(1, next.bytes);
    const bool kept = keep_lines && (text[0] == '\n' || text[0] == '\t');
    if (kept || (next.bytes > 0 && is_harmless(next.code))) {
      out += text.substr(0, bytes);
    } else if (next.bytes > 1) {
      out += fmt::format("\\u{:04x}", next.code);
    } else {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[0]));
    }
    text.remove_prefix(bytes);
  }
  return out;
}

}  // namespace

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const auto begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

std::string printable(std::string_view text, std::size_t longest) {
  if (text.size() <= longest) return escaped(text, false);
  // Not within a character.
  while (longest > 0 && (static_cast<unsigned char>(text[longest]) & 0xc0) == 0x80) --longest;
  return escaped(text.substr(0, longest), false) + "...";
}

std::string printable_lines(std::string_view text) { return escaped(text, true); }

std::string excerpt(std::string_view text, std::size_t position) {
  constexpr std::size_t kReach = 60;
  const std::size_t begin = position > kReach ? position - kReach : 0;
  const std::size_t end = std::min(text.size(), position + kReach);
  return (begin > 0 ? "..." : "") + escaped(text.substr(begin, end - begin), false) +
         (end < text.size() ? "..." : "");
}

bool is_plain_text(std::string_view text) { return printable_lines(text) == text; }

}  // namespace subquad

#pragma once

/// What fuzz targets share. Each target states properties of a reader for any bytes at all:
/// libFuzzer searches for bytes that break one, and ctest runs those that were kept.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "subquad/error.h"
#include "texts/plain_text.h"

/// libFuzzer's entry; always returns 0.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace subquad::fuzz {

/// Ends the program unless the property holds, as libFuzzer wants it.
inline void require(bool holds, const char* property) {
  if (holds) return;
  std::fprintf(stderr, "property broken: %s\n", property);
  std::abort();
}

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

/// Runs `read` on foreign bytes. It may refuse them, with an Error of one short line that is plain
/// text; any other exception ends the program. Returns whether it accepted them.
template <class Read>
bool accepts(Read&& read) {
  try {
    read();
    return true;
  } catch (const Error& error) {
    const std::string_view what = error.what();
    require(!what.empty() && what.size() < 1000, "an error is short");
    require(printable(what, what.size()) == what, "an error is one line of plain text");
    return false;
  }
}

}  // namespace subquad::fuzz

#pragma once

#include <string>
#include <string_view>

namespace subquad {

/// The text as a zlib stream (RFC 1950) in base64 (RFC 4648): letters, digits, '+', '/' and '='
/// alone, which nothing takes for markup.
std::string packed(std::string_view text);

}  // namespace subquad

#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace subquad {

/// What a JSON text may hold at the most. Deep nesting costs stack wherever a value is copied or
/// printed; a short text of many small values takes many times its size in memory.
struct JsonLimits {
  int depth = 0;             ///< of lists and objects within each other
  std::size_t values = 0;    ///< of all kinds, in all
  std::size_t elements = 0;  ///< of one list
};

/// Parses a JSON text of foreign origin. Beside what is no JSON (`NaN` and `Infinity` are not),
/// these throw Error, which begins with `what` ("t.safetensors: header"): a key given twice in one
/// object, a number beyond what a double holds, and whatever is beyond the limits.
nlohmann::json parse_strict_json(std::string_view text, const JsonLimits& limits,
                                 const std::string& what);

}  // namespace subquad

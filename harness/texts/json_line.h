#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace subquad {

/// JSON on one line. What a variant or a dying program said need not be UTF-8: bytes that are not
/// are replaced.
template <class Json>
std::string json_line(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace subquad

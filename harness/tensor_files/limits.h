#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace subquad {

/// What a file of tensors may hold, far beyond what attention needs, so that a header of some bytes
/// cannot ask for memory.
inline constexpr std::size_t kMaxTensors = 65'536;
inline constexpr std::size_t kMaxRank = 8;
inline constexpr std::size_t kMaxNameBytes = 512;

/// Names of tensors end up in messages, reports and other files: UTF-8 without control characters,
/// not empty, at most kMaxNameBytes long, and not such that whoever takes one for a path would
/// leave his folder. Anything else throws Error, which begins with `where`.
void check_tensor_name(std::string_view name, const std::string& where);

}  // namespace subquad

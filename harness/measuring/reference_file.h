#pragma once

#include <optional>
#include <string>

#include "measuring/reference.h"

namespace subquad {

/// A reference as the contents of a file, with a checksum.
std::string to_bytes(const Reference& reference);
/// Nothing if the bytes are not such contents, whole and undamaged.
std::optional<Reference> reference_from_bytes(const std::string& bytes);

}  // namespace subquad

#pragma once

#include <stdexcept>
#include <string>

namespace subquad {

/// A user's mistake: the text names the file or option, the key, the value and what is allowed.
/// What a variant cannot do is no error but a value (`Variant::refuses`); a bug is an assertion.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& what) : std::runtime_error(what) {}
};

}  // namespace subquad

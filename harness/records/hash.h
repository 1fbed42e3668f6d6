#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace subquad {

/// XXH3 with 128 bits, fed piece by piece. Not for adversaries.
class Hash {
 public:
  Hash();
  ~Hash();

  Hash& bytes(const void* data, std::size_t size);
  /// Text with its length, so that "a","bc" and "ab","c" differ.
  Hash& text(std::string_view text);
  std::string hex() const;  ///< 32 digits

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Hash of a file's contents; Error if it cannot be read.
std::string hash_file(const std::string& path);

}  // namespace subquad

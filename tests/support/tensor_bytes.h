#pragma once

/// What tests of tensor files share: a folder, files written byte by byte, the error of reading.

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "subquad/error.h"
#include "support/temporary_folder.h"
#include "tensor_files/tensor_file.h"

namespace subquad {

class TensorFileTest : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  std::string write(const std::string& name, const std::string& bytes) const {
    std::ofstream(path(name), std::ios::binary) << bytes;
    return path(name);
  }

  /// A safetensors file from the text of its header and its data.
  std::string safetensors(const std::string& header, const std::string& data) const {
    const std::uint64_t length = header.size();
    std::string bytes(8, '\0');
    std::memcpy(bytes.data(), &length, 8);
    return write("t.safetensors", bytes + header + data);
  }

  std::string npy(const std::string& header, const std::string& data) const {
    const auto length = static_cast<std::uint16_t>(header.size());
    std::string bytes("\x93NUMPY\x01\x00\x00\x00", 10);
    std::memcpy(bytes.data() + 8, &length, 2);
    return write("t.npy", bytes + header + data);
  }

  TemporaryFolder folder_;
};

template <class T>
std::string bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

inline std::string fixture(const std::string& name) {
  return SUBQUAD_SOURCE_DIR "/tests/data/" + name;
}

/// The message that reading ends with: one line that begins with the path.
inline std::string error_of(const std::string& path) {
  try {
    read_tensor_file(path);
  } catch (const Error& error) {
    const std::string text = error.what();
    EXPECT_TRUE(text.starts_with(path)) << text;
    EXPECT_EQ(text.find('\n'), std::string::npos) << text;
    EXPECT_LT(text.size(), path.size() + 200) << text;
    return text.substr(std::min(path.size(), text.size()));
  }
  ADD_FAILURE() << path << " was read without complaint";
  return "";
}

inline std::string header(const std::string& dtype, const std::string& shape,
                          const std::string& offsets) {
  return R"({"q":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets +
         "}}";
}

}  // namespace subquad

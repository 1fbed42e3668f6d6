#include "tensor_files/tensor_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>

#include "subquad/error.h"
#include "support/tensor_bytes.h"

namespace subquad {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<float> counting_floats(int count, int first) {
  std::vector<float> out;
  for (int i = 0; i < count; ++i) out.push_back(static_cast<float>(first + i));
  return out;
}

TEST_F(TensorFileTest, RoundTripKeepsEveryBit) {
  TensorFile file;
  file.metadata = {{"source", "a \"quoted\" text, accents: é"}, {"causal", "true"}};
  const std::vector<float> floats = {0.1f,
                                     -0.0f,
                                     std::numeric_limits<float>::denorm_min(),
                                     std::numeric_limits<float>::infinity(),
                                     std::numeric_limits<float>::quiet_NaN(),
                                     3e38f};
  file.tensors["q"] = {.shape = {2, 3}, .floats = floats};
  file.tensors["labels"] = {.shape = {3}, .integers = {-1, 0, 2147483647}, .is_integer = true};
  file.tensors["scalar"] = {.shape = {}, .floats = {7}};
  file.tensors["empty"] = {.shape = {4, 0}};
  write_safetensors(path("r.safetensors"), file);

  const TensorFile back = read_tensor_file(path("r.safetensors"));
  EXPECT_EQ(back.metadata, file.metadata);
  ASSERT_EQ(back.tensors.size(), 4u);
  EXPECT_THAT(back.tensors.at("q").shape, ElementsAre(2, 3));
  EXPECT_EQ(std::memcmp(back.tensors.at("q").floats.data(), floats.data(), 24), 0);
  EXPECT_TRUE(back.tensors.at("labels").is_integer);
  EXPECT_THAT(back.tensors.at("labels").integers, ElementsAre(-1, 0, 2147483647));
  EXPECT_THAT(back.tensors.at("scalar").floats, ElementsAre(7));
  EXPECT_EQ(back.tensors.at("empty").shape_text(), "[4, 0]");
  // Nothing but the file itself is left behind.
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_.path()), {}), 1);
}

TEST_F(TensorFileTest, WritesWhatTheFormatAsksFor) {
  TensorFile file;
  file.tensors["q"] = {.shape = {1}, .floats = {1}};
  write_safetensors(path("r.safetensors"), file);
  std::ifstream in(path("r.safetensors"), std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(in)), {});
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  EXPECT_EQ(length % 8, 0u);
  EXPECT_EQ(bytes.size(), 8 + length + 4);
  const std::string expected = R"({"q":{"data_offsets":[0,4],"dtype":"F32","shape":[1]}})";
  EXPECT_EQ(bytes.substr(8, expected.size()), expected);
  EXPECT_EQ(bytes.substr(8 + length), bytes_of<float>({1}));
}

TEST_F(TensorFileTest, HalfIsRoundedToNearestEven) {
  TensorFile file;
  file.tensors["labels"] = {.shape = {1}, .integers = {70000}, .is_integer = true};
  file.tensors["q"] = {.shape = {6},
                       .floats = {1, 1 + 0x1p-11f, 1 + 3 * 0x1p-11f, 65504, 0x1p-24f, -0.1f}};
  write_safetensors(path("h.safetensors"), file, true);
  const TensorFile back = read_tensor_file(path("h.safetensors"));
  // Ties go to the even last bit; the smallest subnormal survives.
  EXPECT_THAT(back.tensors.at("q").floats,
              ElementsAre(1, 1, 1 + 2 * 0x1p-10f, 65504, 0x1p-24f, -0.0999755859375f));
  EXPECT_THAT(back.tensors.at("labels").integers, ElementsAre(70000));
}

TEST_F(TensorFileTest, WhatHalfCannotHoldIsRefused) {
  TensorFile file;
  file.tensors["q"] = {.shape = {2}, .floats = {1, 65520}};
  try {
    write_safetensors(path("h.safetensors"), file, true);
    FAIL() << "65520 was written as float16";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("tensor 'q': element 1: 65520 does not fit float16"));
  }
  EXPECT_TRUE(
      std::filesystem::is_empty(folder_.path()));  // neither the file nor its temporary twin
}

TEST_F(TensorFileTest, FailedWriteKeepsTheOldFile) {
  TensorFile file;
  file.tensors["q"] = {.shape = {1}, .floats = {5}};
  write_safetensors(path("h.safetensors"), file, true);
  file.tensors["q"].floats = {1e9f};
  EXPECT_THROW(write_safetensors(path("h.safetensors"), file, true), Error);
  EXPECT_THAT(read_tensor_file(path("h.safetensors")).tensors.at("q").floats, ElementsAre(5));
  EXPECT_THROW(write_safetensors(path("no/such/folder.safetensors"), file), Error);
  file.tensors["q"].shape = {3};
  EXPECT_THROW(write_safetensors(path("h.safetensors"), file), std::logic_error);
}

TEST_F(TensorFileTest, EveryDtypeOfSafetensors) {
  const auto read = [&](const std::string& dtype, const std::string& data) {
    const auto size = std::to_string(data.size());
    const std::string file = safetensors(header(dtype, "[2]", "[0," + size + "]"), data);
    return read_tensor_file(file).tensors.at("q");
  };
  EXPECT_THAT(read("F16", bytes_of<std::uint16_t>({0x3c00, 0xc580})).floats, ElementsAre(1, -5.5));
  EXPECT_THAT(read("BF16", bytes_of<std::uint16_t>({0x3f80, 0xc0b0})).floats, ElementsAre(1, -5.5));
  EXPECT_THAT(read("F32", bytes_of<float>({0.1f, -5.5f})).floats, ElementsAre(0.1f, -5.5f));
  EXPECT_THAT(read("F64", bytes_of<double>({0.1, -5.5})).floats, ElementsAre(0.1f, -5.5f));
  EXPECT_THAT(read("I32", bytes_of<std::int32_t>({-7, 9})).integers, ElementsAre(-7, 9));
  EXPECT_THAT(read("I64", bytes_of<std::int64_t>({-7, 9})).integers, ElementsAre(-7, 9));
  EXPECT_THAT(read("U8", bytes_of<std::uint8_t>({255, 9})).integers, ElementsAre(255, 9));
  EXPECT_TRUE(read("U8", "ab").is_integer);
  EXPECT_FALSE(read("F16", "abcd").is_integer);
}

TEST_F(TensorFileTest, UnalignedTensorsAreRead) {
  const std::string file =
      safetensors(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                  R"("q":{"dtype":"F64","shape":[1],"data_offsets":[1,9]}}   )",
                  "x" + bytes_of<double>({2.25}));
  EXPECT_THAT(read_tensor_file(file).tensors.at("q").floats, ElementsAre(2.25));
}

TEST_F(TensorFileTest, ValuesThatDoNotFitAreNamed) {
  EXPECT_EQ(error_of(safetensors(header("F64", "[2]", "[0,16]"), bytes_of<double>({1, 1e300}))),
            ": tensor 'q': element 1: 1e+300 does not fit float32");
  EXPECT_EQ(error_of(safetensors(header("I64", "[1]", "[0,8]"),
                                 bytes_of<std::int64_t>({std::int64_t{1} << 31}))),
            ": tensor 'q': element 0: 2147483648 does not fit int32");
}

TEST_F(TensorFileTest, FilesThatAreNone) {
  EXPECT_EQ(error_of(path("missing.safetensors")), ": No such file or directory");
  EXPECT_EQ(error_of(write("q.txt", "")), ": the name must end in .safetensors, .npy or .npz");
  std::filesystem::create_directory(path("folder.npy"));
  EXPECT_EQ(error_of(path("folder.npy")), ": not a regular file");
  EXPECT_THAT(error_of(write("e.safetensors", "")), HasSubstr("0 bytes are too few"));
  EXPECT_THAT(error_of(write("e.npy", "")), HasSubstr("does not begin as a .npy file"));
  EXPECT_THAT(error_of(write("e.npz", "PK no archive at all")), HasSubstr("Not a zip archive"));
}

TEST_F(TensorFileTest, DefectsOfASafetensorsHeader) {
  const std::string four(4, '\0'), eight(8, '\0');
  const std::pair<std::string, std::string> cases[] = {
      {"{", "header is no JSON"},
      {"[]", "header is no JSON object"},
      {"{\"q\":1}", "tensor 'q': header entry is no JSON object"},
      {"\xff\xfe", "header is no JSON"},
      {R"({"q":{"dtype":"F32","shape":[1],"data_offsets":[0,1e999]}})", "number out of range"},
      {R"({"__metadata__":{"a":1}})", "__metadata__: 'a' is no string"},
      {R"({"__metadata__":[]})", "__metadata__ is no JSON object"},
      {R"({"q":{"dtype":"F32","shape":[1]}})", "tensor 'q': 'data_offsets' is missing"},
      {R"({"q":{"shape":[1],"data_offsets":[0,4]}})", "tensor 'q': 'dtype' is missing"},
      {R"({"q":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}})", "unknown key 'x'"},
      {header("F31", "[1]", "[0,4]"), "tensor 'q': dtype \"F31\" is not supported (known: F16, BF"},
      {header("BOOL", "[4]", "[0,4]"), "tensor 'q': dtype \"BOOL\" is not supported"},
      {header("F32", "[2, 3]", "[0,4]"),
       "tensor 'q': shape [2, 3] takes 24 bytes, data_offsets give 4"},
      {header("F32", "[-1]", "[0,4]"), "tensor 'q': 'shape' holds -1, which is no count"},
      {header("F32", "[1.5]", "[0,4]"), "tensor 'q': 'shape' holds 1.5, which is no count"},
      {header("F32", "1", "[0,4]"), "tensor 'q': 'shape' is no list"},
      {header("F32", "[4611686018427387904]", "[0,4]"), "shape [4611686018427387904] overflows"},
      {header("F32", "[4611686018427387904, 4611686018427387904, 0]", "[0,4]"), "overflows"},
      {header("F32", "[18446744073709551615]", "[0,4]"), "which is no count"},
      {header("F32", "[2305843009213693953]", "[0,4]"), "overflows"},  // 4 bytes modulo 2^63
      {header("F32", "[1]", "[0,8]"), "takes 4 bytes, data_offsets give 8"},
      {header("F32", "[3]", "[0,12]"), "data_offsets end at byte 12, the file holds 8 bytes"},
      {header("F32", "[1]", "[4,0]"), "begin <= end"},
      {header("F32", "[1]", "[0]"), "data_offsets must be [begin, end]"},
      {header("F32", "[1]", "[4,8]"), "tensor 'q': data begin at byte 4 and leave a gap"},
      {header("F32", "[1]", "[0,4]"), "4 bytes after the last tensor"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
       R"("b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
       "tensor 'b': data begin at byte 4 and overlap another tensor"},
      {R"({"q":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
       R"("q":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
       "header names 'q' twice"},
      {R"({"q":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}})", "'dtype' twice"},
      {"{\"q\":" + std::string(100000, '[') + std::string(100000, ']') + "}", "nested deeper"},
      {"{\"q\":" + std::string(100000, '{'), "header is no JSON"},
  };
  for (const auto& [text, message] : cases) {
    EXPECT_THAT(error_of(safetensors(text, eight)), HasSubstr(message)) << text.substr(0, 100);
  }
}

TEST_F(TensorFileTest, EveryTruncationIsNoticed) {
  TensorFile file;
  file.tensors["q"] = {.shape = {2}, .floats = {1, 2}};
  file.metadata["source"] = "test";
  write_safetensors(path("w.safetensors"), file);
  const auto size = std::filesystem::file_size(path("w.safetensors"));
  for (std::uintmax_t kept = 0; kept < size; ++kept) {
    std::filesystem::copy_file(path("w.safetensors"), path("c.safetensors"),
                               std::filesystem::copy_options::overwrite_existing);
    std::filesystem::resize_file(path("c.safetensors"), kept);
    EXPECT_NE(error_of(path("c.safetensors")), "") << kept;
  }
}

TEST_F(TensorFileTest, HeaderLengthBeyondTheFile) {
  for (const std::uint64_t length :
       {std::uint64_t{100}, std::uint64_t{1} << 40, ~std::uint64_t{0}}) {
    std::string bytes(8, '\0');
    std::memcpy(bytes.data(), &length, 8);
    EXPECT_THAT(error_of(write("l.safetensors", bytes + "{}")),
                HasSubstr("is longer than the file"));
  }
}

TEST_F(TensorFileTest, EveryDtypeOfNumpy) {
  const auto expected = counting_floats(24, -5);
  for (const char* name : {"f2", "f4", "f8", "fortran", "version2", "version3"}) {
    const TensorFile file = read_tensor_file(fixture(std::string("numpy_") + name + ".npy"), "k");
    EXPECT_THAT(file.tensors.at("k").shape, ElementsAre(2, 3, 4)) << name;
    EXPECT_EQ(file.tensors.at("k").floats, expected) << name;
  }
  for (const char* name : {"i4", "i8", "u1"}) {
    const Array array =
        read_tensor_file(fixture(std::string("numpy_") + name + ".npy")).tensors.at("q");
    ASSERT_EQ(array.integers.size(), 24u) << name;
    EXPECT_TRUE(array.is_integer);
    EXPECT_EQ(array.integers[23] - array.integers[0], 23) << name;
    EXPECT_EQ(array.integers[0], std::string(name) == "u1" ? 0 : -5);
  }
  const Array scalar = read_tensor_file(fixture("numpy_scalar.npy")).tensors.at("q");
  EXPECT_TRUE(scalar.shape.empty());
  EXPECT_THAT(scalar.floats, ElementsAre(2.5));
}

TEST_F(TensorFileTest, ArchivesOfNumpy) {
  for (const char* name : {"numpy_stored.npz", "numpy_deflated.npz"}) {
    const TensorFile file = read_tensor_file(fixture(name));
    ASSERT_EQ(file.tensors.size(), 2u) << name;
    EXPECT_THAT(file.tensors.at("q").shape, ElementsAre(2, 64, 4));
    EXPECT_EQ(file.tensors.at("q").floats, std::vector<float>(512, 0.0f));
    EXPECT_EQ(file.tensors.at("k").floats, counting_floats(24, -5));
  }
}

TEST_F(TensorFileTest, DamagedArchivesAreRefused) {
  std::ifstream in(fixture("numpy_deflated.npz"), std::ios::binary);
  const std::string whole((std::istreambuf_iterator<char>(in)), {});
  for (std::size_t kept = 0; kept < whole.size(); kept += 7) {
    EXPECT_NE(error_of(write("t.npz", whole.substr(0, kept))), "") << kept;
  }
  // One flipped bit in the compressed data: the archive's checksum or its inflater notices.
  std::string flipped = whole;
  flipped[70] = static_cast<char>(flipped[70] ^ 0x10);
  EXPECT_THAT(error_of(write("t.npz", flipped)), HasSubstr("tensor '"));
}

TEST_F(TensorFileTest, DefectsOfANumpyHeader) {
  const std::string four(4, '\0');
  const std::pair<std::string, std::string> cases[] = {
      {"", "'{' expected"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), ", "quoted text expected"},
      {"{'descr': '<f4', 'shape': (1,)}", "is missing"},
      {"{'descr': '<f4', 'descr': '<f4'}", "unexpected key 'descr'"},
      {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", "structured type"},
      {"{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}", "dtype '<c8' is not supported"},
      {"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", "dtype '|O' is not supported"},
      {"{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}", "True or False"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", "no count"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", "no count"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4)}", "overflows"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}",
       "takes 8 bytes, the file holds 4"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': ()}x", "text after the dictionary"},
      {"{'descr': '<f4", "does not end"},
  };
  for (const auto& [text, message] : cases) {
    EXPECT_THAT(error_of(npy(text, four)), HasSubstr(message)) << text;
  }
  EXPECT_THAT(error_of(fixture("numpy_big_endian.npy")), HasSubstr("little-endian"));
  EXPECT_THAT(error_of(write("v.npy", "\x93NUMPY\x04" + std::string(9, '\0'))),
              HasSubstr("version 4.0 is not supported"));
  EXPECT_THAT(error_of(write("v.npy", "\x93NUMPY\x01" + std::string(1, '\0') + "\xff\xff{}")),
              HasSubstr("ends within the .npy header"));
}

}  // namespace
}  // namespace subquad

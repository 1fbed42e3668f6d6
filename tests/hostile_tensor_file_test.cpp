// Files of tensors that mean harm.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "support/tensor_bytes.h"
#include "tensor_files/tensor_file.h"

namespace subquad {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

using HostileTensorFileTest = TensorFileTest;

/// A .npy of `count` bytes of zero.
std::string zeros_npy(std::size_t count) {
  const std::string header =
      "{'descr': '|u1', 'fortran_order': False, 'shape': (" + std::to_string(count) + ",)}";
  return std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(header.size()) + '\0' + header +
         std::string(count, '\0');
}

/// Stored entries of an archive that may lie about them.
struct Entry {
  std::string name;
  std::string contents = zeros_npy(1);
  std::uint32_t declared = static_cast<std::uint32_t>(contents.size());
  std::uint16_t flags = 0, method = 0;
};

std::uint32_t crc32(const std::string& bytes) {
  std::uint32_t crc = ~std::uint32_t{0};
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? 0xedb88320u : 0);
  }
  return ~crc;
}

std::string little_endian(std::initializer_list<std::pair<std::uint64_t, int>> numbers) {
  std::string bytes;
  for (auto [number, size] : numbers) {
    for (; size > 0; --size, number >>= 8) bytes += static_cast<char>(number & 0xff);
  }
  return bytes;
}

std::string zip(const std::vector<Entry>& entries) {
  std::string files, directory;
  for (const Entry& entry : entries) {
    // Version, flags, method, time, date, checksum, packed and unpacked bytes, length of the name.
    const std::string common = little_endian({{20, 2},
                                              {entry.flags, 2},
                                              {entry.method, 2},
                                              {0, 2},
                                              {0x21, 2},
                                              {crc32(entry.contents), 4},
                                              {entry.contents.size(), 4},
                                              {entry.declared, 4},
                                              {entry.name.size(), 2},
                                              {0, 2}});
    directory += little_endian({{0x02014b50, 4}, {20, 2}}) + common +
                 little_endian({{0, 2}, {0, 2}, {0, 2}, {0, 4}, {files.size(), 4}}) + entry.name;
    files += little_endian({{0x04034b50, 4}}) + common + entry.name + entry.contents;
  }
  const auto count = entries.size();
  return files + directory +
         little_endian({{0x06054b50, 4},
                        {0, 4},
                        {count, 2},
                        {count, 2},
                        {directory.size(), 4},
                        {files.size(), 4},
                        {0, 2}});
}

TEST_F(HostileTensorFileTest, HostileArchivesAreRefused) {
  EXPECT_THAT(read_tensor_file(write("t.npz", zip({{"a.npy"}, {"layers/0.npy"}})))
                  .tensors.at("layers/0")
                  .integers,
              ElementsAre(0));
  const std::uint32_t size = static_cast<std::uint32_t>(zeros_npy(1).size());
  const std::pair<std::vector<Entry>, const char*> cases[] = {
      {{}, "holds no arrays"},
      {{{"a.txt"}}, "entry 'a.txt' is no .npy"},
      {{{"folder/"}}, "entry 'folder/' is no .npy"},
      {{{"a\x1b[2J"}}, "is no .npy"},
      {{{".npy"}}, "tensor name '' is empty"},
      {{{.name = "a\x1b[2J.npy", .flags = 0x800}}, "inconsistent"},
      {{{"../a.npy"}}, "tensor name '../a' is a path out of its folder"},
      {{{"a/../../b.npy"}}, "is a path out of its folder"},
      {{{"/etc/a.npy"}}, "is a path out of its folder"},
      {{{"c:\\a.npy"}}, "is a path out of its folder"},
      {{{std::string(600, 'a') + ".npy"}}, "is longer than 512 bytes"},
      {{{"a.npy"}, {"a.npy"}}, "already exists"},
      {{{"\x82.npy"}, {.name = "\xc3\xa9.npy", .flags = 0x800}}, "already exists"},
      {{{.name = "a.npy", .flags = 1}}, "tensor 'a': is encrypted"},
      {{{.name = "a.npy", .method = 12}}, "compression method 12 is not supported"},
      {{{.name = "a.npy", .method = 8}}, "tensor 'a': "},
      {{{.name = "a.npy", .declared = 0xfffffff0}}, "4294967280 bytes unpacked, too much"},
      {{{"a.npy"}, {.name = "b.npy", .declared = 256 << 20}}, "'b': takes 268435456 bytes"},
      {{{.name = "a.npy", .declared = size + 1}}, "tensor 'a': "},
      {{{.name = "a.npy", .declared = size - 1}}, "tensor 'a': "},
      {{{.name = "a.npy", .contents = "x"}}, "tensor 'a': does not begin as a .npy file"},
  };
  for (const auto& [entries, message] : cases) {
    EXPECT_THAT(error_of(write("t.npz", zip(entries))), HasSubstr(message)) << message;
  }
  std::string flipped = zip({{"a.npy", zeros_npy(100)}});
  flipped[150] = 1;
  EXPECT_THAT(error_of(write("t.npz", flipped)), HasSubstr("tensor 'a': CRC error"));
}

TEST_F(HostileTensorFileTest, ArchivesOfZerosAreNoBombs) {
  // 512 elements deflate to some bytes; a ratio alone would call that a bomb.
  const std::string archive = fixture("numpy_deflated.npz");
  EXPECT_LT(std::filesystem::file_size(archive), 1000u);
  EXPECT_EQ(read_tensor_file(archive).tensors.at("q").floats.size(), 512u);
}

TEST_F(HostileTensorFileTest, NamesInASafetensorsHeader) {
  const auto named = [&](const std::string& name) {
    return safetensors("{\"" + name + R"(":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "x");
  };
  const std::string accents = "caf\xc3\xa9/0.q";
  EXPECT_TRUE(read_tensor_file(named(accents)).tensors.contains(accents));
  const std::pair<std::string, const char*> cases[] = {
      {"", "tensor name '' is empty"},
      {"\\u001b[2J", "tensor name '\\x1b[2J' holds what cannot be printed"},
      {"a\\u0000b", "tensor name 'a\\x00b' holds what cannot be printed"},
      {"\\u202egpj", "tensor name '\\u202egpj' holds what cannot be printed"},
      {"\xff", "header is no JSON"},
      {"..", "is a path out of its folder"},
      {"a\\\\b", "is a path out of its folder"},
      {std::string(5000, 'n'), "nnn...' is longer than 512 bytes"},
  };
  for (const auto& [name, message] : cases) {
    EXPECT_THAT(error_of(named(name)), HasSubstr(message)) << message;
  }
}

TEST_F(HostileTensorFileTest, HeadersThatAskForMemory) {
  const auto tensors = [](int count) {
    std::string text = "{";
    for (int i = 0; i < count; ++i) {
      text += (i > 0 ? ",\"" : "\"") + std::to_string(i) + "\":";
      text += R"({"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
    }
    return text + "}";
  };
  EXPECT_EQ(read_tensor_file(safetensors(tensors(3000), "")).tensors.size(), 3000u);
  const std::pair<std::string, std::string> cases[] = {
      {tensors(65'537), "65537 tensors are more than 65536"},
      {header("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), "a list of more than 8 elements"},
      {header("F32", "[1" + std::string(2'000'000, ' ') + "]", "[0,4]"), "the file holds 0 bytes"},
      {header("F32", "[0, 4611686018427387904, 4611686018427387904]", "[0,0]"), "overflows"},
      {header("F32", "[1e30]", "[0,4]"), "which is no count"},
      {header("F32", "[null]", "[0,4]"), "which is no count"},
      {header("F32", "[[1]]", "[0,4]"), "nested deeper than 3 levels"},
      {header(std::string(3000, 'F'), "[1]", "[0,4]"), "FFF... is not supported"},
      {R"({"q":{")" + std::string(3000, 'x') + R"(":1}})", "unknown key 'xxx"},
      {R"({"q":{"dtype":"\u001b]0;x","shape":[1],"data_offsets":[0,4]}})", "is not supported"},
      {R"({"__metadata__":{"\u001b":1}})", "__metadata__: '\\x1b' is no string"},
      {R"({"__metadata__":{"a":{}}})", "__metadata__: 'a' is no string"},
      {R"({"__metadata__":null})", "__metadata__ is no JSON object"},
  };
  for (const auto& [text, message] : cases) {
    EXPECT_THAT(error_of(safetensors(text, "")), HasSubstr(message)) << message;
  }
  std::string values = R"({"__metadata__":{"0":0)";
  for (int i = 1; i < 1'000'000; ++i) values += ",\"" + std::to_string(i) + "\":0";
  EXPECT_THAT(error_of(safetensors(values + "}}", "")), HasSubstr("holds more than 917504 values"));
}

TEST_F(HostileTensorFileTest, HostileNumpyHeaders) {
  const auto shaped = [](const std::string& shape) {
    return "{'descr': '<f4', 'fortran_order': True, 'shape': (" + shape + ")}";
  };
  EXPECT_THAT(
      read_tensor_file(npy(shaped("1,1,1,1,1,1,1,1"), std::string(4, '\0'))).tensors.at("q").shape,
      SizeIs(8));
  const std::pair<std::string, std::string> cases[] = {
      {shaped("1,1,1,1,1,1,1,1,1"), "shape has more than 8 axes"},
      {shaped("0, 4611686018427387904, 4611686018427387904"), "overflows"},
      {shaped("(((((1"), "no count"},
      {std::string(60'000, '{'), "quoted text expected"},
      {"{'\x1b[2J': 1}", "unexpected key '\\x1b[2J'"},
      {"{'" + std::string(50'000, 'k') + "': 1}", "kkk...'"},
      {"{'descr': '\xff\x1b', 'fortran_order': True, 'shape': ()}", "dtype '\\xff\\x1b' is not"},
      {"{'descr': '" + std::string(50'000, 'd') + "', 'fortran_order': True, 'shape': ()}",
       "dtype 'ddd"},
      {"{'descr': '<f4" + std::string(1, '\0') + "', 'fortran_order': True, 'shape': (1,)}",
       "dtype '<f4\\x00"},
  };
  for (const auto& [text, message] : cases) {
    EXPECT_THAT(error_of(npy(text, std::string(4, '\0'))), HasSubstr(message)) << message;
  }
  const std::string magic = "\x93NUMPY";
  EXPECT_THAT(error_of(write("v.npy", magic + "\x01\x01" + std::string(8, '\0'))),
              HasSubstr("version 1.1 is not supported"));
  EXPECT_THAT(error_of(write("v.npy", magic + std::string("\xff\x00", 2) + std::string(8, '\0'))),
              HasSubstr("version 255.0 is not supported"));
  const std::string long_header = std::string("\x02\x00\x00\x00\x01\x00", 6);
  EXPECT_THAT(error_of(write("v.npy", magic + long_header + std::string(65'536, ' '))),
              HasSubstr("header of 65536 bytes is longer than 65535"));
  EXPECT_THAT(error_of(write("v.npy", magic + std::string("\x02\x00\xff\xff\xff\xff", 6) + "{}")),
              HasSubstr("ends within the .npy header"));
}

TEST_F(HostileTensorFileTest, FilesBeyondTheMemoryAreNotRead) {
  for (const char* name : {"t.safetensors", "t.npy", "t.npz"}) {
    write(name, "");
    std::error_code code;
    std::filesystem::resize_file(path(name), std::uintmax_t{1} << 43, code);
    if (code) GTEST_SKIP() << "no sparse file of 8 TiB here: " << code.message();
    EXPECT_THAT(error_of(path(name)), HasSubstr("are more than this machine's memory"));
  }
}

}  // namespace
}  // namespace subquad

#include "tensor_files/limits.h"

#include <fmt/format.h>

#include "subquad/error.h"
#include "texts/plain_text.h"

namespace subquad {
namespace {

/// `/etc/x`, `..`, `a/../b`, `C:\x`
bool leaves_its_folder(std::string_view name) {
  if (name.starts_with('/') || name.find('\\') != std::string_view::npos) return true;
  for (std::size_t begin = 0; begin <= name.size();) {
    const std::size_t end = std::min(name.find('/', begin), name.size());
    if (name.substr(begin, end - begin) == "..") return true;
    begin = end + 1;
  }
  return false;
}

}  // namespace

void check_tensor_name(std::string_view name, const std::string& where) {
  const auto fail = [&](const std::string& reason) {
    throw Error(fmt::format("{}: tensor name '{}' {}", where, printable(name), reason));
  };
  if (name.empty()) fail("is empty");
  if (name.size() > kMaxNameBytes) fail(fmt::format("is longer than {} bytes", kMaxNameBytes));
  if (printable(name, name.size()) != name) fail("holds what cannot be printed");
  if (leaves_its_folder(name)) fail("is a path out of its folder");
}

}  // namespace subquad

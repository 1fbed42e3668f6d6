#include "record.h"

#include <array>
#include <string>

#include "subquad/error.h"

namespace subquad {
namespace {

constexpr std::array kStatusNames = {"ok",      "refused",       "failed", "mistrusted",
                                     "timeout", "out_of_memory", "crashed"};

}  // namespace

const char* to_string(Status status) { return kStatusNames[static_cast<std::size_t>(status)]; }

Status status_from_string(const std::string& text) {
  for (std::size_t i = 0; i < kStatusNames.size(); ++i) {
    if (text == kStatusNames[i]) return static_cast<Status>(i);
  }
  throw Error("record: status '" + text + "' is unknown");
}

}  // namespace subquad

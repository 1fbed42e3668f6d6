#include "commands/child_ending.h"

#include <fmt/format.h>

namespace subquad {

std::string ending_text(ChildProcess& child, const std::string& when) {
  const ChildProcess::Ending ending = child.wait();
  const std::string words = child.last_words();
  return (ending.signal != 0
              ? fmt::format("crashed{}: {}", when, signal_text(ending.signal))
              : fmt::format("ended the program{}: exit code {}", when, ending.code)) +
         (words.empty() ? "" : ": " + words);
}

}  // namespace subquad

#pragma once

#include <string>

#include "measuring/process.h"

namespace subquad {

/// How a process that was not supposed to end has ended: "crashed when loaded: SIGSEGV (...)", or
/// "ended the program when loaded: exit code 7", with `when` = " when loaded"; and the last line
/// that it printed. Waits for the end.
std::string ending_text(ChildProcess& child, const std::string& when = {});

}  // namespace subquad

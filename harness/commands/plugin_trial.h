#pragma once

#include <string>

namespace subquad {

/// Loads a shared library of variants in a process of its own, and throws Error naming the file and
/// what happened if that process does not survive it, from its first to its last moment: a
/// library's constructors may throw, crash, hang or end the program. Each file is tried once. For a
/// process that is not itself the child of another, before it loads the library.
void try_plugin(const std::string& path);

}  // namespace subquad

#pragma once

#include <string>
#include <utility>
#include <vector>

namespace subquad {

/// How this program was built.
std::string compiler_text();
std::string compiler_flags();
/// Folder of the sources, as it was when the program was built.
std::string source_folder();
/// Name and version of what it was built with.
std::vector<std::pair<std::string, std::string>> library_versions();
/// Hash of this program's file.
const std::string& program_build();

}  // namespace subquad

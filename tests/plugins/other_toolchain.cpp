// Of the right version, but as if built by another compiler.

// The header's own entry must not be the one that is found.
#define subquad_plugin entry_of_the_header
#include "subquad/registry.h"
#undef subquad_plugin

namespace {
const subquad::PluginEntry entry{subquad::kAbiVersion, "libc++ 99, cxxabi 7", nullptr};
}  // namespace

extern "C" __attribute__((visibility("default"))) const void* subquad_plugin() { return &entry; }

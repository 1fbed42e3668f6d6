// Of the right version, but as if built by another compiler.

namespace {
struct OtherEntry {
  int abi_version;
  const char* toolchain;
  const void* registrations;
};
const OtherEntry entry{2, "libc++ 99, cxxabi 7", nullptr};
}  // namespace

extern "C" __attribute__((visibility("default"))) const void* subquad_plugin() { return &entry; }

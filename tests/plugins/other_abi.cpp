// Claims another version of the interface. Nothing behind the first member is there to be read.

namespace {
struct OtherEntry {
  int abi_version;
};
const OtherEntry entry{999};
}  // namespace

extern "C" __attribute__((visibility("default"))) const void* subquad_plugin() { return &entry; }

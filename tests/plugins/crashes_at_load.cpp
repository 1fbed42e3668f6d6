// Ends by a signal while it is loaded.

#include <csignal>

#include "subquad/registry.h"

namespace {
struct AtLoad {
  AtLoad() { std::raise(SIGSEGV); }
};
const AtLoad at_load;
}  // namespace

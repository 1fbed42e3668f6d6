// Throws an exception while it is loaded.

#include <stdexcept>

#include "subquad/registry.h"

namespace {
struct AtLoad {
  AtLoad() { throw std::runtime_error("no licence found"); }
};
const AtLoad at_load;
}  // namespace

// Is never done with being loaded.

#include <unistd.h>

#include "subquad/registry.h"

namespace {
struct AtLoad {
  AtLoad() {
    for (;;) ::pause();
  }
};
const AtLoad at_load;
}  // namespace

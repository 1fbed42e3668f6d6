#pragma once

#include <string>

#include "layers/catalogue.h"

namespace subquad {

/// Path of tests/plugins/NAME.cpp as a shared library.
inline std::string test_plugin(const std::string& name) {
  return SUBQUAD_BINARY_DIR "/tests/libplugin_" + name + ".so";
}

/// The probes of tests/plugins/probes.cpp, from now on in the catalogue.
inline void load_probes() { Catalogue::instance().load_plugin(test_plugin("probes")); }

}  // namespace subquad

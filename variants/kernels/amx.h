#pragma once

#include <string>

namespace subquad {

/// Why bf16 tile products (Intel AMX) cannot run here, or empty: this build may be for another
/// instruction set, the processor may lack them, or the operating system may deny this process the
/// registers. They are asked of the operating system once, at the first call, for all threads.
const std::string& amx_refusal();

}  // namespace subquad

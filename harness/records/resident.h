#pragma once

#include <cstdint>

namespace subquad {

/// Sets the high-water mark of this process's resident memory back to what is resident now; false
/// where the system does not allow it.
bool reset_resident_peak();
/// Highest resident memory of this process since then, in bytes; 0 if the system does not tell.
std::uint64_t resident_peak();
/// Memory of this machine, in bytes; 0 if the system does not tell.
std::uint64_t total_memory();
/// What of it programs could take now without swapping.
std::uint64_t available_memory();

}  // namespace subquad

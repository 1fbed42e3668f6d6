#pragma once

#include <sys/types.h>

#include <cstdint>

namespace subquad {

/// Sets the high-water mark of this process's resident memory back to what is resident now; false
/// where the system does not allow it.
bool reset_resident_peak();
/// Highest resident memory of this process since then, in bytes; 0 if the system does not tell.
std::uint64_t resident_peak();
/// Resident memory of this process now, apart from pages of files; 0 if the system does not tell.
struct Resident {
  std::uint64_t all = 0, of_files = 0;
};
Resident resident_now();
/// Resident memory of another process; 0 once it has ended.
std::uint64_t resident_bytes_of(pid_t process);
/// How many processes the system has killed since it started because memory ran out.
std::uint64_t system_memory_kills();
/// Memory of this machine, in bytes; 0 if the system does not tell.
std::uint64_t total_memory();
/// What of it programs could take now without swapping.
std::uint64_t available_memory();

}  // namespace subquad

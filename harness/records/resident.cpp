#include "records/resident.h"

#include <fstream>
#include <string>

namespace subquad {
namespace {

/// The value, in bytes, of a line such as "VmHWM:   1234 kB".
std::uint64_t kilobytes(const char* path, const std::string& key) {
  std::ifstream file(path);
  std::string word;
  while (file >> word) {
    std::uint64_t value = 0;
    if (word == key && file >> value) return value * 1024;
  }
  return 0;
}

}  // namespace

bool reset_resident_peak() {
  std::ofstream file("/proc/self/clear_refs");
  file << "5" << std::flush;
  return file.good();
}

std::uint64_t resident_peak() { return kilobytes("/proc/self/status", "VmHWM:"); }
std::uint64_t total_memory() { return kilobytes("/proc/meminfo", "MemTotal:"); }
std::uint64_t available_memory() { return kilobytes("/proc/meminfo", "MemAvailable:"); }

}  // namespace subquad

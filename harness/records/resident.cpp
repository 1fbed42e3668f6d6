#include "records/resident.h"

#include <unistd.h>

#include <fstream>
#include <string>

namespace subquad {
namespace {

/// The number that follows a word; 0 if there is none.
std::uint64_t number_after(const char* path, const std::string& key) {
  std::ifstream file(path);
  std::string word;
  while (file >> word) {
    std::uint64_t value = 0;
    if (word == key && file >> value) return value;
  }
  return 0;
}

/// The value, in bytes, of a line such as "VmHWM:   1234 kB".
std::uint64_t kilobytes(const char* path, const std::string& key) {
  return number_after(path, key) * 1024;
}

}  // namespace

bool reset_resident_peak() {
  std::ofstream file("/proc/self/clear_refs");
  file << "5" << std::flush;
  return file.good();
}

std::uint64_t resident_peak() { return kilobytes("/proc/self/status", "VmHWM:"); }
Resident resident_now() {
  constexpr const char* kStatus = "/proc/self/status";
  return {kilobytes(kStatus, "VmRSS:"), kilobytes(kStatus, "RssFile:")};
}

std::uint64_t resident_bytes_of(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/statm");
  std::uint64_t size = 0, resident_pages = 0;
  file >> size >> resident_pages;
  return resident_pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::uint64_t system_memory_kills() { return number_after("/proc/vmstat", "oom_kill"); }

std::uint64_t total_memory() { return kilobytes("/proc/meminfo", "MemTotal:"); }
std::uint64_t available_memory() { return kilobytes("/proc/meminfo", "MemAvailable:"); }

}  // namespace subquad

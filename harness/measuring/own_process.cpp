#include "measuring/own_process.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <system_error>
#include <vector>

#include "subquad/error.h"

namespace subquad {
namespace {

std::vector<int> processor_numbers() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) {
    throw std::system_error(errno, std::generic_category(), "sched_getaffinity");
  }
  std::vector<int> processors;
  for (int processor = 0; processor < CPU_SETSIZE; ++processor) {
    if (CPU_ISSET(processor, &set)) processors.push_back(processor);
  }
  return processors;
}

/// Names the core that a processor is a hardware thread of.
std::string core_of(int processor) {
  std::ifstream file(
      fmt::format("/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list", processor));
  std::string siblings;
  std::getline(file, siblings);
  return siblings.empty() ? std::to_string(processor) : siblings;
}

}  // namespace

std::string pin_to_processors(int count) {
  std::vector<int> processors = processor_numbers();
  if (static_cast<std::size_t>(count) > processors.size()) {
    throw Error(fmt::format("pin: {} threads are asked for, but only {} processors may be used",
                            count, processors.size()));
  }
  // First one hardware thread of every core, then the second ones.
  std::map<std::string, int> taken;
  std::map<int, int> turn;
  for (const int processor : processors) turn[processor] = taken[core_of(processor)]++;
  std::stable_sort(processors.begin(), processors.end(),
                   [&](int a, int b) { return turn[a] < turn[b]; });
  processors.resize(static_cast<std::size_t>(count));
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int processor : processors) CPU_SET(processor, &set);
  if (::sched_setaffinity(0, sizeof set, &set) != 0) {
    throw std::system_error(errno, std::generic_category(), "sched_setaffinity");
  }
  std::sort(processors.begin(), processors.end());
  return fmt::format("{}", fmt::join(processors, ","));
}

int count_threads() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return static_cast<int>(std::distance(begin(tasks), end(tasks)));
}

}  // namespace subquad

#include "records/machine.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <thread>

#include "records/build_info.h"
#include "records/hash.h"
#include "records/resident.h"
#include "records/store.h"
#include "subquad/error.h"
#include "texts/plain_text.h"

namespace subquad {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

std::string first_line(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

/// The value of "key : value" in /proc/cpuinfo.
std::string cpu_info(const std::string& key) {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(':');
    if (!line.starts_with(key) || colon == std::string::npos) continue;
    const std::size_t begin = line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return {};
}

std::vector<Cache> read_caches() {
  std::vector<Cache> caches;
  for (int index = 0;; ++index) {
    const fs::path folder = fmt::format("/sys/devices/system/cpu/cpu0/cache/index{}", index);
    const std::string level = first_line(folder / "level"), size = first_line(folder / "size");
    if (level.empty() || size.empty()) return caches;
    // Written as "48K".
    const std::uint64_t unit = size.back() == 'K' ? 1024 : size.back() == 'M' ? 1024 * 1024 : 1;
    caches.push_back({std::stoi(level), first_line(folder / "type"), std::stoull(size) * unit,
                      first_line(folder / "shared_cpu_list")});
  }
}

/// What a command prints, or empty.
std::string output_of(const std::string& command) {
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen(command.c_str(), "r"), ::pclose);
  char line[256] = {};
  if (!pipe || std::fgets(line, sizeof line, pipe.get()) == nullptr) return {};
  std::string text = line;
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

/// Asked of the source tree, not compiled in: a commit that changes no code must not change the
/// program, or every point would have to be measured again.
std::string source_commit() {
  const std::string folder = source_folder();
  if (!fs::exists(folder + "/.git") || folder.find('\'') != std::string::npos) return {};
  return output_of("git -C '" + folder + "' describe --always --dirty --abbrev=12 2>/dev/null");
}

/// The machine alone, without the program.
Machine read_machine() {
  Machine machine;
  utsname system{};
  ::uname(&system);
  machine.architecture = system.machine;
  machine.kernel = fmt::format("{} {}", system.sysname, system.release);
  machine.cpu = cpu_info("model name");
  machine.virtual_machine = cpu_info("flags").find(" hypervisor") != std::string::npos;
  machine.processors = static_cast<int>(std::thread::hardware_concurrency());
  machine.usable_processors = usable_processors();
  machine.caches = read_caches();
  machine.memory_bytes = total_memory();
  machine.instruction_set = kernel_instruction_set();
  return machine;
}

/// The name that somebody gave this machine, or empty. It becomes part of a file's name.
std::string given_identity() {
  const char* given = std::getenv("SUBQUAD_MACHINE");
  if (given == nullptr) return {};
  const std::string name = given;
  const auto belongs = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  };
  if (name.size() > 64 || !std::all_of(name.begin(), name.end(), belongs)) {
    throw Error("SUBQUAD_MACHINE = '" + printable(name) +
                "': allowed are at most 64 letters, digits, '-', '_' and '.'");
  }
  return name;
}

/// The description in a file, or null.
Json read_description(const std::string& path) {
  std::ifstream file(path);
  Json json = Json::parse(file, nullptr, false);
  return json.is_object() ? json : Json();
}

std::string identity_in(const Json& description) {
  if (description.is_null()) return "";
  const auto identity = description.find("identity");
  return identity != description.end() && identity->is_string() ? identity->get<std::string>() : "";
}

/// Where the machine is described in `folder`, or is to be.
std::string description_path(const std::string& folder, const std::string& identity) {
  const std::string first = folder + "/machine.json";
  const Json present = read_description(first);
  if (present.is_null() || identity_in(present) == identity) return first;
  return folder + "/machine-" + identity + ".json";
}

}  // namespace

int usable_processors() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  return static_cast<int>(std::thread::hardware_concurrency());
}

const std::string& machine_identity() {
  static const std::string identity = [] {
    if (const std::string given = given_identity(); !given.empty()) return given;
    const Machine machine = read_machine();
    Hash hash;
    hash.text(machine.cpu).text(machine.architecture).text(machine.instruction_set);
    hash.text(fmt::format("{} processors, {} GiB", machine.usable_processors,
                          (machine.memory_bytes + (1 << 29)) >> 30));
    for (const Cache& cache : machine.caches) {
      hash.text(fmt::format("{} {} {}", cache.level, cache.type, cache.bytes));
    }
    return hash.hex().substr(0, 16);
  }();
  return identity;
}

Machine describe_machine() {
  Machine machine = read_machine();
  machine.identity = machine_identity();
  machine.compiler = compiler_text();
  machine.flags = compiler_flags();
  machine.commit = source_commit();
  machine.build = program_build();
  machine.libraries = library_versions();
  return machine;
}

Peak measure_peak() { return measure_peak(read_caches(), usable_processors()); }

Json to_json(const Machine& machine) {
  Json caches = Json::array();
  for (const Cache& cache : machine.caches) {
    caches.push_back({{"level", cache.level},
                      {"type", cache.type},
                      {"bytes", cache.bytes},
                      {"shared_by", cache.shared_by}});
  }
  Json libraries = Json::object();
  for (const auto& [name, version] : machine.libraries) libraries[name] = version;
  return {{"identity", machine.identity},
          {"cpu", machine.cpu},
          {"architecture", machine.architecture},
          {"virtual_machine", machine.virtual_machine},
          {"processors", machine.processors},
          {"usable_processors", machine.usable_processors},
          {"caches", caches},
          {"memory_bytes", machine.memory_bytes},
          {"kernel", machine.kernel},
          {"instruction_set", machine.instruction_set},
          {"compiler", machine.compiler},
          {"flags", machine.flags},
          {"commit", machine.commit},
          {"build", machine.build},
          {"libraries", libraries},
          {"peak", to_json(machine.peak)}};
}

std::string to_text(const Machine& machine) {
  std::string text;
  const auto line = [&](const char* name, const std::string& value) {
    if (!value.empty()) text += fmt::format("{:<16}{}\n", name, value);
  };
  line("processor", machine.cpu + (machine.virtual_machine ? " (virtual machine)" : ""));
  line("architecture", machine.architecture);
  line("processors", fmt::format("{}, of which this process may use {}", machine.processors,
                                 machine.usable_processors));
  for (const Cache& cache : machine.caches) {
    line("cache", fmt::format("level {} {}, {}, shared by processors {}", cache.level, cache.type,
                              binary_bytes(static_cast<double>(cache.bytes)), cache.shared_by));
  }
  line("memory", binary_bytes(static_cast<double>(machine.memory_bytes)));
  line("kernel", machine.kernel);
  line("instruction set", machine.instruction_set);
  line("compiler", machine.compiler);
  line("flags", machine.flags);
  line("commit", machine.commit);
  line("build", machine.build);
  line("identity", machine.identity);
  for (const auto& [name, version] : machine.libraries) line("library", name + " " + version);
  return text + to_text(machine.peak);
}

Peak write_machine(const std::string& folder) {
  Machine machine = describe_machine();
  const std::string path = description_path(folder, machine.identity);
  if (const Json present = read_description(path); present.is_object()) {
    const Json peak = present.value("peak", Json());
    Json expected = to_json(machine);
    expected["peak"] = peak;
    if (present == expected) {
      if (const auto read = peak_from_json(peak)) return *read;
    }
  }
  machine.peak = measure_peak();
  write_file_atomically(path, to_json(machine).dump(2) + "\n");
  return machine.peak;
}

Json machine_description(const std::string& folder, const std::string& identity) {
  Json description = read_description(description_path(folder, identity));
  return identity_in(description) == identity ? description : Json();
}

std::string machine_name(const std::string& folder, const std::string& identity) {
  const Json description = machine_description(folder, identity);
  const auto cpu = description.find("cpu");
  return cpu != description.end() && cpu->is_string() && !cpu->get<std::string>().empty()
             ? cpu->get<std::string>()
             : identity;
}

}  // namespace subquad

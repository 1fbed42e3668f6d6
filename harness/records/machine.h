#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "records/peak.h"

namespace subquad {

/// One cache of the first processor.
struct Cache {
  int level = 0;
  std::string type;  ///< "Data", "Instruction", "Unified"
  std::uint64_t bytes = 0;
  std::string shared_by;  ///< processors, as "0-3"
};

/// The machine, and the program that measures on it.
struct Machine {
  std::string identity;  ///< machine_identity()
  std::string cpu, architecture, kernel;
  bool virtual_machine = false;
  int processors = 0;         ///< of the machine
  int usable_processors = 0;  ///< that this process may run on
  std::vector<Cache> caches;
  std::uint64_t memory_bytes = 0;
  std::string instruction_set;  ///< that kernels were compiled for
  std::string compiler, flags;
  std::string commit;  ///< of the source tree, "-dirty" if it was changed since; may be empty
  std::string build;   ///< hash of the program
  std::vector<std::pair<std::string, std::string>> libraries;  ///< name, version
  Peak peak;
};

/// Hash of what makes times comparable: processor, how many of them are usable, caches, memory in
/// GiB, and the instruction set of the kernels. Machines of one kind have the same. SUBQUAD_MACHINE
/// in the environment takes its place; Error unless that is a name.
const std::string& machine_identity();

/// Processors that this process may run on.
int usable_processors();
/// Reads the system; leaves the peak at 0.
Machine describe_machine();
/// Peak of the processors that this process may use.
Peak measure_peak();
/// The name of the instruction set that this program's kernels were compiled for.
const char* kernel_instruction_set();

nlohmann::ordered_json to_json(const Machine& machine);
std::string to_text(const Machine& machine);

/// Writes this machine's description into `folder`, with the peak measured, unless that of the same
/// machine and program is there: machine.json for the first machine, machine-IDENTITY.json for
/// others, so that none is lost. Returns the peak that stands there.
Peak write_machine(const std::string& folder);

/// What `folder` says of the machine with this identity and of the program that measured there, as
/// `to_json(Machine)`; null if it says nothing.
nlohmann::ordered_json machine_description(const std::string& folder, const std::string& identity);
/// Processor of the machine with this identity as described in `folder`, or the identity.
std::string machine_name(const std::string& folder, const std::string& identity);

}  // namespace subquad

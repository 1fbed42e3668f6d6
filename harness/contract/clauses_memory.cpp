// Clauses about memory.

#include <fmt/format.h>

#include "contract/clause.h"

namespace subquad::contract {

Verdict stays_inside(const Trial& trial) {
  const Bench bench(trial);
  const Result result = bench.run({.scratch_fill = 0xC3});
  if (!result.written_outside.empty()) {
    return Verdict::broken("writes where it may not: " + result.written_outside);
  }
  return Verdict::kept();
}

Verdict inputs_unchanged(const Trial& trial) {
  const Result result = Bench(trial).run();
  if (!result.inputs_changed.empty()) return Verdict::broken("changes " + result.inputs_changed);
  return Verdict::kept();
}

Verdict allocates_nothing(const Trial& trial) {
  const Bench bench(trial);
  const std::string library = bench.variant->library();
  // Buffers and code that a library keeps for good it makes at the first call.
  if (!library.empty()) bench.run();
  const AllocationCounts counts = bench.run().allocations;
  if (counts.allocations == 0) return Verdict::kept();
  if (library.empty()) {
    return Verdict::broken(fmt::format("forward allocates {} times, {} bytes, beside the arenas",
                                       counts.allocations, counts.bytes));
  }
  if (counts.held_bytes != 0) {
    return Verdict::broken(fmt::format("{} still holds {} bytes more after an equal call", library,
                                       counts.held_bytes));
  }
  return Verdict::kept(fmt::format("{} does, and gives all of it back", library));
}

Verdict scratch(const Trial& trial) {
  const Bench bench(trial);
  const Scratch declared = bench.variant->scratch(trial.problem);
  const Result first = bench.run();
  const auto exceeds = [](const char* kind, std::size_t taken, std::size_t declared) {
    return fmt::format("takes {} bytes of {} scratch, declares {}", taken, kind, declared);
  };
  if (first.shared_high_water > declared.shared_bytes) {
    return Verdict::broken(exceeds("shared", first.shared_high_water, declared.shared_bytes));
  }
  if (first.worker_high_water > declared.worker_bytes) {
    return Verdict::broken(exceeds("worker", first.worker_high_water, declared.worker_bytes));
  }
  const Result second = bench.run({.declared_scratch = true});
  if (second.shared_high_water != first.shared_high_water ||
      second.worker_high_water != first.worker_high_water) {
    return Verdict::broken(
        fmt::format("takes {} shared and {} worker bytes, then {} and {} on the same inputs",
                    first.shared_high_water, first.worker_high_water, second.shared_high_water,
                    second.worker_high_water));
  }
  return Verdict::kept();
}

}  // namespace subquad::contract

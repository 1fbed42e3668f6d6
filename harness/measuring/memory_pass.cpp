#include "measuring/memory_pass.h"

#include <malloc.h>

#include <algorithm>

#include "measuring/allocation_hooks.h"
#include "records/resident.h"

namespace subquad {
namespace {

std::uint64_t above(std::uint64_t value, std::uint64_t base) {
  return value > base ? value - base : 0;
}

}  // namespace

void watch_memory(const std::function<void()>& allocate, const std::function<void()>& call,
                  Record& record) {
  // Free memory that the allocator keeps is resident already: used again it would not show.
  ::malloc_trim(0);
  const bool can_tell = reset_resident_peak();
  const Resident before = resident_now();
  allocate();
  AllocationCounts heap;
  {
    const AllocationScope scope(AllocationScope::Of::process);
    call();
    heap = scope.counts();
  }
  const Resident after = resident_now();
  record.heap_allocations = static_cast<std::uint64_t>(heap.allocations);
  record.heap_bytes = static_cast<std::uint64_t>(heap.peak_bytes);
  record.heap_kept_bytes = static_cast<std::uint64_t>(std::max<std::int64_t>(0, heap.held_bytes));
  if (!can_tell) return;
  record.resident_peak_bytes = resident_peak();
  // Code that is run for the first time is read from its file, and stays.
  const std::uint64_t of_files = above(after.of_files, before.of_files);
  record.resident_bytes = above(above(record.resident_peak_bytes, before.all), of_files);
}

}  // namespace subquad

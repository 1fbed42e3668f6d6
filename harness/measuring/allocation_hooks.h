#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace subquad {

/// What was asked of the heap, and mapped directly, while an `AllocationScope` was alive. Bytes are
/// what the allocator handed out, which may be somewhat more than was asked for.
struct AllocationCounts {
  std::int64_t allocations = 0;  ///< malloc and its kin, operator new, anonymous mmap
  std::int64_t releases = 0;
  std::int64_t bytes = 0;       ///< handed out in all
  std::int64_t peak_bytes = 0;  ///< held at the most, net of what was released; never below 0
  std::int64_t held_bytes = 0;  ///< held now; below 0 where older blocks were released
};

/// Counts allocations of one thread, or of the whole process, from construction to destruction.
///
/// The program replaces malloc and its kin, mmap and munmap by versions that look at two pointers
/// and go on to the C library's own; operator new arrives there too, and so do the pools of other
/// libraries, which map their memory. Under a sanitizer, whose allocator cannot be replaced, its
/// own hooks are used, and mmap is not counted. At most one scope per thread and one for the
/// process may be alive (std::logic_error). Nothing here allocates.
class AllocationScope {
 public:
  enum class Of { thread, process };

  explicit AllocationScope(Of of);
  ~AllocationScope();
  AllocationScope(const AllocationScope&) = delete;
  AllocationScope& operator=(const AllocationScope&) = delete;

  AllocationCounts counts() const;
  /// False under a sanitizer: mmap is not counted then.
  static bool counts_mappings();

  /// Called by the hooks.
  void record_allocation(std::size_t bytes);
  void record_release(std::size_t bytes);

 private:
  Of of_;
  std::atomic<std::int64_t> allocations_{0};
  std::atomic<std::int64_t> releases_{0};
  std::atomic<std::int64_t> bytes_{0};
  std::atomic<std::int64_t> held_{0};
  std::atomic<std::int64_t> peak_{0};
};

}  // namespace subquad

#include "team.h"

#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/task_arena.h>

#include <atomic>
#include <chrono>
#include <thread>

namespace subquad {

namespace tbb = oneapi::tbb;

// Explicit on both counts: the scheduler's own choice follows the affinity mask and can come to no
// worker at all, and an arena alone does not let it have more threads than there are processors.
struct Team::Threads {
  explicit Threads(int count)
      : limit(tbb::global_control::max_allowed_parallelism, static_cast<std::size_t>(count)),
        arena(count, /*reserved_for_masters=*/1) {}

  tbb::global_control limit;
  tbb::task_arena arena;
};

Team::Team(int threads) : size_(threads) {
  if (threads <= 1) return;
  threads_ = std::make_unique<Threads>(threads);
  // Threads start lazily: give each of them a job that lasts until all have begun. The limit is
  // for machines that have no processor to spare.
  std::atomic<int> begun = 0;
  const auto limit = std::chrono::steady_clock::now() + std::chrono::milliseconds(100);
  each(threads, [&](Index, int) {
    ++begun;
    while (begun < threads && std::chrono::steady_clock::now() < limit) std::this_thread::yield();
  });
}

Team::~Team() = default;

void Team::each_job(Index jobs, JobFunction function, void* context) {
  if (!threads_) {
    for (Index job = 0; job < jobs; ++job) function(context, job, 0);
    return;
  }
  // One task per thread, which fetches job after job: no task is allocated per job, and a thread
  // that comes late finds less left instead of a share of its own.
  std::atomic<Index> next = 0;
  threads_->arena.execute([&] {
    tbb::parallel_for(
        0, size_,
        [&](int) {
          const int member = tbb::this_task_arena::current_thread_index();
          try {
            for (Index job = next++; job < jobs; job = next++) function(context, job, member);
          } catch (...) {
            next = jobs;
            throw;
          }
        },
        tbb::simple_partitioner());
  });
}

}  // namespace subquad

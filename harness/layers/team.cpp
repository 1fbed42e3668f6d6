#include "layers/team.h"

#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/info.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/task_arena.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "subquad/error.h"

#if defined(__SANITIZE_THREAD__)
#define SUBQUAD_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SUBQUAD_THREAD_SANITIZER 1
#endif
#endif

namespace subquad {

int at_least_one(int threads) {
  if (threads >= 1) return threads;
  throw Error("threads = " + std::to_string(threads) + " (at least 1 is needed)");
}

#ifdef SUBQUAD_THREAD_SANITIZER

// The sanitizer does not see how the scheduler's library, which is not built with it, synchronises,
// and would report every hand-over of a task. Threads of our own leave it what matters: bodies that
// disturb one another.
struct Team::Threads {
  explicit Threads(int count) : count(count) {}

  template <class Work>
  void each_member(Work work) {
    std::exception_ptr first;
    std::mutex mutex;
    const auto guarded = [&](int member) {
      try {
        work(member);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!first) first = std::current_exception();
      }
    };
    std::vector<std::thread> others;
    for (int member = 1; member < count; ++member) others.emplace_back(guarded, member);
    guarded(0);
    for (std::thread& other : others) other.join();
    if (first) std::rethrow_exception(first);
  }

  int count;
};

void set_up_in_parallel(Index jobs, const std::function<void(Index)>& job) {
  for (Index i = 0; i < jobs; ++i) job(i);
}

#else

namespace tbb = oneapi::tbb;

void set_up_in_parallel(Index jobs, const std::function<void(Index)>& job) {
  constexpr int kMost = 4;
  if (jobs <= 1) {
    for (Index i = 0; i < jobs; ++i) job(i);
    return;
  }
  tbb::task_arena(std::min(kMost, tbb::info::default_concurrency())).execute([&] {
    tbb::parallel_for(Index{0}, jobs, job, tbb::simple_partitioner());
  });
}

// Explicit on both counts: the scheduler's own choice follows the affinity mask and can come to no
// worker at all, and an arena alone does not let it have more threads than there are processors.
struct Team::Threads {
  explicit Threads(int count)
      : count(count),
        limit(tbb::global_control::max_allowed_parallelism, static_cast<std::size_t>(count)),
        arena(count, /*reserved_for_masters=*/1) {}

  /// A member that comes late finds another one to have done its share.
  template <class Work>
  void each_member(Work work) {
    arena.execute([&] {
      tbb::parallel_for(
          0, count, [&](int) { work(tbb::this_task_arena::current_thread_index()); },
          tbb::simple_partitioner());
    });
  }

  int count;
  tbb::global_control limit;
  tbb::task_arena arena;
};

#endif

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
  threads_->each_member([&](int member) {
    try {
      for (Index job = next++; job < jobs; job = next++) function(context, job, member);
    } catch (...) {
      next = jobs;
      throw;
    }
  });
}

}  // namespace subquad

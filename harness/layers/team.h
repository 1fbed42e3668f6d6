#pragma once

#include <functional>
#include <memory>
#include <type_traits>

#include "subquad/view.h"

namespace subquad {

/// Exactly so many threads, among them the calling one. With one thread there is no scheduler at
/// all. While a team lives, the process runs no more scheduler threads than it has.
class Team {
 public:
  /// Starts the threads, so that no later call waits for them. 1 <= threads.
  explicit Team(int threads);
  ~Team();

  int size() const { return size_; }

  /// Calls body(Index job, int member) for every job in [0, jobs), each once, in any order; members
  /// are numbered from 0, and no two threads are the same one at a time. The first exception of a
  /// body is thrown when all threads have stopped; jobs not yet begun are left out.
  template <class Body>
  void each(Index jobs, Body&& body) {
    using Plain = std::remove_reference_t<Body>;
    each_job(
        jobs,
        [](void* context, Index job, int member) { (*static_cast<Plain*>(context))(job, member); },
        const_cast<void*>(static_cast<const void*>(std::addressof(body))));
  }

 private:
  using JobFunction = void (*)(void* context, Index job, int member);
  void each_job(Index jobs, JobFunction function, void* context);

  struct Threads;
  int size_;
  std::unique_ptr<Threads> threads_;
};

/// `threads`, or Error where there are none.
int at_least_one(int threads);

/// Work that is not timed: calls job(i) for every i in [0, jobs), each once, on a few threads: four
/// at the most, because the stack of each counts as memory of the process. The first exception of a
/// job is thrown when all have stopped.
void set_up_in_parallel(Index jobs, const std::function<void(Index)>& job);

}  // namespace subquad

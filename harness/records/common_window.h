#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace subquad {

/// A short while in which several threads work at the same time, and what they do in it together.
/// Used once.
class CommonWindow {
 public:
  CommonWindow(int threads, double seconds) : threads_(threads), seconds_(seconds) {}

  /// To be called by each of so many threads: waits for the others, then calls work() again and
  /// again until the window is over. work() takes some microseconds and returns what it did.
  template <class Work>
  void take_part(Work&& work) {
    if (!begin_together()) return;
    // From the moment that all share: a thread that gets a processor later, after another has left
    // it, must not count as if it had worked beside that one.
    double done = 0, seconds = seconds_since_opening();
    while (seconds < seconds_) {
      done += work();
      seconds = seconds_since_opening();
    }
    rate_.fetch_add(done / seconds);
  }

  /// Per second, summed over threads. To be asked when all are back.
  double rate() const { return rate_.load(); }

 private:
  using Clock = std::chrono::steady_clock;

  /// False for a thread that comes when the window is open: nobody waits for ever for one that the
  /// system does not start.
  bool begin_together() {
    if (opened_ != kClosed) return false;
    if (++waiting_ >= threads_) open();
    const Clock::time_point limit = Clock::now() + std::chrono::milliseconds(100);
    while (opened_ == kClosed) {
      if (Clock::now() > limit) open();
      std::this_thread::yield();
    }
    return true;
  }

  void open() {
    Clock::rep closed = kClosed;
    opened_.compare_exchange_strong(closed, Clock::now().time_since_epoch().count());
  }

  double seconds_since_opening() const {
    const Clock::duration opened(opened_.load());
    return std::chrono::duration<double>(Clock::now().time_since_epoch() - opened).count();
  }

  static constexpr Clock::rep kClosed = 0;

  int threads_;
  double seconds_;
  std::atomic<int> waiting_ = 0;
  std::atomic<Clock::rep> opened_ = kClosed;  ///< when
  std::atomic<double> rate_ = 0;
};

/// Highest rate of `windows` windows in which work(thread) is called on `threads` threads of their
/// own, each numbered from 0: whatever else runs on the machine can only slow one down.
template <class Work>
double best_rate(int threads, int windows, double seconds, Work work) {
  double best = 0;
  for (int i = 0; i < windows; ++i) {
    CommonWindow window(threads, seconds);
    const auto take_part = [&](int thread) { window.take_part([&] { return work(thread); }); };
    std::vector<std::jthread> others;
    for (int thread = 1; thread < threads; ++thread) others.emplace_back(take_part, thread);
    take_part(0);
    others.clear();
    best = std::max(best, window.rate());
  }
  return best;
}

}  // namespace subquad

#include "layers/open_tiles.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

namespace subquad {
namespace {

/// Waits for `done`, at first awake: most waits are shorter than it takes to wake a thread.
template <class Value, class Done>
void await(const std::atomic<Value>& value, Done done) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point limit = Clock::now() + std::chrono::microseconds(100);
  Value seen = value;
  while (!done(seen)) {
    if (Clock::now() < limit) {
      std::this_thread::yield();
    } else {
      value.wait(seen);
    }
    seen = value;
  }
}

}  // namespace

void OpenTiles::open(const TileWork& work) {
  {
    const std::lock_guard lock(mutex_);
    work_ = work;
    left_ = work.tiles;
    is_open_ = true;
  }
  board_.announce();
}

void OpenTiles::close() {
  {
    const std::lock_guard lock(mutex_);
    is_open_ = false;
  }
  await(helpers_, [](int helpers) { return helpers == 0; });
  if (exception_) std::rethrow_exception(std::exchange(exception_, nullptr));
}

bool OpenTiles::join() {
  const std::lock_guard lock(mutex_);
  if (!is_open_ || left_ <= 0) return false;
  ++helpers_;
  return true;
}

void OpenTiles::leave() {
  if (--helpers_ == 0) helpers_.notify_all();
}

void OpenTiles::fail(std::exception_ptr exception) {
  left_ = 0;
  const std::lock_guard lock(mutex_);
  if (!exception_) exception_ = std::move(exception);
}

TileBoard::TileBoard(int places) {
  for (int i = 0; i < places; ++i) places_.push_back(std::make_unique<OpenTiles>(*this));
}

void TileBoard::begin(Index calls) { calls_left_ = calls; }

void TileBoard::end_call() {
  if (--calls_left_ == 0) announce();
}

void TileBoard::abandon() {
  calls_left_ = 0;
  announce();
}

void TileBoard::announce() {
  ++news_;
  news_.notify_all();
}

OpenTiles* TileBoard::wait_for_tiles() {
  for (;;) {
    const int seen = news_;
    if (calls_left_ <= 0) return nullptr;
    if (OpenTiles* tiles = find_tiles()) return tiles;
    await(news_, [seen](int now) { return now != seen; });
  }
}

/// Those of which most are left: there help lasts longest.
OpenTiles* TileBoard::find_tiles() {
  const auto fewer = [](const auto& a, const auto& b) { return a->left() < b->left(); };
  OpenTiles& most = **std::max_element(places_.begin(), places_.end(), fewer);
  return most.join() ? &most : nullptr;
}

}  // namespace subquad

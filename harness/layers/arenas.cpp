#include "layers/arenas.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace subquad {
namespace {

/// Touches every page, so that no page fault falls into a pass.
GuardedMemory touched(std::size_t bytes) {
  GuardedMemory memory(bytes);
  if (bytes > 0) std::memset(memory.data(), 0, bytes);
  return memory;
}

/// In debug builds what was never written reads as NaN.
void poison([[maybe_unused]] const GuardedMemory& memory, [[maybe_unused]] std::size_t bytes) {
#ifndef NDEBUG
  if (bytes > 0) std::memset(memory.data(), 0xFF, bytes);
#endif
}

/// Marks a call as being inside `Run::parallel`, where its workers' arenas are taken.
class Busy {
 public:
  explicit Busy(bool& busy) : busy_(busy) {
    if (busy_) throw std::logic_error("Run::parallel was called from within Run::parallel");
    busy_ = true;
  }
  ~Busy() { busy_ = false; }

 private:
  bool& busy_;
};

void take_tiles(OpenTiles& tiles, MemberMemory& member) {
  const TileWork& work = tiles.work();
  for (Index tile = tiles.next(); tile >= 0; tile = tiles.next()) {
    member.begin_tile();
    try {
      work.function(work.context, tile, member.worker);
    } catch (...) {
      tiles.fail(std::current_exception());
    }
  }
}

}  // namespace

void MemberMemory::allocate(std::size_t shared_bytes, std::size_t worker_bytes) {
  shared_memory = touched(shared_bytes);
  worker_memory = touched(worker_bytes);
}

void MemberMemory::begin_pass() {
  worker.executed = {};
  shared_high_water = worker_high_water = 0;
  took_part = false;
}

void MemberMemory::begin_call(const Scratch& scratch) {
  shared = Arena(shared_memory.data(), scratch.shared_bytes);
  poison(shared_memory, scratch.shared_bytes);
}

void MemberMemory::begin_tiles(const Scratch& scratch) {
  worker.scratch = Arena(worker_memory.data(), scratch.worker_bytes);
}

void MemberMemory::begin_tile() {
  took_part = true;
  worker.scratch.rewind(0);
  poison(worker_memory, worker.scratch.capacity());
}

void MemberMemory::end_tiles() {
  worker_high_water = std::max(worker_high_water, worker.scratch.high_water());
}

void MemberMemory::end_call() {
  shared_high_water = std::max(shared_high_water, shared.high_water());
}

MemberRun::MemberRun(MemberMemory& place, MemberMemory& member, const Scratch& scratch,
                     OpenTiles* tiles)
    : place_(place), member_(member), scratch_(scratch), tiles_(tiles) {
  place_.begin_call(scratch);
  member_.begin_tiles(scratch);
  member_.took_part = true;
  shared_ = &place_.shared;
}

MemberRun::~MemberRun() {
  member_.end_tiles();
  place_.end_call();
}

void MemberRun::parallel_tiles(Index tiles, TileFunction function, void* context) {
  const Busy busy(busy_);
  if (tiles_ == nullptr || tiles < 2) {
    for (Index tile = 0; tile < tiles; ++tile) {
      member_.begin_tile();
      function(context, tile, member_.worker);
    }
    return;
  }
  tiles_->open({tiles, function, context, &scratch_});
  take_tiles(*tiles_, member_);
  tiles_->close();
}

void help_others(TileBoard& board, MemberMemory& member) {
  while (OpenTiles* tiles = board.wait_for_tiles()) {
    member.begin_tiles(*tiles->work().scratch);
    take_tiles(*tiles, member);
    member.end_tiles();
    tiles->leave();
  }
}

}  // namespace subquad

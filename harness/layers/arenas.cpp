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
  const std::size_t shared_bytes = std::min(scratch.shared_bytes, shared_memory.bytes());
  shared = Arena(shared_memory.data(), shared_bytes);
  worker.scratch = Arena(worker_memory.data(), scratch.worker_bytes);
  poison(shared_memory, shared_bytes);
}

void MemberMemory::begin_tile() {
  took_part = true;
  worker.scratch.rewind(0);
  poison(worker_memory, worker.scratch.capacity());
}

void MemberMemory::end_call() {
  shared_high_water = std::max(shared_high_water, shared.high_water());
  worker_high_water = std::max(worker_high_water, worker.scratch.high_water());
}

PlainRun::PlainRun(MemberMemory& memory, const Scratch& scratch) : memory_(memory) {
  memory_.begin_call(scratch);
  memory_.took_part = true;
  shared_ = &memory_.shared;
}

void PlainRun::parallel_tiles(Index tiles, TileFunction function, void* context) {
  const Busy busy(busy_);
  for (Index tile = 0; tile < tiles; ++tile) {
    memory_.begin_tile();
    function(context, tile, memory_.worker);
  }
}

SpreadRun::SpreadRun(Team& team, std::vector<MemberMemory>& members, const Scratch& scratch)
    : team_(team), members_(members) {
  for (MemberMemory& member : members_) member.begin_call(scratch);
  shared_ = &members_.front().shared;
}

SpreadRun::~SpreadRun() {
  for (MemberMemory& member : members_) member.end_call();
}

void SpreadRun::parallel_tiles(Index tiles, TileFunction function, void* context) {
  const Busy busy(busy_);
  team_.each(tiles, [&](Index tile, int index) {
    MemberMemory& member = members_[static_cast<std::size_t>(index)];
    member.begin_tile();
    function(context, tile, member.worker);
  });
}

}  // namespace subquad

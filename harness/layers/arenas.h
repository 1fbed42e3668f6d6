#pragma once

#include <vector>

#include "layers/guarded_memory.h"
#include "layers/team.h"
#include "subquad/run.h"

namespace subquad {

/// Scratch memory of one member of a team and what it did in the last pass. Apart from the others'
/// by more than a cache line, so that counting does not slow them down.
struct alignas(128) MemberMemory {
  GuardedMemory shared_memory, worker_memory;
  Arena shared;
  Worker worker;
  std::size_t shared_high_water = 0, worker_high_water = 0;
  bool took_part = false;

  void allocate(std::size_t shared_bytes, std::size_t worker_bytes);
  void begin_pass();
  /// Arenas of exactly what a call declares.
  void begin_call(const Scratch& scratch);
  void begin_tile();
  void end_call();
};

/// A call whose tiles run one after the other on the thread that calls.
class PlainRun final : public Run {
 public:
  PlainRun(MemberMemory& memory, const Scratch& scratch);
  ~PlainRun() override { memory_.end_call(); }

 private:
  void parallel_tiles(Index tiles, TileFunction function, void* context) override;

  MemberMemory& memory_;
  bool busy_ = false;
};

/// A call whose tiles are spread over a team; the first member's arena is the shared one.
class SpreadRun final : public Run {
 public:
  SpreadRun(Team& team, std::vector<MemberMemory>& members, const Scratch& scratch);
  ~SpreadRun() override;

 private:
  void parallel_tiles(Index tiles, TileFunction function, void* context) override;

  Team& team_;
  std::vector<MemberMemory>& members_;
  bool busy_ = false;
};

}  // namespace subquad

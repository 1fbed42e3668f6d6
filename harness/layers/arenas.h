#pragma once

#include <vector>

#include "layers/guarded_memory.h"
#include "layers/open_tiles.h"
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
  void begin_tiles(const Scratch& scratch);
  void begin_tile();
  void end_tiles();
  void end_call();
};

/// A call on one member, whose tiles idle members take as well.
class MemberRun final : public Run {
 public:
  /// Shared memory is that of `place`. `tiles` is null where there is nobody else.
  MemberRun(MemberMemory& place, MemberMemory& member, const Scratch& scratch, OpenTiles* tiles);
  ~MemberRun() override;

 private:
  void parallel_tiles(Index tiles, TileFunction function, void* context) override;

  MemberMemory& place_;
  MemberMemory& member_;
  const Scratch& scratch_;
  OpenTiles* tiles_;
  bool busy_ = false;
};

/// Takes tiles of others' calls until the pass is over.
void help_others(TileBoard& board, MemberMemory& member);

}  // namespace subquad

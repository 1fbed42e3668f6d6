#pragma once

#include <vector>

#include "layers/arenas.h"
#include "layers/team.h"

namespace subquad {

/// The threads of a team, each with scratch of its own, for tiles of what is no call of a variant:
/// the products around attention. Memory is allocated and touched by the constructor.
class Workers {
 public:
  /// `team` must outlive this.
  Workers(Team& team, std::size_t scratch_bytes)
      : team_(team),
        scratch_{.worker_bytes = scratch_bytes},
        members_(static_cast<std::size_t>(team.size())) {
    for (MemberMemory& member : members_) member.allocate(0, scratch_bytes);
  }

  /// Forgets what was executed.
  void begin_pass() {
    for (MemberMemory& member : members_) member.begin_pass();
  }

  /// Calls body(Index tile, Worker& worker) for every tile in [0, tiles), on any thread and in any
  /// order; scratch is empty at the start of each.
  template <class Body>
  void each(Index tiles, Body&& body) {
    team_.each(tiles, [&](Index tile, int number) {
      MemberMemory& member = members_[static_cast<std::size_t>(number)];
      member.begin_tiles(scratch_);
      member.begin_tile();
      body(tile, member.worker);
      member.end_tiles();
    });
  }

  Work executed() const {
    Work sum;
    for (const MemberMemory& member : members_) sum += member.worker.executed;
    return sum;
  }
  std::size_t declared_bytes() const { return members_.size() * scratch_.worker_bytes; }
  std::size_t high_water() const {
    std::size_t sum = 0;
    for (const MemberMemory& member : members_) sum += member.worker_high_water;
    return sum;
  }
  int used() const {
    int count = 0;
    for (const MemberMemory& member : members_) count += member.took_part ? 1 : 0;
    return count;
  }
  /// False once something was written beside the scratch.
  bool intact() const {
    for (const MemberMemory& member : members_) {
      if (!member.worker_memory.intact()) return false;
    }
    return true;
  }

 private:
  Team& team_;
  Scratch scratch_;
  std::vector<MemberMemory> members_;
};

}  // namespace subquad

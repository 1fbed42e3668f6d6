#include "layers/open_tiles.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

#include "layers/arenas.h"
#include "layers/team.h"

namespace subquad {
namespace {

constexpr Index kCalls = 3, kTiles = 50;

/// Calls of `kTiles` tiles on a team, as the executor runs them.
class Pass {
 public:
  explicit Pass(int threads)
      : team_(threads), board_(threads), members_(static_cast<std::size_t>(threads)) {
    for (MemberMemory& member : members_) member.allocate(0, scratch_.worker_bytes);
  }

  /// body(call, tile, thread's worker) for every tile of every call.
  template <class Body>
  void run(Index calls, Body body) {
    std::atomic<Index> next = 0;
    board_.begin(calls);
    team_.each(team_.size(), [&](Index, int index) {
      MemberMemory& mine = members_[static_cast<std::size_t>(index)];
      try {
        for (Index call = next++; call < calls; call = next++) {
          MemberRun run(mine, mine, scratch_, &board_.place(index));
          run.parallel(kTiles, [&](Index tile, Worker& worker) { body(call, tile, worker); });
          board_.end_call();
        }
      } catch (...) {
        next = calls;
        board_.abandon();
        throw;
      }
      help_others(board_, mine);
    });
  }

  int members_at_work() const {
    int count = 0;
    for (const MemberMemory& member : members_) count += member.took_part ? 1 : 0;
    return count;
  }

 private:
  Scratch scratch_ = Scratch().worker<float>(16);
  Team team_;
  TileBoard board_;
  std::vector<MemberMemory> members_;
};

/// Waits until `count` have come; gives up after a while.
bool meet(std::atomic<int>& there, int count) {
  ++there;
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (there < count && std::chrono::steady_clock::now() < limit) std::this_thread::yield();
  return there >= count;
}

TEST(OpenTiles, EveryTileIsDoneOnceHoweverManyShareThem) {
  for (const int threads : {1, 2, 3, 5}) {
    Pass pass(threads);
    for (int again = 0; again < 20; ++again) {
      for (const Index calls : {Index{0}, Index{1}, kCalls, Index{7}}) {
        std::vector<std::atomic<int>> done(static_cast<std::size_t>(7 * kTiles));
        pass.run(calls, [&](Index call, Index tile, Worker& worker) {
          worker.scratch.take<float>(16)[0] = 1;
          ++done[static_cast<std::size_t>(call * kTiles + tile)];
        });
        for (Index i = 0; i < 7 * kTiles; ++i) {
          ASSERT_EQ(done[static_cast<std::size_t>(i)], i < calls * kTiles ? 1 : 0);
        }
      }
    }
  }
}

TEST(OpenTiles, ThoseWithoutACallTakeTilesOfTheOnlyOne) {
  Pass pass(3);
  std::atomic<int> there = 0;
  std::atomic<bool> met = false;
  pass.run(1, [&](Index, Index tile, Worker&) {
    // Each of the first three tiles is held until all are handed out.
    if (tile < 3 && meet(there, 3)) met = true;
  });
  EXPECT_TRUE(met);
  EXPECT_EQ(pass.members_at_work(), 3);
}

TEST(OpenTiles, WhoIsDoneHelpsWithTheRest) {
  // Three calls on two threads: the tiles of the last are done by both.
  Pass pass(2);
  std::atomic<int> there = 0;
  std::atomic<bool> met = false;
  pass.run(3, [&](Index call, Index tile, Worker&) {
    if (call == 2 && tile < 2 && meet(there, 2)) met = true;
  });
  EXPECT_TRUE(met);
}

TEST(OpenTiles, ExceptionsOfHelpersReachTheCallAndTheNextPassIsSound) {
  for (const int threads : {1, 2, 4}) {
    Pass pass(threads);
    for (int again = 0; again < 10; ++again) {
      const auto fail = [&] {
        pass.run(kCalls, [](Index call, Index tile, Worker&) {
          if (call == 1 && tile % 7 == 3) throw std::runtime_error("tile");
        });
      };
      EXPECT_THROW(fail(), std::runtime_error);
    }
    std::atomic<Index> done = 0;
    pass.run(kCalls, [&](Index, Index, Worker&) { ++done; });
    EXPECT_EQ(done, kCalls * kTiles);
  }
}

}  // namespace
}  // namespace subquad

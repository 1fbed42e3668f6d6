#pragma once

#include <atomic>
#include <exception>
#include <memory>
#include <mutex>
#include <vector>

#include "subquad/run.h"

namespace subquad {

/// What a member that takes tiles has to know of the call that they belong to.
struct TileWork {
  using Function = void (*)(void* context, Index tile, Worker& worker);

  Index tiles = 0;
  Function function = nullptr;
  void* context = nullptr;
  const Scratch* scratch = nullptr;
};

class TileBoard;

/// The tiles of one call at a time, for its owner and for whoever has nothing else to do. They are
/// handed out in order, so that a variant whose tiles differ can put long ones first: members then
/// end together.
class alignas(128) OpenTiles {
 public:
  explicit OpenTiles(TileBoard& board) : board_(board) {}

  /// By the owner: from now on others may join.
  void open(const TileWork& work);
  /// By the owner: nobody joins any more; waits for those who have. Throws the first of their
  /// exceptions.
  void close();

  /// By another member: false if nothing is left; otherwise to be followed by `leave`.
  bool join();
  void leave();

  /// For the owner and for those who have joined.
  const TileWork& work() const { return work_; }
  /// The next tile to do; negative if there is none.
  Index next() {
    const Index left = --left_;
    return left < 0 ? -1 : work_.tiles - 1 - left;
  }
  Index left() const { return left_; }
  /// An exception of a tile: the rest is left out.
  void fail(std::exception_ptr exception);

 private:
  TileBoard& board_;
  TileWork work_;
  std::atomic<Index> left_ = 0;
  std::atomic<int> helpers_ = 0;
  std::mutex mutex_;  ///< of joining and closing
  bool is_open_ = false;
  std::exception_ptr exception_;
};

/// The calls of one pass, for members that have none: where they find tiles, and when to go.
class TileBoard {
 public:
  /// Places for as many calls at a time.
  explicit TileBoard(int places);

  OpenTiles& place(int index) { return *places_[static_cast<std::size_t>(index)]; }

  void begin(Index calls);
  void end_call();
  /// Lets everybody go, because a call has failed.
  void abandon();

  /// Tiles that the caller has joined, waiting until there are any; null when the pass is over.
  OpenTiles* wait_for_tiles();
  void announce();

 private:
  OpenTiles* find_tiles();

  std::vector<std::unique_ptr<OpenTiles>> places_;
  std::atomic<Index> calls_left_ = 0;
  std::atomic<int> news_ = 0;  ///< changes when tiles are opened and when the pass is over
};

}  // namespace subquad

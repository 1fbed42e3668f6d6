#pragma once

#include <cstddef>
#include <memory>
#include <string>

namespace subquad {

/// Who watches a run. Work is counted in units of its own, since points take unlike times.
class Progress {
 public:
  virtual ~Progress() = default;
  /// `points` in all, of which `done` need no measuring; `work` is what the rest will take.
  virtual void begin(std::size_t points, std::size_t done, double work) = 0;
  /// What is being worked on now.
  virtual void working_on(const std::string& what) = 0;
  /// So much of the work is done.
  virtual void advance(double work) = 0;
  /// A point has its record.
  virtual void point_done() = 0;
  /// Something that a person should know, on a line of its own.
  virtual void note(const std::string& text) = 0;
  virtual void end() = 0;
};

/// On standard error: one live line on a terminal, elsewhere a plain line now and then.
std::unique_ptr<Progress> make_progress();
/// Says nothing.
std::unique_ptr<Progress> make_silent_progress();

/// "7 s", "3 min 20 s", "2 h 5 min".
std::string duration_text(double seconds);

}  // namespace subquad

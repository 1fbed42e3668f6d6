#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace subquad {

/// A process that runs this program again, or another build of it, with a channel of lines between
/// the two. It leads a process group of its own, so that a signal from the terminal reaches the
/// parent alone; the destructor kills whatever is left of that group. To be started from the main
/// thread: the child dies with the thread that started it.
class ChildProcess {
 public:
  /// `arguments` begin with the name of the command; `--channel N` is added. Of what the child
  /// prints the end is kept, nothing is shown. `program` is the path of the other build; empty: the
  /// very program that runs now, even if its file has been built anew meanwhile.
  explicit ChildProcess(const std::vector<std::string>& arguments, const std::string& program = {});
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  enum class Reply { line, ended, too_late, too_large, interrupted };
  /// Sends a line; one to a process that has ended is lost, and `receive` tells of the end.
  void send(const std::string& line);
  /// Waits for a line for so many seconds, and, if `resident_limit` is not 0, as long as the
  /// process's resident memory stays within so many bytes: that is looked at five times a second,
  /// for memory that no limit of the system counts. `ended` also where the child has closed the
  /// channel or sends lines without end.
  Reply receive(std::string& line, double seconds, std::uint64_t resident_limit = 0);
  void kill();
  /// The end of the process. One that still runs (having closed the channel) is given a second.
  struct Ending {
    int code = 0;                  ///< exit code, if `signal` is 0
    int signal = 0;                ///< that ended it
    bool had_to_be_ended = false;  ///< by this function
    bool out_of_memory = false;    ///< the system has killed processes for memory meanwhile
  };
  Ending wait();
  /// The last line that it printed, or empty.
  std::string last_words();

 private:
  void read_output();
  bool has_exited(double seconds) const;

  pid_t pid_ = -1;
  int process_ = -1;  ///< pidfd: readable once the process has ended
  int channel_ = -1;
  int output_ = -1;
  std::string buffer_;
  std::string printed_;  ///< the end of it
  bool output_ended_ = false;
  std::uint64_t memory_kills_before_ = 0;
  std::optional<Ending> ending_;
};

/// The child's end of the channel.
class Channel {
 public:
  /// Arranges for this process to die with its parent. Error if `file` is no channel.
  explicit Channel(int file) : file_(file) { die_with_parent(); }

  /// The next line, or nothing once the parent has closed its end.
  std::optional<std::string> receive();
  void send(const std::string& line);

 private:
  void die_with_parent();
  int file_;
  std::string buffer_;
};

/// While alive, SIGINT and SIGTERM do not end the program but are noted: `ChildProcess::receive`
/// returns at once, and `interrupted` says so. One at a time.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
  static bool interrupted();
};

/// "SIGSEGV (segmentation fault)".
std::string signal_text(int signal);

}  // namespace subquad

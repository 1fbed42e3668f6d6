#include "measuring/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <iterator>
#include <stdexcept>
#include <system_error>

#include "records/resident.h"
#include "subquad/error.h"

extern char** environ;

namespace subquad {
namespace {

/// Where the child finds its end of the channel.
constexpr int kChildChannel = 3;
/// What a record may be long, generously.
constexpr std::size_t kLongestLine = std::size_t{64} << 20;
/// Of what a process prints.
constexpr std::size_t kKeptOutput = 400;

[[noreturn]] void fail(const char* what, int code) {
  throw std::system_error(code, std::generic_category(), what);
}

std::atomic<bool> was_interrupted{false};
/// Becomes readable at the first signal, so that no wait misses one that comes just before it.
std::atomic<int> interrupt_event{-1};

void note_interrupt(int) {
  const int saved = errno;
  was_interrupted = true;
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(interrupt_event, &one, sizeof one);
  errno = saved;
}

/// Takes the first whole line out of `buffer`.
std::optional<std::string> take_line(std::string& buffer) {
  const std::size_t end = buffer.find('\n');
  if (end == std::string::npos) return {};
  std::string line = buffer.substr(0, end);
  buffer.erase(0, end + 1);
  return line;
}

bool send_all(int file, std::string text) {
  text += '\n';
  std::size_t sent = 0;
  while (sent < text.size()) {
    const ssize_t count = ::send(file, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return false;
    sent += static_cast<std::size_t>(count);
  }
  return true;
}

/// More bytes into `buffer`; false at the end of the stream.
bool receive_more(int file, std::string& buffer) {
  char bytes[4096];
  ssize_t count;
  do {
    count = ::recv(file, bytes, sizeof bytes, 0);
  } while (count < 0 && errno == EINTR);
  if (count <= 0) return false;
  buffer.append(bytes, static_cast<std::size_t>(count));
  return true;
}

/// The same file under a number above the child's own, so that moving it in place closes none.
int moved_up(int file) {
  const int moved = ::fcntl(file, F_DUPFD_CLOEXEC, kChildChannel + 1);
  ::close(file);
  return moved;
}

pid_t spawn(const std::string& program, const std::vector<std::string>& arguments, int channel,
            int output) {
  posix_spawn_file_actions_t files;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&files, output, STDERR_FILENO);
  ::posix_spawn_file_actions_adddup2(&files, channel, kChildChannel);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  // SIGINT as it is by default: a parent that ignores it must not make its children do so.
  sigset_t signals;
  ::sigemptyset(&signals);
  ::posix_spawnattr_setsigmask(&attributes, &signals);
  ::sigaddset(&signals, SIGINT);
  ::sigaddset(&signals, SIGTERM);
  ::posix_spawnattr_setsigdefault(&attributes, &signals);
  ::posix_spawnattr_setpgroup(&attributes, 0);
  ::posix_spawnattr_setflags(
      &attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::vector<char*> words;
  for (const std::string& word : arguments) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  pid_t pid = -1;
  const char* path = program.empty() ? "/proc/self/exe" : program.c_str();
  const int code = ::posix_spawn(&pid, path, &files, &attributes, words.data(), environ);
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&files);
  if (code != 0) fail("a process for a point cannot be started", code);
  return pid;
}

}  // namespace

ChildProcess::ChildProcess(const std::vector<std::string>& arguments, const std::string& program) {
  int ends[2], printing[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) fail("socketpair", errno);
  channel_ = ends[0];
  if (::pipe2(printing, O_CLOEXEC) != 0) fail("pipe", errno);
  output_ = printing[0];
  ::fcntl(output_, F_SETFL, O_NONBLOCK);
  const int theirs = moved_up(ends[1]), their_output = moved_up(printing[1]);
  if (theirs < 0 || their_output < 0) fail("files for a point's process", errno);
  memory_kills_before_ = system_memory_kills();
  std::vector<std::string> words = {"subquad"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  words.insert(words.end(), {"--channel", std::to_string(kChildChannel)});
  pid_ = spawn(program, words, theirs, their_output);
  // By number: glibc 2.36 declares the function without C linkage.
  process_ = static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0));
  ::close(theirs);
  ::close(their_output);
}

ChildProcess::~ChildProcess() {
  kill();
  wait();
  ::close(process_);
  ::close(channel_);
  ::close(output_);
}

void ChildProcess::send(const std::string& line) { send_all(channel_, line); }

ChildProcess::Reply ChildProcess::receive(std::string& line, double seconds,
                                          std::uint64_t resident_limit) {
  using Clock = std::chrono::steady_clock;
  // At most a minute at a time: a limit of weeks would overflow the milliseconds.
  const double longest_wait = resident_limit == 0 ? 60 : 0.2;
  const auto begin = Clock::now();
  for (;;) {
    if (InterruptGuard::interrupted()) return Reply::interrupted;
    if (auto taken = take_line(buffer_)) {
      line = std::move(*taken);
      return Reply::line;
    }
    if (buffer_.size() > kLongestLine) return Reply::ended;
    const double left = seconds - std::chrono::duration<double>(Clock::now() - begin).count();
    if (left <= 0) return Reply::too_late;
    pollfd files[] = {{channel_, POLLIN, 0},
                      {process_, POLLIN, 0},
                      {output_, POLLIN, 0},
                      {interrupt_event, POLLIN, 0}};
    // Its descendants may hold the other end after it has ended; then there is nothing to poll.
    if (output_ended_) files[2].fd = -1;
    const int milliseconds = static_cast<int>(std::min(left, longest_wait) * 1000) + 1;
    if (::poll(files, std::size(files), milliseconds) < 0 && errno != EINTR) fail("poll", errno);
    if (files[2].revents != 0) read_output();
    if (files[0].revents != 0) {
      if (!receive_more(channel_, buffer_)) return Reply::ended;
    } else if (files[1].revents != 0) {
      return Reply::ended;
    }
    if (resident_limit != 0 && resident_bytes_of(pid_) > resident_limit) return Reply::too_large;
  }
}

/// Takes what has been printed, so that no process waits for its words to be read.
void ChildProcess::read_output() {
  char bytes[4096];
  for (;;) {
    const ssize_t count = ::read(output_, bytes, sizeof bytes);
    if (count < 0 && errno == EINTR) continue;
    output_ended_ = count == 0;
    if (count <= 0) break;
    printed_.append(bytes, static_cast<std::size_t>(count));
    if (printed_.size() > 2 * kKeptOutput) printed_.erase(0, printed_.size() - kKeptOutput);
  }
}

void ChildProcess::kill() {
  if (!ending_) ::kill(-pid_, SIGKILL);
}

bool ChildProcess::has_exited(double seconds) const {
  pollfd file{process_, POLLIN, 0};
  int count;
  do {
    count = ::poll(&file, 1, static_cast<int>(seconds * 1000));
  } while (count < 0 && errno == EINTR);
  return count > 0;
}

ChildProcess::Ending ChildProcess::wait() {
  if (ending_) return *ending_;
  constexpr double kGrace = 1;
  const bool had_to_be_ended = !has_exited(kGrace);
  read_output();
  // While the process is not yet reaped its number, and so that of its group, is nobody else's.
  kill();
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0) {
    if (errno != EINTR) fail("waitpid", errno);
  }
  ending_ = WIFSIGNALED(status) ? Ending{.signal = WTERMSIG(status)}
                                : Ending{.code = WEXITSTATUS(status)};
  ending_->had_to_be_ended = had_to_be_ended;
  ending_->out_of_memory = system_memory_kills() > memory_kills_before_;
  return *ending_;
}

std::string ChildProcess::last_words() {
  std::string text = printed_.substr(printed_.size() - std::min(printed_.size(), kKeptOutput));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  const std::size_t line = text.rfind('\n');
  return line == std::string::npos ? text : text.substr(line + 1);
}

void Channel::die_with_parent() {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  // It may have died before that; the channel knows who made it.
  ucred parent{};
  socklen_t size = sizeof parent;
  if (::getsockopt(file_, SOL_SOCKET, SO_PEERCRED, &parent, &size) != 0) {
    throw Error("--channel " + std::to_string(file_) + " is not a channel to a run");
  }
  if (::getppid() != parent.pid) ::_exit(1);
}

std::optional<std::string> Channel::receive() {
  for (;;) {
    if (auto line = take_line(buffer_)) return line;
    if (!receive_more(file_, buffer_)) return {};
  }
}

void Channel::send(const std::string& line) { send_all(file_, line); }

InterruptGuard::InterruptGuard() {
  if (interrupt_event >= 0) throw std::logic_error("two interrupt guards at a time");
  was_interrupted = false;
  interrupt_event = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  struct sigaction action {};
  action.sa_handler = note_interrupt;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

InterruptGuard::~InterruptGuard() {
  ::signal(SIGINT, SIG_DFL);
  ::signal(SIGTERM, SIG_DFL);
  ::close(interrupt_event.exchange(-1));
}

bool InterruptGuard::interrupted() { return was_interrupted; }

std::string signal_text(int signal) {
  const char* name = ::sigabbrev_np(signal);
  const char* words = ::sigdescr_np(signal);
  return fmt::format("SIG{} ({})", name == nullptr ? std::to_string(signal) : name,
                     words == nullptr ? "unknown" : words);
}

}  // namespace subquad

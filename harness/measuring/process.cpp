#include "measuring/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <stdexcept>
#include <system_error>

#include "subquad/error.h"

extern char** environ;

namespace subquad {
namespace {

/// Where the child finds its end of the channel.
constexpr int kChildChannel = 3;

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

pid_t spawn(const std::vector<std::string>& arguments, int channel, int output) {
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
  // The very program that runs now, even if the file has been built anew meanwhile.
  const int code =
      ::posix_spawn(&pid, "/proc/self/exe", &files, &attributes, words.data(), environ);
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&files);
  if (code != 0) fail("a process for a point cannot be started", code);
  return pid;
}

}  // namespace

ChildProcess::ChildProcess(const std::vector<std::string>& arguments) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) fail("socketpair", errno);
  // Numbers above the child's own, so that moving one in place closes none.
  const int theirs = ::fcntl(ends[1], F_DUPFD_CLOEXEC, kChildChannel + 1);
  ::close(ends[1]);
  channel_ = ends[0];
  const int output = ::memfd_create("subquad output", MFD_CLOEXEC);
  if (output >= 0) {
    output_ = ::fcntl(output, F_DUPFD_CLOEXEC, kChildChannel + 1);
    ::close(output);
  }
  if (theirs < 0 || output_ < 0) fail("files for a point's process", errno);
  std::vector<std::string> words = {"subquad"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  words.insert(words.end(), {"--channel", std::to_string(kChildChannel)});
  pid_ = spawn(words, theirs, output_);
  ::close(theirs);
}

ChildProcess::~ChildProcess() {
  kill();
  wait();
  ::close(channel_);
  ::close(output_);
}

void ChildProcess::send(const std::string& line) { send_all(channel_, line); }

ChildProcess::Reply ChildProcess::receive(std::string& line, double seconds) {
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  for (;;) {
    if (InterruptGuard::interrupted()) return Reply::interrupted;
    if (auto taken = take_line(buffer_)) {
      line = std::move(*taken);
      return Reply::line;
    }
    const double left = seconds - std::chrono::duration<double>(Clock::now() - begin).count();
    if (left <= 0) return Reply::too_late;
    pollfd files[2] = {{channel_, POLLIN, 0}, {interrupt_event, POLLIN, 0}};
    // At most a minute at a time: a limit of weeks would overflow the milliseconds.
    const int milliseconds = static_cast<int>(std::min(left, 60.0) * 1000) + 1;
    if (::poll(files, 2, milliseconds) < 0 && errno != EINTR) fail("poll", errno);
    if (files[0].revents != 0 && !receive_more(channel_, buffer_)) return Reply::ended;
  }
}

void ChildProcess::kill() {
  if (!ending_) ::kill(-pid_, SIGKILL);
}

ChildProcess::Ending ChildProcess::wait() {
  if (ending_) return *ending_;
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0) {
    if (errno != EINTR) fail("waitpid", errno);
  }
  ending_ = WIFSIGNALED(status) ? Ending{0, WTERMSIG(status)} : Ending{WEXITSTATUS(status), 0};
  return *ending_;
}

std::string ChildProcess::last_words() const {
  constexpr off_t kMost = 400;
  const off_t size = ::lseek(output_, 0, SEEK_END);
  std::string text(static_cast<std::size_t>(std::min(size, kMost)), '\0');
  const ssize_t count =
      ::pread(output_, text.data(), text.size(), std::max<off_t>(0, size - kMost));
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(0, count)));
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

#include "report/figures.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>

extern char** environ;

namespace subquad {
namespace {

/// Debian's, whose matplotlib is a package; the first python3 on the path may be another one.
constexpr const char* kPython = "/usr/bin/python3";

struct Ended {
  int status = 0;      ///< as waitpid gives it
  std::string errors;  ///< what it wrote to standard error
};

std::string read_all(int file) {
  std::string text;
  std::array<char, 4096> buffer;
  for (;;) {
    const ssize_t count = read(file, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(count));
  }
}

/// Runs Python on `arguments`, standard output dropped. Nothing if it cannot be started.
std::optional<Ended> run_python(std::array<std::string, 4> arguments) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return std::nullopt;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
  std::string python = kPython;
  std::array<char*, 6> argv = {python.data()};
  for (std::size_t i = 0; i < arguments.size(); ++i) argv[i + 1] = arguments[i].data();
  pid_t pid = 0;
  const int failure = posix_spawn(&pid, kPython, &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  std::optional<Ended> ended;
  if (failure == 0) {
    ended.emplace();
    ended->errors = read_all(ends[0]);
    while (waitpid(pid, &ended->status, 0) < 0 && errno == EINTR) {
    }
  }
  close(ends[0]);
  return ended;
}

/// The last line that says something: of a traceback the one that names the error.
std::string last_line(std::string text) {
  text.erase(text.find_last_not_of(" \n") + 1);
  const std::size_t newline = text.rfind('\n');
  return newline == std::string::npos ? text : text.substr(newline + 1);
}

/// Runs a script of `plots_dir`; returns what went wrong, or nothing.
std::optional<std::string> run_script(const std::string& plots_dir, const char* name,
                                      std::array<std::string, 3> arguments) {
  const std::filesystem::path script = std::filesystem::path(plots_dir) / name;
  if (!std::filesystem::exists(script)) return fmt::format("{} is missing", script.string());
  const std::optional<Ended> ended =
      run_python({script.string(), arguments[0], arguments[1], arguments[2]});
  if (!ended) return fmt::format("{} cannot be started", kPython);
  if (WIFEXITED(ended->status) && WEXITSTATUS(ended->status) == 0) return std::nullopt;
  if (WIFSIGNALED(ended->status)) {
    return fmt::format("{} was ended by signal {}", script.string(), WTERMSIG(ended->status));
  }
  return last_line(ended->errors);
}

}  // namespace

std::optional<std::string> draw_figures(const std::string& results_dir,
                                        const std::string& plots_dir) {
  const std::filesystem::path figures = std::filesystem::path(results_dir) / "figures";
  return run_script(plots_dir, "all.py", {results_dir, "--out", figures.string()});
}

std::optional<std::string> draw_matrices(const std::string& matrices, const std::string& picture,
                                         const std::string& plots_dir) {
  return run_script(plots_dir, "attention_matrix.py", {matrices, "--out", picture});
}

std::string plots_folder() {
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe");
  return (program.parent_path().parent_path().parent_path() / "plots").string();
}

}  // namespace subquad

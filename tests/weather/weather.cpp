// Bad weather for a program that this library is preloaded into: a full disk, a file system that is
// read-only, a disk that fails, a clock that jumps. Tests run as root, who may write anywhere, and
// cannot fill a disk; so the calls themselves fail.
//
//   WEATHER_FULL=BYTES:PART       files whose path holds PART take so many bytes, then ENOSPC
//   WEATHER_READ_ONLY=PART        what would change a path that holds PART fails with EROFS
//   WEATHER_BROKEN=PART           fsync of files whose path holds PART fails with EIO
//   WEATHER_CLOCK=SECONDS         the wall clock jumps ahead by so much and back at each look

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

template <class Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

bool holds(const char* path, const char* variable) {
  const char* part = std::getenv(variable);
  return part != nullptr && path != nullptr && std::strstr(path, part) != nullptr;
}

bool file_holds(int file, const char* part) {
  char link[64], path[4096];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  const ssize_t size = ::readlink(link, path, sizeof path - 1);
  if (size < 0) return false;
  path[size] = '\0';
  return std::strstr(path, part) != nullptr;
}

int refuse(int error) {
  errno = error;
  return -1;
}

bool changes(int flags) { return (flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)) != 0; }

int open_as(const char* name, const char* path, int flags, mode_t mode) {
  if (changes(flags) && holds(path, "WEATHER_READ_ONLY")) return refuse(EROFS);
  return next<int(const char*, int, ...)>(name)(path, flags, mode);
}

mode_t mode_of(int flags, va_list arguments) {
  return (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
}

}  // namespace

EXPORT int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return open_as("open", path, flags, mode);
}

EXPORT int open64(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return open_as("open64", path, flags, mode);
}

EXPORT int mkdir(const char* path, mode_t mode) noexcept {
  if (holds(path, "WEATHER_READ_ONLY")) return refuse(EROFS);
  return next<int(const char*, mode_t)>("mkdir")(path, mode);
}

EXPORT int rename(const char* from, const char* to) noexcept {
  if (holds(to, "WEATHER_READ_ONLY")) return refuse(EROFS);
  return next<int(const char*, const char*)>("rename")(from, to);
}

EXPORT ssize_t write(int file, const void* bytes, size_t count) {
  const auto system_write = next<ssize_t(int, const void*, size_t)>("write");
  const char* full = std::getenv("WEATHER_FULL");
  if (full == nullptr) return system_write(file, bytes, count);
  char* part = nullptr;
  const long most = std::strtol(full, &part, 10);
  if (*part != ':' || !file_holds(file, part + 1)) return system_write(file, bytes, count);
  static std::atomic<long> taken{0};
  const long left = most - taken;
  if (left <= 0) return refuse(ENOSPC);
  // What still fits is written, as a real disk does.
  const ssize_t written = system_write(file, bytes, std::min(count, static_cast<size_t>(left)));
  if (written > 0) taken += written;
  return written;
}

EXPORT int fsync(int file) {
  const char* part = std::getenv("WEATHER_BROKEN");
  if (part != nullptr && file_holds(file, part)) return refuse(EIO);
  return next<int(int)>("fsync")(file);
}

EXPORT int clock_gettime(clockid_t clock, timespec* time) noexcept {
  static const auto system_clock = next<int(clockid_t, timespec*)>("clock_gettime");
  const int result = system_clock(clock, time);
  const char* seconds = std::getenv("WEATHER_CLOCK");
  if (clock != CLOCK_REALTIME || seconds == nullptr || result != 0) return result;
  static std::atomic<unsigned> looks{0};
  time->tv_sec += (looks++ % 2 == 0 ? 1 : -1) * std::strtol(seconds, nullptr, 10);
  return result;
}

#include "records/store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <stdexcept>

#include "records/machine.h"
#include "subquad/error.h"
#include "texts/counted.h"
#include "texts/json_line.h"

namespace subquad {
namespace {

namespace fs = std::filesystem;

std::string system_text() { return std::strerror(errno); }

[[noreturn]] void cannot_be_written(const std::string& path) {
  throw Error(path + ": cannot be written: " + system_text());
}

void write_all(int file, const std::string& text, const std::string& path) {
  std::size_t written = 0;
  while (written < text.size()) {
    const ssize_t count = ::write(file, text.data() + written, text.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) cannot_be_written(path);
    written += static_cast<std::size_t>(count);
  }
}

off_t size_of(int file, const std::string& path) {
  struct stat status {};
  if (::fstat(file, &status) != 0) throw Error(path + ": cannot be read: " + system_text());
  return status.st_size;
}

char last_byte(int file, off_t size) {
  char byte = '\0';
  return ::pread(file, &byte, 1, size - 1) == 1 ? byte : '\0';
}

/// A name in a folder outlives a crash only once the folder is on the disk too. Some file systems
/// cannot do that; there is nothing to be done about it then.
void sync_folder(const std::string& folder) {
  const int file = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (file < 0) return;
  ::fsync(file);
  ::close(file);
}

/// Calls `take(number, position, text, whole)` for each line; the text of one beyond
/// kMaxRecordBytes is cut soon after. A line is whole if it ends with a newline. Returns where the
/// last of those ends.
template <class Take>
off_t for_each_line(std::istream& in, Take&& take) {
  std::string line, chunk(std::size_t{1} << 16, '\0');
  std::size_t number = 1;
  off_t position = 0, begin = 0;
  for (;;) {
    in.read(chunk.data(), static_cast<std::streamsize>(chunk.size()));
    const auto count = static_cast<std::size_t>(in.gcount());
    if (count == 0) break;
    std::string_view rest(chunk.data(), count);
    while (!rest.empty()) {
      const std::size_t end = std::min(rest.find('\n'), rest.size());
      line.append(rest.substr(0, std::min(end, kMaxRecordBytes + 1 - line.size())));
      position += static_cast<off_t>(end);
      rest.remove_prefix(end);
      if (rest.empty()) break;
      take(number++, begin, line, true);
      line.clear();
      rest.remove_prefix(1);
      begin = ++position;
    }
  }
  if (position > begin) take(number, begin, line, false);
  return begin;
}

}  // namespace

std::string bad_lines_text(const std::string& path, const LeftOut& left_out) {
  if (left_out.bad.empty()) return {};
  const bool one = left_out.bad_count == 1;
  std::string numbers;
  for (const BadLine& line : left_out.bad) {
    numbers += fmt::format("{}{}", numbers.empty() ? "" : ", ", line.number);
  }
  if (left_out.bad_count > left_out.bad.size()) {
    numbers += fmt::format(" and {} more", left_out.bad_count - left_out.bad.size());
  }
  const BadLine& first = left_out.bad.front();
  const std::string where = one ? "" : fmt::format("line {}: ", first.number);
  return fmt::format("{}: {} {} {} ({}{}) and left out", path, one ? "line" : "lines", numbers,
                     one ? "is no record" : "are no records", where, first.reason);
}

LeftOut scan_records(std::istream& text, const std::function<void(Record&&, off_t)>& take) {
  LeftOut left_out;
  const auto look_at = [&](std::size_t number, off_t begin, const std::string& line, bool whole) {
    if (!whole) {
      left_out.torn = true;
      return;
    }
    std::optional<Record> record;
    try {
      record = parse_record(line);
    } catch (const Error& error) {
      if (++left_out.bad_count <= kBadLinesKept) left_out.bad.push_back({number, error.what()});
      return;
    }
    if (record) {
      take(std::move(*record), begin);
    } else {
      ++left_out.other_schema;
    }
  };
  left_out.whole_bytes = for_each_line(text, look_at);
  return left_out;
}

StoredRecords read_records(const std::string& path) {
  StoredRecords stored;
  stored.path = fs::is_directory(path) ? path + "/points.jsonl" : path;
  std::ifstream file(stored.path, std::ios::binary);
  if (!file) throw Error(stored.path + ": cannot be read; name a folder that holds a run");
  static_cast<LeftOut&>(stored) = scan_records(
      file, [&](Record&& record, off_t) { stored.records.push_back(std::move(record)); });
  if (file.bad()) throw Error(stored.path + ": cannot be read: " + system_text());
  return stored;
}

Store::File::~File() {
  if (number >= 0) ::close(number);
}

Store::Store(const std::string& folder) : folder_(folder) {
  std::error_code code;
  fs::create_directories(folder, code);
  if (code) throw Error(folder + ": cannot be made: " + code.message());
  take_lock();
  open_records();
}

Store::~Store() = default;

void Store::take_lock() {
  const std::string path = folder_ + "/lock";
  // Not inherited, or a process that outlives this one would hold the lock.
  lock_.number = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (lock_.number < 0) throw Error(path + ": cannot be opened: " + system_text());
  if (::flock(lock_.number, LOCK_EX | LOCK_NB) != 0) {
    std::string holder;
    std::getline(std::ifstream(path), holder);
    throw Error(folder_ + ": another run is writing here (" +
                (holder.empty() ? "it has not said which" : holder) +
                "); wait for it, or choose another folder with --results");
  }
  char host[256] = {};
  ::gethostname(host, sizeof host - 1);
  if (::ftruncate(lock_.number, 0) != 0) cannot_be_written(path);
  write_all(lock_.number, fmt::format("process {} on {}", ::getpid(), host), path);
}

void Store::open_records() {
  file_.number = ::open(path().c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (file_.number < 0) throw Error(path() + ": cannot be opened: " + system_text());
  sync_folder(folder_);
  std::ifstream text(path(), std::ios::binary);
  if (!text) throw Error(path() + ": cannot be read: " + system_text());
  left_out_ = scan_records(text, [&](Record&& record, off_t line) { remember(record, line); });
  if (text.bad()) throw Error(path() + ": cannot be read: " + system_text());
  end_ = left_out_.whole_bytes;
  if (left_out_.torn && ::ftruncate(file_.number, left_out_.whole_bytes) != 0) {
    throw Error(path() + ": its torn last line cannot be cut off: " + system_text());
  }
}

void Store::remember(const Record& record, off_t line) {
  lines_[record.key] = line;
  ++origins_[{record.machine, record.build}];
}

Record Store::record(const std::string& key) const {
  const auto line = lines_.find(key);
  if (line == lines_.end()) throw std::logic_error("store: no record has the key " + key);
  std::string text;
  char bytes[1 << 14];
  for (;;) {
    const ssize_t count =
        ::pread(file_.number, bytes, sizeof bytes, line->second + static_cast<off_t>(text.size()));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw Error(path() + ": cannot be read: " + system_text());
    const auto end = std::find(bytes, bytes + count, '\n');
    text.append(bytes, end);
    if (end != bytes + count || count == 0) break;
  }
  // Whoever changes the file under a run gets told, not wrong figures.
  const std::string changed = path() + ": was changed by another program while the run went on";
  try {
    std::optional<Record> record = parse_record(text);
    if (record && record->key == key) return std::move(*record);
  } catch (const Error& error) {
    throw Error(changed + ": " + error.what());
  }
  throw Error(changed);
}

void Store::append(const Record& record) {
  if (has(record.key)) throw std::logic_error("store: key " + record.key + " written twice");
  const std::string line = json_line(to_json(record));
  check_in_place();
  const off_t before = size_of(file_.number, path());
  // Somebody else who appends to the file meanwhile may have left half a line.
  const std::string gap = before > end_ && last_byte(file_.number, before) != '\n' ? "\n" : "";
  try {
    write_all(file_.number, gap + line + "\n", path());
    if (::fsync(file_.number) != 0) cannot_be_written(path());
  } catch (const Error& error) {
    // Half a line must not wait there for the next one to be written behind it.
    const bool cut = ::ftruncate(file_.number, before) == 0;
    throw Error(fmt::format("{}; {} are kept{}, run again to measure the rest", error.what(),
                            counted(size(), "record"),
                            cut ? "" : ", the last line, cut off, is dropped"));
  }
  const off_t begin = before + static_cast<off_t>(gap.size());
  end_ = begin + static_cast<off_t>(line.size()) + 1;
  remember(record, begin);
  ++appended_;
  check_in_place();
}

void Store::check_named(const File& file, const std::string& path) const {
  struct stat open {
  }, named{};
  if (::fstat(file.number, &open) != 0) cannot_be_written(path);
  const bool present = ::stat(path.c_str(), &named) == 0;
  if (present && open.st_dev == named.st_dev && open.st_ino == named.st_ino) return;
  throw Error(fmt::format(
      "{}: was {} while the run went on; the {} of this run went into the points.jsonl that was "
      "there before, and are lost with it; run again to measure what is missing",
      path, present ? "replaced" : "removed", counted(appended_, "record")));
}

void Store::check_in_place() const {
  check_named(file_, path());
  check_named(lock_, folder_ + "/lock");
  if (size_of(file_.number, path()) >= end_) return;
  throw Error(path() +
              ": was cut short by another program while the run went on; run again to "
              "measure what is missing");
}

std::vector<std::string> Store::notices(const std::set<std::string>& builds) const {
  std::vector<std::string> texts;
  if (const std::string bad = bad_lines_text(path(), left_out_); !bad.empty()) {
    texts.push_back(bad + "; their points are measured again");
  }
  if (left_out_.torn) {
    texts.push_back(path() + ": the last line was cut off in writing; its point is measured again");
  }
  if (left_out_.other_schema > 0) {
    texts.push_back(fmt::format("{}: {} of another schema, left out", path(),
                                counted(left_out_.other_schema, "record")));
  }
  std::map<std::string, std::size_t> machines;
  std::size_t stale = 0;
  for (const auto& [origin, count] : origins_) {
    const auto& [machine, build] = origin;
    if (machine != machine_identity()) {
      machines[machine] += count;
    } else if (builds.count(build) == 0) {
      stale += count;
    }
  }
  for (const auto& [machine, count] : machines) {
    texts.push_back(fmt::format("{} here {} of another kind of machine ({}), kept apart",
                                counted(count, "record"), count == 1 ? "is" : "are",
                                machine_name(folder_, machine)));
  }
  if (stale > 0) {
    texts.push_back(fmt::format("{} here {} of other builds than this experiment's, kept as stale",
                                counted(stale, "record"), stale == 1 ? "is" : "are"));
  }
  return texts;
}

void write_file_atomically(const std::string& path, const std::string& contents) {
  // The process number keeps writers of the same file apart.
  const std::string temporary = fmt::format("{}.{}.tmp", path, ::getpid());
  const int file = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file < 0) cannot_be_written(temporary);
  try {
    write_all(file, contents, temporary);
    if (::fsync(file) != 0) cannot_be_written(temporary);
  } catch (...) {
    ::close(file);
    ::unlink(temporary.c_str());
    throw;
  }
  ::close(file);
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    const std::string reason = system_text();
    ::unlink(temporary.c_str());
    throw Error(path + ": cannot be written: " + reason);
  }
}

}  // namespace subquad

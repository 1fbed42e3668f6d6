#include "records/store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>

#include "subquad/error.h"

namespace subquad {
namespace {

namespace fs = std::filesystem;

std::string system_text() { return std::strerror(errno); }

void write_all(int file, const std::string& text, const std::string& path) {
  std::size_t written = 0;
  while (written < text.size()) {
    const ssize_t count = ::write(file, text.data() + written, text.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw Error(path + ": cannot be written: " + system_text());
    written += static_cast<std::size_t>(count);
  }
}

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error(path + ": cannot be read; name a folder that holds a run");
  std::ostringstream text;
  text << file.rdbuf();
  return std::move(text).str();
}

/// Complete lines end with a newline: whatever follows the last one was cut off in writing.
StoredRecords parse_records(const std::string& text, const std::string& path) {
  StoredRecords stored;
  std::size_t begin = 0;
  for (int number = 1; begin < text.size(); ++number) {
    const std::size_t end = text.find('\n', begin);
    if (end == std::string::npos) {
      stored.torn = true;
      break;
    }
    const auto json =
        nlohmann::json::parse(text.begin() + static_cast<std::ptrdiff_t>(begin),
                              text.begin() + static_cast<std::ptrdiff_t>(end), nullptr, false);
    begin = end + 1;
    const std::string where = fmt::format("{}:{}", path, number);
    if (json.is_discarded()) throw Error(where + ": not a record (no JSON object)");
    if (json.is_object() && json.value("schema", kRecordSchema) != kRecordSchema) {
      ++stored.other_schema;
      continue;
    }
    try {
      stored.records.push_back(record_from_json(json));
    } catch (const Error& error) {
      throw Error(where + ": " + error.what());
    }
  }
  return stored;
}

}  // namespace

StoredRecords read_records(const std::string& path) {
  const std::string file = fs::is_directory(path) ? path + "/points.jsonl" : path;
  return parse_records(read_text(file), file);
}

std::string point_identity(const Record& record) {
  nlohmann::json identity = to_json(record)["problem"];
  identity["variant"] = record.variant;
  identity["input"] = record.input;
  identity["batch"] = record.batch;
  identity["heads"] = record.heads;
  identity["key_heads"] = record.key_heads;
  identity["seed"] = record.seed;
  identity["threads"] = record.threads;
  identity["direction"] = record.direction;
  return identity.dump();
}

std::vector<Record> current_records(const std::vector<Record>& records, const std::string& build) {
  std::map<std::string, std::size_t> last;
  for (std::size_t i = 0; i < records.size(); ++i) {
    const std::string program = records[i].build.substr(0, records[i].build.find('+'));
    if (build.empty() || program == build) last[point_identity(records[i])] = i;
  }
  std::set<std::size_t> kept;
  for (const auto& [identity, index] : last) kept.insert(index);
  std::vector<Record> current;
  for (const std::size_t index : kept) current.push_back(records[index]);
  return current;
}

Store::Store(const std::string& folder) : folder_(folder) {
  std::error_code code;
  fs::create_directories(folder, code);
  if (code) throw Error(folder + ": cannot be made: " + code.message());
  take_lock();
  open_records();
}

Store::~Store() {
  if (file_ >= 0) ::close(file_);
  if (lock_ >= 0) ::close(lock_);  // which gives the lock back
}

void Store::take_lock() {
  const std::string path = folder_ + "/lock";
  // Not inherited, or a process that outlives this one would hold the lock.
  lock_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (lock_ < 0) throw Error(path + ": cannot be opened: " + system_text());
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    const std::string holder = read_text(path);
    ::close(lock_);
    throw Error(folder_ + ": another run is writing here (" +
                (holder.empty() ? "it has not said which" : holder) +
                "); wait for it, or choose another folder with --results");
  }
  char host[256] = {};
  ::gethostname(host, sizeof host - 1);
  if (::ftruncate(lock_, 0) != 0) throw Error(path + ": cannot be written: " + system_text());
  write_all(lock_, fmt::format("process {} on {}", ::getpid(), host), path);
}

void Store::open_records() {
  const std::string path = folder_ + "/points.jsonl";
  file_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (file_ < 0) throw Error(path + ": cannot be opened: " + system_text());
  const std::string text = read_text(path);
  StoredRecords stored = parse_records(text, path);
  if (stored.torn) {
    const auto whole = text.rfind('\n');
    const auto size = static_cast<off_t>(whole == std::string::npos ? 0 : whole + 1);
    if (::ftruncate(file_, size) != 0) throw Error(path + ": cannot be cut: " + system_text());
  }
  records_ = std::move(stored.records);
  for (const Record& record : records_) keys_.insert(record.key);
}

void Store::append(const Record& record) {
  if (!keys_.insert(record.key).second) {
    throw std::logic_error("store: key " + record.key + " written twice");
  }
  const std::string path = folder_ + "/points.jsonl";
  // What a program said when it died need not be UTF-8.
  const std::string line =
      to_json(record).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  write_all(file_, line + "\n", path);
  if (::fsync(file_) != 0) throw Error(path + ": cannot be written: " + system_text());
  records_.push_back(record);
}

void write_file_atomically(const std::string& path, const std::string& contents) {
  // The process number keeps writers of the same file apart.
  const std::string temporary = fmt::format("{}.{}.tmp", path, ::getpid());
  const int file = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file < 0) throw Error(temporary + ": cannot be written: " + system_text());
  try {
    write_all(file, contents, temporary);
    if (::fsync(file) != 0) throw Error(temporary + ": cannot be written: " + system_text());
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

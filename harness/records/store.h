#pragma once

#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <iosfwd>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "records/record.h"

namespace subquad {

/// A line of points.jsonl that is no record, though it is whole: garbage, or two lines in one after
/// a crash.
struct BadLine {
  std::size_t number = 0;  ///< from 1
  std::string reason;
};

/// What a points.jsonl holds beside records.
struct LeftOut {
  std::vector<BadLine> bad;      ///< the first kBadLinesKept of them
  std::size_t bad_count = 0;     ///< all of them
  std::size_t other_schema = 0;  ///< lines of another schema
  bool torn = false;             ///< the last line was cut off in writing
  off_t whole_bytes = 0;         ///< up to the end of the last line that was not
};
inline constexpr std::size_t kBadLinesKept = 8;

/// "x/points.jsonl: lines 17, 40 are no records (line 17: ...) and left out", or empty if there are
/// none.
std::string bad_lines_text(const std::string& path, const LeftOut& left_out);

/// What a points.jsonl holds, for readers: needs no lock, changes nothing.
struct StoredRecords : LeftOut {
  std::string path;             ///< of the file
  std::vector<Record> records;  ///< in the file's order
};
/// Reads `path` (points.jsonl, or the folder that holds it). Throws Error for a file that cannot be
/// read; a line that is no record costs that line only.
StoredRecords read_records(const std::string& path);

/// Hands over every record of `text`, the contents of a points.jsonl, with the position of its line
/// in bytes.
LeftOut scan_records(std::istream& text, const std::function<void(Record&&, off_t)>& take);

/// The one writer of a run's folder: appends records to points.jsonl, each on the disk before
/// `append` returns. Holds keys in memory, no records.
class Store {
 public:
  /// Makes the folder, takes its lock (Error naming the holder if another process has it), cuts off
  /// a torn last line and looks through the rest.
  explicit Store(const std::string& folder);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  bool has(const std::string& key) const { return lines_.count(key) > 0; }
  std::size_t size() const { return lines_.size(); }
  /// The record of a key that is there, read from the file: the last one, if there are several.
  Record record(const std::string& key) const;
  /// Error on a full disk and the like, with the file as it was before; Error too if somebody has
  /// removed, replaced or emptied the file or its lock, as nothing would be left of what is
  /// written. A key that is there already is a bug.
  void append(const Record& record);
  /// Throws that latter error: to be called when the last record has been written.
  void check_in_place() const;
  const std::string& folder() const { return folder_; }

  /// What a person should know before a run of points of these builds (`Record::build`) goes on
  /// here, in sentences: lines that are no records, records of other builds and machines.
  std::vector<std::string> notices(const std::set<std::string>& builds) const;

 private:
  /// A file that is closed with its owner.
  struct File {
    int number = -1;
    ~File();
  };

  std::string path() const { return folder_ + "/points.jsonl"; }
  void take_lock();
  void open_records();
  void remember(const Record& record, off_t line);
  void check_named(const File& file, const std::string& path) const;

  std::string folder_;
  File lock_, file_;
  std::unordered_map<std::string, off_t> lines_;  // by key: where the line begins
  std::map<std::pair<std::string, std::string>, std::size_t>
      origins_;  // records, by machine, build
  LeftOut left_out_;
  off_t end_ = 0;  // of what was read and written
  std::size_t appended_ = 0;
};

/// Writes a whole file at once: temporary file, fsync, rename.
void write_file_atomically(const std::string& path, const std::string& contents);

}  // namespace subquad

#pragma once

#include <set>
#include <string>
#include <vector>

#include "records/record.h"

namespace subquad {

/// What a points.jsonl holds, for readers: needs no lock, changes nothing.
struct StoredRecords {
  std::vector<Record> records;   ///< in the file's order
  std::size_t other_schema = 0;  ///< lines of another schema, left out
  bool torn = false;             ///< the last line was cut off in writing, and is left out
};
/// Reads `path` (points.jsonl, or the folder that holds it). A file that is not there throws Error,
/// and so does a line that is no record, naming file and line; a torn last line does not.
StoredRecords read_records(const std::string& path);

/// The records that count: of the program whose build is `build` (of any if empty), and of those
/// that describe the same point the one written last. In the order of writing.
std::vector<Record> current_records(const std::vector<Record>& records, const std::string& build);

/// What of a record tells one point from another, whatever code or settings measured it.
std::string point_identity(const Record& record);

/// The one writer of a run's folder: appends records to points.jsonl, each on the disk before
/// `append` returns.
class Store {
 public:
  /// Makes the folder, takes its lock (Error naming the holder if another process has it), cuts off
  /// a torn last line and reads the rest.
  explicit Store(const std::string& folder);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  bool has(const std::string& key) const { return keys_.count(key) > 0; }
  const std::vector<Record>& records() const { return records_; }
  /// Error on a full disk and the like. A key that is there already is a bug.
  void append(const Record& record);
  const std::string& folder() const { return folder_; }

 private:
  void take_lock();
  void open_records();

  std::string folder_;
  int lock_ = -1;
  int file_ = -1;
  std::vector<Record> records_;
  std::set<std::string> keys_;
};

/// Writes a whole file at once: temporary file, fsync, rename.
void write_file_atomically(const std::string& path, const std::string& contents);

}  // namespace subquad

#include "commands/stored_run.h"

#include <fmt/format.h>

#include <cstdio>
#include <filesystem>

#include "subquad/error.h"

namespace subquad {

std::string find_run(const std::string& word) {
  for (const std::string& path : {word, "results/" + word, "results/recorded/" + word}) {
    if (std::filesystem::exists(path)) return path;
  }
  throw Error(word + ": no such run; name a folder that holds points.jsonl");
}

StoredRecords read_run(const std::string& word) {
  const std::string path = find_run(word);
  StoredRecords stored = read_records(path);
  if (const std::string bad = bad_lines_text(stored.path, stored); !bad.empty()) {
    fmt::print(stderr, "subquad: {}\n", bad);
  }
  if (stored.other_schema > 0) {
    fmt::print(stderr, "subquad: {}: left out {} records of another schema\n", path,
               stored.other_schema);
  }
  return stored;
}

}  // namespace subquad

// Any bytes are a points.jsonl: each of its lines is a record, of another schema, bad, or torn off
// at the end. Records are found again where their lines begin, and what is appended after the last
// whole line is read. A line "@" stands for a record, so that inputs are short, and keep their
// meaning when records get another field.

#include <algorithm>
#include <optional>
#include <sstream>
#include <utility>
#include <vector>

#include "fuzz.h"
#include "records/store.h"

namespace subquad {
namespace {

const std::string& record_line() {
  static const std::string line = to_json(Record()).dump();
  return line;
}

std::string with_records(std::string_view input) {
  std::string text;
  while (!input.empty()) {
    const std::size_t end = std::min(input.find('\n'), input.size());
    const std::string_view line = input.substr(0, end);
    text += line == "@" ? record_line() : line;
    if (end < input.size()) text += '\n';
    input.remove_prefix(std::min(end + 1, input.size()));
  }
  return text;
}

struct Scanned {
  LeftOut left_out;
  std::vector<std::pair<std::string, off_t>> records;  ///< as text, with their positions
};

Scanned scan(const std::string& text) {
  Scanned scanned;
  std::istringstream in(text);
  scanned.left_out = scan_records(in, [&](Record&& record, off_t position) {
    scanned.records.emplace_back(to_json(record).dump(), position);
  });
  return scanned;
}

}  // namespace
}  // namespace subquad

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace subquad;
  using fuzz::require;
  std::string text = with_records(fuzz::text_of(data, size));
  const Scanned once = scan(text);
  const LeftOut& left_out = once.left_out;

  const auto lines = static_cast<std::size_t>(std::ranges::count(text, '\n'));
  require(once.records.size() + left_out.bad_count + left_out.other_schema == lines,
          "every whole line is accounted for");
  const std::size_t last = text.rfind('\n');
  const std::size_t whole = last == std::string::npos ? 0 : last + 1;
  require(static_cast<std::size_t>(left_out.whole_bytes) == whole, "whole lines end at the last");
  require(left_out.torn == (whole < text.size()), "what follows the last whole line is torn");
  require(left_out.bad.size() == std::min(left_out.bad_count, kBadLinesKept), "bad lines are kept");
  const std::string said = bad_lines_text("points.jsonl", left_out);
  require(said.empty() == left_out.bad.empty() && is_plain_text(said), "bad lines are told of");

  for (const auto& [record, position] : once.records) {
    const auto begin = static_cast<std::size_t>(position);
    require(begin == 0 || text[begin - 1] == '\n', "a record begins where a line does");
    const auto again =
        parse_record(std::string_view(text).substr(begin, text.find('\n', begin) - begin));
    require(again.has_value() && to_json(*again).dump() == record, "a record is found again");
  }

  text.resize(whole);
  const Scanned appended = scan(text + record_line() + "\n");
  require(appended.records.size() == once.records.size() + 1 && !appended.left_out.torn,
          "a record appended after the last whole line is read");
  return 0;
}

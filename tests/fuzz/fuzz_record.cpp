// Any line is a record, of another schema, or refused. A record that is accepted, written and read
// again is written as the same text.

#include <optional>

#include "fuzz.h"
#include "records/record.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace subquad;
  std::optional<Record> record;
  if (!fuzz::accepts([&] { record = parse_record(fuzz::text_of(data, size)); })) return 0;
  if (!record) return 0;
  fuzz::require(record->schema == kRecordSchema, "a record is of this schema");
  const std::string line = to_json(*record).dump();
  fuzz::require(line.find('\n') == std::string::npos, "a record takes one line");
  const std::optional<Record> again = parse_record(line);
  fuzz::require(again.has_value() && to_json(*again).dump() == line, "a record is read as written");
  return 0;
}

// Any line is a record, of another schema, or refused. A record that is accepted, written and read
// again is written as the same text.

#include <optional>

#include "fuzz.h"
#include "records/record.h"

namespace subquad {
namespace {

void check_line(std::string_view line) {
  std::optional<Record> record;
  if (!fuzz::accepts([&] { record = parse_record(line); }) || !record) return;
  fuzz::require(record->schema == kRecordSchema, "a record is of this schema");
  const std::string written = to_json(*record).dump();
  fuzz::require(written.find('\n') == std::string::npos, "a record takes one line");
  const std::optional<Record> again = parse_record(written);
  fuzz::require(again.has_value() && to_json(*again).dump() == written,
                "a record is read as written");
}

}  // namespace
}  // namespace subquad

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace subquad;
  const std::string_view text = fuzz::text_of(data, size);
  check_line(text);
  // Once more as some fields of a record that has all of them, so that inputs keep their meaning
  // when the schema gets another field.
  const auto fields = nlohmann::json::parse(text.begin(), text.end(), nullptr, false);
  if (!fields.is_object()) return 0;
  nlohmann::json whole = to_json(Record());
  whole.update(fields);
  check_line(whole.dump());
  return 0;
}

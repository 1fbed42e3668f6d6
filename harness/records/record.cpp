#include "records/record.h"

#include <array>
#include <concepts>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>

#include "subquad/error.h"
#include "texts/json_line.h"
#include "texts/plain_text.h"
#include "texts/strict_json.h"

namespace subquad {
namespace {

using nlohmann::json;

constexpr std::array kStatusNames = {"ok",      "refused",       "failed", "mistrusted",
                                     "timeout", "out_of_memory", "crashed"};

// Records nest four levels; another schema may nest deeper.
constexpr JsonLimits kLineLimits = {.depth = 16, .values = 4'000'000, .elements = 4'000'000};

/// T or const T: one list of fields serves reading and writing.
template <class T, class Plain>
concept Either = std::same_as<std::remove_const_t<T>, Plain>;

template <class Visit, Either<Problem> P>
void visit_fields(Visit& visit, P& problem) {
  visit("queries", problem.queries);
  visit("keys", problem.keys);
  visit("dim", problem.dim);
  visit("value_dim", problem.value_dim);
  visit("causal", problem.causal);
  visit("first_query", problem.first_query);
  visit("scale", problem.scale);
}

template <class Visit, Either<Round> R>
void visit_fields(Visit& visit, R& round) {
  visit("round", round.round);
  visit("time_ns", round.time_ns);
  visit("anchor_ns", round.anchor_ns);
  visit("iterations", round.iterations);
  visit("unix_time", round.unix_time);
  visit("cpu_ns", round.cpu_ns);
  visit("call_ns", round.call_ns);
  visit("peak_gflops", round.peak_gflops);
  visit("bf16_peak_gflops", round.bf16_peak_gflops);
}

template <class Visit, Either<Roofline> R>
void visit_fields(Visit& visit, R& roofline) {
  visit("useful_gflops", roofline.useful_gflops);
  visit("executed_gflops", roofline.executed_gflops);
  visit("intensity", roofline.intensity);
  visit("useful_share", roofline.useful_share);
  visit("executed_share", roofline.executed_share);
  visit("attainable_gflops", roofline.attainable_gflops);
  visit("attainable_share", roofline.attainable_share);
}

template <class Visit, Either<Draw> D>
void visit_fields(Visit& visit, D& draw) {
  visit("seed", draw.seed);
  visit("error", draw.error);
}

template <class Visit, Either<Record> R>
void visit_fields(Visit& visit, R& record) {
  visit("schema", record.schema);
  visit("key", record.key);
  visit("build", record.build);
  visit("machine", record.machine);
  visit("status", record.status);
  visit("reason", record.reason);
  visit("experiment", record.experiment);
  visit("variant", record.variant);
  visit("resolved", record.resolved);
  visit("family", record.family);
  visit("target", record.target);
  visit("dense_target", record.dense_target);
  visit("anchor", record.anchor);
  visit("direction", record.direction);
  visit("decoded_tokens", record.decoded_tokens);
  visit("feed_forward", record.feed_forward);
  visit("feed_forward_chunk", record.feed_forward_chunk);
  visit("model", record.model);
  visit("replaced", record.replaced);
  visit("input", record.input);
  visit("input_provenance", record.input_provenance);
  visit("problem", record.problem);
  visit("batch", record.batch);
  visit("heads", record.heads);
  visit("key_heads", record.key_heads);
  visit("seed", record.seed);
  visit("threads", record.threads);
  visit("threads_used", record.threads_used);
  visit("pinned_to", record.pinned_to);
  visit("command", record.command);
  visit("error", record.error);
  visit("target_error", record.target_error);
  visit("quality", record.quality);
  visit("reference_rows", record.reference_rows);
  visit("sampled", record.sampled);
  visit("arithmetic_error", record.arithmetic_error);
  visit("arithmetic_tolerance", record.arithmetic_tolerance);
  visit("arithmetic_queries", record.arithmetic_queries);
  visit("error_deviation", record.error_deviation);
  visit("target_error_deviation", record.target_error_deviation);
  visit("attention_figures", record.attention_figures);
  visit("attention_rows", record.attention_rows);
  visit("draws", record.draws);
  visit("rounds", record.rounds);
  visit("setup_ns", record.setup_ns);
  visit("untimed_ns", record.untimed_ns);
  visit("useful_multiply_adds", record.useful_multiply_adds);
  visit("useful_exponentials", record.useful_exponentials);
  visit("useful_bytes", record.useful_bytes);
  visit("cost_exact", record.cost_exact);
  visit("executed_multiply_adds", record.executed_multiply_adds);
  visit("executed_exponentials", record.executed_exponentials);
  visit("executed_bf16_multiply_adds", record.executed_bf16_multiply_adds);
  visit("negative_denominators", record.negative_denominators);
  visit("exponential_flops", record.exponential_flops);
  visit("memory_bytes_per_s", record.memory_bytes_per_s);
  visit("roofline", record.roofline);
  visit("predicted_bytes", record.predicted_bytes);
  visit("input_bytes", record.input_bytes);
  visit("output_bytes", record.output_bytes);
  visit("parameter_bytes", record.parameter_bytes);
  visit("random_bytes", record.random_bytes);
  visit("choice_bytes", record.choice_bytes);
  visit("saved_bytes", record.saved_bytes);
  visit("state_bytes", record.state_bytes);
  visit("layout_bytes", record.layout_bytes);
  visit("scratch_declared_bytes", record.scratch_declared_bytes);
  visit("scratch_bytes", record.scratch_bytes);
  visit("heap_allocations", record.heap_allocations);
  visit("heap_bytes", record.heap_bytes);
  visit("heap_kept_bytes", record.heap_kept_bytes);
  visit("resident_bytes", record.resident_bytes);
  visit("resident_peak_bytes", record.resident_peak_bytes);
}

template <class T>
concept Fielded = std::same_as<T, Problem> || std::same_as<T, Round> || std::same_as<T, Draw> ||
    std::same_as<T, Roofline> || std::same_as<T, Record>;

struct Writer {
  json& out;

  template <class T>
  void operator()(const char* name, const T& value) {
    out[name] = encode(value);
  }
  template <class T>
  static json encode(const T& value) {
    return value;
  }
  static json encode(Status status) { return to_string(status); }
  template <Fielded T>
  static json encode(const std::vector<T>& objects) {
    json all = json::array();
    for (const T& object : objects) all.push_back(encode(object));
    return all;
  }
  template <Fielded T>
  static json encode(const T& object) {
    json result = json::object();
    Writer writer{result};
    visit_fields(writer, object);
    return result;
  }
};

struct Reader {
  const json& in;
  std::string path;  ///< "" or "rounds[2]."
  std::size_t seen = 0;

  template <class T>
  void operator()(const char* name, T& value) {
    const std::string where = path + name;
    const auto found = in.find(name);
    if (found == in.end()) throw Error("record: field '" + where + "' is missing");
    ++seen;
    decode(*found, where, value);
  }

  [[noreturn]] static void wrong(const std::string& where, const char* expected) {
    throw Error("record: field '" + where + "' is not " + expected);
  }
  static void decode(const json& from, const std::string& where, std::string& value) {
    if (!from.is_string()) wrong(where, "text");
    value = from.get<std::string>();
  }
  static void decode(const json& from, const std::string& where, bool& value) {
    if (!from.is_boolean()) wrong(where, "true or false");
    value = from.get<bool>();
  }
  static void decode(const json& from, const std::string& where, double& value) {
    if (from.is_null()) {
      value = std::numeric_limits<double>::quiet_NaN();
    } else if (from.is_number()) {
      value = from.get<double>();
    } else {
      wrong(where, "a number or null");
    }
  }
  template <std::integral T>
  static void decode(const json& from, const std::string& where, T& value) {
    if (!from.is_number_integer()) wrong(where, "a whole number");
    if (std::unsigned_integral<T> && !from.is_number_unsigned()) wrong(where, "0 or more");
    const bool fits = from.is_number_unsigned() ? std::in_range<T>(from.get<std::uint64_t>())
                                                : std::in_range<T>(from.get<std::int64_t>());
    if (!fits) wrong(where, "a whole number within its range");
    value = from.get<T>();
  }
  static void decode(const json& from, const std::string& where, Status& value) {
    std::string text;
    decode(from, where, text);
    value = status_from_string(text);
  }
  template <class T>
  static void decode(const json& from, const std::string& where, std::vector<T>& values) {
    if (!from.is_array()) wrong(where, "a list");
    values.resize(from.size());
    for (std::size_t i = 0; i < from.size(); ++i) {
      decode(from[i], where + "[" + std::to_string(i) + "]", values[i]);
    }
  }
  static void decode(const json& from, const std::string& where, HeadFigures& figures) {
    if (!from.is_object()) wrong(where, "an object");
    figures.clear();
    for (const auto& [key, list] : from.items()) {
      decode(list, where + "." + printable(key), figures[key]);
    }
  }
  template <Fielded T>
  static void decode(const json& from, const std::string& where, T& object) {
    if (!from.is_object()) wrong(where, "an object");
    Reader reader{from, where.empty() ? "" : where + "."};
    visit_fields(reader, object);
    if (reader.seen == from.size()) return;
    const json known = Writer::encode(T());
    for (const auto& [key, value] : from.items()) {
      if (known.contains(key)) continue;
      throw Error("record: field '" + reader.path + printable(key) + "' is unknown");
    }
  }
};

}  // namespace

const char* to_string(Status status) { return kStatusNames[static_cast<std::size_t>(status)]; }

Status status_from_string(const std::string& text) {
  for (std::size_t i = 0; i < kStatusNames.size(); ++i) {
    if (text == kStatusNames[i]) return static_cast<Status>(i);
  }
  throw Error("record: status '" + printable(text) + "' is unknown");
}

json to_json(const Record& record) { return Writer::encode(record); }

Record record_from_json(const json& from) {
  if (!from.is_object()) throw Error("record: not an object");
  // First of all, since the other fields mean what the schema says.
  if (from.contains("schema") && from["schema"] != kRecordSchema) {
    // Replaced where it is no UTF-8: this value may come from elsewhere than a parser.
    const std::string schema = json_line(from["schema"]);
    throw Error("record: schema " + printable(schema) + " is not " + std::to_string(kRecordSchema));
  }
  Record record;
  Reader::decode(from, "", record);
  return record;
}

std::optional<Record> parse_record(std::string_view line) {
  if (line.size() > kMaxRecordBytes) {
    throw Error("record: longer than " + std::to_string(kMaxRecordBytes) + " bytes");
  }
  const json from = parse_strict_json(line, kLineLimits, "record:");
  const auto schema = from.is_object() ? from.find("schema") : from.end();
  if (schema != from.end() && schema->is_number_integer() && *schema != kRecordSchema) return {};
  return record_from_json(from);
}

}  // namespace subquad

#include <fmt/format.h>

#include <iterator>

#include "measuring/attention_figures.h"
#include "measuring/metrics.h"
#include "measuring/roofline.h"
#include "report/render.h"
#include "report/rounds.h"

namespace subquad {
namespace {

constexpr std::string_view kHeader =
    "machine,input,keys,queries,dim,value_dim,causal,batch,heads,key_heads,threads,direction,"
    "decoded_tokens,feed_forward,feed_forward_chunk,model,replaced,"
    "variant,target,seed,status,reason,stale,sampled,unstable,instability,figure,unit,of,value\n";

bool finished(const Record& r) { return r.status == Status::ok || r.status == Status::mistrusted; }

/// Lines of one record: what identifies it, then one figure.
class Lines {
 public:
  Lines(std::string& text, const Row& row, const Record& r) : text_(text) {
    const Problem& p = r.problem;
    const std::string why = finished(r) ? instability(r) : "";
    prefix_ =
        fmt::format("{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}",
                    csv_escaped(r.machine), csv_escaped(r.input), p.keys, p.queries, p.dim,
                    p.value_dim, p.causal, r.batch, r.heads, r.key_heads, r.threads,
                    csv_escaped(r.direction), r.decoded_tokens, r.feed_forward,
                    r.feed_forward_chunk, csv_escaped(r.model), csv_escaped(r.replaced),
                    csv_escaped(r.variant), csv_escaped(r.target), r.seed, to_string(r.status),
                    csv_escaped(r.reason), row.stale, r.sampled, !why.empty(), csv_escaped(why));
  }

  /// `of` says what the figure belongs to: "round 3", "head 0", or nothing for the whole point.
  void add(std::string_view figure, std::string_view unit, std::string_view of, double value) {
    fmt::format_to(std::back_inserter(text_), "{},{},{},{},{}\n", prefix_, figure, unit, of, value);
  }

  /// For a point without figures: it ended, and the status says how.
  void add_nothing() { text_ += prefix_ + ",,,,\n"; }

 private:
  std::string& text_;
  std::string prefix_;
};

/// Records of other versions may hold metrics that this program does not know.
std::string_view unit_of(const std::string& key) {
  for (const Metric& metric : metrics()) {
    if (metric.key == key) return metric.unit;
  }
  for (const AttentionFigure& figure : attention_figures()) {
    if (figure.key == key) return figure.unit;
  }
  return "";
}

void add_heads(Lines& lines, const HeadFigures& figures, std::string_view prefix) {
  for (const auto& [metric, values] : figures) {
    const std::string_view unit = unit_of(metric);
    for (std::size_t i = 0; i < values.size(); ++i) {
      lines.add(fmt::format("{}{}", prefix, metric), unit, fmt::format("head {}", i), values[i]);
    }
  }
}

void add_roofline(Lines& lines, const Record& r) {
  if (rooflines(r).empty()) return;
  const Roofline median = median_roofline(r);
  lines.add("useful_rate", "GFLOP/s", "", median.useful_gflops);
  lines.add("executed_rate", "GFLOP/s", "", median.executed_gflops);
  lines.add("intensity", "1/B", "", median.intensity);
  lines.add("useful_share_of_peak", "1", "", median.useful_share);
  lines.add("executed_share_of_peak", "1", "", median.executed_share);
  lines.add("attainable_rate", "GFLOP/s", "", median.attainable_gflops);
  lines.add("share_of_attainable", "1", "", median.attainable_share);
}

void add_record(std::string& text, const Row& row, const Record& r) {
  Lines lines(text, row, r);
  if (!finished(r)) {
    lines.add_nothing();
    return;
  }
  // Names of their own, so that nobody takes the time of a token for that of a pass.
  const std::string_view per = r.decodes() ? "_per_token" : "";
  for (const Round& round : r.rounds) {
    const std::string of = fmt::format("round {}", round.round);
    const auto time = [&](std::string_view figure, const std::string& whose, double nanoseconds) {
      lines.add(fmt::format("{}{}", figure, per), "ns", whose, nanoseconds);
    };
    time("time", of, round.time_ns);
    time("processor_time", of, round.cpu_ns);
    for (std::size_t i = 0; i < round.call_ns.size(); ++i) {
      time("call_time", fmt::format("{} call {}", of, i), round.call_ns[i]);
    }
    if (round.peak_gflops > 0) lines.add("peak", "GFLOP/s", of, round.peak_gflops);
    if (round.bf16_peak_gflops > 0) lines.add("bf16_peak", "GFLOP/s", of, round.bf16_peak_gflops);
    if (round.anchor_ns <= 0) continue;
    time("anchor_time", of, round.anchor_ns);
    if (r.status == Status::ok && round.time_ns > 0) {
      lines.add("speed_up", "1", of, round.anchor_ns / round.time_ns);
    }
  }
  add_heads(lines, r.error, "");
  add_heads(lines, r.target_error, "target_");
  add_heads(lines, r.attention_figures, "attention_");
  add_heads(lines, r.error_deviation, "deviation_of_");
  add_heads(lines, r.target_error_deviation, "deviation_of_target_");
  for (const Draw& draw : r.draws) {
    for (std::size_t i = 0; i < draw.error.size(); ++i) {
      lines.add(kHeadlineMetric, "1", fmt::format("head {} draw {}", i, draw.seed), draw.error[i]);
    }
  }
  if (r.arithmetic_error >= 0) lines.add("arithmetic_error", "1", "", r.arithmetic_error);
  lines.add("setup_time", "ns", "", r.setup_ns);
  lines.add("useful_multiply_adds", "1", "", r.useful_multiply_adds);
  lines.add("useful_exponentials", "1", "", r.useful_exponentials);
  lines.add("executed_multiply_adds", "1", "", r.executed_multiply_adds);
  lines.add("executed_exponentials", "1", "", r.executed_exponentials);
  lines.add("executed_bf16_multiply_adds", "1", "", r.executed_bf16_multiply_adds);
  if (r.negative_denominators >= 0) {
    lines.add("negative_denominators", "1", "", r.negative_denominators);
    lines.add("output_rows", "1", "", static_cast<double>(r.batch * r.heads * r.problem.queries));
  }
  add_roofline(lines, r);
  const auto bytes = [&](std::string_view figure, std::uint64_t value) {
    lines.add(figure, "B", "", static_cast<double>(value));
  };
  bytes("useful_traffic", static_cast<std::uint64_t>(r.useful_bytes));
  bytes("predicted", r.predicted_bytes);
  bytes("input", r.input_bytes);
  bytes("parameters", r.parameter_bytes);
  bytes("random", r.random_bytes);
  bytes("choices", r.choice_bytes);
  if (r.decodes()) bytes("state", r.state_bytes);
  bytes("scratch_declared", r.scratch_declared_bytes);
  bytes("scratch", r.scratch_bytes);
  lines.add("heap_allocations", "1", "", static_cast<double>(r.heap_allocations));
  bytes("heap", r.heap_bytes);
  bytes("heap_kept", r.heap_kept_bytes);
  bytes("resident", r.resident_bytes);
  bytes("resident_peak", r.resident_peak_bytes);
}

}  // namespace

std::string csv_escaped(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string escaped = "\"";
  for (const char c : text) {
    if (c == '"') escaped += '"';
    escaped += c;
  }
  return escaped + '"';
}

std::string render_csv(const Summary& summary) {
  std::string text(kHeader);
  for (const Table& table : summary.tables) {
    for (const Row& row : table.rows) {
      for (const Record* record : row.records) add_record(text, row, *record);
    }
  }
  return text;
}

}  // namespace subquad

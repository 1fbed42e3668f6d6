#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "subquad/problem.h"

namespace subquad {

inline constexpr int kRecordSchema = 5;

/// How a point ended. Every point ends in a record.
enum class Status { ok, refused, failed, mistrusted, timeout, out_of_memory, crashed };
const char* to_string(Status status);
Status status_from_string(const std::string& text);

/// Figures of one comparison (against plain dense, or against the variant's own dense target), by
/// the metric's key (metrics.h): one value per (sequence, head), sequences outermost.
using HeadFigures = std::map<std::string, std::vector<double>>;

/// One timing pass.
struct Round {
  int round = 0;
  double time_ns = 0;    ///< per forward pass, or decoded token, over all sequences and heads
  double anchor_ns = 0;  ///< of the anchor in the same round; 0 without one
  std::int64_t iterations = 0;
  double unix_time = 0;  ///< seconds, when the pass began
  double cpu_ns = 0;     ///< processor time of all threads of the process, likewise
  /// Times of single calls, each per pass or token, in order: all, or kCallTimes evenly spaced
  /// ones.
  std::vector<double> call_ns;
  /// What the point's threads together can do at the most, measured right before and after the
  /// pass: float32 multiply-adds, and those of bf16 matrix units where the point uses these.
  double peak_gflops = 0, bf16_peak_gflops = 0;
};
inline constexpr std::size_t kCallTimes = 8;

/// The same point with the variant's random tensors drawn anew; not timed.
struct Draw {
  std::uint64_t seed = 0;     ///< of the tensors; the input is as it was
  std::vector<double> error;  ///< headline metric against plain dense, per (sequence, head)
};

/// What a point makes of its machine: medians over rounds, each figure taken with the peak of its
/// round. docs/measuring.md defines them. 0 where nothing was timed or no peak was measured.
struct Roofline {
  double useful_gflops = 0, executed_gflops = 0;
  double intensity = 0;                         ///< useful flops per compulsory byte
  double useful_share = 0, executed_share = 0;  ///< of the peak
  double attainable_gflops = 0;                 ///< useful ones, at that intensity
  double attainable_share = 0;
};

/// One line of points.jsonl. Times in nanoseconds, memory in bytes; figures that were not taken are
/// empty. docs/records.md describes each field.
struct Record {
  int schema = kRecordSchema;
  std::string key;      ///< hash of what defines the point, of the code and of the kind of machine
  std::string build;    ///< build identity of the code that computed it
  std::string machine;  ///< identity of the kind of machine that it ran on (records/machine.h)
  Status status = Status::failed;
  std::string reason;  ///< of anything but `ok`

  // What was asked.
  std::string experiment;
  std::string variant;   ///< expression as written, sweeps expanded: the label of a curve
  std::string resolved;  ///< with every parameter evaluated
  std::string family;    ///< the variant's name ("heads" for a mixture), whatever stands around it
  std::string target, dense_target;
  bool anchor = false;                ///< this is the point that others are compared with
  std::string direction = "forward";  ///< to_string(Mode)
  std::int64_t decoded_tokens = 0;    ///< timed, at the end of each sequence; 0 in a forward pass
  // What stands around the attention; 0 and empty where nothing does.
  std::int64_t feed_forward = 0;        ///< width of a block's hidden layer
  std::int64_t feed_forward_chunk = 0;  ///< its rows at a time; 0: all
  std::string model;                    ///< folder of trained weights
  std::string replaced;                 ///< its layers that have the variant: "all", or as "0 2"
  std::string input;                    ///< expression
  std::string input_provenance;
  Problem problem;
  std::int64_t batch = 1, heads = 1, key_heads = 1;
  std::uint64_t seed = 0;
  int threads = 1;        ///< as asked for
  int threads_used = 0;   ///< as achieved
  std::string pinned_to;  ///< processors that its threads were bound to, as "0,2"; empty if free
  std::string command;    ///< repeats this point

  // What came out.
  HeadFigures error;         ///< against plain dense
  HeadFigures target_error;  ///< against dense_target, where that is another
  HeadFigures quality;       ///< of a model's answers, by the figure's key; one value per sequence
  std::int64_t reference_rows = 0;  ///< query rows per head that errors are taken over
  bool sampled = false;             ///< fewer than all
  /// Relative Frobenius error of float against the variant's own double reference; -1 not taken.
  double arithmetic_error = -1;
  double arithmetic_tolerance = 0;      ///< beyond it the point is mistrusted
  std::int64_t arithmetic_queries = 0;  ///< size of the problem it was taken on
  /// Standard error of those figures in `error` and `target_error` that are estimated from a sample
  /// of query rows, where it is known; by metric, per (sequence, head).
  HeadFigures error_deviation, target_error_deviation;
  /// Of the exact attention matrices, whatever the variant, by the keys of attention_figures.h and
  /// per (sequence, head); on one record of a group where the experiment asks for them.
  HeadFigures attention_figures;
  std::int64_t attention_rows = 0;  ///< query rows per head that those are of, at the most
  std::vector<Draw> draws;  ///< beyond the first, which `error` is of; empty if nothing is random
  std::vector<Round> rounds;
  double setup_ns = 0;    ///< drawing tensors, allocating
  double untimed_ns = 0;  ///< calls that no round holds: the first, one to warm up, a prompt
  double useful_multiply_adds = 0, useful_exponentials = 0, useful_bytes = 0;
  bool cost_exact = true;
  double executed_multiply_adds = 0, executed_exponentials = 0;
  double executed_bf16_multiply_adds = 0;  ///< those of all that matrix units did in bf16
  /// Output rows of that pass whose weights summed to less than 0, over sequences and heads; -1 not
  /// taken.
  double negative_denominators = -1;
  double exponential_flops = 0;   ///< flops at float32 peak that take as long as an exponential
  double memory_bytes_per_s = 0;  ///< at which compulsory bytes can be read
  Roofline roofline;

  // Memory. docs/measuring.md says how these figures are taken and which of them must agree.
  std::uint64_t predicted_bytes = 0;  ///< everything below that is known before running
  std::uint64_t input_bytes = 0, output_bytes = 0;
  std::uint64_t parameter_bytes = 0, random_bytes = 0, choice_bytes = 0;
  std::uint64_t saved_bytes = 0;   ///< what forward would keep for a backward pass
  std::uint64_t state_bytes = 0;   ///< of all streams after the last token; 0 in a forward pass
  std::uint64_t layout_bytes = 0;  ///< heads put together for a variant over the whole width
  std::uint64_t scratch_declared_bytes = 0;  ///< arenas as declared
  std::uint64_t scratch_bytes = 0;           ///< arenas: taken at the most
  /// Beside the arenas, counted by hooks during the memory pass: allocations, bytes held at the
  /// most, bytes still held when it was over.
  std::uint64_t heap_allocations = 0, heap_bytes = 0, heap_kept_bytes = 0;
  /// Rise of resident memory from before scratch and output were allocated to the highest point of
  /// the memory pass, files apart; 0 if the system does not tell.
  std::uint64_t resident_bytes = 0;
  std::uint64_t resident_peak_bytes = 0;  ///< highest of the process in that pass, all included

  bool decodes() const { return decoded_tokens > 0; }
  bool is_block() const { return direction == "block"; }
};

/// Numbers that are not finite become null.
nlohmann::json to_json(const Record& record);
/// The inverse; null becomes NaN. Throws Error naming the field that is missing, unknown or of the
/// wrong kind, and for a schema other than kRecordSchema.
Record record_from_json(const nlohmann::json& json);

/// What a record's line may be long: one of a thousand rounds and some hundred thousand heads fits.
inline constexpr std::size_t kMaxRecordBytes = std::size_t{16} << 20;

/// A line of points.jsonl, without its line end; nothing for a record of another schema. Whatever
/// else is no record (no JSON, a field given twice, nested too deep, too long) throws Error.
std::optional<Record> parse_record(std::string_view line);

}  // namespace subquad

#include <sys/resource.h>

#include <new>
#include <nlohmann/json.hpp>

#include <optional>
#include <string_view>

#include "measuring/measure.h"
#include "measuring/process.h"
#include "texts/json_line.h"

namespace subquad {
namespace {

using nlohmann::json;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif
#else
constexpr bool kSanitized = false;
#endif

/// Data, not address space: libraries reserve much more of that than they use. A sanitizer's shadow
/// is data, and larger than any limit.
void limit_memory(std::uint64_t bytes) {
  if (bytes == 0 || kSanitized) return;
  const rlim_t most = bytes + kProcessSlackBytes;
  const rlimit limit{most, most};
  ::setrlimit(RLIMIT_DATA, &limit);
}

/// Does `step`; what it throws becomes a message and the return value false.
template <class Step>
bool report_failure(Channel& channel, Step&& step) {
  Status status = Status::failed;
  std::string reason;
  try {
    step();
    return true;
  } catch (const std::bad_alloc&) {
    status = Status::out_of_memory;
    reason = "an allocation failed";
  } catch (const std::exception& error) {
    reason = error.what();
  } catch (...) {
    reason = "an exception of unknown type";
  }
  channel.send(json_line(json{{"status", to_string(status)}, {"reason", reason}}));
  return false;
}

/// A point as its process knows it, from line to line.
class Server {
 public:
  Server(const Experiment& single, Channel& channel) : single_(single), channel_(channel) {}

  /// Answers one line; what goes wrong is thrown.
  void answer(std::string_view line) {
    constexpr std::string_view kDeclare = "declare ";
    if (line.starts_with(kDeclare)) {
      Record record = record_from_json(json::parse(line.substr(kDeclare.size())));
      declare_point(record);
      channel_.send(json_line(to_json(record)));
    } else if (line == "check") {
      point_.emplace(single_);
      point_->check();
      channel_.send(json_line(to_json(point_->record())));
    } else if (line == "time" && point_) {
      const TimedPass pass = point_->time();
      channel_.send(json_line(json{{"time_ns", pass.time_ns},
                                   {"iterations", pass.iterations},
                                   {"unix_time", pass.unix_time},
                                   {"cpu_ns", pass.cpu_ns},
                                   {"call_ns", pass.call_ns},
                                   {"peak_gflops", pass.peak_gflops},
                                   {"bf16_peak_gflops", pass.bf16_peak_gflops},
                                   {"complaint", point_->complaint()}}));
    } else {
      throw std::logic_error("a point's process was asked for '" + std::string(line) + "'");
    }
  }

 private:
  const Experiment& single_;
  Channel& channel_;
  std::optional<PointMeasurement> point_;
};

}  // namespace

int serve_point(const Experiment& single, int file) {
  Channel channel(file);
  limit_memory(single.memory_limit_bytes);
  Server server(single, channel);
  while (const auto line = channel.receive()) {
    if (!report_failure(channel, [&] { server.answer(*line); })) return 1;
  }
  return 0;
}

}  // namespace subquad

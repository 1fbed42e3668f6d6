#include <sys/resource.h>

#include <new>
#include <nlohmann/json.hpp>

#include "measuring/measure.h"
#include "measuring/process.h"

namespace subquad {
namespace {

using nlohmann::json;

/// Beside what was predicted: program, stacks, the checks' own matrices.
constexpr std::uint64_t kSlackBytes = std::uint64_t{256} << 20;

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
  const rlim_t most = bytes + kSlackBytes;
  const rlimit limit{most, most};
  ::setrlimit(RLIMIT_DATA, &limit);
}

std::string text(const json& message) {
  return message.dump(-1, ' ', false, json::error_handler_t::replace);
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
  channel.send(text({{"status", to_string(status)}, {"reason", reason}}));
  return false;
}

}  // namespace

int serve_point(const Experiment& single, int file) {
  Channel channel(file);
  limit_memory(single.memory_limit_bytes);
  std::unique_ptr<PointMeasurement> point;
  const bool checked = report_failure(channel, [&] {
    point = std::make_unique<PointMeasurement>(single);
    point->check();
    channel.send(text(to_json(point->record())));
  });
  if (!checked) return 1;
  while (channel.receive()) {
    const bool timed = report_failure(channel, [&] {
      const TimedPass pass = point->time();
      channel.send(text({{"time_ns", pass.time_ns},
                         {"iterations", pass.iterations},
                         {"unix_time", pass.unix_time}}));
    });
    if (!timed) return 1;
  }
  return 0;
}

}  // namespace subquad

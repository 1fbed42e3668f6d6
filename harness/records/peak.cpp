#include "records/peak.h"

#include <fmt/format.h>

#include <algorithm>

namespace subquad {
namespace {

using Json = nlohmann::ordered_json;

Json rate_json(const Rate& rate) {
  return {{"one_core", rate.one_core}, {"all_cores", rate.all_cores}};
}

Rate rate_from(const Json& json) {
  return {json.at("one_core").get<double>(), json.at("all_cores").get<double>()};
}

std::string level_text(const Reading& reading) {
  return reading.level == 0 ? "memory" : fmt::format("level {}", reading.level);
}

std::string line(std::string_view name, std::string_view value) {
  return fmt::format("{:<16}{}\n", name, value);
}

std::string flops_line(std::string_view name, const Rate& gflops) {
  if (gflops.one_core == 0) return line(name, "none here");
  return line(name,
              fmt::format("{:.4g} GFLOP/s on one core, {:.4g} on all ({:.3g} times as many)",
                          gflops.one_core, gflops.all_cores, gflops.all_cores / gflops.one_core));
}

std::string bytes_line(std::string_view name, const Rate& rate, std::string_view what) {
  return line(name, fmt::format("{}/s on one core, {}/s on all, {}", binary_bytes(rate.one_core),
                                binary_bytes(rate.all_cores), what));
}

}  // namespace

std::string binary_bytes(double bytes) {
  const char* unit = "B";
  for (const char* larger : {"KiB", "MiB", "GiB", "TiB"}) {
    if (bytes < 1024) break;
    bytes /= 1024;
    unit = larger;
  }
  return fmt::format("{:.4g} {}", bytes, unit);
}

Json to_json(const Peak& peak) {
  Json reading = Json::array();
  for (const Reading& level : peak.reading) {
    reading.push_back({{"level", level.level},
                       {"block_bytes", level.block_bytes},
                       {"bytes_per_s", rate_json(level.bytes_per_s)}});
  }
  return {{"float32_gflops", rate_json(peak.float32_gflops)},
          {"float64_gflops", rate_json(peak.float64_gflops)},
          {"bf16_gflops", rate_json(peak.bf16_gflops)},
          {"exponentials_per_s", peak.exponentials_per_s},
          {"reading", std::move(reading)},
          {"triad_bytes_per_s", rate_json(peak.triad_bytes_per_s)}};
}

std::optional<Peak> peak_from_json(const Json& json) {
  try {
    Peak peak;
    peak.float32_gflops = rate_from(json.at("float32_gflops"));
    peak.float64_gflops = rate_from(json.at("float64_gflops"));
    peak.bf16_gflops = rate_from(json.at("bf16_gflops"));
    peak.exponentials_per_s = json.at("exponentials_per_s").get<double>();
    for (const Json& level : json.at("reading")) {
      peak.reading.push_back({level.at("level").get<int>(),
                              level.at("block_bytes").get<std::uint64_t>(),
                              rate_from(level.at("bytes_per_s"))});
    }
    peak.triad_bytes_per_s = rate_from(json.at("triad_bytes_per_s"));
    return peak;
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

std::string to_text(const Peak& peak) {
  if (peak.float32_gflops.one_core == 0) return {};
  std::string text =
      flops_line("peak float32", peak.float32_gflops) +
      flops_line("peak float64", peak.float64_gflops) + flops_line("peak bf16", peak.bf16_gflops) +
      line("exponentials",
           fmt::format("{:.4g} million per second on one core", peak.exponentials_per_s * 1e-6));
  for (const Reading& level : peak.reading) {
    text += bytes_line("reading", level.bytes_per_s,
                       fmt::format("{}, a block of {}", level_text(level),
                                   binary_bytes(static_cast<double>(level.block_bytes))));
  }
  return text + bytes_line("triad", peak.triad_bytes_per_s, "memory, two arrays read, one written");
}

double exponential_flops(const Peak& peak) {
  if (peak.exponentials_per_s <= 0) return 0;
  return peak.float32_gflops.one_core * 1e9 / peak.exponentials_per_s;
}

double read_bytes_per_s(const Peak& peak, double bytes, int threads) {
  const auto holds = [&](const Reading& level) {
    return static_cast<double>(level.block_bytes) * threads >= bytes;
  };
  if (peak.reading.empty()) return 0;
  auto level = std::find_if(peak.reading.begin(), peak.reading.end(), holds);
  if (level == peak.reading.end()) --level;
  const Rate& rate = level->bytes_per_s;
  return threads == 1 ? rate.one_core : std::min(threads * rate.one_core, rate.all_cores);
}

}  // namespace subquad

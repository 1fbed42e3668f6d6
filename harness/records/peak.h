#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace subquad {

struct Cache;

/// On one core, and on all that the process may use at once: summed over these.
struct Rate {
  double one_core = 0, all_cores = 0;
};

/// Reading a block again and again that a cache of this level holds, each thread its own; level 0
/// is the memory itself, of whose block each thread reads a part.
struct Reading {
  int level = 0;
  std::uint64_t block_bytes = 0;
  Rate bytes_per_s;
};

/// What a machine does at the most, measured; 0 or empty where it was not, or cannot be. A
/// multiply-add counts as two flops.
struct Peak {
  Rate float32_gflops, float64_gflops;
  Rate bf16_gflops;               ///< by matrix units, sums in float32
  double exponentials_per_s = 0;  ///< float32, vectorised, one core
  std::vector<Reading> reading;   ///< from the fastest to the slowest
  Rate triad_bytes_per_s;         ///< a = b + 3 c, of arrays that no cache holds; 12 bytes each
};

/// Of the machine that this runs on, with these caches and so many threads. Each figure is the best
/// of several short windows; about half a second.
Peak measure_peak(const std::vector<Cache>& caches, int threads);

nlohmann::ordered_json to_json(const Peak& peak);
/// The inverse; nothing for what is no peak of this version.
std::optional<Peak> peak_from_json(const nlohmann::ordered_json& json);
/// Lines of a name and a value each, nothing for an empty peak.
std::string to_text(const Peak& peak);

/// Float32 flops at peak that take as long as one exponential; 0 if unknown.
double exponential_flops(const Peak& peak);
/// Bytes per second at which so many threads can read `bytes` again and again: those of the first
/// level that holds as many; 0 if unknown.
double read_bytes_per_s(const Peak& peak, double bytes, int threads);

/// "1.25 MiB".
std::string binary_bytes(double bytes);

}  // namespace subquad

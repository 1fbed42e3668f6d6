// Any bytes are a config or refused. The config that an experiment resolves to gives the same
// experiment.

#include <algorithm>

#include "experiments/options.h"
#include "fuzz.h"

namespace subquad {
namespace {

using fuzz::accepts;
using fuzz::require;

Experiment experiment_of(std::string_view text) {
  Experiment experiment;
  experiment.anchor = parse_expression("dense");
  apply_settings(experiment, parse_config(text, "x.cfg"));
  return experiment;
}

}  // namespace
}  // namespace subquad

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace subquad;
  const std::string_view text = fuzz::text_of(data, size);
  // Large sweeps take seconds here; fuzz_expression looks at how they are limited.
  if (std::ranges::count(text, '|') > 8) return 0;
  Experiment experiment;
  if (!accepts([&] { experiment = experiment_of(text); })) return 0;
  const std::string resolved = experiment.resolved_config();
  // Sweeps written out can be longer than a config may be.
  if (resolved.size() > kMaxConfigBytes) return 0;
  // What a config leaves out stays out where it has no default: variants, inputs, lengths.
  const auto lists_nothing = [](std::string_view line) { return line.ends_with("= "); };
  std::string given;
  for (std::size_t begin = 0; begin < resolved.size();) {
    const std::size_t end = resolved.find('\n', begin);
    const std::string_view line = std::string_view(resolved).substr(begin, end - begin);
    if (!lists_nothing(line)) given.append(line).append("\n");
    begin = end + 1;
  }
  require(experiment_of(given).resolved_config() == resolved,
          "a resolved config gives the same experiment");
  return 0;
}

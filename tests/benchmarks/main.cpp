// Benchmarks of kernels, by Google Benchmark. With --medians every benchmark is repeated, all of
// them in turn and in shuffled order, and only the medians are printed: what slows the machine for
// a while then hits all alike.

#include <benchmark/benchmark.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

/// Leaves out whatever is no median, and prints those in the order of the benchmarks.
class Medians final : public benchmark::ConsoleReporter {
 public:
  Medians() : ConsoleReporter(::isatty(STDOUT_FILENO) != 0 ? OO_ColorTabular : OO_Tabular) {}

  void ReportRuns(const std::vector<Run>& runs) override {
    std::copy_if(runs.begin(), runs.end(), std::back_inserter(medians_),
                 [](const Run& run) { return run.aggregate_name == "median"; });
  }
  void Finalize() override {
    const auto place = [](const Run& run) {
      return std::pair(run.family_index, run.per_family_instance_index);
    };
    std::sort(medians_.begin(), medians_.end(),
              [&](const Run& a, const Run& b) { return place(a) < place(b); });
    ConsoleReporter::ReportRuns(medians_);
  }

 private:
  std::vector<Run> medians_;
};

/// The flag, taken out of the arguments.
bool takes_medians(std::vector<char*>& arguments) {
  const auto found = std::find_if(arguments.begin(), arguments.end(), [](const char* argument) {
    return std::string_view(argument) == "--medians";
  });
  if (found == arguments.end()) return false;
  arguments.erase(found);
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<char*> arguments(argv, argv + argc);
  const bool medians = takes_medians(arguments);
  std::vector<std::string> defaults;
  if (medians) {
    defaults = {"--benchmark_repetitions=9", "--benchmark_enable_random_interleaving=true",
                "--benchmark_min_time=0.05"};
    // Before the others, so that what is given on the command line counts.
    for (std::size_t i = 0; i < defaults.size(); ++i) {
      arguments.insert(arguments.begin() + 1 + static_cast<std::ptrdiff_t>(i), defaults[i].data());
    }
  }
  int count = static_cast<int>(arguments.size());
  benchmark::Initialize(&count, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 2;
  if (medians) {
    Medians reporter;
    benchmark::RunSpecifiedBenchmarks(&reporter);
  } else {
    benchmark::RunSpecifiedBenchmarks();
  }
  benchmark::Shutdown();
  return 0;
}

#include "records/build_info.h"

#include <fmt/format.h>
#include <gnu/libc-version.h>
#include <oneapi/tbb/version.h>
#include <xxhash.h>
#include <zip.h>

#include <Eigen/Core>
#include <boost/version.hpp>
#include <nlohmann/json.hpp>

#include "records/hash.h"

// SUBQUAD_FLAGS, SUBQUAD_SOURCE_FOLDER and SUBQUAD_*_VERSION come from CMake, for this file
// alone.

namespace subquad {

std::string compiler_text() {
#if defined(__clang__)
  return "clang " __clang_version__;
#else
  return "gcc " __VERSION__;
#endif
}

std::string compiler_flags() { return SUBQUAD_FLAGS; }
std::string source_folder() { return SUBQUAD_SOURCE_FOLDER; }

std::vector<std::pair<std::string, std::string>> library_versions() {
  return {
      {"eigen",
       fmt::format("{}.{}.{}", EIGEN_WORLD_VERSION, EIGEN_MAJOR_VERSION, EIGEN_MINOR_VERSION)},
      {"highway", SUBQUAD_HIGHWAY_VERSION},
      {"onetbb", TBB_runtime_version()},
      {"benchmark", SUBQUAD_BENCHMARK_VERSION},
      {"boost", fmt::format("{}.{}.{}", BOOST_VERSION / 100000, BOOST_VERSION / 100 % 1000,
                            BOOST_VERSION % 100)},
      {"fmt",
       fmt::format("{}.{}.{}", FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100)},
      {"nlohmann_json", fmt::format("{}.{}.{}", NLOHMANN_JSON_VERSION_MAJOR,
                                    NLOHMANN_JSON_VERSION_MINOR, NLOHMANN_JSON_VERSION_PATCH)},
      {"xxhash",
       fmt::format("{}.{}.{}", XXH_VERSION_MAJOR, XXH_VERSION_MINOR, XXH_VERSION_RELEASE)},
      {"libzip", LIBZIP_VERSION},
      {"libstdc++", fmt::format("{}", _GLIBCXX_RELEASE)},
      {"glibc", gnu_get_libc_version()},
  };
}

const std::string& program_build() {
  static const std::string build = hash_file("/proc/self/exe").substr(0, 16);
  return build;
}

}  // namespace subquad

#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "report/summary.h"

namespace subquad {

/// What stands on a report page beside the summary of its records.
struct PageContents {
  struct Run {
    std::string name;
    std::string config;  ///< text of its experiment.cfg; may be empty
  };
  std::vector<Run> runs;
  std::vector<nlohmann::ordered_json> machines;  ///< as `subquad machine --format json` prints them
  nlohmann::ordered_json patterns;               ///< commands/gallery.h; may be null
};

/// Records are on a page whole up to this size of their lines as they are packed; of more the page
/// keeps what it draws itself: rounds, and the headline error of each head.
inline constexpr std::size_t kWholeRecordBytes = std::size_t{1} << 20;

/// The page without data that this program was built with: harness/report/page. Nothing in a build
/// without (SUBQUAD_PAGE=OFF).
std::optional<std::string_view> page_template();

/// `page` with the figures of `summary` in it: JSON, packed (report/packed.h), so that no browser
/// takes it for anything else. `page` has a line kPageData, which they replace; without one it is a
/// bug (std::logic_error).
std::string render_page(std::string_view page, const Summary& summary,
                        const PageContents& contents);
inline constexpr std::string_view kPageData = "<!-- records -->";

}  // namespace subquad

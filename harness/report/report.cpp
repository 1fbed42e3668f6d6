#include "report/report.h"

#include <fmt/format.h>

#include <array>

#include "report/render.h"
#include "subquad/error.h"

namespace subquad {
namespace {

struct Format {
  ReportFormat format;
  const char* name;
  std::string (*render)(const Summary&);
};
constexpr std::array kFormats = {Format{ReportFormat::text, "text", render_text},
                                 Format{ReportFormat::markdown, "markdown", render_markdown},
                                 Format{ReportFormat::csv, "csv", render_csv},
                                 Format{ReportFormat::json, "json", render_json},
                                 Format{ReportFormat::latex, "latex", render_latex}};

const Format& find_format(ReportFormat format) {
  return kFormats.at(static_cast<std::size_t>(format));
}

}  // namespace

const char* to_string(ReportFormat format) { return find_format(format).name; }

ReportFormat report_format_from_string(const std::string& text) {
  std::vector<std::string> names;
  for (const Format& format : kFormats) {
    if (text == format.name) return format.format;
    names.emplace_back(format.name);
  }
  throw Error(fmt::format("format '{}' is unknown (known: {})", text, fmt::join(names, ", ")));
}

std::string report(const std::vector<Record>& records, const ReportOptions& options) {
  return find_format(options.format).render(summarise(records, options));
}

std::string join_numbers(const std::vector<int>& numbers) {
  return fmt::format("{}", fmt::join(numbers, ","));
}

}  // namespace subquad

#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "report/grid.h"
#include "report/summary.h"

namespace subquad {

/// The formats of `report`, one function each.
std::string render_text(const Summary& summary);
std::string render_markdown(const Summary& summary);
std::string render_latex(const Summary& summary);
std::string render_json(const Summary& summary);
std::string render_csv(const Summary& summary);

/// Sections as `render_text` draws them, below sentences on the whole.
std::string render_text(const std::vector<std::string>& notices,
                        const std::vector<Section>& sections);
/// What `render_json` prints.
nlohmann::ordered_json summary_json(const Summary& summary);

/// Numbers of notes, as in "[1,3]" without the brackets.
std::string join_numbers(const std::vector<int>& numbers);

/// `text` safe inside a Markdown table, a LaTeX document, a CSV field.
std::string markdown_escaped(const std::string& text);
std::string latex_escaped(const std::string& text);
std::string csv_escaped(const std::string& text);

}  // namespace subquad

#include "experiments/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <charconv>
#include <fstream>
#include <sstream>

#include "expressions/settings.h"
#include "subquad/error.h"

namespace subquad {
namespace {

namespace po = boost::program_options;

std::vector<std::string> names_of(const std::vector<OptionSpec>& specs) {
  std::vector<std::string> names;
  for (const OptionSpec& spec : specs) names.push_back(spec.name);
  return names;
}

po::options_description describe(const std::vector<OptionSpec>& specs) {
  po::options_description description;
  for (const OptionSpec& spec : specs) {
    if (spec.argument.empty()) {
      description.add_options()(spec.name.c_str(), spec.doc.c_str());
    } else {
      description.add_options()(
          spec.name.c_str(),
          po::value<std::vector<std::string>>()->composing()->value_name(spec.argument),
          spec.doc.c_str());
    }
  }
  return description;
}

[[noreturn]] void bad_value(const std::string& option, const OptionValue& value,
                            const std::string& allowed) {
  throw Error(fmt::format("{}: {} = {} is not {}", value.where, option, value.text, allowed));
}

std::string stripped(const std::string& text) {
  const auto begin = text.find_first_not_of(" \t\r");
  if (begin == std::string::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

/// Without the comment: `#` counts at the start of the line or after a blank, so that it can stand
/// in a path or a question.
std::string without_comment(const std::string& line) {
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '#' && (i == 0 || line[i - 1] == ' ' || line[i - 1] == '\t')) {
      return line.substr(0, i);
    }
  }
  return line;
}

}  // namespace

std::string ParsedOptions::get(const std::string& name, const std::string& otherwise) const {
  const auto found = values.find(name);
  return found == values.end() ? otherwise : found->second.back().text;
}

OptionValue ParsedOptions::require(const std::string& name) const {
  const auto found = values.find(name);
  if (found == values.end()) throw Error("command line: option --" + name + " is missing");
  return found->second.back();
}

ParsedOptions parse_options(const std::vector<std::string>& arguments,
                            const std::vector<OptionSpec>& specs) {
  po::options_description description = describe(specs);
  description.add_options()("subquad-positional", po::value<std::vector<std::string>>());
  po::positional_options_description positional;
  positional.add("subquad-positional", -1);
  ParsedOptions parsed;
  try {
    // Short options, abbreviations and "-option" are off: an option is written in full or refused.
    const int style = po::command_line_style::allow_long | po::command_line_style::long_allow_next |
                      po::command_line_style::long_allow_adjacent;
    const po::parsed_options raw = po::command_line_parser(arguments)
                                       .options(description)
                                       .positional(positional)
                                       .style(style)
                                       .run();
    for (const po::option& option : raw.options) {
      if (option.string_key == "subquad-positional") {
        parsed.positional.push_back(option.value.front());
        continue;
      }
      auto& values = parsed.values[option.string_key];
      if (option.value.empty()) values.push_back({"true", "command line"});
      for (const std::string& text : option.value) values.push_back({text, "command line"});
    }
  } catch (const po::unknown_option& error) {
    std::string name = error.get_option_name();
    name.erase(0, name.find_first_not_of('-'));
    throw Error("command line: unknown option --" + name + suggestion(name, names_of(specs)));
  } catch (const po::error& error) {
    throw Error(std::string("command line: ") + error.what());
  }
  for (const std::string& word : parsed.positional) {
    if (word.size() > 1 && word[0] == '-' && std::isalpha(static_cast<unsigned char>(word[1]))) {
      throw Error("command line: unknown option " + word + "; options are written in full, as --" +
                  specs.front().name);
    }
  }
  return parsed;
}

std::string options_help(const std::vector<OptionSpec>& specs) {
  std::ostringstream out;
  describe(specs).print(out);
  return out.str();
}

std::map<std::string, std::vector<OptionValue>> read_config(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw Error(path + ": cannot be read; name an existing experiment file");
  std::map<std::string, std::vector<OptionValue>> values;
  const std::vector<OptionSpec> specs = experiment_option_specs();
  const std::vector<std::string> known = names_of(specs);
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    const std::string where = fmt::format("{}:{}", path, number);
    if (line.find('\0') != std::string::npos) throw Error(where + ": not a text file");
    const std::string text = stripped(without_comment(line));
    if (text.empty()) continue;
    const auto equals = text.find('=');
    if (equals == std::string::npos) {
      throw Error(where + ": '" + text + "' is not of the form key = value");
    }
    const std::string key = stripped(text.substr(0, equals));
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      throw Error(where + ": unknown key '" + key + "'" + suggestion(key, known));
    }
    const std::string value = stripped(text.substr(equals + 1));
    if (value.empty()) throw Error(where + ": " + key + " has no value");
    values[key].push_back({value, where});
  }
  if (file.bad()) throw Error(path + ": cannot be read");
  return values;
}

Index to_integer(const std::string& option, const OptionValue& value, Index low, Index high) {
  Index number = 0;
  const char* end = value.text.data() + value.text.size();
  const auto [rest, code] = std::from_chars(value.text.data(), end, number);
  if (code != std::errc() || rest != end || number < low || number > high) {
    bad_value(option, value, fmt::format("a whole number from {} to {}", low, high));
  }
  return number;
}

double to_real(const std::string& option, const OptionValue& value, double low, double high) {
  double number = 0;
  const char* end = value.text.data() + value.text.size();
  const auto [rest, code] = std::from_chars(value.text.data(), end, number);
  if (code != std::errc() || rest != end || !(number >= low && number <= high)) {
    bad_value(option, value, fmt::format("a number from {} to {}", low, high));
  }
  return number;
}

bool to_switch(const std::string& option, const OptionValue& value) {
  for (const char* word : {"true", "yes", "on", "1"}) {
    if (value.text == word) return true;
  }
  for (const char* word : {"false", "no", "off", "0"}) {
    if (value.text == word) return false;
  }
  bad_value(option, value, "true or false");
}

std::uint64_t to_bytes(const std::string& option, const OptionValue& value) {
  static constexpr std::pair<std::string_view, double> kUnits[] = {
      {"GiB", 0x1p30}, {"MiB", 0x1p20}, {"KiB", 0x1p10}, {"B", 1}, {"", 1}};
  constexpr double kMost = 0x1p52;  // whole numbers up to here are exact
  double number = 0;
  const char* end = value.text.data() + value.text.size();
  const auto [rest, code] = std::from_chars(value.text.data(), end, number);
  for (const auto& [unit, factor] : kUnits) {
    if (code != std::errc() || stripped({rest, end}) != unit) continue;
    if (number >= 0 && number * factor <= kMost) return static_cast<std::uint64_t>(number * factor);
  }
  bad_value(option, value, "a number of bytes, as 4096, 64MiB or 1.5GiB");
}

std::vector<OptionValue> split_values(const std::vector<OptionValue>& values, bool at_commas) {
  std::vector<OptionValue> parts;
  for (const OptionValue& value : values) {
    std::string part;
    int depth = 0;
    const auto finish = [&] {
      if (!part.empty()) parts.push_back({part, value.where});
      part.clear();
    };
    for (const char c : value.text) {
      depth += c == '(' ? 1 : c == ')' ? -1 : 0;
      if (depth == 0 && (c == ' ' || c == '\t' || (at_commas && c == ','))) {
        finish();
      } else {
        part += c;
      }
    }
    finish();
  }
  return parts;
}

}  // namespace subquad

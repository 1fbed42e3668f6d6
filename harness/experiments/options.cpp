#include "experiments/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "expressions/settings.h"
#include "subquad/error.h"
#include "texts/plain_text.h"

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
  throw Error(
      fmt::format("{}: {} = {} is not {}", value.where, option, printable(value.text), allowed));
}

/// Without the comment: `#` counts at the start of the line or after a blank, so that it can stand
/// in a path or a question.
std::string_view without_comment(std::string_view line) {
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '#' && (i == 0 || line[i - 1] == ' ' || line[i - 1] == '\t')) {
      return line.substr(0, i);
    }
  }
  return line;
}

/// Adds what a line of a config says.
void add_line(Settings& settings, std::string_view line, const std::vector<OptionSpec>& specs,
              const std::string& where) {
  const std::string_view text = trimmed(without_comment(line));
  if (text.empty()) return;
  // It comes back in messages, in reports, and in the config that a run leaves.
  if (!is_plain_text(text)) {
    throw Error(fmt::format("{}: '{}' is not plain text (UTF-8)", where, printable(text)));
  }
  const auto equals = text.find('=');
  if (equals == std::string_view::npos) {
    throw Error(fmt::format("{}: '{}' is not of the form key = value", where, printable(text)));
  }
  const std::string key(trimmed(text.substr(0, equals)));
  const std::string value(trimmed(text.substr(equals + 1)));
  const auto spec = std::ranges::find(specs, key, &OptionSpec::name);
  if (spec == specs.end()) {
    throw Error(fmt::format("{}: unknown key '{}'{}", where, printable(key),
                            suggestion(key, names_of(specs))));
  }
  if (value.empty()) throw Error(where + ": " + key + " has no value");
  // It would be a comment in the config that a run leaves.
  if (value.front() == '#') throw Error(where + ": " + key + ": a value does not begin with #");
  std::vector<OptionValue>& values = settings[key];
  if (!spec->repeats && !values.empty()) {
    throw Error(fmt::format("{}: {} is given twice (first at {}), and takes one value", where, key,
                            values.front().where));
  }
  values.push_back({value, where});
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

Index ParsedOptions::integer(const std::string& name, Index otherwise, Index low,
                             Index high) const {
  return has(name) ? to_integer(name, require(name), low, high) : otherwise;
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

Settings parse_config(std::string_view text, const std::string& name) {
  if (text.size() > kMaxConfigBytes) {
    throw Error(fmt::format("{}: longer than {} bytes", name, kMaxConfigBytes));
  }
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  Settings settings;
  const std::vector<OptionSpec> specs = experiment_option_specs();
  for (int number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    add_line(settings, text.substr(0, end), specs, fmt::format("{}:{}", name, number));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return settings;
}

Settings read_config(const std::string& path) {
  if (std::filesystem::is_directory(path)) {
    throw Error(path + ": is a folder; name an experiment file");
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error(path + ": cannot be read; name an existing experiment file");
  std::string text(kMaxConfigBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad()) throw Error(path + ": cannot be read");
  text.resize(static_cast<std::size_t>(file.gcount()));
  return parse_config(text, path);
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
    if (code != std::errc() || trimmed({rest, static_cast<std::size_t>(end - rest)}) != unit)
      continue;
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

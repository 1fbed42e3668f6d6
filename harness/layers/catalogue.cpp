#include "layers/catalogue.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "layers/tensor_source.h"

namespace subquad {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLibrary = ".so";
/// For a peer that it cannot build, the build leaves NAME.missing: a line with the package that is
/// missing, and one with the command that installs it.
constexpr const char* kMissing = ".missing";

fs::path peers_folder() { return fs::read_symlink("/proc/self/exe").parent_path() / "peers"; }

/// Files of a folder that end so, sorted; none if it cannot be read.
std::vector<std::string> files_of(const fs::path& folder, const char* ending) {
  std::vector<std::string> files;
  std::error_code status;
  for (const fs::directory_entry& file : fs::directory_iterator(folder, status)) {
    if (file.path().extension() == ending) files.push_back(file.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

bool is_name(std::string_view name) {
  const auto lower = [](char c) { return c >= 'a' && c <= 'z'; };
  const auto belongs = [&](char c) { return lower(c) || (c >= '0' && c <= '9') || c == '_'; };
  return !name.empty() && lower(name.front()) && std::all_of(name.begin(), name.end(), belongs);
}

/// The entry of a loaded shared library, or Error.
const PluginEntry& plugin_entry(void* library, const std::string& path) {
  using Entry = const PluginEntry* (*)();
  const auto entry_of = reinterpret_cast<Entry>(dlsym(library, "subquad_plugin"));
  if (!entry_of) {
    throw Error("plugin '" + path +
                "': exports no function subquad_plugin; a plugin includes subquad/registry.h");
  }
  const PluginEntry* entry = entry_of();
  if (!entry) throw Error("plugin '" + path + "': subquad_plugin() returns null");
  // Nothing behind the first member may be read before it is known to be of this version.
  if (entry->abi_version != kAbiVersion) {
    throw Error("plugin '" + path + "': built for interface version " +
                std::to_string(entry->abi_version) + ", this program has version " +
                std::to_string(kAbiVersion) + "; rebuild it against this program's headers");
  }
  if (std::strcmp(entry->toolchain, SUBQUAD_TOOLCHAIN) != 0) {
    throw Error("plugin '" + path + "': built with '" + entry->toolchain +
                "', this program with '" SUBQUAD_TOOLCHAIN "'; rebuild it with this toolchain");
  }
  return *entry;
}

}  // namespace

Catalogue& Catalogue::instance() {
  static Catalogue catalogue;
  return catalogue;
}

Catalogue::Catalogue() {
  try {
    add(local_registrations, "built-in");
  } catch (const Error& error) {
    throw std::logic_error(error.what());
  }
}

void Catalogue::add(const Registration* first, const std::string& origin) {
  // Into a copy, so that a list that is refused leaves nothing behind.
  std::vector<CatalogueEntry> extended = entries_;
  for (const Registration* one = first; one; one = one->next) {
    const std::string name(one->info.name);
    if (!is_name(name) || is_layer_word(name) || name == kEveryVariant) {
      throw Error("'" + origin + "': a variant cannot be named '" + name +
                  "'; allowed is [a-z][a-z0-9_]* except heads, fitted, loaded, all");
    }
    for (const CatalogueEntry& other : extended) {
      if (other.info().name == name) {
        throw Error("'" + origin + "': the name '" + name + "' is taken by '" + other.origin + "'");
      }
    }
    extended.push_back({one, origin});
  }
  std::sort(extended.begin(), extended.end(), [](const CatalogueEntry& a, const CatalogueEntry& b) {
    return a.info().name < b.info().name;
  });
  entries_ = std::move(extended);
}

const CatalogueEntry* Catalogue::known(std::string_view name) const {
  const auto found = std::lower_bound(entries_.begin(), entries_.end(), name,
                                      [](const CatalogueEntry& entry, std::string_view wanted) {
                                        return entry.info().name < wanted;
                                      });
  return found != entries_.end() && found->info().name == name ? &*found : nullptr;
}

CatalogueEntry Catalogue::find(std::string_view name) {
  if (const CatalogueEntry* entry = known(name)) return *entry;
  if (is_name(name)) {
    std::error_code status;
    const fs::path library = peers_folder() / (std::string(name) + kLibrary);
    if (fs::exists(library, status)) {
      load_plugin(library.string());
      if (const CatalogueEntry* entry = known(name)) return *entry;
      throw Error("peer '" + library.string() + "': registers no variant of its own name");
    }
  }
  const std::map<std::string, std::string> missing = missing_peers();
  if (const auto one = missing.find(std::string(name)); one != missing.end()) {
    throw NotBuilt(one->first + " " + one->second);
  }
  std::vector<std::string> all = names();
  for (const std::string& peer : files_of(peers_folder(), kLibrary)) {
    all.push_back(fs::path(peer).stem().string());
  }
  for (const auto& [peer, why] : missing) all.push_back(peer);
  if (is_layer_word(name)) {
    throw Error(std::string(name) + "(...) stands around variants, and is none itself");
  }
  throw Error("unknown variant '" + std::string(name) + "'" + suggestion(name, all));
}

void Catalogue::load_peers() {
  for (const std::string& file : files_of(peers_folder(), kLibrary)) load_plugin(file);
}

std::map<std::string, std::string> Catalogue::missing_peers() const {
  std::map<std::string, std::string> missing;
  for (const std::string& file : files_of(peers_folder(), kMissing)) {
    std::string package, command;
    std::ifstream lines(file);
    std::getline(lines, package);
    std::getline(lines, command);
    missing[fs::path(file).stem().string()] =
        "was not built for want of its library: install the package " + package +
        " and build again (" + command + " does both)";
  }
  return missing;
}

std::vector<std::string> Catalogue::names() const {
  std::vector<std::string> names;
  for (const CatalogueEntry& entry : entries_) names.emplace_back(entry.info().name);
  return names;
}

void Catalogue::load_plugin(const std::string& path) {
  std::error_code status;
  if (!fs::is_regular_file(path, status)) throw Error("plugin '" + path + "': no such file");
  if (check_) check_(path);
  // A path with a slash, or dlopen would look through the library path instead.
  void* library = dlopen(fs::absolute(path).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) throw Error("plugin '" + path + "': " + dlerror());
  const PluginEntry& entry = plugin_entry(library, path);
  if (!entry.registrations) throw Error("plugin '" + path + "': registers no variant");
  for (const CatalogueEntry& known : entries_) {
    if (known.registration == entry.registrations) return;  // loaded before
  }
  add(entry.registrations, path);
}

void Catalogue::load_plugin_path() {
  const char* value = std::getenv("SUBQUAD_PLUGIN_PATH");
  if (!value) return;
  std::string_view rest = value;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find(':'), rest.size());
    const std::string path(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (path.empty()) continue;
    std::error_code status;
    if (!fs::is_directory(path, status)) {
      load_plugin(path);
      continue;
    }
    for (const std::string& file : files_of(path, kLibrary)) load_plugin(file);
  }
}

VisitParameters parameters_of(Variant& variant) {
  return [&variant](Parameters& visit) {
    variant.parameters(visit);
    variant.family_parameters(visit);
  };
}

std::string refusal_of(const Variant& variant, const Problem& problem) {
  const std::string of_family = variant.family_refuses(problem);
  return of_family.empty() ? variant.refuses(problem) : of_family;
}

namespace {

/// The variants that an expression lists, or those that stand there where it lists none.
std::vector<Expression> listed_members(const Registration& registration,
                                       const std::vector<Expression::Argument>& arguments) {
  std::vector<Expression> members;
  for (const Expression::Argument& argument : arguments) {
    if (argument.key.empty()) members.push_back(argument.nested.front());
  }
  if (!members.empty() || !registration.powers.compose) return members;
  const std::string text = "members(" + std::string(registration.info.members) + ")";
  for (const Expression::Argument& argument : parse_expression(text).arguments) {
    members.push_back(argument.nested.front());
  }
  return members;
}

/// Those of its arguments that are parameters.
Expression without_members(std::string_view name,
                           const std::vector<Expression::Argument>& arguments) {
  Expression rest{std::string(name), {}};
  for (const Expression::Argument& argument : arguments) {
    if (!argument.key.empty()) rest.arguments.push_back(argument);
  }
  return rest;
}

}  // namespace

std::unique_ptr<Variant> make_variant(const Registration& registration,
                                      const std::vector<Expression::Argument>& arguments,
                                      const Problem& problem) {
  std::unique_ptr<Variant> variant = registration.make();
  if (!registration.powers.compose) {
    configure(parameters_of(*variant), {std::string(registration.info.name), arguments}, problem);
    return variant;
  }
  configure(parameters_of(*variant), without_members(registration.info.name, arguments), problem);
  std::vector<Member> members;
  for (const Expression& member : listed_members(registration, arguments)) {
    if (is_layer_word(member.name)) {
      throw Error(std::string(registration.info.name) + ": " + member.name +
                  "(...) stands around a whole layer, and not inside a variant");
    }
    members.push_back({member.name, make_variant(member, problem)});
  }
  variant->compose(std::move(members));
  return variant;
}

std::unique_ptr<Variant> make_variant(const Expression& expression, const Problem& problem) {
  const CatalogueEntry entry = Catalogue::instance().find(expression.name);
  return make_variant(*entry.registration, expression.arguments, problem);
}

Expression resolved_expression(const Registration& registration,
                               const std::vector<Expression::Argument>& arguments,
                               const Problem& problem) {
  Expression result{std::string(registration.info.name), {}};
  for (const Expression& member : listed_members(registration, arguments)) {
    result.arguments.push_back({{}, {}, {resolved_expression(member, problem)}});
  }
  const std::unique_ptr<Variant> variant = make_variant(registration, arguments, problem);
  for (const ParameterInfo& info : parameter_infos(parameters_of(*variant))) {
    result.arguments.push_back({info.name, info.default_value, {}});
  }
  return result;
}

Expression resolved_expression(const Expression& expression, const Problem& problem) {
  const CatalogueEntry entry = Catalogue::instance().find(expression.name);
  return resolved_expression(*entry.registration, expression.arguments, problem);
}

}  // namespace subquad

#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "expressions/expression.h"
#include "expressions/settings.h"
#include "subquad/error.h"
#include "subquad/registry.h"

namespace subquad {

/// A peer (variants/peers/) that this build has not, because the library that it wraps was not
/// found.
class NotBuilt : public Error {
 public:
  using Error::Error;
};

/// Stands for every variant of the catalogue where an experiment lists variants; names none.
inline constexpr std::string_view kEveryVariant = "all";

/// A variant that can be named in expressions.
struct CatalogueEntry {
  const Registration* registration;
  std::string origin;  ///< "built-in", or the path of the shared library
  const Info& info() const { return registration->info; }
};

/// Every registered variant, sorted by name: what the program holds and what was loaded into it.
/// The only list of variants there is. Peers, the shared libraries in the folder `peers` beside the
/// program, each named after its variant, are loaded when they are first asked for, so that a
/// library behind one burdens no point that does not name it.
class Catalogue {
 public:
  static Catalogue& instance();

  const std::vector<CatalogueEntry>& entries() const { return entries_; }
  /// Loads a peer of that name where nothing else has it. Throws NotBuilt, with the package that is
  /// missing, for a peer that is not there, otherwise Error with the nearest name.
  CatalogueEntry find(std::string_view name);
  std::vector<std::string> names() const;
  /// Loads every peer there is.
  void load_peers();
  /// Why peers that were not built are not there, by name.
  std::map<std::string, std::string> missing_peers() const;
  /// Loads a shared library of variants, never to be unloaded. Refuses (Error) a file that exports
  /// no entry, another ABI version or another toolchain, naming both, and names already taken.
  void load_plugin(const std::string& path);
  /// Called with the path of each file before it is loaded, to throw Error if it had better not be.
  void before_loading(std::function<void(const std::string& path)> check) {
    check_ = std::move(check);
  }
  /// Loads what SUBQUAD_PLUGIN_PATH names (files or folders, separated by colons).
  void load_plugin_path();

 private:
  Catalogue();
  void add(const Registration* first, const std::string& origin);
  const CatalogueEntry* known(std::string_view name) const;

  std::vector<CatalogueEntry> entries_;
  std::function<void(const std::string&)> check_;
};

/// All hyper-parameters of a variant: its own, then those of its family.
VisitParameters parameters_of(Variant& variant);

/// Why a variant cannot do a problem, by its family or by itself; empty if it can.
std::string refusal_of(const Variant& variant, const Problem& problem);

/// The variant that `expression` (not `heads`) names, with its parameters evaluated for `problem`
/// and composed of those that it lists.
std::unique_ptr<Variant> make_variant(const Expression& expression, const Problem& problem);
/// The same of a variant that need not be in the catalogue; `arguments` are those of its
/// expression.
std::unique_ptr<Variant> make_variant(const Registration& registration,
                                      const std::vector<Expression::Argument>& arguments,
                                      const Problem& problem);

/// `expression` with every parameter at the value that it has for `problem`, the resolved spelling.
Expression resolved_expression(const Expression& expression, const Problem& problem);
Expression resolved_expression(const Registration& registration,
                               const std::vector<Expression::Argument>& arguments,
                               const Problem& problem);

}  // namespace subquad

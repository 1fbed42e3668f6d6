#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace subquad {

/// A JSON object of a file that people write: members are asked for by name, and what nobody asked
/// for is refused with the nearest name that somebody did. Every error begins with the place,
/// "x.json: rows[2]". The JSON must outlive it.
class JsonFields {
 public:
  /// Throws Error if `json` is no object.
  JsonFields(const nlohmann::json& json, std::string place);

  /// The member, or null if there is none.
  const nlohmann::json* find(const std::string& name);
  bool has(const std::string& name) { return find(name) != nullptr; }

  // These throw Error for a member of another kind; those without a default also for none.
  std::string text(const std::string& name);
  std::string text(const std::string& name, const std::string& otherwise);
  double number(const std::string& name);
  std::optional<double> maybe_number(const std::string& name);
  /// A whole number from `least` to 2^40.
  std::int64_t whole(const std::string& name, std::int64_t least);
  std::vector<std::string> texts(const std::string& name);   ///< of a list; empty for none
  std::vector<JsonFields> objects(const std::string& name);  ///< of a list; empty for none
  /// The member as an object; Error for none.
  JsonFields object(const std::string& name);
  /// Names of all members, in alphabetical order; counts as asking for each.
  std::vector<std::string> names();

  /// Throws Error if a member was never asked for.
  void done() const;
  [[noreturn]] void fail(const std::string& what) const;
  const std::string& place() const { return place_; }

 private:
  const nlohmann::json& need(const std::string& name);

  const nlohmann::json* json_;
  std::string place_;
  std::set<std::string> asked_;
};

}  // namespace subquad

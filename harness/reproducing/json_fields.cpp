#include "reproducing/json_fields.h"

#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "expressions/settings.h"
#include "subquad/error.h"
#include "texts/plain_text.h"

namespace subquad {

JsonFields::JsonFields(const nlohmann::json& json, std::string place)
    : json_(&json), place_(std::move(place)) {
  if (!json.is_object()) fail("is no object");
}

void JsonFields::fail(const std::string& what) const { throw Error(place_ + " " + what); }

const nlohmann::json* JsonFields::find(const std::string& name) {
  asked_.insert(name);
  const auto found = json_->find(name);
  return found == json_->end() ? nullptr : &*found;
}

const nlohmann::json& JsonFields::need(const std::string& name) {
  const nlohmann::json* member = find(name);
  if (member == nullptr) fail("lacks '" + name + "'");
  return *member;
}

std::string JsonFields::text(const std::string& name) {
  const nlohmann::json& member = need(name);
  if (!member.is_string()) fail(name + " is no text");
  const auto& text = member.get_ref<const std::string&>();
  if (!is_plain_text(text)) fail(name + " holds what is no plain text: " + printable(text));
  return text;
}

std::string JsonFields::text(const std::string& name, const std::string& otherwise) {
  return has(name) ? text(name) : otherwise;
}

double JsonFields::number(const std::string& name) {
  const nlohmann::json& member = need(name);
  if (!member.is_number()) fail(name + " is no number");
  return member.get<double>();
}

std::optional<double> JsonFields::maybe_number(const std::string& name) {
  return has(name) ? std::optional(number(name)) : std::nullopt;
}

std::int64_t JsonFields::whole(const std::string& name, std::int64_t least) {
  constexpr double kMost = 0x1p40;
  const double value = number(name);
  if (!(value >= static_cast<double>(least) && value <= kMost && value == std::floor(value))) {
    fail(fmt::format("{} = {} is no whole number from {} to {}", name, value, least, kMost));
  }
  return static_cast<std::int64_t>(value);
}

std::vector<std::string> JsonFields::texts(const std::string& name) {
  const nlohmann::json* member = find(name);
  std::vector<std::string> all;
  if (member == nullptr) return all;
  if (!member->is_array()) fail(name + " is no list");
  for (const nlohmann::json& element : *member) {
    if (!element.is_string()) fail(name + " is no list of texts");
    all.push_back(element.get<std::string>());
    if (!is_plain_text(all.back())) fail(name + " holds what is no plain text");
  }
  return all;
}

std::vector<JsonFields> JsonFields::objects(const std::string& name) {
  const nlohmann::json* member = find(name);
  std::vector<JsonFields> all;
  if (member == nullptr) return all;
  if (!member->is_array()) fail(name + " is no list");
  for (const nlohmann::json& element : *member) {
    const char* between = place_.ends_with(':') ? " " : ".";
    all.emplace_back(element, fmt::format("{}{}{}[{}]", place_, between, name, all.size()));
  }
  return all;
}

JsonFields JsonFields::object(const std::string& name) {
  const char* between = place_.ends_with(':') ? " " : ".";
  return JsonFields(need(name), place_ + between + name);
}

std::vector<std::string> JsonFields::names() {
  std::vector<std::string> all;
  for (const auto& member : json_->items()) all.push_back(member.key());
  asked_.insert(all.begin(), all.end());
  return all;
}

void JsonFields::done() const {
  for (const auto& member : json_->items()) {
    if (asked_.count(member.key()) > 0) continue;
    fail("has an unknown key '" + printable(member.key()) + "'" +
         suggestion(member.key(), {asked_.begin(), asked_.end()}));
  }
}

}  // namespace subquad

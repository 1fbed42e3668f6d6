#include "texts/strict_json.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "subquad/error.h"
#include "texts/plain_text.h"

namespace subquad {
namespace {

using Json = nlohmann::json;

/// Builds the value while it is parsed, so that a limit stops it before memory is spent.
class Builder final : public nlohmann::json_sax<Json> {
 public:
  Builder(const JsonLimits& limits, const std::string& what) : limits_(limits), what_(what) {}

  Json take() { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t&) override { fail("holds binary data"); }
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    const auto [place, is_new] = open_.back()->emplace(name, nullptr);
    if (!is_new) fail(fmt::format("names '{}' twice", printable(name)));
    member_ = &place.value();
    return true;
  }

  bool parse_error(std::size_t byte, const std::string&, const Json::exception& error) override {
    constexpr int kNumberOverflow = 406;
    if (error.id == kNumberOverflow) fail("holds a number out of range");
    fail(fmt::format("is no JSON (byte {})", byte));
  }

 private:
  [[noreturn]] void fail(const std::string& reason) const {
    throw Error(fmt::format("{} {}", what_, reason));
  }

  Json* put(Json&& value) {
    if (++values_ > limits_.values) fail(fmt::format("holds more than {} values", limits_.values));
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    if (open_.back()->is_object()) {
      *member_ = std::move(value);
      return member_;
    }
    auto& list = open_.back()->get_ref<Json::array_t&>();
    if (list.size() == limits_.elements) {
      fail(fmt::format("holds a list of more than {} elements", limits_.elements));
    }
    list.push_back(std::move(value));
    return &list.back();
  }

  bool add(Json&& value) {
    put(std::move(value));
    return true;
  }

  bool open(Json&& value) {
    if (open_.size() >= static_cast<std::size_t>(limits_.depth)) {
      fail(fmt::format("is nested deeper than {} levels", limits_.depth));
    }
    // Stays where it is: nothing is added to what holds it before it is closed.
    open_.push_back(put(std::move(value)));
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  const JsonLimits& limits_;
  const std::string& what_;
  Json root_;
  std::vector<Json*> open_;
  Json* member_ = nullptr;  ///< of the innermost object, where the next value goes
  std::size_t values_ = 0;
};

}  // namespace

Json parse_strict_json(std::string_view text, const JsonLimits& limits, const std::string& what) {
  Builder builder(limits, what);
  Json::sax_parse(text.begin(), text.end(), &builder);
  return builder.take();
}

}  // namespace subquad

#pragma once

#include <bit>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string_view>
#include <type_traits>

#include "subquad/view.h"

namespace subquad {

/// Values that a numeric hyper-parameter may take; both ends belong to it.
struct Range {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
};
inline Range at_least(double low) { return {low, std::numeric_limits<double>::infinity()}; }
inline Range between(double low, double high) { return {low, high}; }
inline Range anything() { return {}; }

/// Some values of an enumeration 0, 1, ..., written with '+' between their names: "random+dot".
template <class Enum>
struct Some {
  std::uint32_t bits = 0;

  Some(std::initializer_list<Enum> values) {
    for (const Enum value : values) bits |= bit(value);
  }
  bool has(Enum value) const { return (bits & bit(value)) != 0; }
  Index count() const { return std::popcount(bits); }

 private:
  static std::uint32_t bit(Enum value) { return std::uint32_t{1} << static_cast<int>(value); }
};

/// Visits hyper-parameters, one call per parameter: name, member, what it may be, documentation.
/// The member's initialiser is its default. Help, parsing, range checks, sweeps, records and the
/// line that repeats a measurement are all visitors over the same calls.
///
///     void parameters(Parameters& visit) override {
///       visit("radius", radius, at_least(0), "keys seen on either side of the query");
///       visit("kind", kind, {"full", "simple", "local"}, "which positions share a bias");
///     }
class Parameters {
 public:
  virtual ~Parameters() = default;

  void operator()(std::string_view name, Index& value, Range range, std::string_view doc) {
    integer(name, value, range, doc);
  }
  void operator()(std::string_view name, double& value, Range range, std::string_view doc) {
    real(name, value, range, doc);
  }
  void operator()(std::string_view name, bool& value, std::string_view doc) {
    boolean(name, value, doc);
  }
  /// A choice by name. `Enum` is an enumeration whose values 0, 1, ... are named in order.
  template <class Enum>
  requires std::is_enum_v<Enum>
  void operator()(std::string_view name, Enum& value, std::initializer_list<std::string_view> names,
                  std::string_view doc) {
    int chosen = static_cast<int>(value);
    choice(name, chosen, names, doc);
    value = static_cast<Enum>(chosen);
  }
  /// One or more of at most 32 names, in whatever order they are written.
  template <class Enum>
  void operator()(std::string_view name, Some<Enum>& values,
                  std::initializer_list<std::string_view> names, std::string_view doc) {
    some(name, values.bits, names, doc);
  }

 protected:
  using Names = std::initializer_list<std::string_view>;
  virtual void integer(std::string_view name, Index& value, Range range, std::string_view doc) = 0;
  virtual void real(std::string_view name, double& value, Range range, std::string_view doc) = 0;
  virtual void boolean(std::string_view name, bool& value, std::string_view doc) = 0;
  virtual void choice(std::string_view name, int& value, Names names, std::string_view doc) = 0;
  /// Bit i of `bits` stands for name i.
  virtual void some(std::string_view name, std::uint32_t& bits, Names names,
                    std::string_view doc) = 0;
};

}  // namespace subquad

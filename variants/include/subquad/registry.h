#pragma once

#include <memory>
#include <string_view>
#include <type_traits>

#include "subquad/restriction.h"
#include "subquad/variant.h"

/// Functions of the program that a shared library of variants calls.
#define SUBQUAD_EXPORT __attribute__((visibility("default")))

namespace subquad {

/// What the catalogue prints of a variant.
struct Info {
  std::string_view name;      ///< as in expressions: lower case, [a-z0-9_]
  std::string_view summary;   ///< one line
  std::string_view citation;  ///< arXiv id or, where there is none, authors, title and year
  std::string_view time;      ///< complexity of one head: n length, d head dim, parameters by name
  std::string_view memory;    ///< the same for memory beyond inputs and output
  /// Of a variant made of others: those that stand for it where an expression lists none,
  /// "local(radius=8),strided(stride=8)".
  std::string_view members = {};
};

/// One registered variant. Registrations of a program or shared library form a list of their own,
/// so that loading a library runs nothing of the program before its version has been checked.
struct Registration {
  Info info;
  Powers powers;
  std::unique_ptr<Variant> (*make)();  ///< at default parameters
  const Registration* next;
};

/// The list of this program or shared library: hidden, so each has one.
__attribute__((visibility("hidden"))) inline const Registration* local_registrations = nullptr;

/// Changes whenever a type in these headers changes its meaning or layout.
inline constexpr int kAbiVersion = 6;

/// What a shared library of variants exports, in C. The loader reads `abi_version` first, which
/// stays the first member for ever, and goes on only if it and `toolchain` are the program's own.
struct PluginEntry {
  int abi_version;
  const char* toolchain;
  const Registration* registrations;
};

#define SUBQUAD_STRING_(x) #x
#define SUBQUAD_STRING(x) SUBQUAD_STRING_(x)
/// Compiler's C++ ABI and standard library: what must agree for C++ types to cross.
#define SUBQUAD_TOOLCHAIN \
  "libstdc++ " SUBQUAD_STRING(_GLIBCXX_RELEASE) ", cxxabi " SUBQUAD_STRING(__GXX_ABI_VERSION)

/// What `subquad_plugin` gives. Hidden, so each has its own: a static inside that function would be
/// a unique symbol, one for all shared libraries of a process.
__attribute__((visibility("hidden"))) inline PluginEntry local_entry{kAbiVersion, SUBQUAD_TOOLCHAIN,
                                                                     nullptr};

template <class V>
constexpr Powers powers_of() {
  // A member function that V or a base below Variant overrides has another class in its type.
  return {
      .compose = !std::is_same_v<decltype(&V::compose), decltype(&Variant::compose)>,
      .plan = std::is_base_of_v<Restriction, V>,
      .weights = !std::is_same_v<decltype(&V::weights), decltype(&Variant::weights)>,
      .prepare = !std::is_same_v<decltype(&V::prepare), decltype(&Variant::prepare)>,
      .stream = !std::is_same_v<decltype(&V::stream), decltype(&Variant::stream)>,
      .calibrate = !std::is_same_v<decltype(&V::calibrate), decltype(&Variant::calibrate)>,
      .backward = !std::is_same_v<decltype(&V::backward), decltype(&Variant::backward)>,
  };
}

template <class V>
class Registrar {
 public:
  explicit Registrar(Info info)
      : registration_{info, powers_of<V>(),
                      []() -> std::unique_ptr<Variant> { return std::make_unique<V>(); },
                      local_registrations} {
    local_registrations = &registration_;
  }

 private:
  Registration registration_;
};

}  // namespace subquad

/// The one symbol by which a shared library is recognised. In the program itself nobody asks for
/// it.
extern "C" SUBQUAD_EXPORT __attribute__((used)) inline const subquad::PluginEntry*
subquad_plugin() {
  subquad::local_entry.registrations = subquad::local_registrations;
  return &subquad::local_entry;
}

/// Last line of a variant's file: its class and its `Info`.
#define SUBQUAD_VARIANT(Class, ...) \
  static const subquad::Registrar<Class> registrar_of_##Class { subquad::Info __VA_ARGS__ }

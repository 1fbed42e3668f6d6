#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "inputs/input.h"
#include "inputs/text.h"
#include "subquad/parameters.h"
#include "subquad/random.h"
#include "subquad/view.h"

namespace subquad {

/// Random numbers of one head of one sequence. Each matrix has a stream of its own, so its bits
/// depend on the seed, the sequence and the head alone, not on how many heads are asked for.
class HeadStreams {
 public:
  enum class Matrix { queries, keys, values, structure, vocabulary };

  /// `head` counts query heads, `key_head` key heads.
  HeadStreams(std::uint64_t seed, Index sequence, Index head, Index key_head)
      : seed_(seed), sequence_(sequence), head_(head), key_head_(key_head) {}

  Generator queries() const { return stream(Matrix::queries, head_); }
  Generator keys() const { return stream(Matrix::keys, key_head_); }
  Generator values() const { return stream(Matrix::values, key_head_); }
  /// What queries and keys have in common (centres, a basis): the same for all heads that share
  /// keys.
  Generator structure() const { return stream(Matrix::structure, key_head_); }
  /// What all sequences have in common, again for all heads that share keys.
  Generator vocabulary() const {
    return HeadStreams(seed_, 0, head_, key_head_).stream(Matrix::vocabulary, key_head_);
  }

 private:
  Generator stream(Matrix matrix, Index head) const;

  std::uint64_t seed_;
  Index sequence_, head_, key_head_;
};

/// Makes Q, K, V of one head after another. A generator's file says which phenomenon it imitates;
/// its parameters are declared as a variant's are.
class InputGenerator {
 public:
  virtual ~InputGenerator() = default;

  virtual void parameters(Parameters& visit) = 0;
  /// K [keys, dim] and V [keys, value_dim].
  virtual void fill_keys(const HeadStreams& streams, View k, View v) const = 0;
  /// Q [rows, dim], at least one row per key: row i is the query of the token at position i, rows
  /// beyond the keys are those of other tokens. `k` is what `fill_keys` made.
  virtual void fill_queries(const HeadStreams& streams, ConstView k, View q) const = 0;
  /// Queries are tokens of another sequence than the keys (cross attention), so `fill_queries` gets
  /// as many rows as are asked for. Otherwise queries that are fewer than the keys are those of the
  /// last keys.
  virtual bool queries_are_tokens_of_their_own() const { return false; }
};

/// A registered input. Other than a generator's parameters, those of what reads a file are texts.
struct InputKind {
  std::string_view name;
  std::string_view summary;
  std::vector<ParameterInfo> (*parameters)();
  LayerInput (*make)(const Expression&, const InputRequest&);  ///< null if it gives no Q, K, V
  /// Null if it gives no text.
  TextWindows (*make_text)(const Expression&, const InputRequest&) = nullptr;
};

/// Every registered input: the only list of them.
std::vector<InputKind>& input_kinds();
/// Throws Error naming the nearest.
const InputKind& find_input(const Expression& expression);

struct InputRegistrar {
  explicit InputRegistrar(const InputKind& kind) { input_kinds().push_back(kind); }
};

/// Sets the generator's parameters from `expression` and fills what `request` asks for.
LayerInput generate(InputGenerator& generator, const Expression& expression,
                    const InputRequest& request);

template <class G>
InputKind kind_of(std::string_view name, std::string_view summary) {
  return {name, summary,
          [] {
            G generator;
            return parameter_infos([&](Parameters& visit) { generator.parameters(visit); });
          },
          [](const Expression& expression, const InputRequest& request) {
            G generator;
            return generate(generator, expression, request);
          }};
}

/// Last line of a generator's file: its class, its name in expressions, one line about it.
#define SUBQUAD_INPUT(Class, name, summary) \
  static const subquad::InputRegistrar registrar_of_##Class(subquad::kind_of<Class>(name, summary))

}  // namespace subquad

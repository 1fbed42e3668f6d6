#pragma once

#include <string>
#include <vector>

#include "expressions/expression.h"
#include "inputs/input.h"
#include "inputs/text.h"

namespace subquad {

/// Where the tensors of a layer come from. A layer expression is one of
///
///     LAYER                        a variant or heads(...): as their initialisers draw them
///     fitted(LAYER,key=value,...)  then fitted, by `calibrate`, on windows
///     loaded(LAYER,path=FILE)      those of a file in place of drawn ones, by name
///
/// Windows are the sequences of the input that the layer meets, with these arguments in place of
/// its own (batch=0:16:2, heads=1), or of another input: on=file(path=...). Of a generator, batch=8
/// means eight sequences that follow those that the layer meets, seed=7 those of another seed; of a
/// text, batch=8 means eight windows.
/// `fitted(LAYER)` alone is fitted on the very sequences that it meets: no held-out figure, but the
/// best that the fit can do.
struct TensorSource {
  enum class From { initialisers, windows, file };
  From from = From::initialisers;
  Expression layer;
  std::vector<Expression::Argument> arguments;

  /// Throws Error for what is none of the above.
  static TensorSource of(const Expression& expression);

  /// The same source around another spelling of its layer.
  Expression around(Expression resolved) const;
  /// The windows where the layer meets `input`. Throws Error, as `make_input` does.
  LayerInput windows(const Expression& input, const InputRequest& request) const;
  /// Of text, likewise: those that a model with the layer in it is to read.
  TextWindows text_windows(const Expression& input, const InputRequest& request) const;
  /// Files that tensors depend on where the layer meets `input`.
  std::vector<std::string> files(const Expression& input) const;
};

/// Words that stand around a layer, and so are no names of variants: "heads", "fitted", "loaded".
bool is_layer_word(std::string_view name);
/// The variant's name, "heads" for a mixture, whatever stands around it.
std::string family_of(const Expression& expression);

}  // namespace subquad

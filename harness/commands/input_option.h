#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "experiments/options.h"
#include "inputs/input.h"
#include "subquad/problem.h"

namespace subquad {

/// The options that `read_input_option` reads, and then `options`.
std::vector<OptionSpec> with_input_options(const std::vector<OptionSpec>& options);

/// What a command works on.
struct GivenInput {
  std::string source;  ///< as it was given, for messages
  Expression expression;
  InputRequest request;
  LayerInput input;  ///< what these make
  Problem problem;   ///< of one head
  std::uint64_t seed = 0;
};

/// Q, K, V and their mask as the option `name` and those around it say. Its value is a file
/// (its name has a `.` or `/`) or an input expression, `alignment(noise=0.1)` or
/// `file(path=qkv.npz,batch=3)`. A generator fills the shape that the options ask for; a file is
/// taken whole unless --length or --queries cut it. Causal queries that are fewer than the keys are
/// the last of them unless --first-query says where they stand. Mistakes throw Error.
GivenInput read_input_option(const ParsedOptions& options, const std::string& name = "input");
/// A second input under the same options; a generator makes the sequences that follow the first.
inline constexpr const char* kTestInput = "test";

}  // namespace subquad

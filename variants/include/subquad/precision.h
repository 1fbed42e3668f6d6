#pragma once

#include <string>

#include "subquad/parameters.h"

namespace subquad {

/// Numbers that the two products of softmax attention take; sums and the softmax are in float32
/// throughout.
enum class Precision {
  f32,
  bf16,        ///< queries, keys, values and weights rounded to 8 bits, on AMX tiles
  bf16_plain,  ///< the same operands, multiplied as float32 on any processor: for study
};

/// Declares the parameter `precision`.
inline void visit_precision(Parameters& visit, Precision& precision) {
  visit("precision", precision, {"f32", "bf16", "bf16_plain"},
        "operands of products: float32, bf16 on AMX tiles, or bf16 multiplied as float32");
}

/// Why this machine cannot compute so, or empty.
std::string refuses(Precision precision);

/// Largest relative error of rounding an operand; 0 where operands are taken as they are.
double operand_roundoff(Precision precision);

}  // namespace subquad

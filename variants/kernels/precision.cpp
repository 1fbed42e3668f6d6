#include "subquad/precision.h"

#include "kernels/amx.h"

namespace subquad {

std::string refuses(Precision precision) {
  if (precision != Precision::bf16 || amx_refusal().empty()) return {};
  return amx_refusal() + "; precision=bf16_plain runs anywhere";
}

double operand_roundoff(Precision precision) { return precision == Precision::f32 ? 0 : 0x1p-8; }

}  // namespace subquad

#pragma once

namespace subquad {

/// Multiplies tiles of bf16 for some ten microseconds; returns the flops. Only where
/// `has_bf16_units` (peak_probe.h).
double multiply_bf16_tiles();

}  // namespace subquad

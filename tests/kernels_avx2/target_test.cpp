#include <gtest/gtest.h>

#include "hwy/highway.h"

// The kernels are compiled for one instruction set per build, so that on a newer machine nothing
// else would ever run what users of older ones run.
static_assert(HWY_TARGET == HWY_AVX2, "this binary is to test the AVX2 path");

TEST(KernelsForAvx2, AreWhatThisBinaryHolds) {
  EXPECT_NE(hwy::SupportedTargets() & HWY_AVX2, 0) << "this machine cannot run them";
}

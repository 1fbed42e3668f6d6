#include "kernels/fft.h"

#include <gtest/gtest.h>

#include <numbers>
#include <vector>

#include "subquad/random.h"
#include "support/simple_run.h"

namespace subquad {
namespace {

using Complex = Fft::Complex;

/// Transforms with exactly the memory that the plan asks for.
std::vector<Complex> transform(const std::vector<Complex>& in) {
  const auto n = static_cast<Index>(in.size());
  Scratch scratch;
  scratch.shared_bytes = Fft::plan_bytes(n);
  scratch.worker<Complex>(Fft::work_size(n));
  SimpleRun run(scratch);
  const Fft fft(n, run.shared());
  std::vector<Complex> out(in.size());
  Worker& worker = run.worker();
  fft.transform(in.data(), out.data(), worker.scratch.take<Complex>(Fft::work_size(n)).data(),
                worker);
  EXPECT_EQ(worker.executed.multiply_adds, fft.multiply_adds());
  EXPECT_GE(fft.multiply_adds(), Fft::nominal_multiply_adds(n));
  // Whole, so that what several threads add up to is the same in any order.
  EXPECT_EQ(fft.multiply_adds(), std::round(fft.multiply_adds()));
  return out;
}

std::vector<Complex> random_numbers(Index n) {
  Generator random(static_cast<std::uint64_t>(n));
  std::vector<Complex> result;
  for (Index t = 0; t < n; ++t) {
    const auto real = static_cast<float>(random.normal());
    result.emplace_back(real, static_cast<float>(random.normal()));
  }
  return result;
}

class FftLengths : public testing::TestWithParam<Index> {};

TEST_P(FftLengths, EqualsTheDefinition) {
  const Index n = GetParam();
  const std::vector<Complex> in = random_numbers(n), out = transform(in);
  double error = 0, norm = 0;
  // All frequencies of short lengths, a spread of those of long ones.
  for (Index s = 0; s < n; s += 1 + n / 500) {
    std::complex<double> sum = 0;
    for (Index t = 0; t < n; ++t) {
      sum += std::complex<double>(in[t]) *
             std::polar(1.0, -2 * std::numbers::pi * static_cast<double>(s * t % n) /
                                 static_cast<double>(n));
    }
    error += std::norm(std::complex<double>(out[s]) - sum);
    norm += std::norm(sum);
  }
  // Rounding errors of a fast transform grow with log2(n); Bluestein's runs through two of them.
  const double steps = std::log2(static_cast<double>(n)) + 1;
  EXPECT_LT(std::sqrt(error / norm), 2 * steps * std::numeric_limits<float>::epsilon());
}

INSTANTIATE_TEST_SUITE_P(Fft, FftLengths,
                         testing::Values(1, 2, 3, 4, 5, 6, 7, 11, 15, 17, 64, 96, 97, 100, 768,
                                         1000, 1024, 1025, 2018, 4099, 16384, 65537));

TEST(Fft, PadsToTheNextLengthThatIsFast) {
  // 2 x 4099 - 1 = 8197 numbers at least, and 8640 = 2^6 3^3 5 is the next length without a larger
  // factor than 5.
  EXPECT_EQ(Fft::work_size(4099), 2 * 8640);
  EXPECT_EQ(Fft::work_size(17), 2 * 36);
  EXPECT_EQ(Fft::work_size(1000), 0);
}

TEST(Fft, AnImpulseIsAWave) {
  for (const Index n : {8, 13}) {
    std::vector<Complex> in(static_cast<std::size_t>(n));
    in[1] = 1;
    const std::vector<Complex> out = transform(in);
    for (Index s = 0; s < n; ++s) {
      const double angle = -2 * std::numbers::pi * static_cast<double>(s) / static_cast<double>(n);
      EXPECT_NEAR(out[s].real(), std::cos(angle), 1e-6);
      EXPECT_NEAR(out[s].imag(), std::sin(angle), 1e-6);
    }
  }
}

TEST(Fft, KeepsEnergy) {
  for (const Index n : {1000, 4099}) {
    double before = 0, after = 0;
    const std::vector<Complex> in = random_numbers(n);
    for (const Complex& value : in) before += std::norm(value);
    for (const Complex& value : transform(in)) after += std::norm(value);
    EXPECT_NEAR(after / (before * static_cast<double>(n)), 1, 1e-5);
  }
}

}  // namespace
}  // namespace subquad

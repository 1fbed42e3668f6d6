#include <hwy/highway.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <vector>

#include "records/machine.h"
#include "records/peak_probe.h"

HWY_BEFORE_NAMESPACE();
namespace subquad {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using Floats = hn::ScalableTag<float>;

/// Replaces x in [-1, 0] by -2^x, in the fewest steps that give a float all its digits: the integer
/// part goes straight into the exponent's bits, the rest through the first terms of the series.
double exponentials(std::span<float> values) {
  const Floats d;
  const hn::RebindToSigned<Floats> integers;
  const std::size_t lanes = hn::Lanes(d);
  const auto round = hn::Set(d, 0x1.8p23f);
  constexpr float kSeries[] = {1.5403530e-4f, 1.3333558e-3f, 9.6181291e-3f, 5.5504109e-2f,
                               2.4022651e-1f, 6.9314718e-1f, 1.0f};
  for (std::size_t i = 0; i + lanes <= values.size(); i += lanes) {
    const auto x = hn::LoadU(d, values.data() + i);
    const auto shifted = hn::Add(x, round);
    const auto f = hn::Sub(x, hn::Sub(shifted, round));
    auto power = hn::Set(d, kSeries[0]);
    for (std::size_t k = 1; k < std::size(kSeries); ++k) {
      power = hn::MulAdd(power, f, hn::Set(d, kSeries[k]));
    }
    const auto exponent = hn::ShiftLeft<23>(hn::BitCast(integers, shifted));
    power = hn::BitCast(d, hn::Add(hn::BitCast(integers, power), exponent));
    hn::StoreU(hn::Neg(power), d, values.data() + i);
  }
  return static_cast<double>(values.size());
}

float sum(std::span<const float> values) {
  const Floats d;
  const std::size_t lanes = hn::Lanes(d);
  auto a = hn::Zero(d), b = a, c = a, e = a;
  for (std::size_t i = 0; i + 4 * lanes <= values.size(); i += 4 * lanes) {
    a = hn::Add(a, hn::LoadU(d, values.data() + i));
    b = hn::Add(b, hn::LoadU(d, values.data() + i + lanes));
    c = hn::Add(c, hn::LoadU(d, values.data() + i + 2 * lanes));
    e = hn::Add(e, hn::LoadU(d, values.data() + i + 3 * lanes));
  }
  return hn::GetLane(hn::Add(hn::Add(a, b), hn::Add(c, e)));
}

/// a = b + 3 c; the three have one size.
void triad(std::span<float> a, std::span<const float> b, std::span<const float> c) {
  const Floats d;
  const std::size_t lanes = hn::Lanes(d);
  const auto factor = hn::Set(d, 3.0f);
  for (std::size_t i = 0; i + lanes <= a.size(); i += lanes) {
    hn::StoreU(hn::MulAdd(factor, hn::LoadU(d, c.data() + i), hn::LoadU(d, b.data() + i)), d,
               a.data() + i);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE

namespace {

namespace target = HWY_NAMESPACE;

constexpr double kWindowSeconds = 1e-3;
constexpr int kWindows = 16;
// Memory is slow: a window must be long enough to leave the caches.
constexpr double kMemorySeconds = 10e-3;
constexpr int kMemoryWindows = 6;

template <class RateOn>
Rate on_one_and_all(int threads, RateOn rate_on) {
  const double one = rate_on(1);
  return {one, threads == 1 ? one : rate_on(threads)};
}

Rate multiply_add_rate(Arithmetic arithmetic, int threads) {
  const auto gflops = [=](int count) {
    // The more threads, the rarer is a window in which nothing else runs.
    return 1e-9 * best_rate(count, count == 1 ? kWindows : 2 * kWindows, kWindowSeconds,
                            [=](int) { return multiply_from_registers(arithmetic); });
  };
  return on_one_and_all(threads, gflops);
}

double exponential_rate() {
  std::vector<float> values(4096, -0.5f);
  return best_rate(1, kWindows, kWindowSeconds, [&](int) { return target::exponentials(values); });
}

/// Memory that is there, on large pages where the system gives them: a walk through page tables is
/// no part of what is measured.
class Block {
 public:
  explicit Block(std::size_t bytes) : bytes_(bytes) {
    void* memory =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    ::madvise(memory, bytes, MADV_HUGEPAGE);
    floats_ = static_cast<float*>(memory);
    std::fill_n(floats_, bytes / sizeof(float), 1.0f);
  }
  ~Block() { ::munmap(floats_, bytes_); }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  /// Part number `index` of `count` equal ones.
  std::span<float> part(int index, int count) const {
    const std::size_t size = bytes_ / sizeof(float) / static_cast<std::size_t>(count);
    return {floats_ + static_cast<std::size_t>(index) * size, size};
  }

 private:
  std::size_t bytes_;
  float* floats_;
};

/// Goes round and round through a part of memory in pieces of some microseconds, so that a window
/// ends where it should.
class Pieces {
 public:
  /// Of `size` floats.
  explicit Pieces(std::size_t size) : size_(size), piece_(std::min<std::size_t>(size, 1 << 15)) {}

  std::size_t next() {
    const std::size_t begin = next_;
    next_ = begin + 2 * piece_ > size_ ? 0 : begin + piece_;
    return begin;
  }
  std::size_t piece() const { return piece_; }

 private:
  std::size_t size_, piece_;
  std::size_t next_ = 0;
};

/// Bytes per second read from blocks of `bytes`, one to a thread.
double read_rate(const Block& block, std::size_t bytes, int threads, int windows, double seconds) {
  std::vector<Pieces> pieces(static_cast<std::size_t>(threads), Pieces(bytes / sizeof(float)));
  // Apart from one another by more than a cache line.
  constexpr std::size_t kApart = 64;
  std::vector<float> sums(static_cast<std::size_t>(threads) * kApart);
  return best_rate(threads, windows, seconds, [&](int thread) {
    Pieces& mine = pieces[static_cast<std::size_t>(thread)];
    const auto values = block.part(thread, threads).subspan(mine.next(), mine.piece());
    sums[static_cast<std::size_t>(thread) * kApart] += target::sum(values);
    return static_cast<double>(values.size_bytes());
  });
}

double triad_rate(const Block& block, int threads) {
  const std::size_t size = block.part(0, 3 * threads).size();
  std::vector<Pieces> pieces(static_cast<std::size_t>(threads), Pieces(size));
  return best_rate(threads, kMemoryWindows, kMemorySeconds, [&](int thread) {
    Pieces& mine = pieces[static_cast<std::size_t>(thread)];
    const std::size_t begin = mine.next();
    const auto part = [&](int which) {
      return block.part(3 * thread + which, 3 * threads).subspan(begin, mine.piece());
    };
    target::triad(part(0), part(1), part(2));
    return 3.0 * static_cast<double>(mine.piece() * sizeof(float));
  });
}

bool is_shared(const Cache& cache) {
  return cache.shared_by.find_first_of(",-") != std::string::npos;
}

/// What is read of a cache: half of it, since other things are there too, and of a large shared one
/// no more than other machines on the same processor may leave.
std::uint64_t bytes_to_read(const Cache& cache, std::uint64_t threads) {
  constexpr std::uint64_t kMost = std::uint64_t{16} << 20;
  return std::min(cache.bytes / (is_shared(cache) ? 2 * threads : 2), kMost);
}

/// Enough that each thread's part of it is four times what the thread's own caches hold.
std::uint64_t memory_to_read(const std::vector<Cache>& caches, std::uint64_t threads) {
  std::uint64_t own = 0;
  for (const Cache& cache : caches) {
    if (!is_shared(cache)) own = std::max(own, cache.bytes);
  }
  return std::clamp(4 * threads * own, std::uint64_t{128} << 20, std::uint64_t{1} << 30);
}

void measure_memory(const std::vector<Cache>& caches, int threads, Peak& peak) {
  const auto count = static_cast<std::uint64_t>(threads);
  const std::uint64_t memory_bytes = memory_to_read(caches, count);
  const Block block(memory_bytes);
  for (const Cache& cache : caches) {
    const std::uint64_t bytes = std::min(bytes_to_read(cache, count), memory_bytes / count);
    const std::uint64_t before = peak.reading.empty() ? 0 : peak.reading.back().block_bytes;
    if (cache.type == "Instruction" || bytes <= before) continue;
    const auto rate = [&](int count) {
      return read_rate(block, bytes, count, count == 1 ? kWindows / 2 : kWindows, kWindowSeconds);
    };
    peak.reading.push_back({cache.level, bytes, on_one_and_all(threads, rate)});
  }
  const auto rate = [&](int count) {
    const std::size_t bytes = memory_bytes / static_cast<std::size_t>(count);
    return read_rate(block, bytes, count, kMemoryWindows, kMemorySeconds);
  };
  peak.reading.push_back({0, memory_bytes, on_one_and_all(threads, rate)});
  peak.triad_bytes_per_s =
      on_one_and_all(threads, [&](int count) { return triad_rate(block, count); });
}

}  // namespace

Peak measure_peak(const std::vector<Cache>& caches, int threads) {
  Peak peak;
  peak.float32_gflops = multiply_add_rate(Arithmetic::float32, threads);
  peak.exponentials_per_s = exponential_rate();
  peak.float64_gflops = multiply_add_rate(Arithmetic::float64, threads);
  if (has_bf16_units()) peak.bf16_gflops = multiply_add_rate(Arithmetic::bf16, threads);
  measure_memory(caches, threads, peak);
  return peak;
}

const char* kernel_instruction_set() { return hwy::TargetName(HWY_TARGET); }

}  // namespace subquad
HWY_AFTER_NAMESPACE();

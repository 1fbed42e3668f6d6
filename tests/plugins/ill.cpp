// ill: a variant that misbehaves as it is told to, to see that a run survives it.

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "subquad/registry.h"

namespace {

using namespace subquad;

enum class How {
  well,
  // In `forward`.
  throws,
  throws_a_number,
  crashes,
  aborts,
  recurses,
  hangs,
  exits,
  leaves,
  is_killed,
  allocates,
  maps,
  leaks,
  nan,
  wrong,
  writes_nothing,
  writes_past_output,
  writes_past_scratch,
  keeps_a_thread,
  takes_processors,
  forks,
  closes_files,
  prints,
  waits,
  dawdles,
  // In what it declares.
  changes_scratch,
  declares_too_much,
  crashes_in_refuses,
  hangs_in_refuses,
  crashes_in_cost,
  throws_in_scratch,
  // In `calibrate`.
  throws_in_calibrate,
  crashes_in_calibrate,
  hangs_in_calibrate,
  fits_nan,
};

constexpr Index kScratch = 16;  // floats: a whole cache line, so that nothing pads it
/// So many calls of `dawdles` are long: that of the arithmetic check, and the first whole one, by
/// which the later ones are counted.
constexpr Index kDawdles = 2;
/// Where `waits` waits: beyond, until the file exists that SUBQUAD_TEST_GATE names.
constexpr Index kWaitsBeyond = 32;

void fill(View out) {
  for (Index i = 0; i < out.rows; ++i) {
    for (Index c = 0; c < out.cols; ++c) out(i, c) = 1;
  }
}

[[noreturn]] void crash() {
  std::raise(SIGSEGV);
  std::abort();
}

void hang() {
  for (volatile bool for_ever = true; for_ever;) {
  }
}

/// Each call needs the one below it.
int recurse(int depth) {
  volatile char frame[4096];
  frame[0] = static_cast<char>(depth);
  return depth < 0 ? 0 : recurse(depth + 1) + frame[0];
}

/// Beyond any limit, and written to, so that it is not left out.
void allocate() {
  for (std::vector<std::vector<char>> all;;) all.emplace_back(std::size_t{64} << 20, '\1');
}

/// The same in a way that no limit of a process's data sees.
void map_shared() {
  constexpr std::size_t kBytes = std::size_t{16} << 20;
  for (;;) {
    void* block =
        ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED) hang();
    std::memset(block, 1, kBytes);
    ::usleep(20000);
  }
}

/// True for the first calls: thousands of threads or processes are a fault of another kind.
bool first_calls() {
  static std::atomic<int> calls{0};
  return ++calls <= 20;
}

void fork_and_stay() {
  if (!first_calls() || ::fork() != 0) return;
  for (;;) ::pause();
}

/// Threads that compute beside the one that was asked for, in the same call.
void take_processors() {
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([] {
      for (volatile int count = 0; count < 20'000'000;) count = count + 1;
    });
  }
  for (std::thread& thread : threads) thread.join();
}

void print_much() {
  const std::string line(1000, 'x');
  for (int i = 0; i < 4000; ++i) std::puts(line.c_str());
}

/// Leaves a file named after the gate and this process, so that a test knows who waits.
void wait_at_gate() {
  const char* gate = std::getenv("SUBQUAD_TEST_GATE");
  if (gate == nullptr || ::access(gate, F_OK) == 0) return;
  const std::string sign = gate + ("." + std::to_string(::getpid()));
  if (std::FILE* file = std::fopen(sign.c_str(), "w")) std::fclose(file);
  while (::access(gate, F_OK) != 0) ::usleep(2000);
}

class Ill final : public Variant {
 public:
  How how = How::well;

  void parameters(Parameters& visit) override {
    visit("how", how,
          {"well",
           "throws",
           "throws_a_number",
           "crashes",
           "aborts",
           "recurses",
           "hangs",
           "exits",
           "leaves",
           "is_killed",
           "allocates",
           "maps",
           "leaks",
           "nan",
           "wrong",
           "writes_nothing",
           "writes_past_output",
           "writes_past_scratch",
           "keeps_a_thread",
           "takes_processors",
           "forks",
           "closes_files",
           "prints",
           "waits",
           "dawdles",
           "changes_scratch",
           "declares_too_much",
           "crashes_in_refuses",
           "hangs_in_refuses",
           "crashes_in_cost",
           "throws_in_scratch",
           "throws_in_calibrate",
           "crashes_in_calibrate",
           "hangs_in_calibrate",
           "fits_nan"},
          "what goes wrong");
  }
  Target target(const Problem&) const override { return Target::control; }
  std::string refuses(const Problem&) const override {
    if (how == How::crashes_in_refuses) crash();
    if (how == How::hangs_in_refuses) hang();
    return {};
  }
  Cost cost(const Problem&) const override {
    if (how == How::crashes_in_cost) crash();
    return {};
  }
  void tensors(const Problem&, TensorVisitor& visit) const override {
    if (how >= How::throws_in_calibrate) {
      visit("unused", {{"numbers", 1}}, init::zeros(), Role::learned, Sharing::head, "nothing",
            fit::closed_form("as told"));
    }
    if (how != How::declares_too_much) return;
    // Whose number of bytes is beyond what 64 bits hold.
    visit("huge", {{"rows", Index{1} << 40}, {"cols", Index{1} << 40}}, init::zeros(),
          Role::learned, Sharing::head, "too much");
  }
  Scratch scratch(const Problem&) const override {
    if (how == How::throws_in_scratch) throw std::runtime_error("ill as told");
    if (how == How::writes_past_scratch) return Scratch().shared<float>(kScratch);
    if (how == How::changes_scratch) return Scratch().shared<float>(kScratch * ++questions_);
    return {};
  }

  void forward(const Call& call) const override {
    if (how == How::writes_nothing) return;
    fill(call.out);
    switch (how) {
      case How::throws:
        throw std::runtime_error("ill as told");
      case How::throws_a_number:
        throw 7;
      case How::crashes:
        crash();
      case How::aborts:
        std::abort();
      case How::recurses:
        call.out(0, 0) = static_cast<float>(recurse(0));
        return;
      case How::hangs:
        return hang();
      case How::exits:
        std::exit(0);
      case How::leaves:
        std::_Exit(7);
      case How::is_killed:
        std::raise(SIGKILL);
        return;
      case How::allocates:
        return allocate();
      case How::maps:
        return map_shared();
      case How::leaks:
        leaked_ = new char[1000];
        return;
      case How::nan:
        call.out(0, 0) = std::numeric_limits<float>::quiet_NaN();
        return;
      case How::wrong:
        call.out(0, 0) = 1.5f;
        return;
      case How::writes_past_output:
        call.out.row(call.out.rows - 1)[call.out.cols] = 1;
        return;
      case How::writes_past_scratch:
        call.run.shared().take<float>(kScratch).data()[kScratch] = 1;
        return;
      case How::changes_scratch:
        call.run.shared().take<float>(kScratch * ++questions_)[0] = 1;
        return;
      case How::keeps_a_thread:
        if (!first_calls()) return;
        std::thread([] {
          for (;;) ::pause();
        }).detach();
        return;
      case How::takes_processors:
        return take_processors();
      case How::forks:
        return fork_and_stay();
      case How::closes_files:
        ::close_range(0, ~0U, 0);
        return;
      case How::prints:
        return print_much();
      case How::waits:
        if (call.problem.keys > kWaitsBeyond) wait_at_gate();
        return;
      case How::dawdles:
        if (++questions_ <= kDawdles) ::usleep(60000);
        return;
      default:
        return;
    }
  }

  void calibrate(const Problem&, std::span<const Window>, const Tensors& tensors) const override {
    if (how == How::throws_in_calibrate) throw std::runtime_error("ill as told");
    if (how == How::crashes_in_calibrate) crash();
    if (how == How::hangs_in_calibrate) hang();
    tensors.writable("unused")(0, 0) = std::numeric_limits<float>::quiet_NaN();
  }

  void reference(const ReferenceCall& call) const override {
    for (Index i = 0; i < call.out.rows; ++i) {
      for (Index c = 0; c < call.out.cols; ++c) call.out(i, c) = 1;
    }
  }

 private:
  static inline std::atomic<Index> questions_{0};
  static inline char* volatile leaked_ = nullptr;
};

SUBQUAD_VARIANT(Ill, {.name = "ill",
                      .summary = "misbehaves as it is told to",
                      .citation = "control",
                      .time = "n d",
                      .memory = "1"});

}  // namespace

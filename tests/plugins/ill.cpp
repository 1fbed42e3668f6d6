// ill: a variant that misbehaves as it is told to, to see that a run survives it.

#include <csignal>
#include <cstdlib>
#include <limits>
#include <stdexcept>
#include <vector>

#include "subquad/registry.h"

namespace {

using namespace subquad;

enum class How { well, throws, crashes, aborts, hangs, leaves, is_killed, allocates, nan, wrong };

void fill(View out) {
  for (Index i = 0; i < out.rows; ++i) {
    for (Index c = 0; c < out.cols; ++c) out(i, c) = 1;
  }
}

class Ill final : public Variant {
 public:
  How how = How::well;

  void parameters(Parameters& visit) override {
    visit("how", how,
          {"well", "throws", "crashes", "aborts", "hangs", "leaves", "is_killed", "allocates",
           "nan", "wrong"},
          "what goes wrong");
  }
  Target target(const Problem&) const override { return Target::control; }
  Cost cost(const Problem&) const override { return {}; }

  void forward(const Call& call) const override {
    fill(call.out);
    switch (how) {
      case How::well:
        return;
      case How::throws:
        throw std::runtime_error("ill as told");
      case How::crashes:
        std::raise(SIGSEGV);
        return;
      case How::aborts:
        std::abort();
      case How::hangs:
        for (volatile bool for_ever = true; for_ever;) {
        }
        return;
      case How::leaves:
        std::_Exit(7);
      case How::is_killed:
        std::raise(SIGKILL);
        return;
      case How::allocates:
        // Beyond any limit, and written to, so that it is not left out.
        for (std::vector<std::vector<char>> all;;) all.emplace_back(std::size_t{64} << 20, '\1');
      case How::nan:
        call.out(0, 0) = std::numeric_limits<float>::quiet_NaN();
        return;
      case How::wrong:
        call.out(0, 0) = 1.5f;
        return;
    }
  }

  void reference(const ReferenceCall& call) const override {
    for (Index i = 0; i < call.out.rows; ++i) {
      for (Index c = 0; c < call.out.cols; ++c) call.out(i, c) = 1;
    }
  }
};

SUBQUAD_VARIANT(Ill, {.name = "ill",
                      .summary = "misbehaves as it is told to",
                      .citation = "control",
                      .time = "n d",
                      .memory = "1"});

}  // namespace

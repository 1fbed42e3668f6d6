// Breaks `allocates_nothing`, as a variant that a foreign library computes: each call keeps some
// memory for good.

#include <mutex>

#include "honest.h"

namespace subquad::wrong {
namespace {

class WrongLibraryKeeps final : public Honest {
 public:
  std::string library() const override { return "a library 1.0"; }

 protected:
  void attend(const Call& call, ConstView scaled, Index i, std::span<float> scores,
              Worker& worker) const override {
    static std::mutex mutex;
    static std::vector<std::unique_ptr<float[]>> kept;
    {
      const std::lock_guard lock(mutex);
      kept.push_back(std::make_unique<float[]>(1));
    }
    Honest::attend(call, scaled, i, scores, worker);
  }
};

SUBQUAD_VARIANT(WrongLibraryKeeps, {.name = "wrong_library_keeps",
                                    .summary = "breaks allocates_nothing: a library that keeps",
                                    .citation = "twin honest_library",
                                    .time = "n^2 d",
                                    .memory = "n d"});

/// Its right twin: a library that gives back what it takes.
class HonestLibrary final : public Honest {
 public:
  std::string library() const override { return "a library 1.0"; }

 protected:
  void attend(const Call& call, ConstView scaled, Index i, std::span<float> scores,
              Worker& worker) const override {
    std::vector<float> own(scores.size());
    Honest::attend(call, scaled, i, own, worker);
  }
};

SUBQUAD_VARIANT(HonestLibrary, {.name = "honest_library",
                                .summary = "a library that allocates and gives back",
                                .citation = "test",
                                .time = "n^2 d",
                                .memory = "n d"});

}  // namespace
}  // namespace subquad::wrong

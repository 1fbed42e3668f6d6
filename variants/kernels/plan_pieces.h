#pragma once

#include <algorithm>
#include <array>
#include <span>

#include "subquad/restriction.h"

namespace subquad {

/// Keys begin ... end - 1.
struct Reach {
  Index begin, end;
};

/// A few disjoint stretches of keys, ascending.
class Stretches {
 public:
  static constexpr std::size_t kMost = 8;

  /// Joins what it touches; where there are too many, all become one.
  void add(Reach reach) {
    std::size_t kept = 0;
    for (const Reach& other : all()) {
      if (other.end < reach.begin || reach.end < other.begin) {
        reaches_[kept++] = other;
      } else {
        reach = {std::min(reach.begin, other.begin), std::max(reach.end, other.end)};
      }
    }
    if (kept == kMost) {
      reach = {std::min(reach.begin, reaches_.front().begin),
               std::max(reach.end, reaches_[kMost - 1].end)};
      kept = 0;
    }
    const auto at = std::upper_bound(
        reaches_.begin(), reaches_.begin() + kept, reach,
        [](const Reach& one, const Reach& other) { return one.begin < other.begin; });
    std::move_backward(at, reaches_.begin() + kept, reaches_.begin() + kept + 1);
    *at = reach;
    count_ = kept + 1;
  }

  std::span<const Reach> all() const { return {reaches_.data(), count_}; }
  bool meets(Index begin, Index end) const {
    return std::any_of(all().begin(), all().end(),
                       [&](const Reach& one) { return one.begin < end && begin < one.end; });
  }

 private:
  std::array<Reach, kMost + 1> reaches_{};
  std::size_t count_ = 0;
};

/// Keys at p - below ... p + above of the query at position p.
struct Band {
  Index below, above;
  friend bool operator==(const Band&, const Band&) = default;
};

/// Writes what a span shows beside the keys of a band to pieces[count], ...: two pieces at the
/// most. False, and nothing written, where no kind of span says it.
bool take_out(const Band& band, const KeySpan& span, std::span<KeySpan> pieces, std::size_t& count);

/// Adds keys begin ... end - 1 of a span to a plan.
void add_span(const KeySpan& span, Index begin, Index end, KeyPlan& keys);

/// Adds to `keys` what at least one of several plans for the same queries shows, each pair once;
/// pairs of which two plans may hold different things are marked as asked. `spans` are those of all
/// plans, `singles` their single keys, ascending and distinct, `bounds` scratch for two numbers a
/// span.
void merge_plans(std::span<const KeySpan> spans, std::span<const std::int32_t> singles,
                 std::span<Index> bounds, KeyPlan& keys);

/// Writes the pieces of a span to pieces[count], ...: those in `taken` marked as asked. At most
/// 2 Stretches::kMost + 1 of them.
void cut_span(const KeySpan& span, const Stretches& taken, std::span<KeySpan> pieces,
              std::size_t& count);

}  // namespace subquad

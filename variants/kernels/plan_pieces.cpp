#include "kernels/plan_pieces.h"

namespace subquad {
namespace {

bool overlaps(const KeySpan& span, Index begin, Index end) {
  return span.keys.begin < end && begin <= span.keys.last();
}

/// The spans and single keys of several plans for the same queries, as one plan.
class MergedPlan {
 public:
  MergedPlan(std::span<const KeySpan> spans, std::span<const std::int32_t> singles,
             std::span<Index> bounds, KeyPlan& keys)
      : spans_(spans), singles_(singles), bounds_(bounds), keys_(keys) {}

  void make() {
    std::size_t count = 0;
    for (const KeySpan& span : spans_) {
      bounds_[count++] = span.keys.begin;
      bounds_[count++] = span.keys.last() + 1;
    }
    std::sort(bounds_.begin(), bounds_.begin() + static_cast<std::ptrdiff_t>(count));
    for (std::size_t i = 0; i + 1 < count; ++i) {
      if (bounds_[i] < bounds_[i + 1]) add(segment(bounds_[i], bounds_[i + 1]));
    }
    flush();
    keep_singles_below(keys_.keys());
  }

 private:
  struct Segment {
    Index begin, end;
    KeySpan span;  ///< of which it is a part
    bool empty;
  };

  /// What is seen of the keys between two neighbouring bounds.
  Segment segment(Index begin, Index end) {
    const KeySpan* whole = nullptr;
    bool conflict = false;
    for (const KeySpan& span : spans_) {
      if (!overlaps(span, begin, end)) continue;
      if (whole == nullptr || contains(span, *whole)) {
        whole = &span;
      } else if (!contains(*whole, span)) {
        conflict = true;
      }
    }
    if (whole == nullptr) return {begin, end, {}, true};
    if (whole->seen == Seen::all && whole->keys.step == 1) return {begin, end, *whole, false};
    if (!conflict) return {begin, end, *whole, false};
    return {begin, end, {{begin, end - begin}, Seen::asked}, false};
  }

  /// Whether a span shows whatever another does, wherever both are.
  static bool contains(const KeySpan& a, const KeySpan& b) {
    if (a.keys.step != 1) return false;
    if (a.seen == Seen::all) return true;
    return a.seen == Seen::band && b.seen == Seen::band && a.below >= b.below && a.above >= b.above;
  }

  /// Neighbours that show the same become one.
  void add(const Segment& next) {
    if (next.empty) return;
    const bool alike = pending_.end == next.begin && pending_.span.keys.step == 1 &&
                       next.span.keys.step == 1 && pending_.span.seen == next.span.seen &&
                       pending_.span.below == next.span.below &&
                       pending_.span.above == next.span.above;
    if (alike) {
      pending_.end = next.end;
      pending_.span.keys.count = next.end - pending_.span.keys.begin;
      return;
    }
    flush();
    pending_ = next;
  }

  void flush() {
    if (pending_.begin == pending_.end) return;
    const KeySpan& span = pending_.span;
    keep_singles_below(pending_.begin);
    add_span(span, pending_.begin, pending_.end, keys_);
    for (; next_ < singles_.size() && singles_[next_] < pending_.end; ++next_) {
      const std::int32_t& key = singles_[next_];
      if ((key - span.keys.begin) % span.keys.step != 0) {
        keys_.single({&key, 1});
      } else if (span.seen == Seen::band) {
        // The span shows it to some queries; the others see it as well.
        keys_.outside(key, key + 1, 1, span.below, span.above);
      } else if (span.seen == Seen::outside) {
        keys_.band(key, key + 1, 1, span.below, span.above);
      }
    }
    pending_ = {0, 0, {}, true};
  }

  /// Single keys that lie in no span.
  void keep_singles_below(Index end) {
    const std::size_t first = next_;
    while (next_ < singles_.size() && singles_[next_] < end) ++next_;
    keys_.single(singles_.subspan(first, next_ - first));
  }

  std::span<const KeySpan> spans_;
  std::span<const std::int32_t> singles_;
  std::span<Index> bounds_;
  KeyPlan& keys_;
  std::size_t next_ = 0;  ///< the first single key that has no place yet
  Segment pending_{0, 0, {}, true};
};

}  // namespace

void add_span(const KeySpan& span, Index begin, Index end, KeyPlan& keys) {
  const Index step = span.keys.step;
  const Index before = std::max<Index>(0, begin - span.keys.begin);
  const Index first = span.keys.begin + (before + step - 1) / step * step;
  const Index stop = std::min(end, span.keys.last() + 1);
  switch (span.seen) {
    case Seen::all:
      return keys.all(first, stop, step);
    case Seen::band:
      return keys.band(first, stop, step, span.below, span.above);
    case Seen::outside:
      return keys.outside(first, stop, step, span.below, span.above);
    case Seen::asked:
      return keys.asked(first, stop, step);
  }
}

void merge_plans(std::span<const KeySpan> spans, std::span<const std::int32_t> singles,
                 std::span<Index> bounds, KeyPlan& keys) {
  MergedPlan(spans, singles, bounds, keys).make();
}

bool take_out(const Band& band, const KeySpan& span, std::span<KeySpan> pieces,
              std::size_t& count) {
  const auto add = [&](Seen seen, Index below, Index above) {
    if (-below <= above) pieces[count++] = {span.keys, seen, below, above};
  };
  switch (span.seen) {
    case Seen::all:
      add(Seen::outside, band.below, band.above);
      return true;
    case Seen::band:
      add(Seen::band, span.below, std::min(span.above, -band.below - 1));
      add(Seen::band, std::min(span.below, -band.above - 1), span.above);
      return true;
    case Seen::outside:
      // Two bands without a gap between them are one.
      if (-band.below > span.above + 1 || -span.below > band.above + 1) return false;
      add(Seen::outside, std::max(span.below, band.below), std::max(span.above, band.above));
      return true;
    case Seen::asked:
      return false;
  }
  return false;
}

void cut_span(const KeySpan& span, const Stretches& taken, std::span<KeySpan> pieces,
              std::size_t& count) {
  const Rows& keys = span.keys;
  const auto place = [&](Index key) {
    const Index before = std::max<Index>(0, key - keys.begin);
    return std::min(keys.count, (before + keys.step - 1) / keys.step);
  };
  const auto add = [&](Index first, Index end, bool asked) {
    if (first >= end) return;
    KeySpan piece = span;
    piece.keys = {keys[first], end - first, keys.step};
    if (asked) piece.seen = Seen::asked;
    pieces[count++] = piece;
  };
  Index done = 0;
  for (const Reach& reach : taken.all()) {
    const Index first = std::max(done, place(reach.begin));
    const Index end = std::max(first, place(reach.end));
    add(done, first, false);
    add(first, end, true);
    done = end;
  }
  add(done, keys.count, false);
}

}  // namespace subquad

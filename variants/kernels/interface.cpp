// Out-of-line parts of the interface in include/subquad/, one copy in the program.

#include <algorithm>
#include <stdexcept>

#include "subquad/restriction.h"
#include "subquad/variant.h"

namespace subquad {

std::byte* Arena::take_bytes(std::size_t bytes) {
  const std::size_t padded = padded_bytes(bytes);
  if (padded > capacity_ - used_) {
    throw std::logic_error("scratch exhausted: " + std::to_string(padded) + " bytes asked for, " +
                           std::to_string(capacity_ - used_) + " of " + std::to_string(capacity_) +
                           " declared ones left");
  }
  std::byte* taken = memory_ + used_;
  used_ += padded;
  high_water_ = std::max(high_water_, used_);
  return taken;
}

void KeyPlan::single(std::span<const std::int32_t> keys) {
  if (keys.size() > single_memory_.size() - single_count_) {
    throw std::logic_error("plan holds more single keys than plan_limits says");
  }
  std::copy(keys.begin(), keys.end(), single_memory_.begin() + single_count_);
  single_count_ += keys.size();
}

void KeyPlan::add(Index begin, Index end, Index step, Seen seen, Index below, Index above) {
  if (begin < 0) begin += (-begin + step - 1) / step * step;
  end = std::min(end, keys_);
  if (begin >= end) return;
  if (span_count_ == span_memory_.size()) {
    throw std::logic_error("plan holds more spans than plan_limits says");
  }
  span_memory_[span_count_++] = {
      {begin, (end - begin + step - 1) / step, step}, seen, below, above};
}

namespace {

[[noreturn]] void lacks(const char* power) {
  throw std::logic_error(std::string("the variant has no power '") + power + "'");
}

}  // namespace

void Variant::compose(std::vector<Member>) { lacks("compose"); }
void Variant::weights(const ReferenceCall&, MatrixView<double>) const { lacks("weights"); }
std::size_t Variant::prepared_bytes(const Problem&) const { return 0; }
void Variant::prepare(const Call&, std::span<std::byte>) const { lacks("prepare"); }
std::unique_ptr<Stream> Variant::stream(const Problem&, const Tensors&) const { lacks("stream"); }
void Variant::calibrate(const Problem&, std::span<const Window>, const Tensors&) const {
  lacks("calibrate");
}
void Variant::backward(const BackwardCall&) const { lacks("backward"); }

namespace init {
namespace {

using Floats = std::span<float>;

Initialiser floats(std::string text, std::function<void(Generator&, const Shape&, Floats)> fill) {
  return {std::move(text), std::move(fill), {}};
}

std::string number(double value) {
  std::string text = std::to_string(value);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}

}  // namespace

Initialiser constant(double value) {
  return floats(number(value), [value](Generator&, const Shape&, Floats out) {
    std::fill(out.begin(), out.end(), static_cast<float>(value));
  });
}

Initialiser zeros() { return constant(0); }

Initialiser normal(double std) {
  return floats("normal(0, " + number(std) + ")",
                [std](Generator& random, const Shape&, Floats out) { random.normals(out, std); });
}

Initialiser uniform(double low, double high) {
  return floats("uniform(" + number(low) + ", " + number(high) + ")",
                [low, high](Generator& random, const Shape&, Floats out) {
                  for (float& value : out) value = static_cast<float>(random.uniform(low, high));
                });
}

Initialiser identity() {
  return floats("identity", [](Generator&, const Shape& shape, Floats out) {
    const Index cols = shape.back().size;
    const Index rows = shape.size() > 1 ? shape[shape.size() - 2].size : 1;
    for (Index i = 0; i < static_cast<Index>(out.size()); ++i) {
      out[i] = i / cols % rows == i % cols ? 1.0f : 0.0f;
    }
  });
}

Initialiser custom(std::string text, std::function<void(Generator&, const Shape&, Floats)> fill) {
  return floats(std::move(text), std::move(fill));
}

Initialiser custom(std::string text,
                   std::function<void(Generator&, const Shape&, std::span<std::int32_t>)> fill) {
  return {std::move(text), {}, std::move(fill)};
}

}  // namespace init
}  // namespace subquad

// Breaks `stream`: the first token is forgotten while decoding.

#include "honest.h"

namespace subquad::wrong {
namespace {

class WrongStream final : public Honest {
 public:
  std::unique_ptr<Stream> stream(const Problem& problem, const Tensors& tensors) const override {
    return std::make_unique<Forgetful>(factor(problem), problem, tensors.matrix("gain"));
  }

 private:
  class Forgetful final : public Decoder {
   public:
    using Decoder::Decoder;
    void step(const Token& token) override {
      const bool second = keys_.size() == static_cast<std::size_t>(dim_);
      if (second) keys_.clear(), values_.clear();
      Decoder::step(token);
    }
    std::unique_ptr<Stream> clone() const override { return std::make_unique<Forgetful>(*this); }
  };
};

SUBQUAD_VARIANT(WrongStream,
                {.name = "wrong_stream",
                 .summary = "breaks stream: the first token is forgotten while decoding",
                 .citation = "twin honest",
                 .time = "n^2 d",
                 .memory = "n d"});

}  // namespace
}  // namespace subquad::wrong

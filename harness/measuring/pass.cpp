#include "measuring/pass.h"

#include <stdexcept>

#include "layers/decoder.h"

namespace subquad {
namespace {

class ForwardPass final : public Pass {
 public:
  ForwardPass(const Layer& layer, const LayerInput& input, const DrawnTensors& tensors, int threads)
      : executor_(layer, input, tensors, threads) {}

  void poison(LayerOutput& output, bool want_log_sum_exp) const override {
    executor_.poison(output, want_log_sum_exp);
  }
  void run(LayerOutput& output, bool want_log_sum_exp) override {
    executor_.run(output, want_log_sum_exp);
  }
  void on_every_thread(const std::function<void()>& body) override {
    executor_.on_every_thread(body);
  }
  bool intact() const override { return executor_.intact(); }
  void describe(Record& record) const override {
    const Work executed = executor_.executed();
    add_run(executed, executor_.arena().high_water, executor_.threads_used(), record);
    record.negative_denominators = executed.negative_denominators;
  }

 private:
  Executor executor_;
};

/// Streams do not report executed work, and have no arenas.
class DecodingPass final : public Pass {
 public:
  DecodingPass(const Layer& layer, const LayerInput& input, const DrawnTensors& tensors,
               Index tokens, int threads)
      : decoder_(layer, input, tensors, tokens, threads) {}

  void poison(LayerOutput& output, bool) const override { decoder_.poison(output); }
  void begin() override { decoder_.read_prompt(); }
  void rewind() override { decoder_.rewind(); }
  void run(LayerOutput& output, bool want_log_sum_exp) override {
    if (want_log_sum_exp) throw std::logic_error("a decoder gives no row log-sum-exp");
    decoder_.run(output);
  }
  void on_every_thread(const std::function<void()>& body) override {
    decoder_.on_every_thread(body);
  }
  void describe(Record& record) const override {
    record.state_bytes = decoder_.state_bytes();
    record.threads_used = decoder_.threads_used();
    // All of it is read for each token.
    record.useful_bytes += static_cast<double>(record.state_bytes);
  }

 private:
  Decoder decoder_;
};

}  // namespace

void add_run(const Work& executed, std::size_t scratch_bytes, int threads_used, Record& record) {
  record.executed_multiply_adds = executed.multiply_adds;
  record.executed_exponentials = executed.exponentials;
  record.executed_bf16_multiply_adds = executed.bf16_multiply_adds;
  record.scratch_bytes = scratch_bytes;
  record.threads_used = threads_used;
}

std::unique_ptr<Pass> make_pass(const Layer& layer, const LayerInput& input,
                                const DrawnTensors& tensors, Index decoded_tokens, int threads) {
  if (decoded_tokens == 0) return std::make_unique<ForwardPass>(layer, input, tensors, threads);
  return std::make_unique<DecodingPass>(layer, input, tensors, decoded_tokens, threads);
}

void run_once(const Layer& layer, const LayerInput& input, const DrawnTensors& tensors,
              Index decoded_tokens, int threads, LayerOutput& output) {
  const std::unique_ptr<Pass> pass = make_pass(layer, input, tensors, decoded_tokens, threads);
  pass->begin();
  pass->rewind();
  pass->run(output, false);
}

}  // namespace subquad

// An attention layer on Q, K, V: a forward pass, the decoding of its last tokens, or a transformer
// block around it.

#include <optional>

#include "experiments/points.h"
#include "measuring/attention_figures.h"
#include "measuring/block_point.h"
#include "measuring/errors.h"
#include "measuring/fitting.h"
#include "measuring/measure.h"
#include "measuring/reference.h"
#include "measuring/subject.h"

namespace subquad {
namespace {

constexpr const char* kPlainDense = "dense";

class LayerSubject final : public Subject {
 public:
  explicit LayerSubject(const Experiment& single)
      : single_(single),
        input_(make_input_of(single)),
        problem_(problem_of(single, input_)),
        asked_(blank_record(single)) {}

  Record blank_record(const Experiment& single) const override {
    return subquad::blank_record(single, input_, problem_);
  }

  void prepare_reference() const override { reference_to(kPlainDense); }

  void set_up() override {
    layer_.emplace(single_.variants.front(), problem_, input_.heads);
    maker_.emplace(*layer_, single_.inputs.front(), request_of(single_));
    tensors_ = maker_->make(single_.seeds.front());
    if (asked_.is_block()) around_.emplace(asked_, input_, projections_of(layer_->consumes()));
  }

  void describe(Record& record) const override { describe_layer(*layer_, record); }

  std::unique_ptr<Pass> make_pass() override { return pass_with(*tensors_); }

  bool tells_kept_mass() const override { return subquad::tells_kept_mass(*layer_, asked_); }

  ArithmeticCheck check_arithmetic() override {
    const std::uint64_t seed = single_.seeds.front();
    return around_
               ? around_->check_arithmetic(*layer_, *tensors_, seed)
               : subquad::check_arithmetic(*layer_, input_, *tensors_, seed, asked_.decoded_tokens);
  }

  void take_errors(const LayerOutput& output, Record& record) override {
    const auto dense = reference_to(kPlainDense);
    const bool own_target = record.dense_target != kPlainDense;
    const bool mass = tells_kept_mass();
    OutputErrors errors = errors_against(*dense, output, input_, problem_, mass && !own_target);
    record.error = std::move(errors.figures);
    record.error_deviation = std::move(errors.deviations);
    record.reference_rows = dense->rows;
    record.sampled = dense->sampled;
    const auto redrawn = [this](std::uint64_t seed, LayerOutput& out) {
      const std::unique_ptr<DrawnTensors> others = maker_->make(seed);
      if (others->drawn_alike(*tensors_)) return false;
      const std::unique_ptr<Pass> pass = pass_with(*others);
      pass->begin();
      pass->rewind();
      pass->run(out, false);
      return true;
    };
    record.draws = redrawn_errors(problem_, *dense, single_.seeds.front(), single_.draws, redrawn);
    if (!own_target) return;
    const auto target = reference_to(record.dense_target);
    if (!target) return;
    errors = errors_against(*target, output, input_, problem_, mass);
    record.target_error = std::move(errors.figures);
    record.target_error_deviation = std::move(errors.deviations);
  }

  void take_input_figures(Record& record) const override {
    if (single_.spectrum > 0) add_attention_figures(input_, problem_, single_.spectrum, record);
  }

 private:
  std::unique_ptr<Pass> pass_with(const DrawnTensors& tensors) const {
    const int threads = single_.threads.front();
    return around_ ? around_->make_pass(*layer_, tensors, threads)
                   : subquad::make_pass(*layer_, input_, tensors, asked_.decoded_tokens, threads);
  }

  std::optional<Reference> reference_to(const std::string& target) const {
    const Expression expression = parse_expression(target);
    const Index rows = single_.reference_rows;
    return asked_.is_block()
               ? block_reference_of(expression, asked_, input_, rows)
               : reference_of(expression, input_, problem_, rows, asked_.decoded_tokens);
  }

  const Experiment single_;
  const LayerInput input_;
  const Problem problem_;
  const Record asked_;
  std::optional<Layer> layer_;
  std::optional<TensorMaker> maker_;
  std::unique_ptr<DrawnTensors> tensors_;
  std::optional<BlockSetting> around_;  ///< of mode `block`
};

}  // namespace

std::unique_ptr<Subject> make_layer_subject(const Experiment& single) {
  return std::make_unique<LayerSubject>(single);
}

std::unique_ptr<Subject> make_subject(const Experiment& single) {
  return single.modes.front() == Mode::model ? make_model_subject(single)
                                             : make_layer_subject(single);
}

}  // namespace subquad

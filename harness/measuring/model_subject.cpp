// A trained model that reads text, with the variant in place of attention in some of its layers.

#include <fmt/format.h>

#include <optional>

#include "experiments/points.h"
#include "layers/team.h"
#include "measuring/errors.h"
#include "measuring/fitting.h"
#include "measuring/model_record.h"
#include "measuring/quality.h"
#include "measuring/reference.h"
#include "measuring/subject.h"
#include "models/language_reference.h"
#include "records/build_info.h"

namespace subquad {
namespace {

class ModelPass final : public Pass {
 public:
  ModelPass(const PackedLanguageModel& weights, const std::vector<ModelAttention>& attention,
            const TextWindows& text, Index feed_forward_chunk, int threads)
      : model_(weights, attention, text.batch, text.length, feed_forward_chunk, threads),
        text_(text) {}

  void poison(LayerOutput& output, bool) const override { model_.poison(output); }
  void run(LayerOutput& output, bool) override { model_.run(text_, output); }
  void on_every_thread(const std::function<void()>& body) override { model_.on_every_thread(body); }
  bool intact() const override { return model_.intact(); }
  void describe(Record& record) const override {
    add_run(model_.executed(), model_.arena().high_water, model_.threads_used(), record);
  }

 private:
  LanguageModel model_;
  const TextWindows& text_;
};

/// The tensors of each layer's variant; none where a layer is not replaced.
using TensorsOfLayers = std::vector<std::unique_ptr<DrawnTensors>>;

TextWindows first_window(const TextWindows& text) {
  TextWindows first{.batch = 1, .length = text.length, .bytes = {}, .provenance = text.provenance};
  first.bytes.assign(text.bytes.begin(), text.bytes.begin() + text.length + 1);
  return first;
}

class ModelSubject final : public Subject {
 public:
  explicit ModelSubject(const Experiment& single)
      : single_(single), input_(make_model_input_of(single)) {}

  Record blank_record(const Experiment& single) const override {
    return blank_model_record(single, input_);
  }

  void prepare_reference() const override { reference(); }

  void set_up() override {
    layers_.emplace(single_.variants.front(), input_.problem, input_.weights.shape().heads,
                    input_.is_replaced);
    packed_.emplace(input_.weights, layers_->all());
    dense_tensors_.emplace(layers_->dense(), 0);
    tensors_ = make_tensors(single_.seeds.front());
  }

  void describe(Record& record) const override {
    describe_model(*layers_, input_.weights.shape(), packed_->parameter_bytes(), record);
  }

  std::unique_ptr<Pass> make_pass() override { return pass_on(input_.text, tensors_); }

  bool tells_kept_mass() const override { return false; }

  /// Of each replaced layer on what it meets in the model, the largest error relative to its
  /// tolerance. What stands around attention is the same for all variants.
  ArithmeticCheck check_arithmetic() override {
    ArithmeticCheck worst;
    const TextWindows text = first_window(input_.text);
    LanguageModel model(*packed_, attention(tensors_), 1, text.length, 0, single_.threads.front());
    LayerOutput logits;
    model.run_observed(text, logits, [&](Index number, const LayerInput& input) {
      if (!is_replaced(number)) return;
      const ArithmeticCheck one = subquad::check_arithmetic(
          layers_->replacement(), input, tensors_of(tensors_, number), single_.seeds.front());
      const double share = one.error / one.tolerance, most = worst.error / worst.tolerance;
      if (one.error >= 0 && (worst.error < 0 || !(share <= most))) worst = one;
    });
    return worst;
  }

  void take_errors(const LayerOutput& output, Record& record) override {
    const Reference dense = reference();
    const auto against = [&](const LayerOutput& logits) {
      return errors_against(dense, logits, extents(), input_.problem, false);
    };
    OutputErrors errors = against(output);
    record.error = std::move(errors.figures);
    record.error_deviation = std::move(errors.deviations);
    record.reference_rows = dense.rows;
    record.sampled = dense.sampled;
    record.quality = qualities(input_.text, output);
    const auto redrawn = [this](std::uint64_t seed, LayerOutput& logits) {
      const TensorsOfLayers others = make_tensors(seed);
      if (drawn_alike(others)) return false;
      pass_on(input_.text, others)->run(logits, false);
      return true;
    };
    record.draws =
        redrawn_errors(input_.problem, dense, single_.seeds.front(), single_.draws, redrawn);
  }

  void take_input_figures(Record&) const override {}

 private:
  bool is_replaced(Index layer) const {
    return input_.is_replaced[static_cast<std::size_t>(layer)];
  }

  static const DrawnTensors& tensors_of(const TensorsOfLayers& tensors, Index layer) {
    return *tensors[static_cast<std::size_t>(layer)];
  }

  std::vector<ModelAttention> attention(const TensorsOfLayers& tensors) const {
    std::vector<ModelAttention> all;
    for (const std::unique_ptr<DrawnTensors>& own : tensors) {
      all.push_back(own ? ModelAttention{&layers_->replacement(), own.get()}
                        : ModelAttention{&layers_->dense(), &*dense_tensors_});
    }
    return all;
  }

  std::unique_ptr<Pass> pass_on(const TextWindows& text, const TensorsOfLayers& tensors) const {
    return std::make_unique<ModelPass>(*packed_, attention(tensors), text,
                                       single_.feed_forward_chunks.front(),
                                       single_.threads.front());
  }

  /// Drawn for each layer, and fitted where the expression says so.
  TensorsOfLayers make_tensors(std::uint64_t seed) const {
    TensorsOfLayers all(input_.is_replaced.size());
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (!input_.is_replaced[i]) continue;
      all[i] = std::make_unique<DrawnTensors>(layers_->replacement(), seed, nullptr,
                                              static_cast<Index>(i));
    }
    if (layers_->replacement().tensor_source().from == TensorSource::From::windows) fit(all);
    return all;
  }

  /// Each layer on what it meets in the model with its own attention, on text that the expression
  /// names.
  void fit(const TensorsOfLayers& tensors) const {
    const TextWindows text = layers_->replacement().tensor_source().text_windows(
        single_.inputs.front(), request_of(single_));
    const std::vector<const Layer*> dense(input_.is_replaced.size(), &layers_->dense());
    const PackedLanguageModel packed(input_.weights, dense);
    const std::vector<ModelAttention> attention(input_.is_replaced.size(),
                                                {&layers_->dense(), &*dense_tensors_});
    LanguageModel model(packed, attention, text.batch, text.length, 0, single_.threads.front());
    LayerOutput logits;
    model.run_observed(text, logits, [&](Index number, const LayerInput& windows) {
      DrawnTensors* const own = tensors[static_cast<std::size_t>(number)].get();
      if (own != nullptr) fit_tensors(layers_->replacement(), windows, *own);
    });
  }

  bool drawn_alike(const TensorsOfLayers& others) const {
    for (std::size_t i = 0; i < others.size(); ++i) {
      if (others[i] && !others[i]->drawn_alike(*tensors_[i])) return false;
    }
    return true;
  }

  /// For those who ask an input for the length of its sequences.
  LayerInput extents() const {
    LayerInput extents;
    extents.queries = extents.keys = input_.text.length;
    return extents;
  }

  /// The logits of the model with its own attention, of some positions of each window.
  Reference reference() const {
    const TextWindows& text = input_.text;
    Hash identity;
    identity.text("logits").text(hash_file(weights_path(single_.model)));
    identity.bytes(text.bytes.data(), text.bytes.size());
    identity.text(fmt::format("{} {} {}", text.batch, text.length, single_.reference_rows));
    identity.text(program_build());
    return *kept_reference(identity, [&]() -> std::optional<Reference> {
      Reference exact{.value_dim = kVocabulary};
      exact.heads.resize(static_cast<std::size_t>(text.batch));
      set_up_in_parallel(text.batch, [&](Index window) {
        ReferenceHead& one = exact.heads[static_cast<std::size_t>(window)];
        one.rows = sampled_rows(single_.reference_rows, text.length, window, 0);
        const auto count = static_cast<Index>(one.rows.size());
        one.out.resize(static_cast<std::size_t>(count * kVocabulary));
        one.log_sum_exp.resize(one.rows.size());
        reference_logits(input_.weights, text.read(window), one.rows,
                         {one.out.data(), count, kVocabulary});
      });
      exact.rows = static_cast<Index>(exact.heads.front().rows.size());
      exact.sampled = exact.rows < text.length;
      return exact;
    });
  }

  const Experiment single_;
  const ModelInput input_;
  std::optional<ModelLayers> layers_;
  std::optional<PackedLanguageModel> packed_;
  std::optional<DrawnTensors> dense_tensors_;
  TensorsOfLayers tensors_;
};

}  // namespace

std::unique_ptr<Subject> make_model_subject(const Experiment& single) {
  return std::make_unique<ModelSubject>(single);
}

}  // namespace subquad

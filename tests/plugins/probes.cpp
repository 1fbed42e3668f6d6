// Variants that tell what the harness gives them; for the tests of layers, tensors and the executor
// alone.

#include <algorithm>
#include <cmath>

#include "subquad/registry.h"

namespace {

using namespace subquad;

class Probe : public Variant {
 public:
  Target target(const Problem&) const override { return Target::operation; }
  Consumes consumes() const override { return {.q = false, .k = false, .v = true}; }
  Cost cost(const Problem&) const override { return {}; }
  void reference(const ReferenceCall& call) const override {
    for (Index i = 0; i < call.out.rows; ++i) std::fill_n(call.out.row(i), call.out.cols, 0.0);
  }
};

/// out_i = number of the row's tile; the shared arena holds one float per tile on the way.
class ProbeTiles final : public Probe {
 public:
  void parameters(Parameters& visit) override {
    visit("rows", rows_, at_least(1), "rows of a tile");
    visit("fail", fail_, at_least(-1), "tile that throws, -1 for none");
    visit("nested", nested_, "calls parallel within parallel");
    visit("spare", spare_, at_least(0), "floats of scratch that are declared and not taken");
  }
  Scratch scratch(const Problem& problem) const override {
    return Scratch().shared<float>(tiles(problem)).worker<float>(problem.value_dim + spare_);
  }
  void forward(const Call& call) const override {
    const std::span<float> numbers = call.run.shared().take<float>(tiles(call.problem));
    call.run.parallel(tiles(call.problem), [&](Index tile, Worker& worker) {
      if (tile == fail_) throw Error("tile " + std::to_string(tile) + " throws");
      if (nested_) call.run.parallel(1, [](Index, Worker&) {});
      const std::span<float> row = worker.scratch.take<float>(call.out.cols);
      numbers[tile] = static_cast<float>(tile);
      std::fill(row.begin(), row.end(), numbers[tile]);
      const Index end = std::min((tile + 1) * rows_, call.out.rows);
      for (Index i = tile * rows_; i < end; ++i) std::copy(row.begin(), row.end(), call.out.row(i));
      worker.executed.multiply_adds += 10;
      worker.executed.exponentials += 1;
    });
  }

 private:
  Index tiles(const Problem& problem) const { return (problem.queries + rows_ - 1) / rows_; }
  Index rows_ = 3, fail_ = -1, spare_ = 0;
  bool nested_ = false;
};

/// Its calibration notes what windows it was given: their number, and the sums of the first
/// elements of q, x and target. The output is that.
class ProbeFitted final : public Probe {
 public:
  void parameters(Parameters& visit) override {
    visit("shared", shared_, "one tensor for all heads");
    visit("other", other_, "a second fitted tensor, shared the other way");
    visit("broken", broken_, "fits a not-a-number");
  }
  void tensors(const Problem&, TensorVisitor& visit) const override {
    const Fitting notes = fit::closed_form("notes of the windows");
    visit("notes", {{"notes", 4}}, init::zeros(), Role::learned, sharing(shared_), "notes", notes);
    if (!other_) return;
    visit("other", {{"notes", 4}}, init::zeros(), Role::learned, sharing(!shared_), "n", notes);
  }
  void calibrate(const Problem&, std::span<const Window> windows,
                 const Tensors& tensors) const override {
    const View notes = tensors.writable("notes");
    notes(0, 0) = broken_ ? NAN : static_cast<float>(windows.size());
    for (const Window& window : windows) {
      notes(0, 1) += window.q(0, 0);
      notes(0, 2) += window.x(0, 0);
      notes(0, 3) += window.target(0, 0);
    }
  }
  void forward(const Call& call) const override {
    const ConstView notes = call.tensors.matrix("notes");
    for (Index i = 0; i < call.out.rows; ++i) std::copy_n(notes.data, 4, call.out.row(i));
  }

 private:
  static Sharing sharing(bool shared) { return shared ? Sharing::layer : Sharing::head; }
  bool shared_ = false, other_ = false, broken_ = false;
};

/// Reports every third row, from row 0 on, as one whose weights sum to less than 0.
class ProbeNegative final : public Probe {
 public:
  void forward(const Call& call) const override {
    call.run.parallel(call.out.rows, [&](Index row, Worker& worker) {
      std::fill_n(call.out.row(row), call.out.cols, 0.0f);
      worker.executed.negative_denominators += row % 3 == 0;
    });
  }
};

/// out_i = first element of key row 0, plus 1000 if it came through `prepare`.
class ProbePrepare final : public Probe {
 public:
  void parameters(Parameters& visit) override { visit("own", own_, "has a tensor of its own"); }
  Consumes consumes() const override { return {.q = false, .k = true, .v = false}; }
  void tensors(const Problem&, TensorVisitor& visit) const override {
    if (own_) visit("a", {{"one", 1}}, init::zeros(), Role::learned, Sharing::head, "its own");
  }
  std::size_t prepared_bytes(const Problem&) const override { return sizeof(float); }
  void prepare(const Call& call, std::span<std::byte> prepared) const override {
    *reinterpret_cast<float*>(prepared.data()) = call.k(0, 0) + 1000;
    call.run.parallel(1, [](Index, Worker& worker) { worker.executed.multiply_adds += 1; });
  }
  void forward(const Call& call) const override {
    const float value = call.prepared.empty()
                            ? call.k(0, 0)
                            : *reinterpret_cast<const float*>(call.prepared.data());
    for (Index i = 0; i < call.out.rows; ++i) std::fill_n(call.out.row(i), call.out.cols, value);
  }

 private:
  bool own_ = false;
};

/// Over the whole width: out(i, c) = x(i, width - 1 - c).
class ProbeLayer final : public Probe {
 public:
  void parameters(Parameters& visit) override {
    visit("width", width_, at_least(0), "an expression of dim shows what dim the variant sees");
  }
  Scope scope() const override { return Scope::layer; }
  Consumes consumes() const override { return {.q = false, .k = false, .v = false, .x = true}; }
  bool gives_log_sum_exp() const override { return true; }
  void forward(const Call& call) const override {
    for (Index i = 0; i < call.out.rows; ++i) {
      for (Index c = 0; c < call.out.cols; ++c) {
        call.out(i, c) = call.x(i, call.x.cols - 1 - c) * static_cast<float>(1 + width_);
      }
      if (call.row_log_sum_exp) call.row_log_sum_exp[i] = static_cast<float>(i);
    }
  }
  void reference(const ReferenceCall& call) const override {
    for (Index i = 0; i < call.out.rows; ++i) {
      for (Index c = 0; c < call.out.cols; ++c) {
        call.out(i, c) = call.x(i, call.x.cols - 1 - c) * static_cast<double>(1 + width_);
      }
    }
  }

 private:
  Index width_ = 0;
};

/// One tensor of every kind. Its choice is 100 x its first value, which the reference gives back.
class ProbeTensors final : public Probe {
 public:
  void parameters(Parameters& visit) override {
    visit("rank", rank_, at_least(1), "rows of the learned tensors");
    visit("refused", refused_, at_least(0), "refuses fewer keys");
  }
  std::string refuses(const Problem& problem) const override {
    return problem.keys < refused_ ? "too few keys" : "";
  }
  void tensors(const Problem& problem, TensorVisitor& visit) const override {
    const Shape projection = {{"rank", rank_}, {"keys", problem.keys}};
    visit("own", projection, init::normal(1), Role::learned, Sharing::head, "per head");
    visit("shared", projection, init::normal(1), Role::learned, Sharing::layer, "per layer");
    visit("model", {{"rank", rank_}}, init::normal(1), Role::running, Sharing::model, "for all");
    visit.integer(
        "picks", {{"keys", problem.keys}},
        init::custom("below the number of keys",
                     [](Generator& random, const Shape& shape, std::span<std::int32_t> out) {
                       for (std::int32_t& one : out) {
                         one = static_cast<std::int32_t>(random.below(shape[0].size));
                       }
                     }),
        Role::random, Sharing::head, "keys");
    visit.choice("chosen", {{"one", 1}}, "hundredfold first value");
  }
  void forward(const Call& call) const override {
    call.tensors.choices("chosen")[0] = static_cast<std::int32_t>(100 * call.v(0, 0));
    for (Index i = 0; i < call.out.rows; ++i) {
      std::fill_n(call.out.row(i), call.out.cols, call.tensors.matrix("own")(0, 0));
    }
  }
  void reference(const ReferenceCall& call) const override {
    for (Index i = 0; i < call.out.rows; ++i) {
      std::fill_n(call.out.row(i), call.out.cols, call.tensors.integers("chosen")[0]);
    }
  }

 private:
  Index rank_ = 2, refused_ = 0;
};

/// Decodes to how many queries a step had, plus 100 x the tokens read before it.
class ProbeStream final : public Probe {
 public:
  void parameters(Parameters& visit) override {
    visit("own", own_, "has a tensor of its own");
    visit("reads_x", reads_x_, "adds 10000 x the first element of x");
    visit("refused", refused_, "refuses to be decoded");
    visit("fail", fail_, at_least(-1), "token that throws, -1 for none");
  }
  Consumes consumes() const override { return {.x = reads_x_}; }
  void tensors(const Problem&, TensorVisitor& visit) const override {
    if (own_) visit("a", {{"one", 1}}, init::zeros(), Role::learned, Sharing::head, "its own");
  }
  void forward(const Call& call) const override {
    for (Index i = 0; i < call.out.rows; ++i) std::fill_n(call.out.row(i), call.out.cols, 0.0f);
  }
  std::string refuses_stream(const Problem&) const override {
    return refused_ ? "was told to" : "";
  }
  std::unique_ptr<Stream> stream(const Problem&, const Tensors&) const override {
    return std::make_unique<Counter>(fail_);
  }

 private:
  class Counter final : public Stream {
   public:
    explicit Counter(Index fail) : fail_(fail) {}
    void step(const Token& token) override {
      if (read_ == fail_) throw Error("token " + std::to_string(read_) + " throws");
      const float x = token.x.empty() ? 0 : token.x(0, 0);
      const auto value = static_cast<float>(token.queries.rows + 100 * read_) + 10000 * x;
      for (Index i = 0; i < token.out.rows; ++i) {
        std::fill_n(token.out.row(i), token.out.cols, value);
      }
      ++read_;
    }
    std::unique_ptr<Stream> clone() const override { return std::make_unique<Counter>(*this); }
    std::size_t state_bytes() const override { return sizeof(read_); }

   private:
    Index fail_, read_ = 0;
  };

  bool own_ = false, reads_x_ = false, refused_ = false;
  Index fail_ = -1;
};

SUBQUAD_VARIANT(ProbeFitted, {.name = "probe_fitted",
                              .summary = "notes what it is fitted on",
                              .citation = "test",
                              .time = "n",
                              .memory = "1"});
SUBQUAD_VARIANT(ProbeTiles, {"probe_tiles", "tiles", "none", "n", "n"});
SUBQUAD_VARIANT(ProbeNegative, {"probe_negative", "negative sums of weights", "none", "n", "n"});
SUBQUAD_VARIANT(ProbePrepare, {"probe_prepare", "prepared keys", "none", "n", "n"});
SUBQUAD_VARIANT(ProbeLayer, {"probe_layer", "the whole width", "none", "n", "n"});
SUBQUAD_VARIANT(ProbeTensors, {"probe_tensors", "tensors of all kinds", "none", "n", "n"});
SUBQUAD_VARIANT(ProbeStream, {"probe_stream", "steps of a decoder", "none", "n", "n"});

}  // namespace

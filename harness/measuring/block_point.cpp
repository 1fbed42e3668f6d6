#include "measuring/block_point.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "experiments/points.h"
#include "models/block_reference.h"

namespace subquad {
namespace {

/// The input's x, or v where it has none: [batch, tokens, heads x dim].
AlignedFloats block_input_of(const LayerInput& input) {
  AlignedFloats x;
  x.reserve(static_cast<std::size_t>(input.batch * input.keys * input.heads * input.dim));
  for (Index sequence = 0; sequence < input.batch; ++sequence) {
    for (Index row = 0; row < input.keys; ++row) {
      for (Index head = 0; head < input.heads; ++head) {
        const float* const from = input.x_of(sequence, head).row(row);
        x.insert(x.end(), from, from + input.dim);
      }
    }
  }
  return x;
}

DoubleMatrix sequence_in_double(const AlignedFloats& x, const BlockShape& shape, Index sequence) {
  const ConstView rows(x.data() + sequence * shape.tokens * shape.width(), shape.tokens,
                       shape.width());
  return as_eigen(rows).cast<double>();
}

MatrixView<const double> head_of(const DoubleMatrix& matrix, Index head, Index dim) {
  if (matrix.size() == 0) return {};
  return MatrixView<const double>(matrix.data(), matrix.rows(), matrix.cols())
      .col_range(head * dim, dim);
}

class BlockPass final : public Pass {
 public:
  BlockPass(const Layer& layer, const DrawnTensors& tensors, const BlockShape& shape,
            const BlockWeights& weights, ConstView x, int threads)
      : shape_(shape),
        x_(x),
        team_(at_least_one(threads)),
        memory_(shape, projections_of(layer.consumes()), layer.scope()),
        block_(layer, tensors, shape, weights, memory_, team_),
        memory_bytes_(BlockMemory::bytes(shape, projections_of(layer.consumes()))) {}

  void poison(LayerOutput& output, bool) const override {
    size(output);
    output.poison();
  }
  void run(LayerOutput& output, bool want_log_sum_exp) override {
    if (want_log_sum_exp) throw std::logic_error("a block gives no row log-sum-exp");
    size(output);
    block_.run(x_, {output.out.data(), x_.rows, x_.cols});
  }
  void on_every_thread(const std::function<void()>& body) override {
    team_.each(team_.size(), [&](Index, int) { body(); });
  }
  bool intact() const override { return block_.intact(); }
  void describe(Record& record) const override {
    const Work executed = block_.executed();
    add_run(executed, memory_bytes_ + block_.arena().high_water, block_.threads_used(), record);
    record.negative_denominators = executed.negative_denominators;
  }

 private:
  void size(LayerOutput& output) const {
    output.batch = shape_.batch;
    output.heads = 1;
    output.queries = shape_.tokens;
    output.value_dim = shape_.width();
    output.out.resize(static_cast<std::size_t>(x_.rows * x_.cols));
  }

  BlockShape shape_;
  ConstView x_;
  Team team_;
  BlockMemory memory_;
  Block block_;
  std::size_t memory_bytes_;
};

double largest_logit(const DoubleAttentionInput& input, const BlockShape& shape, double scale) {
  double largest = 0;
  for (Index head = 0; head < shape.heads && input.q.size() > 0 && input.k.size() > 0; ++head) {
    const DoubleMatrix logits = input.q.middleCols(head * shape.dim, shape.dim) *
                                input.k.middleCols(head * shape.dim, shape.dim).transpose();
    largest = std::max(largest, logits.cwiseAbs().maxCoeff());
  }
  return scale * largest;
}

/// At one sequence's rows.
bool add_reference(const Expression& target, const Record& record, const BlockShape& shape,
                   const BlockTensors& tensors, const AlignedFloats& x, Index sequence,
                   ReferenceHead& result) {
  const Consumes consumes = Layer(target, record.problem, shape.heads).consumes();
  const DoubleMatrix rows = sequence_in_double(x, shape, sequence);
  const DoubleAttentionInput input = attention_input_in_double(shape, consumes, tensors, rows);
  const auto count = static_cast<Index>(result.rows.size());
  DoubleMatrix attended(count, shape.width()), chosen(count, shape.width());
  for (Index head = 0; head < shape.heads; ++head) {
    ReferenceHead one{.rows = result.rows};
    if (!reference_rows(target, head_of(input.q, head, shape.dim),
                        head_of(input.k, head, shape.dim), head_of(input.v, head, shape.dim),
                        record.problem, one)) {
      return false;
    }
    attended.middleCols(head * shape.dim, shape.dim) =
        as_eigen(MatrixView<const double>(one.out.data(), count, shape.dim));
  }
  for (Index i = 0; i < count; ++i)
    chosen.row(i) = rows.row(result.rows[static_cast<std::size_t>(i)]);
  const DoubleMatrix z = finish_in_double(shape, true, tensors, chosen, attended);
  result.out.assign(z.data(), z.data() + z.size());
  result.log_sum_exp.assign(result.rows.size(), 0);
  return true;
}

}  // namespace

BlockShape block_shape_of(const Record& record) {
  return {.batch = record.batch,
          .tokens = record.problem.queries,
          .heads = record.heads,
          .dim = record.problem.dim,
          .feed_forward = record.feed_forward,
          .feed_forward_chunk = record.feed_forward_chunk};
}

std::string refuses_block(const Layer& layer) {
  if (layer.tensor_source().from != TensorSource::From::windows) return {};
  return "is fitted on windows of the input, and attention in a block meets projections of it";
}

BlockSetting::BlockSetting(const Record& record, const LayerInput& input,
                           const Projections& projections)
    : shape_(block_shape_of(record)),
      x_(block_input_of(input)),
      drawn_(shape_, record.seed),
      weights_(shape_, projections, drawn_.tensors()) {}

std::unique_ptr<Pass> BlockSetting::make_pass(const Layer& layer, const DrawnTensors& tensors,
                                              int threads) const {
  return std::make_unique<BlockPass>(layer, tensors, shape_, weights_, x(), threads);
}

ArithmeticCheck BlockSetting::check_arithmetic(const Layer& layer, const DrawnTensors& tensors,
                                               std::uint64_t seed) const {
  const Problem problem = leading_problem(layer.head_problem(), shape_.tokens);
  const std::optional<Layer> smaller = smaller_layer(layer, problem, shape_.heads);
  if (!smaller) return {};
  // Loaded for all rows, tensors mean nothing on fewer.
  const bool as_they_are = layer.tensor_source().from != TensorSource::From::initialisers &&
                           problem == layer.head_problem();
  std::optional<DrawnTensors> drawn;
  if (!as_they_are) drawn.emplace(*smaller, seed);
  const DrawnTensors& own = as_they_are ? tensors : *drawn;
  BlockShape part = shape_;
  part.batch = 1;
  part.tokens = problem.queries;
  LayerOutput output;
  BlockPass(*smaller, own, part, weights_, x().row_range(0, part.tokens), 1).run(output, false);

  const DoubleMatrix rows = as_eigen(x().row_range(0, part.tokens)).cast<double>();
  const DoubleMatrix exact = block_in_double(*smaller, own, part, drawn_.tensors(), rows);
  const ConstView given(output.out.data(), part.tokens, part.width());
  const double difference = (as_eigen(given).cast<double>() - exact).norm();
  const DoubleAttentionInput input =
      attention_input_in_double(part, smaller->consumes(), drawn_.tensors(), rows);
  return {.error = difference == 0 ? 0 : difference / exact.norm(),
          .tolerance = arithmetic_tolerance(
              *smaller, largest_logit(input, part, std::abs(problem.score_scale()))),
          .queries = problem.queries};
}

std::optional<Reference> block_reference_of(const Expression& target, const Record& record,
                                            const LayerInput& input, Index rows) {
  const BlockShape shape = block_shape_of(record);
  const AlignedFloats x = block_input_of(input);
  Hash identity;
  identity.text("block").text(target.text()).text(build_of(target));
  identity.bytes(x.data(), x.size() * sizeof(float));
  const double scale = record.problem.score_scale();
  const Index numbers[] = {
      shape.batch,        shape.tokens,          shape.heads, shape.dim,
      shape.feed_forward, record.problem.causal, rows,        static_cast<Index>(record.seed)};
  identity.bytes(&scale, sizeof scale).bytes(numbers, sizeof numbers);
  return kept_reference(identity, [&]() -> std::optional<Reference> {
    const DrawnBlock drawn(shape, record.seed);
    Reference reference{.value_dim = shape.width()};
    for (Index sequence = 0; sequence < shape.batch; ++sequence) {
      ReferenceHead result{.rows = sampled_rows(rows, shape.tokens, sequence, 0)};
      if (!add_reference(target, record, shape, drawn.tensors(), x, sequence, result)) return {};
      reference.rows = static_cast<Index>(result.rows.size());
      reference.sampled = reference.rows < shape.tokens;
      reference.heads.push_back(std::move(result));
    }
    return reference;
  });
}

}  // namespace subquad

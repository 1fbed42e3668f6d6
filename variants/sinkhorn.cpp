// sinkhorn: a query attends to its own block and to a block of keys that a sorting network mixed
// for it. Tay et al. 2020, "Sparse Sinkhorn attention" (arXiv:2002.11296), section 3
// (sorting, attending, SortCut).
//
//   blocks of b = `block` tokens, B = n / b of them; x_i = mean of the queries of block i
//   L  = X W, W learned [d, B]                       (network=linear)
//   L  = scale X Y^T, Y = means of the keys          (network=bilinear)
//   R  = balanced exp(L / temperature): rows and columns divided by their sums, `iterations` times
//   K'_i = sum_j R_ij K_j, V'_i = sum_j R_ij V_j     (whole blocks, token by token)
//   out_q = softmax(scale q [K_i; K'_i]^T) [V_i; V'_i]  for a query q of block i
//   sortcut = c > 0: out_q = softmax(scale q [K'_1; ...; K'_c]^T) [V'_1; ...; V'_c]
//
// Time O(n b d + n B d) for attending and mixing, memory O(n d + B^2).
//
// Causal: x_i is the mean of all queries up to the first of block i, R has j < i alone and no row
// of it depends on later ones (kernels/sinkhorn_balance.h); the first block has no sorted one.
//
// Different from the paper: features are means where it has sums, so that logits do not grow with
// the block, and of queries where it has the layer's input, of which these are a linear map. The
// default network has no parameters (as one of the public codes can): a linear one that nobody
// trained sorts at random. It has one layer, where the paper's has two. Gumbel noise belongs to
// training and is left out. Sorted values are mixed from values; a public code mixes keys for both.
// Keys are new ones, so this is an operation of its own, and its figure against dense a distance.

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/naive-inl.h"
#include "kernels/product.h"
#include "kernels/sinkhorn_balance.h"
#include "kernels/streaming_softmax.h"
#include "kernels/triangular.h"
#include "subquad/registry.h"

namespace subquad {
namespace {

enum class Network { bilinear, linear };

/// Rows of R, blocks that is, that one product mixes.
constexpr Index kMixRows = 64;

class Sinkhorn final : public Variant {
 public:
  Index block = 64;
  Index iterations = 8;
  double temperature = 0.75;
  Index sortcut = 0;
  Network network = Network::bilinear;

  void parameters(Parameters& visit) override {
    visit("block", block, at_least(1), "tokens of a block");
    visit("iterations", iterations, at_least(1), "balancings of rows and columns");
    visit("temperature", temperature, at_least(0.05), "divides logits; small: blocks are permuted");
    visit("sortcut", sortcut, at_least(0),
          "all queries see so many first sorted blocks; 0: their own and its sorted block");
    visit("network", network, {"bilinear", "linear"},
          "logits of blocks: mean queries with mean keys, or through a learned matrix");
  }

  Target target(const Problem&) const override { return Target::operation; }
  std::string exact_when(const Problem& problem) const override {
    return "block=" + std::to_string(problem.keys);
  }
  std::string refuses(const Problem& problem) const override {
    if (!problem.self_attention()) return "blocks of queries and of keys are the same tokens";
    if (problem.keys % length(problem) != 0) {
      return "the length, " + std::to_string(problem.keys) + ", is no multiple of the block, " +
             std::to_string(block);
    }
    if (problem.causal && sortcut > 0) return "sortcut shows all queries the same sorted blocks";
    return {};
  }

  void tensors(const Problem& problem, TensorVisitor& visit) const override {
    if (network == Network::bilinear) return;
    visit("w", {{"dim", problem.dim}, {"blocks", blocks(problem)}},
          init::normal(1 / std::sqrt(static_cast<double>(problem.dim))), Role::learned,
          Sharing::head, "sorting network: a block's mean query to its logits");
  }

  Scratch scratch(const Problem& problem) const override {
    const Index count = blocks(problem), kept = sorted_blocks(problem);
    const Index widest = std::max(problem.dim, problem.value_dim);
    const Index rows = std::min(kMixRows, kept);
    Scratch scratch = balance(problem).scratch(count, count);
    scratch.shared<float>(2 * count * problem.dim)
        .shared<float>(count * count)
        .shared<float>(kept * length(problem) * problem.dim)
        .shared<float>(kept * length(problem) * problem.value_dim)
        .shared<float>(problem.queries);
    std::size_t products =
        std::max(product_scratch_bytes(rows, widest, count),
                 product_scratch_bytes(std::min(kMixRows, count), count, problem.dim));
    products = std::max(products, multiply_lower_scratch_bytes(rows, widest, rows, -1));
    const std::size_t attending =
        Scratch().worker<KeySpan>(1).worker_bytes +
        softmax_scratch_bytes(tile_rows(problem), problem.dim, problem.value_dim);
    scratch.worker_bytes = std::max({scratch.worker_bytes, products, attending});
    return scratch;
  }

  Cost cost(const Problem& problem) const override {
    const double n = static_cast<double>(problem.queries), dim = static_cast<double>(problem.dim);
    const double width = static_cast<double>(problem.dim + problem.value_dim);
    const double of_block = static_cast<double>(length(problem));
    const double count = static_cast<double>(blocks(problem));
    const double entries = problem.causal ? count * (count - 1) / 2 : count * count;
    double mixed = entries, pairs = 2 * n * of_block;
    if (problem.causal) pairs = n * (of_block + 1) / 2 + (n - of_block) * of_block;
    if (sortcut > 0) {
      const double kept = static_cast<double>(sorted_blocks(problem));
      mixed = kept * count;
      pairs = n * kept * of_block;
    }
    const double balancing = entries * static_cast<double>(2 * iterations + 1);
    return {
        .useful = {.multiply_adds = entries * dim + (mixed * of_block + pairs) * width,
                   .exponentials = pairs + balancing},
        .bytes = sizeof(float) * (2 * n * width + (network == Network::linear ? dim * count : 0))};
  }

  void forward(const Call& call) const override {
    const Problem& problem = call.problem;
    Arena& arena = call.run.shared();
    const Index count = blocks(problem), kept = sorted_blocks(problem);
    const View features = arena.take_matrix(2 * count, problem.dim);
    const View weights = arena.take_matrix(count, count);
    const View keys = arena.take_matrix(kept * length(problem), problem.dim);
    const View values = arena.take_matrix(kept * length(problem), problem.value_dim);
    pool(call, features);
    const ConstView queries = features.row_range(0, count);
    call.run.parallel((count + kMixRows - 1) / kMixRows, [&](Index tile, Worker& worker) {
      const Index begin = tile * kMixRows, rows = std::min(kMixRows, count - begin);
      const ConstView from = queries.row_range(begin, rows);
      const View to = weights.row_range(begin, rows);
      if (network == Network::linear) {
        multiply(from, call.tensors.matrix("w"), to, worker, logit_scale(problem));
      } else {
        multiply_transposed(from, features.row_range(count, count), to, worker,
                            logit_scale(problem));
      }
    });
    balance(problem).run(weights, call.run);
    const ConstView used = weights.row_range(0, kept);
    mix(call, used, call.k, keys);
    mix(call, used, call.v, values);
    attend(call, keys, values);
  }

  void reference(const ReferenceCall& call) const override {
    const Matrix mixing = balanced(call);
    naive_outputs(call, [&](Index i, double* row) { weigh(call, mixing, i, row); });
  }
  void weights(const ReferenceCall& call, MatrixView<double> weights) const override {
    const Matrix mixing = balanced(call);
    for (Index i = 0; i < weights.rows; ++i) weigh(call, mixing, i, weights.row(i));
  }

 private:
  using Matrix = std::vector<std::vector<double>>;

  Index length(const Problem& problem) const { return std::min(block, problem.keys); }
  Index blocks(const Problem& problem) const { return problem.keys / length(problem); }
  /// How many sorted blocks there is use for.
  Index sorted_blocks(const Problem& problem) const {
    return sortcut > 0 ? std::min(sortcut, blocks(problem)) : blocks(problem);
  }
  SinkhornBalance balance(const Problem& problem) const { return {iterations, problem.causal}; }
  float logit_scale(const Problem& problem) const {
    return static_cast<float>((network == Network::bilinear ? problem.score_scale() : 1) /
                              temperature);
  }
  Index tile_rows(const Problem& problem) const {
    return softmax_tile_rows(length(problem), problem.dim, problem.value_dim, Precision::f32);
  }

  /// Means of the queries of each block, then of its keys. Where causal, queries first come as
  /// sums, which are then run up.
  void pool(const Call& call, View features) const {
    const Problem& problem = call.problem;
    const Index size = length(problem), count = blocks(problem);
    const auto mean = [&](ConstView rows, Index number, float* to) {
      for (Index c = 0; c < rows.cols; ++c) {
        double sum = 0;
        for (Index t = 0; t < size; ++t) sum += rows(number * size + t, c);
        to[c] = static_cast<float>(sum / static_cast<double>(size));
      }
    };
    call.run.parallel(count, [&](Index number, Worker&) {
      mean(call.q, number, features.row(number));
      if (network == Network::bilinear) mean(call.k, number, features.row(count + number));
    });
    if (!problem.causal) return;
    for (Index c = 0; c < problem.dim; ++c) {
      double before = 0;
      for (Index number = 0; number < count; ++number) {
        const double own = features(number, c) * static_cast<double>(size);
        features(number, c) = static_cast<float>((before + call.q(number * size, c)) /
                                                 static_cast<double>(number * size + 1));
        before += own;
      }
    }
  }

  /// Mixes whole blocks of rows: token t of the mixed ones from token t of all.
  void mix(const Call& call, ConstView weights, ConstView from, View to) const {
    const Index size = length(call.problem), count = blocks(call.problem);
    const Index tiles = (weights.rows + kMixRows - 1) / kMixRows;
    call.run.parallel(size * tiles, [&](Index index, Worker& worker) {
      const Index token = index / tiles, begin = index % tiles * kMixRows;
      const Index rows = std::min(kMixRows, weights.rows - begin);
      const ConstView tokens = from.every(size, token, count);
      const View mixed = to.every(size, token, weights.rows).row_range(begin, rows);
      const ConstView part = weights.row_range(begin, rows);
      if (!call.problem.causal) {
        multiply(part, tokens, mixed, worker);
        return;
      }
      // Blocks before all of these, and then those in the triangle.
      if (begin > 0) multiply(part.col_range(0, begin), tokens.row_range(0, begin), mixed, worker);
      multiply_lower(part.col_range(begin, rows), tokens.row_range(begin, rows), mixed, -1, worker,
                     begin > 0);
    });
  }

  void attend(const Call& call, ConstView keys, ConstView values) const {
    const Problem& problem = call.problem;
    const Index size = length(problem), rows = tile_rows(problem);
    const Index pieces = (size + rows - 1) / rows;
    const SoftmaxOperands own{
        .q = call.q,
        .k = call.k,
        .v = call.v,
        .out = call.out,
        .row_log_sum_exp = call.run.shared().take<float>(problem.queries).data(),
        .scale = static_cast<float>(problem.score_scale()),
        .causal = problem.causal};
    SoftmaxOperands sorted = own;
    sorted.k = keys;
    sorted.v = values;
    sorted.causal = false;
    sorted.merge = sortcut == 0;
    call.run.parallel(blocks(problem) * pieces, [&](Index index, Worker& worker) {
      const Index number = index / pieces, begin = number * size, end = begin + size;
      const Index first = begin + index % pieces * rows;
      if (first >= end) return;
      const Rows queries{first, std::min(rows, end - first)};
      KeyPlan plan(keys.rows, worker.scratch.take<KeySpan>(1), {});
      if (sortcut > 0) {
        plan.all(0, keys.rows);
        streaming_softmax(sorted, queries, plan, nullptr, worker);
        return;
      }
      plan.all(begin, end);
      streaming_softmax(own, queries, plan, nullptr, worker);
      if (problem.causal && number == 0) return;
      streaming_softmax(sorted, queries, plan, nullptr, worker);
    });
  }

  /// L / temperature and R by definition: [blocks][blocks].
  Matrix logits(const ReferenceCall& call) const;
  Matrix balanced(const ReferenceCall& call) const;

  /// Weights of a query over the keys themselves. Each candidate of its softmax is a share of some:
  /// of one key of its own block, or of one token of every block.
  void weigh(const ReferenceCall& call, const Matrix& mixing, Index query, double* row) const {
    const Problem& problem = call.problem;
    const Index size = length(problem), count = blocks(problem), own = query / size;
    std::vector<double> scores, shares;
    std::vector<std::vector<std::pair<Index, double>>> candidates;
    for (Index j = 0; j < problem.keys; ++j) scores.push_back(naive_score(call, query, j));
    for (Index j = own * size; j < (own + 1) * size && sortcut == 0; ++j) {
      if (problem.sees(query, j)) candidates.push_back({{j, 1.0}});
    }
    const Index first = sortcut > 0 ? 0 : own;
    const Index end = sortcut > 0 ? sorted_blocks(problem) : own + 1;
    for (Index b = first; b < end && !(problem.causal && own == 0); ++b) {
      for (Index t = 0; t < size; ++t) {
        candidates.emplace_back();
        for (Index j = 0; j < (problem.causal ? b : count); ++j) {
          candidates.back().emplace_back(j * size + t, mixing[b][j]);
        }
      }
    }
    for (const auto& candidate : candidates) {
      shares.push_back(0);
      for (const auto& [key, share] : candidate) shares.back() += share * scores[key];
    }
    naive_softmax(shares);
    std::fill_n(row, problem.keys, 0.0);
    for (std::size_t at = 0; at < shares.size(); ++at) {
      for (const auto& [key, share] : candidates[at]) row[key] += shares[at] * share;
    }
  }
};

Sinkhorn::Matrix Sinkhorn::logits(const ReferenceCall& call) const {
  const Problem& problem = call.problem;
  const Index size = length(problem), count = blocks(problem);
  const auto means = [&](MatrixView<const double> rows, bool running) {
    Matrix result;
    for (Index b = 0; b < count; ++b) {
      const Index begin = running ? 0 : b * size, end = running ? b * size + 1 : (b + 1) * size;
      std::vector<double>& mean = result.emplace_back(static_cast<std::size_t>(problem.dim));
      for (Index i = begin; i < end; ++i) {
        for (Index c = 0; c < problem.dim; ++c) {
          mean[c] += rows(i, c) / static_cast<double>(end - begin);
        }
      }
    }
    return result;
  };
  const Matrix queries = means(call.q, problem.causal);
  Matrix result(count, std::vector<double>(count, -INFINITY)), keys;
  if (network == Network::bilinear) keys = means(call.k, false);
  for (Index i = 0; i < count; ++i) {
    for (Index j = 0; j < (problem.causal ? i : count); ++j) {
      double dot = 0;
      for (Index c = 0; c < problem.dim; ++c) {
        dot += queries[i][c] * (network == Network::linear ? double{call.tensors.matrix("w")(c, j)}
                                                           : keys[j][c] * problem.score_scale());
      }
      result[i][j] = dot / temperature;
    }
  }
  return result;
}

Sinkhorn::Matrix Sinkhorn::balanced(const ReferenceCall& call) const {
  const bool causal = call.problem.causal;
  const Index count = blocks(call.problem);
  Matrix logs = logits(call);
  const auto log_sum = [](std::vector<double> values) { return naive_softmax(values); };
  const auto divide_rows = [&] {
    for (Index i = causal ? 1 : 0; i < count; ++i) {
      const double sum = log_sum(logs[i]);
      for (double& value : logs[i]) value -= sum;
    }
  };
  for (Index iteration = 0; iteration < iterations; ++iteration) {
    divide_rows();
    for (Index j = 0; j < count; ++j) {
      std::vector<double> column;
      for (Index i = 0; i < count; ++i) column.push_back(logs[i][j]);
      double sum = causal ? 0 : log_sum(column);
      for (Index i = causal ? j + 1 : 0; i < count; ++i) {
        if (causal) sum = log_sum({column.begin(), column.begin() + i + 1});
        logs[i][j] -= sum;
      }
    }
  }
  if (causal) divide_rows();
  for (std::vector<double>& row : logs) {
    for (double& value : row) value = std::exp(value);
  }
  return logs;
}

SUBQUAD_VARIANT(Sinkhorn,
                {.name = "sinkhorn",
                 .summary = "own block, and a mixture of whole blocks from a sorting network",
                 .citation = "arXiv:2002.11296",
                 .time = "n block d + n^2 d / block",
                 .memory = "n d + (n / block)^2"});

}  // namespace
}  // namespace subquad

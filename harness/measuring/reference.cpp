#include "measuring/reference.h"

#include <fmt/format.h>
#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/parallel_for.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <numeric>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "experiments/points.h"
#include "layers/drawn_tensors.h"
#include "layers/executor.h"
#include "layers/layer.h"
#include "measuring/reference_file.h"
#include "records/hash.h"
#include "records/store.h"
#include "subquad/error.h"
#include "subquad/random.h"

namespace subquad {
namespace {

constexpr const char* kPlainDense = "dense";
/// Any fixed number: the sample must not change with a point's seed, or seeds could not be
/// compared.
constexpr std::uint64_t kSampleKey = 0x73616d706c65;

using Doubles = std::vector<double>;

struct DoubleMatrix {
  Doubles values;
  Index rows = 0, cols = 0;

  explicit DoubleMatrix(ConstView from)
      : values(static_cast<std::size_t>(from.rows * from.cols)), rows(from.rows), cols(from.cols) {
    for (Index i = 0; i < rows; ++i) std::copy_n(from.row(i), cols, values.data() + i * cols);
  }
  MatrixView<const double> view() const { return {values.data(), rows, cols}; }
};

/// How a target's rows can be had one by one: the expression to evaluate, and whether queries,
/// normalised, take the place of keys first. Nothing if they cannot.
struct RowWise {
  Expression expression;
  bool normalise = false;
};

std::optional<RowWise> row_wise(const Expression& target, const Problem& problem) {
  if (target.name != kPlainDense) return {};
  RowWise result{target, false};
  auto& arguments = result.expression.arguments;
  const auto keys = std::find_if(arguments.begin(), arguments.end(),
                                 [](const auto& argument) { return argument.key == "keys"; });
  if (keys != arguments.end() && keys->value != "given") {
    if (keys->value != "normalised_queries" || !problem.self_attention()) return {};
    result.normalise = true;
    arguments.erase(keys);
  }
  return result;
}

/// Kitaev et al., 2020: k_j = q_j / |q_j|; a zero query stays one.
Doubles normalised_rows(MatrixView<const double> rows) {
  Doubles result;
  for (Index i = 0; i < rows.rows; ++i) {
    const double* const row = rows.row(i);
    const double norm = std::sqrt(std::inner_product(row, row + rows.cols, row, 0.0));
    for (Index c = 0; c < rows.cols; ++c) result.push_back(norm == 0 ? row[c] : row[c] / norm);
  }
  return result;
}

/// One query row of `problem`.
Problem problem_of_row(const Problem& problem, Index row, bool plain) {
  Problem one = problem;
  one.queries = 1;
  one.first_query = problem.position(row);
  if (problem.causal) one.keys = std::min(problem.keys, one.first_query + 1);
  // A plain row does not care where it stands, and may stand beyond the last key.
  if (plain && !problem.causal) one.first_query = 0;
  return one;
}

void compute_rows(const RowWise& how, MatrixView<const double> q, MatrixView<const double> k,
                  MatrixView<const double> v, const Problem& problem, ReferenceHead& result) {
  Doubles normalised;
  if (how.normalise) {
    normalised = normalised_rows(q);
    k = {normalised.data(), q.rows, q.cols};
  }
  const auto count = static_cast<Index>(result.rows.size());
  result.out.resize(static_cast<std::size_t>(count * problem.value_dim));
  result.log_sum_exp.resize(result.rows.size());
  const bool plain = how.expression.arguments.empty();
  const Layer any_row(how.expression, problem_of_row(problem, 0, plain), 1);
  const DrawnTensors tensors(any_row, 0);
  oneapi::tbb::parallel_for(Index{0}, count, [&](Index i) {
    const Index row = result.rows[static_cast<std::size_t>(i)];
    const Problem one = problem_of_row(problem, row, plain);
    const Layer layer(how.expression, one, 1);
    const std::string reason = layer.refuses();
    if (!reason.empty()) {
      throw Error("reference " + how.expression.text() + " refuses a single row: " + reason);
    }
    layer.variant(0).reference(
        {.problem = one,
         .q = q.row_range(row, 1),
         .k = k.row_range(0, one.keys),
         .v = v.row_range(0, one.keys),
         .x = {},
         .out = {result.out.data() + i * problem.value_dim, 1, problem.value_dim},
         .row_log_sum_exp = result.log_sum_exp.data() + i,
         .tensors = tensors.of(0)});
  });
}

void compute_whole(const Expression& target, const LayerInput& input, const Problem& problem,
                   Index sequence, Index head, ReferenceHead& result) {
  const Layer layer(target, problem, input.heads);
  const DrawnTensors tensors(layer, 0);
  result.out.resize(result.rows.size() * static_cast<std::size_t>(problem.value_dim));
  result.log_sum_exp.resize(result.rows.size());
  Doubles out(static_cast<std::size_t>(problem.queries * problem.value_dim));
  Doubles log_sum_exp(static_cast<std::size_t>(problem.queries));
  run_reference(layer, input, tensors, sequence, head,
                {out.data(), problem.queries, problem.value_dim}, log_sum_exp.data());
  for (std::size_t i = 0; i < result.rows.size(); ++i) {
    const auto row = static_cast<std::size_t>(result.rows[i]);
    const auto width = static_cast<std::size_t>(problem.value_dim);
    std::copy_n(out.begin() + static_cast<std::ptrdiff_t>(row * width), width,
                result.out.begin() + static_cast<std::ptrdiff_t>(i * width));
    result.log_sum_exp[i] = log_sum_exp[row];
  }
}

template <class Vector>
void add(Hash& hash, const Vector& values) {
  const std::uint64_t size = values.size();
  hash.bytes(&size, sizeof size).bytes(values.data(), values.size() * sizeof(values[0]));
}

std::optional<Reference> read_reference(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return {};
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return reference_from_bytes(std::move(bytes).str());
}

void keep_reference(const std::string& folder, const std::string& path,
                    const Reference& reference) {
  std::error_code code;
  std::filesystem::create_directories(folder, code);
  if (code) throw Error(folder + ": cannot be made: " + code.message());
  write_file_atomically(path, to_bytes(reference));
}

struct CacheProblem {
  std::mutex mutex;
  std::optional<std::string> text;  ///< until somebody takes it
  bool noted = false;
};

CacheProblem& cache_problem() {
  static CacheProblem problem;
  return problem;
}

void note_cache_problem(const std::string& text) {
  CacheProblem& problem = cache_problem();
  const std::lock_guard lock(problem.mutex);
  if (std::exchange(problem.noted, true)) return;
  problem.text = text + "; references are computed anew each time (SUBQUAD_CACHE names a folder)";
}

}  // namespace

Problem problem_of_sequence(const Problem& problem, const LayerInput& input, Index sequence) {
  Problem own = problem;
  own.keys = std::min(problem.keys, input.length(sequence));
  if (problem.self_attention()) own.queries = own.keys;
  return own;
}

std::vector<Index> sampled_rows(Index count, Index queries, Index sequence, Index head) {
  std::vector<Index> rows(static_cast<std::size_t>(queries));
  std::iota(rows.begin(), rows.end(), Index{0});
  if (count >= queries) return rows;
  Generator random(kSampleKey,
                   static_cast<std::uint64_t>(sequence) << 32 | static_cast<std::uint64_t>(head));
  for (Index i = 0; i < count; ++i) {
    std::swap(rows[static_cast<std::size_t>(i)],
              rows[static_cast<std::size_t>(i + random.below(queries - i))]);
  }
  rows.resize(static_cast<std::size_t>(count));
  std::sort(rows.begin(), rows.end());
  return rows;
}

std::optional<Reference> compute_reference(const Expression& target, const LayerInput& input,
                                           const Problem& problem, Index rows, Index last) {
  const std::optional<RowWise> how = row_wise(target, problem);
  if (!how && problem.keys > kWholeReferenceKeys) return {};
  Reference reference{.value_dim = problem.value_dim};
  for (Index sequence = 0; sequence < input.batch; ++sequence) {
    const Problem own = problem_of_sequence(problem, input, sequence);
    const Index population = last == 0 ? own.queries : std::min(last, own.queries);
    for (Index head = 0; head < input.heads; ++head) {
      ReferenceHead result;
      result.rows = sampled_rows(rows, population, sequence, head);
      for (Index& row : result.rows) row += own.queries - population;
      const auto count = static_cast<Index>(result.rows.size());
      if (how) {
        const DoubleMatrix q(input.q_of(sequence, head).row_range(0, own.queries));
        const DoubleMatrix k(input.k_of(sequence, head).row_range(0, own.keys));
        const DoubleMatrix v(input.v_of(sequence, head).row_range(0, own.keys));
        compute_rows(*how, q.view(), k.view(), v.view(), own, result);
      } else {
        compute_whole(target, input, own, sequence, head, result);
      }
      reference.rows = std::max(reference.rows, count);
      reference.sampled = reference.sampled || count < population;
      reference.heads.push_back(std::move(result));
    }
  }
  return reference;
}

bool reference_rows(const Expression& target, MatrixView<const double> q,
                    MatrixView<const double> k, MatrixView<const double> v, const Problem& problem,
                    ReferenceHead& result) {
  const std::optional<RowWise> how = row_wise(target, problem);
  if (how) compute_rows(*how, q, k, v, problem, result);
  return how.has_value();
}

void add_identity(const Expression& target, const LayerInput& input, const Problem& problem,
                  Hash& identity) {
  add(identity, input.q);
  add(identity, input.k);
  add(identity, input.v);
  add(identity, input.x);
  add(identity, input.lengths);
  add(identity,
      std::vector<Index>{input.batch, input.heads, input.key_heads, problem.queries, problem.keys,
                         problem.dim, problem.value_dim, problem.causal, problem.first_query});
  const double scale = problem.score_scale();
  // The build, because a mended reference must not find what it left before.
  identity.bytes(&scale, sizeof scale).text(target.text()).text(build_of(target));
}

std::optional<Reference> kept_reference(const Hash& identity,
                                        const std::function<std::optional<Reference>()>& compute) {
  const std::string folder = cache_folder();
  const std::string path = folder + "/" + identity.hex() + ".ref";
  if (auto kept = read_reference(path)) return kept;
  auto reference = compute();
  if (!reference) return {};
  try {
    keep_reference(folder, path, *reference);
  } catch (const Error& error) {
    note_cache_problem(error.what());
  }
  return reference;
}

std::optional<Reference> reference_of(const Expression& target, const LayerInput& input,
                                      const Problem& problem, Index rows, Index last) {
  Hash identity;
  add_identity(target, input, problem, identity);
  add(identity, std::vector<Index>{rows, last});
  return kept_reference(identity,
                        [&] { return compute_reference(target, input, problem, rows, last); });
}

std::optional<std::string> take_cache_problem() {
  CacheProblem& problem = cache_problem();
  const std::lock_guard lock(problem.mutex);
  return std::exchange(problem.text, std::nullopt);
}

std::string cache_folder() {
  const char* given = std::getenv("SUBQUAD_CACHE");
  return given != nullptr && *given != '\0' ? given : ".cache/reference";
}

}  // namespace subquad

#include "inputs/generator.h"

#include <fmt/format.h>

#include <algorithm>

#include "subquad/error.h"

namespace subquad {
namespace {

/// SplitMix64's finaliser, after a constant that keeps inputs apart from what variants draw with
/// the same seed.
std::uint64_t key_of(std::uint64_t seed) {
  std::uint64_t z = seed ^ 0x696e707574735f71;  // "inputs_q"
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

std::size_t elements(const char* name, Index batch, Index heads, Index rows, Index cols) {
  Index count = batch;
  for (const Index extent : {heads, rows, cols, Index{sizeof(float)}}) {
    if (__builtin_mul_overflow(count, extent, &count)) {
      throw Error(fmt::format("input: {} of [{}, {}, {}, {}] is too large", name, batch, heads,
                              rows, cols));
    }
  }
  return static_cast<std::size_t>(count) / sizeof(float);
}

void check(const InputRequest& request) {
  const std::pair<const char*, Index> extents[] = {
      {"batch", request.batch},        {"heads", request.heads}, {"key heads", request.key_heads},
      {"queries", request.queries},    {"keys", request.keys},   {"dim", request.dim},
      {"value dim", request.value_dim}};
  for (const auto& [name, extent] : extents) {
    if (extent < 1) throw Error(fmt::format("input: {} = {} (at least 1)", name, extent));
  }
  if (request.heads % request.key_heads != 0) {
    throw Error(fmt::format("input: {} heads cannot share {} key heads evenly", request.heads,
                            request.key_heads));
  }
}

LayerInput sized(const InputRequest& request) {
  LayerInput input;
  input.batch = request.batch;
  input.heads = request.heads;
  input.key_heads = request.key_heads;
  input.queries = request.queries;
  input.keys = request.keys;
  input.dim = request.dim;
  input.value_dim = request.value_dim;
  input.q.resize(elements("q", input.batch, input.heads, input.queries, input.dim));
  input.k.resize(elements("k", input.batch, input.key_heads, input.keys, input.dim));
  input.v.resize(elements("v", input.batch, input.key_heads, input.keys, input.value_dim));
  return input;
}

/// The matrix number `number` of a packed tensor.
View matrix(AlignedFloats& packed, Index number, Index rows, Index cols) {
  return {packed.data() + number * rows * cols, rows, cols};
}

/// Queries that are fewer than the keys are those of the last tokens, if they are tokens of them.
void fill_last_queries(const InputGenerator& generator, const HeadStreams& streams, ConstView k,
                       View q) {
  if (q.rows >= k.rows || generator.queries_are_tokens_of_their_own()) {
    generator.fill_queries(streams, k, q);
    return;
  }
  std::vector<float> all(static_cast<std::size_t>(k.rows * q.cols));
  generator.fill_queries(streams, k, View(all.data(), k.rows, q.cols));
  std::copy(all.end() - q.rows * q.cols, all.end(), q.data);
}

}  // namespace

Generator HeadStreams::stream(Matrix matrix, Index head) const {
  const auto bits = (static_cast<std::uint64_t>(matrix) << 56) |
                    (static_cast<std::uint64_t>(sequence_) << 24) |
                    static_cast<std::uint64_t>(head);
  return Generator(key_of(seed_), bits);
}

std::vector<InputKind>& input_kinds() {
  static std::vector<InputKind> kinds;
  return kinds;
}

LayerInput generate(InputGenerator& generator, const Expression& expression,
                    const InputRequest& request) {
  check(request);
  const auto visit = [&](Parameters& parameters) { generator.parameters(parameters); };
  configure(visit, expression,
            {.queries = request.queries,
             .keys = request.keys,
             .dim = request.dim,
             .value_dim = request.value_dim});
  LayerInput input = sized(request);
  input.provenance = resolved_text(expression.name, visit);
  const Index group = input.heads / input.key_heads;
  for (Index sequence = 0; sequence < input.batch; ++sequence) {
    for (Index head = 0; head < input.heads; ++head) {
      const HeadStreams streams(request.seed, request.first_sequence + sequence, head,
                                head / group);
      const Index keys_number = sequence * input.key_heads + head / group;
      const View k = matrix(input.k, keys_number, input.keys, input.dim);
      if (head % group == 0) {
        generator.fill_keys(streams, k, matrix(input.v, keys_number, input.keys, input.value_dim));
      }
      fill_last_queries(generator, streams, k,
                        matrix(input.q, sequence * input.heads + head, input.queries, input.dim));
    }
  }
  return input;
}

}  // namespace subquad

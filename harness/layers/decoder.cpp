#include "layers/decoder.h"

#include <algorithm>
#include <stdexcept>
#include <utility>
#include <vector>

#include "layers/call_inputs.h"
#include "layers/shared_keys.h"
#include "layers/team.h"
#include "subquad/error.h"

namespace subquad {
namespace {

/// One stream and the heads whose queries it answers: first, first + step, ...; `count` of them.
struct Reader {
  Index sequence, first, step, count;
  std::unique_ptr<Stream> after_prompt, current;
};

/// Heads that share a stream. `x` is a head's own even where keys are not.
std::vector<std::vector<Index>> heads_by_stream(const Layer& layer, Index key_heads) {
  std::vector<std::vector<Index>> all;
  for (const std::vector<Index>& heads : calls_sharing_keys(layer, key_heads)) {
    if (!layer.variant(heads.front()).consumes().x) {
      all.push_back(heads);
      continue;
    }
    for (const Index head : heads) all.push_back({head});
  }
  return all;
}

}  // namespace

struct Decoder::Impl {
  Impl(const Layer& layer, const LayerInput& input, const DrawnTensors& tensors, Index tokens,
       int threads)
      : layer(layer), input(input), tokens(tokens), team(at_least_one(threads)) {
    check_input(layer, input);
    const std::string reason = layer.refuses_decoding();
    if (!reason.empty()) throw Error(layer.resolved() + ": " + reason);
    if (!input.lengths.empty() || !layer.problem().self_attention() || !layer.problem().causal ||
        tokens < 1 || tokens > input.keys) {
      throw std::logic_error("Decoder: not the end of causal self attention at full length");
    }
    const auto groups = heads_by_stream(layer, input.key_heads);
    for (Index sequence = 0; sequence < input.batch; ++sequence) {
      for (const std::vector<Index>& heads : groups) {
        // The calls of a group are as far apart as the variants of the layer repeat.
        readers.push_back({.sequence = sequence,
                           .first = heads.front(),
                           .step = layer.distinct(),
                           .count = static_cast<Index>(heads.size()),
                           .after_prompt = make_stream(sequence, heads.front(), tensors),
                           .current = {}});
      }
    }
    took_part.resize(static_cast<std::size_t>(team.size()));
  }

  std::unique_ptr<Stream> make_stream(Index sequence, Index head, const DrawnTensors& tensors) {
    const Problem& problem = layer.problem();
    return layer.variant(head).stream(problem, tensors.of(head, sequence, problem));
  }

  /// One step; without `output` nothing is asked.
  void step(const Reader& reader, Stream& stream, Index position, LayerOutput* output) const {
    const Index head = reader.first, sequence = reader.sequence;
    const bool reads_x = layer.variant(head).consumes().x;
    Token token{.queries = {},
                .key = input.k_of(sequence, head).row(position),
                .value = input.v_of(sequence, head).row(position),
                .x = reads_x ? input.x_of(sequence, head).row_range(position, 1) : ConstView(),
                .out = {}};
    if (output != nullptr) {
      // Heads lie one behind the other, so a token's rows of several are rows far apart.
      const auto rows_of = [&](auto first, Index row) {
        return decltype(first)(first.row(row), reader.count, first.cols,
                               reader.step * first.rows * first.cols);
      };
      token.queries = rows_of(input.q_of(sequence, head), position);
      token.out = rows_of(output->of(sequence, head), position - (input.keys - tokens));
    }
    stream.step(token);
  }

  void run(LayerOutput& output) {
    size(output);
    std::fill(took_part.begin(), took_part.end(), char{0});
    for (Index position = input.keys - tokens; position < input.keys; ++position) {
      team.each(static_cast<Index>(readers.size()), [&](Index i, int member) {
        const Reader& reader = readers[static_cast<std::size_t>(i)];
        step(reader, *reader.current, position, &output);
        char& took = took_part[static_cast<std::size_t>(member)];
        if (took == 0) took = 1;
      });
    }
  }

  void size(LayerOutput& output) const {
    output.batch = input.batch;
    output.heads = input.heads;
    output.queries = tokens;
    output.value_dim = input.value_dim;
    output.out.resize(static_cast<std::size_t>(input.batch * input.heads * tokens) *
                      static_cast<std::size_t>(input.value_dim));
    output.log_sum_exp.clear();
  }

  const Layer& layer;
  const LayerInput& input;
  Index tokens;
  Team team;
  std::vector<Reader> readers;
  std::vector<char> took_part;  ///< by member; bytes, so that threads do not share one
  bool rewound = false;
};

Decoder::Decoder(const Layer& layer, const LayerInput& input, const DrawnTensors& tensors,
                 Index tokens, int threads)
    : impl_(std::make_unique<Impl>(layer, input, tensors, tokens, threads)) {}

Decoder::~Decoder() = default;

void Decoder::read_prompt() {
  Impl& my = *impl_;
  my.team.each(static_cast<Index>(my.readers.size()), [&](Index i, int) {
    const Reader& reader = my.readers[static_cast<std::size_t>(i)];
    for (Index position = 0; position < my.input.keys - my.tokens; ++position) {
      my.step(reader, *reader.after_prompt, position, nullptr);
    }
  });
}

void Decoder::rewind() {
  for (Reader& reader : impl_->readers) {
    reader.current.reset();  // before there is another one: long prompts have large states
    reader.current = reader.after_prompt->clone();
  }
  impl_->rewound = true;
}

void Decoder::run(LayerOutput& output) {
  if (!std::exchange(impl_->rewound, false)) throw std::logic_error("Decoder: not rewound");
  impl_->run(output);
}

void Decoder::poison(LayerOutput& output) const {
  impl_->size(output);
  output.poison();
}

void Decoder::on_every_thread(const std::function<void()>& body) {
  impl_->team.each(impl_->team.size(), [&](Index, int) { body(); });
}

std::size_t Decoder::state_bytes() const {
  std::size_t bytes = 0;
  for (const Reader& reader : impl_->readers) bytes += reader.current->state_bytes();
  return bytes;
}

int Decoder::threads_used() const {
  return static_cast<int>(std::ranges::count(impl_->took_part, char{1}));
}

}  // namespace subquad

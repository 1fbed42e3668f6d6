#include "layers/executor.h"

#include <algorithm>
#include <atomic>
#include <limits>
#include <stdexcept>

#include "layers/arenas.h"
#include "layers/call_inputs.h"
#include "layers/shared_keys.h"
#include "layers/team.h"
#include "subquad/error.h"

namespace subquad {
namespace {

constexpr float kNoKey = -std::numeric_limits<float>::infinity();

/// One call of a variant's `forward`, all but where its output goes.
struct PlannedCall {
  Index sequence, call;
  Problem problem;
  CallInputs inputs;
  const Tensors* tensors;
  Scratch scratch;
  std::span<std::byte> prepared;
  GuardedMemory layer_out;  ///< of `Scope::layer`: [queries, heads x value_dim]
};

/// One call of `prepare` for the heads that share its keys.
struct Preparation {
  std::size_t planned;  ///< number of the first call that reads the result
  std::size_t bytes;
  std::size_t offset;
};

void require_accepted(const Layer& layer, const PlannedCall& planned, Index length) {
  const std::string reason = refusal_of(layer.variant(planned.call), planned.problem);
  if (reason.empty()) return;
  throw Error(layer.variant_name(planned.call) + " refuses sequence " +
              std::to_string(planned.sequence) + " of " + std::to_string(length) +
              " keys: " + reason);
}

/// Largest scratch of a call of the layer, each kind by itself.
Scratch largest_scratch(const Layer& layer) {
  Scratch largest;
  for (Index call = 0; call < layer.distinct(); ++call) {
    const Scratch scratch = layer.variant(call).scratch(layer.problem());
    largest.shared_bytes = std::max(largest.shared_bytes, scratch.shared_bytes);
    largest.worker_bytes = std::max(largest.worker_bytes, scratch.worker_bytes);
  }
  return largest;
}

/// Places for calls that run at the same time: no more than there are calls or threads.
Index places_for(Index calls, int threads) { return std::min<Index>(calls, threads); }

std::size_t arena_bytes(const Scratch& largest, Index places, int threads) {
  return static_cast<std::size_t>(places) * largest.shared_bytes +
         static_cast<std::size_t>(threads) * largest.worker_bytes;
}

/// Of one sequence.
std::size_t prepared_bytes(const Layer& layer, Index key_heads) {
  std::size_t bytes = 0;
  for (const std::vector<Index>& readers : calls_sharing_keys(layer, key_heads)) {
    if (readers.size() < 2) continue;
    bytes += padded_bytes(layer.variant(readers.front()).prepared_bytes(layer.problem()));
  }
  return bytes;
}

}  // namespace

std::size_t declared_scratch(const Layer& layer, Index batch, Index key_heads, int threads) {
  const Index places = places_for(layer.calls() * batch, threads);
  return arena_bytes(largest_scratch(layer), places, threads) +
         static_cast<std::size_t>(batch) * prepared_bytes(layer, key_heads);
}

std::size_t layout_bytes(const Layer& layer, const Problem& head_problem, Index batch) {
  if (layer.scope() != Scope::layer) return 0;
  const Consumes consumes = layer.consumes();
  const Problem& p = head_problem;
  const Index columns = (consumes.q ? p.queries * p.dim : 0) + (consumes.k ? p.keys * p.dim : 0) +
                        (consumes.v ? p.keys * p.value_dim : 0) +
                        (consumes.x ? p.queries * p.value_dim : 0) + p.queries * p.value_dim;
  return sizeof(float) * static_cast<std::size_t>(batch * layer.heads() * columns);
}

bool LayerOutput::intact() const {
  return guards_intact(reinterpret_cast<const std::byte*>(out.data()),
                       out.capacity() * sizeof(float)) &&
         guards_intact(reinterpret_cast<const std::byte*>(log_sum_exp.data()),
                       log_sum_exp.capacity() * sizeof(float));
}

void LayerOutput::poison() {
  constexpr float kPoison = std::numeric_limits<float>::quiet_NaN();
  std::ranges::fill(out, kPoison);
  std::ranges::fill(log_sum_exp, kPoison);
}

Index LayerOutput::offset(Index sequence, Index head) const {
  return layout == Layout::by_head ? (sequence * heads + head) * queries * value_dim
                                   : (sequence * queries * heads + head) * value_dim;
}

Index LayerOutput::stride() const {
  return layout == Layout::by_head ? value_dim : heads * value_dim;
}

View LayerOutput::of(Index sequence, Index head) {
  return {out.data() + offset(sequence, head), queries, value_dim, stride()};
}
ConstView LayerOutput::of(Index sequence, Index head) const {
  return {out.data() + offset(sequence, head), queries, value_dim, stride()};
}

struct Executor::Impl {
  Impl(const Layer& layer, const LayerInput& input, const DrawnTensors& tensors, int threads)
      : Impl(layer, input, tensors, std::make_unique<Team>(at_least_one(threads))) {}
  Impl(const Layer& layer, const LayerInput& input, const DrawnTensors& tensors,
       std::unique_ptr<Team> own)
      : Impl(layer, input, tensors, *own, Layout::by_head) {
    own_team = std::move(own);
  }
  Impl(const Layer& layer, const LayerInput& input, const DrawnTensors& tensors, Team& team,
       Layout output_layout)
      : layer(layer), input(input), team(team), output_layout(output_layout), board(team.size()) {
    check_input(layer, input);
    for (Index sequence = 0; sequence < input.batch; ++sequence) {
      for (Index call = 0; call < layer.calls(); ++call) plan(sequence, call, tensors);
    }
    places = places_for(static_cast<Index>(calls.size()), team.size());
    plan_preparations();
    allocate_arenas();
  }

  void plan(Index sequence, Index call, const DrawnTensors& tensors) {
    PlannedCall planned{
        .sequence = sequence, .call = call, .problem = sequence_problem(layer, input, sequence)};
    if (planned.problem.queries == 0) return;
    require_accepted(layer, planned, input.length(sequence));
    planned.inputs = inputs_of_call(layer, input, sequence, call);
    planned.tensors = &tensors.of(call, sequence, planned.problem);
    planned.scratch = layer.variant(call).scratch(planned.problem);
    if (layer.scope() == Scope::layer && output_layout == Layout::by_head) {
      planned.layer_out =
          GuardedMemory(sizeof(float) * static_cast<std::size_t>(planned.problem.queries *
                                                                 planned.problem.value_dim));
    }
    calls.push_back(std::move(planned));
  }

  /// Where no second head shares the keys, `forward` does that work itself.
  void plan_preparations() {
    const std::vector<std::vector<Index>> groups = calls_sharing_keys(layer, input.key_heads);
    std::vector<std::vector<std::size_t>> readers;
    std::size_t bytes = 0;
    // A sequence has all of its calls, or none.
    for (std::size_t first = 0; first < calls.size(); first += layer.calls()) {
      for (const std::vector<Index>& group : groups) {
        const PlannedCall& planned = calls[first + static_cast<std::size_t>(group.front())];
        const std::size_t size = layer.variant(planned.call).prepared_bytes(planned.problem);
        if (group.size() < 2 || size == 0) continue;
        preparations.push_back({first + static_cast<std::size_t>(group.front()), size, bytes});
        bytes += padded_bytes(size);
        readers.emplace_back();
        for (const Index call : group) {
          readers.back().push_back(first + static_cast<std::size_t>(call));
        }
      }
    }
    prepared_memory = GuardedMemory(bytes);
    std::fill_n(prepared_memory.data(), bytes, std::byte{0});
    for (std::size_t i = 0; i < readers.size(); ++i) {
      const Preparation& one = preparations[i];
      for (const std::size_t reader : readers[i]) {
        calls[reader].prepared = {prepared_memory.data() + one.offset, one.bytes};
      }
    }
  }

  void allocate_arenas() {
    Scratch largest;
    for (const PlannedCall& planned : calls) {
      largest.shared_bytes = std::max(largest.shared_bytes, planned.scratch.shared_bytes);
      largest.worker_bytes = std::max(largest.worker_bytes, planned.scratch.worker_bytes);
    }
    members = std::vector<MemberMemory>(static_cast<std::size_t>(team.size()));
    for (std::size_t i = 0; i < members.size(); ++i) {
      const bool is_place = static_cast<Index>(i) < places;
      members[i].allocate(is_place ? largest.shared_bytes : 0, largest.worker_bytes);
    }
  }

  /// Calls work(i, run) for every i in [0, count), where planned_of(i) is the call that it belongs
  /// to. A member takes call after call; when there are no more, it takes tiles of those that
  /// others still have.
  template <class PlannedOf, class Work>
  void for_each(Index count, PlannedOf planned_of, Work work) {
    if (count == 0) return;
    std::atomic<Index> next = 0;
    board.begin(count);
    team.each(team.size(), [&](Index, int member) {
      MemberMemory& mine = memory_of(member);
      try {
        for (Index i = next++; i < count; i = next++) {
          // With fewer places than members calls are no more than places.
          const int place = places < team.size() ? static_cast<int>(i) : member;
          MemberRun run(memory_of(place), mine, planned_of(i).scratch,
                        team.size() > 1 ? &board.place(place) : nullptr);
          work(i, run);
          board.end_call();
        }
      } catch (...) {
        next = count;
        board.abandon();
        throw;
      }
      help_others(board, mine);
    });
  }

  MemberMemory& memory_of(int member) { return members[static_cast<std::size_t>(member)]; }

  void run(LayerOutput& output, bool want_log_sum_exp) {
    if (want_log_sum_exp && !layer.gives_log_sum_exp()) {
      throw std::logic_error(layer.resolved() + " gives no row log-sum-exp");
    }
    size(output, want_log_sum_exp);
    clear_padding(output, want_log_sum_exp);
    for (MemberMemory& member : members) member.begin_pass();
    const auto prepared_of = [&](Index i) -> const PlannedCall& {
      return calls[preparations[static_cast<std::size_t>(i)].planned];
    };
    for_each(static_cast<Index>(preparations.size()), prepared_of,
             [&](Index i, Run& run) { prepare(prepared_of(i), run); });
    const auto call_of = [&](Index i) -> const PlannedCall& {
      return calls[static_cast<std::size_t>(i)];
    };
    for_each(static_cast<Index>(calls.size()), call_of,
             [&](Index i, Run& run) { forward(call_of(i), output, want_log_sum_exp, run); });
  }

  void size(LayerOutput& output, bool want_log_sum_exp) const {
    output.batch = input.batch;
    output.heads = input.heads;
    output.queries = input.queries;
    output.value_dim = input.value_dim;
    output.layout = output_layout;
    const Index rows = input.batch * input.heads * input.queries;
    output.out.resize(static_cast<std::size_t>(rows * input.value_dim));
    output.log_sum_exp.resize(want_log_sum_exp ? static_cast<std::size_t>(rows) : 0);
  }

  void clear_padding(LayerOutput& output, bool want_log_sum_exp) const {
    for (Index sequence = 0; sequence < input.batch; ++sequence) {
      const Index counting = sequence_problem(layer, input, sequence).queries;
      const Index padding = input.queries - counting;
      if (padding == 0) continue;
      for (Index head = 0; head < input.heads; ++head) {
        const View rows = output.of(sequence, head).row_range(counting, padding);
        for (Index i = 0; i < padding; ++i) std::fill_n(rows.row(i), rows.cols, 0.0f);
        if (!want_log_sum_exp) continue;
        std::fill_n(log_sum_exp_of(output, sequence, head) + counting, padding, kNoKey);
      }
    }
  }

  static float* log_sum_exp_of(LayerOutput& output, Index sequence, Index head) {
    return output.log_sum_exp.data() + (sequence * output.heads + head) * output.queries;
  }

  void prepare(const PlannedCall& planned, Run& run) const {
    const Call call{.problem = planned.problem,
                    .q = {},
                    .k = planned.inputs.k,
                    .v = planned.inputs.v,
                    .x = {},
                    .out = {},
                    .row_log_sum_exp = nullptr,
                    .tensors = *planned.tensors,
                    .prepared = {},
                    .run = run};
    layer.variant(planned.call).prepare(call, planned.prepared);
  }

  void forward(const PlannedCall& planned, LayerOutput& output, bool want_log_sum_exp,
               Run& run) const {
    const bool whole_layer = layer.scope() == Scope::layer;
    const View out =
        whole_layer
            ? whole_output(planned, output)
            : output.of(planned.sequence, planned.call).row_range(0, planned.problem.queries);
    const Call call{.problem = planned.problem,
                    .q = planned.inputs.q,
                    .k = planned.inputs.k,
                    .v = planned.inputs.v,
                    .x = planned.inputs.x,
                    .out = out,
                    .row_log_sum_exp = want_log_sum_exp
                                           ? log_sum_exp_of(output, planned.sequence, planned.call)
                                           : nullptr,
                    .tensors = *planned.tensors,
                    .prepared = planned.prepared,
                    .run = run};
    layer.variant(planned.call).forward(call);
    if (whole_layer) scatter(out, planned, output, want_log_sum_exp);
  }

  /// Where a call over the whole width writes: the output itself if its heads lie side by side.
  static View whole_output(const PlannedCall& planned, LayerOutput& output) {
    const Index rows = planned.problem.queries, width = planned.problem.value_dim;
    if (output.layout == Layout::by_head) return {planned.layer_out.as<float>(), rows, width};
    return {output.of(planned.sequence, 0).data, rows, width};
  }

  /// Every head takes its columns, and all of them the one log-sum-exp that a row has.
  static void scatter(ConstView whole, const PlannedCall& planned, LayerOutput& output,
                      bool want_log_sum_exp) {
    const float* first = want_log_sum_exp ? log_sum_exp_of(output, planned.sequence, 0) : nullptr;
    for (Index head = 0; head < output.heads; ++head) {
      const View part = output.of(planned.sequence, head);
      for (Index i = 0; i < whole.rows && output.layout == Layout::by_head; ++i) {
        std::copy_n(whole.row(i) + head * part.cols, part.cols, part.row(i));
      }
      if (first && head > 0) {
        std::copy_n(first, whole.rows, log_sum_exp_of(output, planned.sequence, head));
      }
    }
  }

  const Layer& layer;
  const LayerInput& input;
  std::unique_ptr<Team> own_team;
  Team& team;
  Layout output_layout;
  TileBoard board;
  Index places = 0;
  std::vector<PlannedCall> calls;
  std::vector<Preparation> preparations;
  GuardedMemory prepared_memory;
  std::vector<MemberMemory> members;
};

Executor::Executor(const Layer& layer, const LayerInput& input, const DrawnTensors& tensors,
                   int threads)
    : impl_(std::make_unique<Impl>(layer, input, tensors, threads)) {}

Executor::Executor(const Layer& layer, const LayerInput& input, const DrawnTensors& tensors,
                   Team& team, Layout output_layout)
    : impl_(std::make_unique<Impl>(layer, input, tensors, team, output_layout)) {}

Executor::~Executor() = default;

void Executor::run(LayerOutput& output, bool want_log_sum_exp) {
  impl_->run(output, want_log_sum_exp);
}

void Executor::poison(LayerOutput& output, bool want_log_sum_exp) const {
  impl_->size(output, want_log_sum_exp);
  output.poison();
}

bool Executor::intact() const {
  const auto whole = [](const MemberMemory& member) {
    return member.shared_memory.intact() && member.worker_memory.intact();
  };
  return impl_->prepared_memory.intact() && std::ranges::all_of(impl_->members, whole) &&
         std::ranges::all_of(impl_->calls,
                             [](const PlannedCall& planned) { return planned.layer_out.intact(); });
}

void Executor::on_every_thread(const std::function<void()>& body) {
  impl_->team.each(impl_->team.size(), [&](Index, int) { body(); });
}

Work Executor::executed() const {
  Work sum;
  for (const MemberMemory& member : impl_->members) sum += member.worker.executed;
  return sum;
}

ArenaUse Executor::arena() const {
  // What is prepared is declared to the byte and taken whole.
  ArenaUse use{impl_->prepared_memory.bytes(), impl_->prepared_memory.bytes()};
  for (const MemberMemory& member : impl_->members) {
    use.declared += member.shared_memory.bytes() + member.worker_memory.bytes();
    use.high_water += member.shared_high_water + member.worker_high_water;
  }
  return use;
}

int Executor::threads_used() const {
  const auto tiled = std::ranges::count_if(
      impl_->members, [](const MemberMemory& member) { return member.took_part; });
  return std::max(1, static_cast<int>(tiled));  // a variant without tiles runs on the caller's
}

}  // namespace subquad

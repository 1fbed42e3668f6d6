// One call of a variant under chosen conditions, with every byte around it watched.

#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>
#include <numeric>
#include <optional>
#include <thread>

#include "contract/workbench.h"

namespace subquad::contract {
namespace {

// Added to declared scratch where the clause is not about scratch, so that a variant that declares
// too little fails that clause alone.
constexpr std::size_t kAmple = std::size_t{1} << 16;
constexpr std::size_t kScratchGuard = 256;
constexpr std::uint8_t kGuardByte = 0xA5;

/// An arena with a guarded zone on either side.
class GuardedArena {
 public:
  GuardedArena(std::size_t capacity, std::uint8_t fill)
      : capacity_(padded_bytes(capacity)),
        fill_(fill),
        memory_(static_cast<std::uint8_t*>(
            ::operator new[](capacity_ + 2 * kScratchGuard, std::align_val_t{kArenaAlignment}))),
        contents_(memory_.get() + kScratchGuard) {
    std::memset(memory_.get(), kGuardByte, capacity_ + 2 * kScratchGuard);
    refill(capacity_);
  }

  Arena arena() const { return {reinterpret_cast<std::byte*>(contents_), capacity_}; }
  void refill(std::size_t bytes) { std::memset(contents_, fill_, bytes); }

  /// Nothing was written before the arena or beyond what was taken from it.
  bool intact(std::size_t high_water) const {
    const auto holds = [](const std::uint8_t* begin, const std::uint8_t* end, std::uint8_t value) {
      return std::all_of(begin, end, [value](std::uint8_t byte) { return byte == value; });
    };
    return holds(memory_.get(), contents_, kGuardByte) &&
           holds(contents_ + high_water, contents_ + capacity_, fill_) &&
           holds(contents_ + capacity_, contents_ + capacity_ + kScratchGuard, kGuardByte);
  }

 private:
  struct Release {
    void operator()(std::uint8_t* memory) const {
      ::operator delete[](memory, std::align_val_t{kArenaAlignment});
    }
  };
  std::size_t capacity_;
  std::uint8_t fill_;
  std::unique_ptr<std::uint8_t[], Release> memory_;
  std::uint8_t* contents_;
};

/// Tiles in a chosen order on a chosen number of threads; worker scratch is refilled for each tile.
class BenchRun final : public Run {
 public:
  BenchRun(const Scratch& scratch, const Conditions& conditions) : conditions_(conditions) {
    const std::size_t more = conditions.declared_scratch ? 0 : kAmple;
    memory_.emplace_back(scratch.shared_bytes + more, conditions.scratch_fill);
    shared_arena_ = memory_.front().arena();
    shared_ = &shared_arena_;
    for (int i = 0; i < conditions.threads; ++i) {
      memory_.emplace_back(scratch.worker_bytes + more, conditions.scratch_fill);
      workers_.push_back({memory_.back().arena(), {}});
    }
  }

  Work executed() const {
    Work total;
    for (const Worker& worker : workers_) total += worker.executed;
    return total;
  }
  std::size_t shared_high_water() const { return shared_arena_.high_water(); }
  std::size_t worker_high_water() const {
    std::size_t highest = 0;
    for (const Worker& worker : workers_) highest = std::max(highest, worker.scratch.high_water());
    return highest;
  }
  bool intact() const {
    if (!memory_.front().intact(shared_arena_.high_water())) return false;
    for (std::size_t i = 0; i < workers_.size(); ++i) {
      if (!memory_[i + 1].intact(workers_[i].scratch.high_water())) return false;
    }
    return true;
  }

 private:
  void parallel_tiles(Index tiles, TileFunction function, void* context) override {
    if (conditions_.threads == 1 && conditions_.order != TileOrder::shuffled) {
      // Allocates nothing, so that what is counted is the variant's.
      for (Index i = 0; i < tiles; ++i) {
        const bool ascending = conditions_.order == TileOrder::ascending;
        run_tile(0, ascending ? i : tiles - 1 - i, function, context);
      }
      return;
    }
    std::vector<Index> order(static_cast<std::size_t>(tiles));
    std::iota(order.begin(), order.end(), Index{0});
    if (conditions_.order == TileOrder::descending) std::reverse(order.begin(), order.end());
    if (conditions_.order == TileOrder::shuffled) shuffle(order);
    run_threads(order, function, context);
  }

  void run_threads(const std::vector<Index>& order, TileFunction function, void* context) {
    std::atomic<std::size_t> next{0};
    std::vector<std::exception_ptr> errors(workers_.size());
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t < workers_.size(); ++t) {
      threads.emplace_back([&, t] {
        try {
          for (std::size_t i = next++; i < order.size(); i = next++) {
            run_tile(t, order[i], function, context);
          }
        } catch (...) {
          errors[t] = std::current_exception();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const std::exception_ptr& error : errors) {
      if (error) std::rethrow_exception(error);
    }
  }

  void run_tile(std::size_t worker, Index tile, TileFunction function, void* context) {
    Arena& scratch = workers_[worker].scratch;
    scratch.rewind(0);
    memory_[worker + 1].refill(scratch.high_water());
    function(context, tile, workers_[worker]);
  }

  static void shuffle(std::vector<Index>& order) {
    Generator random(17);
    for (std::size_t i = order.size(); i > 1; --i) {
      std::swap(order[i - 1], order[static_cast<std::size_t>(random.below(static_cast<Index>(i)))]);
    }
  }

  const Conditions& conditions_;
  std::vector<GuardedArena> memory_;  // shared, then one per worker
  Arena shared_arena_;
  std::vector<Worker> workers_;
};

/// Inputs and outputs of one call in guarded memory.
class GuardedCall {
 public:
  GuardedCall(const Bench& bench, const Variant& variant, const Conditions& conditions)
      : problem_(bench.problem),
        inputs_(bench.inputs),
        consumes_(variant.consumes()),
        q_(problem_.queries, problem_.dim, conditions.padding, conditions.offset),
        k_(problem_.keys, problem_.dim, conditions.padding, conditions.offset),
        v_(problem_.keys, problem_.value_dim, conditions.padding, conditions.offset),
        x_(problem_.queries, problem_.value_dim, conditions.padding, conditions.offset),
        out_(problem_.queries, problem_.value_dim, conditions.padding, conditions.offset),
        log_sum_exp_(1, problem_.queries, 0, conditions.offset),
        with_log_sum_exp_(variant.gives_log_sum_exp() && conditions.log_sum_exp),
        prepared_(1, prepared_elements(variant, conditions)) {
    q_.assign(inputs_.q);
    k_.assign(inputs_.k);
    v_.assign(inputs_.v);
    x_.assign(inputs_.x);
    out_.fill(conditions.output_fill);
    log_sum_exp_.fill(conditions.output_fill);
  }

  Call call(const Tensors& tensors, Run& run) {
    return {.problem = problem_,
            .q = consumes_.q ? q_.view() : View(),
            .k = consumes_.k ? k_.view() : View(),
            .v = consumes_.v ? v_.view() : View(),
            .x = consumes_.x ? x_.view() : View(),
            .out = out_.view(),
            .row_log_sum_exp = with_log_sum_exp_ ? log_sum_exp_.view().data : nullptr,
            .tensors = tensors,
            .prepared = {},
            .run = run};
  }

  std::span<std::byte> prepared() {
    return std::as_writable_bytes(
        std::span(prepared_.view().data, static_cast<std::size_t>(prepared_.view().cols)));
  }

  void collect(Result& result) const {
    result.out = out_.values();
    if (with_log_sum_exp_) result.log_sum_exp = log_sum_exp_.values();
    const auto outside = [&](const GuardedMatrix& matrix, const char* name) {
      if (!matrix.intact()) result.written_outside = name;
    };
    outside(q_, "around q");
    outside(k_, "around k");
    outside(v_, "around v");
    outside(x_, "around x");
    outside(out_, "around out");
    outside(log_sum_exp_, "around row_log_sum_exp");
    outside(prepared_, "around the prepared bytes");
    const auto changed = [&](const GuardedMatrix& now, const std::vector<float>& before,
                             const char* name) {
      const std::vector<float> values = now.values();
      if (std::memcmp(values.data(), before.data(), values.size() * sizeof(float)) != 0) {
        result.inputs_changed = name;
      }
    };
    changed(q_, inputs_.q, "q");
    changed(k_, inputs_.k, "k");
    changed(v_, inputs_.v, "v");
    changed(x_, inputs_.x, "x");
  }

 private:
  Index prepared_elements(const Variant& variant, const Conditions& conditions) const {
    if (!conditions.prepare) return 0;
    return static_cast<Index>((variant.prepared_bytes(problem_) + 3) / sizeof(float));
  }

  const Problem& problem_;
  const Inputs& inputs_;
  Consumes consumes_;
  GuardedMatrix q_, k_, v_, x_, out_, log_sum_exp_;
  bool with_log_sum_exp_;
  GuardedMatrix prepared_;
};

}  // namespace

Result Bench::run_on(const Variant& other, const Conditions& conditions) const {
  const std::initializer_list<Role> fixed = {Role::learned, Role::random, Role::running};
  const std::vector<std::uint32_t> tensors_before = tensors.bits(fixed);
  GuardedCall guarded(*this, other, conditions);
  BenchRun run(other.scratch(problem), conditions);
  Call call = guarded.call(tensors, run);
  Result result;
  if (conditions.prepare) {
    Call on_keys = call;
    on_keys.q = on_keys.x = {};
    on_keys.out = {};
    on_keys.row_log_sum_exp = nullptr;
    const std::size_t before = run.shared().used();
    other.prepare(on_keys, guarded.prepared());
    run.shared().rewind(before);
    call.prepared = guarded.prepared();
  }
  {
    const AllocationScope scope(AllocationScope::Of::thread);
    other.forward(call);
    result.allocations = scope.counts();
  }
  guarded.collect(result);
  result.choices = tensors.bits({Role::choice});
  result.executed = run.executed();
  result.shared_high_water = run.shared_high_water();
  result.worker_high_water = run.worker_high_water();
  if (!tensors.intact()) result.written_outside = "around a tensor";
  if (!run.intact()) result.written_outside = "scratch beyond what was taken";
  if (tensors.bits(fixed) != tensors_before) result.inputs_changed = "a tensor";
  return result;
}

}  // namespace subquad::contract

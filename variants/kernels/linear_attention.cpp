#include "kernels/linear_attention.h"

#include <array>
#include <cmath>
#include <cstdint>
#include <utility>

#include "kernels/linear_write-inl.h"
#include "subquad/restriction.h"

HWY_BEFORE_NAMESPACE();
namespace subquad {
namespace HWY_NAMESPACE {
namespace {

/// How a problem is cut. Keys that come before every query, all keys where nothing is causal, are
/// summed in stretches; chunks of queries hold the keys at their positions, if causal.
struct Cut {
  Index chunk;
  Index before;  ///< keys
  Index stretch, stretches;
  Index query_chunks;
  Index together;  ///< chunks of queries worked on at a time, if causal

  Cut(const Problem& problem, Index most)
      : chunk(std::min(most, std::max(problem.keys, problem.queries))),
        before(problem.causal ? std::clamp<Index>(problem.first_query, 0, problem.keys)
                              : problem.keys),
        query_chunks((problem.queries + chunk - 1) / chunk),
        together(problem.causal ? std::min(query_chunks, kLinearSegments) : 0) {
    const Index chunks = (before + chunk - 1) / chunk;
    stretch = std::max<Index>((chunks + kLinearSegments - 1) / kLinearSegments, 1) * chunk;
    stretches = (before + stretch - 1) / stretch;
  }
  /// Held at a time: the one that was carried so far, and those that are added to it.
  Index states() const { return 1 + std::max(stretches, together); }
};

/// Features of the keys of one chunk.
template <class T>
KeyRows<T> take_keys(Arena& arena, const StateShape<T>& shape, Index chunk) {
  KeyRows<T> keys{take_rows<T>(arena, chunk, shape.features), nullptr, {}};
  if (shape.by_row) keys.logs = arena.take<T>(chunk).data();
  if (shape.gates > 0) keys.gates = take_rows<T>(arena, chunk, shape.gates);
  return keys;
}

/// The counts that `take_keys` asks for.
template <class T, class Declare>
void declare_keys(const StateShape<T>& shape, Index chunk, const Declare& declare) {
  declare(chunk * shape.features);
  if (shape.by_row) declare(chunk);
  if (shape.gates > 0) declare(chunk * shape.gates);
}

/// Values can be multiplied where they lie.
template <class T>
bool reads_values(const StateShape<T>& shape) {
  return std::is_same_v<T, float> && shape.value_dim % kLanes<float> == 0;
}

/// Outputs that no cache would hold until they are read, and that are whole lines, need not be read
/// to be written.
template <class T>
bool goes_past_caches(ConstView out) {
  constexpr std::size_t kLargest = std::size_t{4} << 20, kLine = 64;
  const std::size_t row = static_cast<std::size_t>(out.stride) * sizeof(float);
  return std::is_same_v<T, float> && kLanes<float> * sizeof(float) == kLine &&
         out.cols * sizeof(float) % kLine == 0 && row % kLine == 0 &&
         reinterpret_cast<std::uintptr_t>(out.data) % kLine == 0 &&
         static_cast<std::size_t>(out.rows) * row > kLargest;
}

template <class T>
class Pass {
 public:
  Pass(const LinearAttention<T>& options, const Call& call)
      : options_(options),
        call_(call),
        problem_(call.problem),
        cut_(problem_, options.chunk),
        shape_(options, problem_, cut_.chunk),
        past_caches_(goes_past_caches<T>(call.out)) {
    Arena& arena = call.run.shared();
    for (Index i = 0; i < cut_.states(); ++i) memory_[i] = arena.take<T>(shape_.size()).data();
    for (Index i = 0; i < cut_.together; ++i) keys_[i] = take_keys(arena, shape_, cut_.chunk);
  }

  static Scratch scratch(const LinearAttention<T>& options, const Problem& problem) {
    const Cut cut(problem, options.chunk);
    const StateShape<T> shape(options, problem, cut.chunk);
    Scratch scratch;
    for (Index i = 0; i < cut.states(); ++i) scratch.shared<T>(shape.size());
    for (Index i = 0; i < cut.together; ++i) {
      declare_keys(shape, cut.chunk, [&](Index count) { scratch.shared<T>(count); });
    }
    const std::size_t writing_map = options.map.scratch_bytes(cut.chunk, problem.dim);
    std::size_t adding_map = writing_map;
    if (shape.gates > 0) {
      adding_map =
          std::max(adding_map, options.forgetting->scratch_bytes(cut.chunk, shape.features));
    }
    scratch.worker_bytes = std::max(writing_bytes(options, problem, cut, shape) + writing_map,
                                    adding_bytes(cut, shape, adding_map));
    return scratch;
  }

  void run() {
    if (call_.prepared.empty()) {
      add_keys_before();
    } else {
      // Read, and no more, where nothing is causal.
      memory_[0] = const_cast<T*>(reinterpret_cast<const T*>(call_.prepared.data()));
    }
    if (!problem_.causal) {
      call_.run.parallel(cut_.query_chunks,
                         [&](Index i, Worker& worker) { write(queries_of(i), worker); });
      return;
    }
    for (first_ = 0; first_ < cut_.query_chunks; first_ += cut_.together) {
      const Index chunks = std::min(cut_.together, cut_.query_chunks - first_);
      call_.run.parallel(chunks, [&](Index i, Worker& worker) { add_chunk(i, worker); });
      connect(chunks);
      call_.run.parallel(chunks, [&](Index i, Worker& worker) { write(chunk_of(i), worker); });
      std::swap(memory_[0], memory_[chunks]);
    }
  }

  void save(std::span<std::byte> prepared) {
    add_keys_before();
    std::copy_n(reinterpret_cast<const std::byte*>(memory_[0]), prepared.size(), prepared.data());
  }

 private:
  static std::size_t writing_bytes(const LinearAttention<T>& options, const Problem& problem,
                                   const Cut& cut, const StateShape<T>& shape) {
    Scratch writing;
    ChunkWriter<T>::declare(writing, options, shape, cut.chunk, problem.causal);
    return writing.worker_bytes;
  }

  /// In stretches, and in chunks of queries.
  static std::size_t adding_bytes(const Cut& cut, const StateShape<T>& shape, std::size_t mapping) {
    std::size_t bytes = 0;
    Scratch spare;
    spare.worker<T>((cut.chunk + 1) * shape.features);
    if (cut.together > 0) bytes = std::max(mapping, spare.worker_bytes);
    if (cut.stretches == 0) return bytes;
    declare_keys(shape, cut.chunk, [&](Index count) { spare.worker<T>(count); });
    if (!reads_values(shape)) spare.worker<T>(cut.chunk * shape.strips * shape.width);
    return std::max(bytes, spare.worker_bytes + mapping);
  }

  State<T> state(Index number) const { return State<T>(shape_, memory_[number]); }

  /// State 0 becomes that of the keys before every query.
  void add_keys_before() {
    state(0).clear();
    if (cut_.stretches == 0) return;
    call_.run.parallel(cut_.stretches, [&](Index i, Worker& worker) { add_stretch(i, worker); });
    connect(cut_.stretches);
    std::swap(memory_[0], memory_[cut_.stretches]);
    if (options_.normaliser != Normaliser::positions) return;
    const State<T> sums = state(0);
    for (Index f = 0; f < shape_.features; ++f) sums.scale_feature(f, 1 / sums.normaliser[f]);
  }

  /// States 1, 2, ... hold what was added since the one before each; after this, all up to them.
  void connect(Index count) const {
    constexpr Index kFeatures = 16;
    const Index tiles = (shape_.features + kFeatures - 1) / kFeatures;
    call_.run.parallel(tiles, [&](Index tile, Worker&) {
      const Index begin = tile * kFeatures, end = std::min(begin + kFeatures, shape_.features);
      T row_scale = shape_.by_row ? state(0).scale[0] : T{0};
      for (Index i = 0; i < count; ++i) advance(state(i), state(i + 1), begin, end, row_scale);
    });
  }

  void map_keys(Index begin, const KeyRows<T>& keys, Worker& worker) const {
    const ConstView rows = call_.k.row_range(begin, keys.features.rows);
    const std::size_t mark = worker.scratch.used();
    options_.map.map_keys(rows, begin, keys.features, keys.logs, worker);
    worker.scratch.rewind(mark);
    if (shape_.gates == 0) return;
    const ConstView x = call_.x.empty() ? ConstView() : call_.x.row_range(begin, rows.rows);
    options_.forgetting->log_gates(rows, x, begin, keys.gates, worker);
    worker.scratch.rewind(mark);
  }

  /// The rows of a chunk that begins at `begin`, or what there is of them.
  ConstView chunk_at(ConstView matrix, Index begin) const {
    const Index count = std::clamp<Index>(matrix.rows - begin, 0, cut_.chunk);
    return count == 0 ? ConstView() : matrix.row_range(begin, count);
  }

  void add_stretch(Index number, Worker& worker) const {
    Arena& arena = worker.scratch;
    const KeyRows<T> buffer = take_keys(arena, shape_, cut_.chunk);
    const MatrixView<T> spare = take_rows<T>(arena, cut_.chunk + 1, shape_.features);
    T* const copies = reads_values(shape_)
                          ? nullptr
                          : arena.take<T>(cut_.chunk * shape_.strips * shape_.width).data();
    const State<T> sums = state(number + 1);
    sums.clear();
    const Index end = std::min((number + 1) * cut_.stretch, cut_.before);
    for (Index begin = number * cut_.stretch; begin < end; begin += cut_.chunk) {
      const Index count = std::min(cut_.chunk, end - begin);
      const KeyRows<T> keys = buffer.row_range(0, count);
      map_keys(begin, keys, worker);
      ValueRows<T> values{copies, cut_.chunk * shape_.width, shape_.width};
      if (copies != nullptr) {
        load(begin, count, copies, values.strip_step);
      } else if constexpr (std::is_same_v<T, float>) {
        values = {call_.v.row(begin), shape_.width, call_.v.stride};
      }
      RowsAhead ahead(chunk_at(call_.k, begin + count), chunk_at(call_.v, begin + count));
      add_keys(sums, sums.added_scale, keys, spare.row_range(0, count + 1), values, ahead, worker);
    }
  }

  /// Copies rows of values to their strips. Returns how many come before one that is not finite,
  /// if that matters.
  Index load(Index begin, Index count, T* to, Index strip_step) const {
    bool finite = true;
    for (Index s = 0; s < shape_.strips; ++s) {
      finite &= load_values(values(begin, count, s), to + s * strip_step, shape_.width);
    }
    return finite || !problem_.causal ? count : drop_infinite(begin, count, to, strip_step);
  }

  ConstView values(Index begin, Index count, Index strip) const {
    return call_.v.row_range(begin, count).col_range(strip * shape_.width, shape_.columns(strip));
  }

  /// Rows with values that are not finite become zeros, so that a product with 0 is 0.
  Index drop_infinite(Index begin, Index count, T* to, Index strip_step) const {
    Index first = count;
    for (Index j = 0; j < count; ++j) {
      for (Index s = 0; s < shape_.strips; ++s) {
        T* const row = to + s * strip_step + j * shape_.width;
        if (load_values(values(begin + j, 1, s), row, shape_.width)) continue;
        std::fill_n(row, shape_.width, T{0});
        first = std::min(first, j);
      }
    }
    return first;
  }

  Index first_query(Index number) const { return (first_ + number) * cut_.chunk; }
  Index queries(Index number) const {
    return std::min(cut_.chunk, problem_.queries - first_query(number));
  }
  Index first_key(Index number) const {
    return std::min(problem_.position(first_query(number)), problem_.keys);
  }
  Index keys(Index number) const {
    return std::min(queries(number), problem_.keys - first_key(number));
  }

  /// The keys at the positions of a chunk's queries: features are kept, values go behind the state
  /// before the chunk, and what they add into the state after it.
  void add_chunk(Index number, Worker& worker) {
    const Index count = keys(number), begin = first_key(number);
    const KeyRows<T> rows = keys_[number].row_range(0, count);
    const State<T> sums = state(number + 1);
    sums.clear();
    finite_[number] = queries(number);
    if (count == 0) return;
    map_keys(begin, rows, worker);
    const Index strip_step = shape_.rows * shape_.width;
    const Index finite = load(begin, count, state(number).values(0), strip_step);
    const MatrixView<T> spare = take_rows<T>(worker.scratch, count + 1, shape_.features);
    RowsAhead ahead;
    add_keys(sums, sums.added_scale, rows, spare, values_of(number), ahead, worker);
    if (finite == count) return;
    finite_[number] = finite;
    sums.poison();
  }

  ValueRows<T> values_of(Index number) const {
    return {state(number).values(0), shape_.rows * shape_.width, shape_.width};
  }

  Chunk<T> chunk_of(Index number) const {
    const Index begin = first_query(number), count = queries(number);
    const Index next_wave = first_key(number + cut_.together);
    return {.queries = call_.q.row_range(begin, count),
            .first = problem_.position(begin),
            .out = call_.out.row_range(begin, count),
            .state = state(number),
            .keys = keys_[number].row_range(0, keys(number)),
            .values = values_of(number),
            .finite_values = finite_[number],
            .keys_before = first_key(number),
            .ahead = RowsAhead(chunk_at(call_.q, begin + count), chunk_at(call_.k, next_wave),
                               chunk_at(call_.v, next_wave)),
            .past_caches = past_caches_};
  }

  /// Without causality: all keys are in state 0.
  Chunk<T> queries_of(Index number) const {
    const Index begin = number * cut_.chunk;
    const Index count = std::min(cut_.chunk, problem_.queries - begin);
    return {.queries = call_.q.row_range(begin, count),
            .first = problem_.position(begin),
            .out = call_.out.row_range(begin, count),
            .state = state(0),
            .keys = {},
            .values = {},
            .finite_values = count,
            .keys_before = problem_.keys,
            .ahead = RowsAhead(chunk_at(call_.q, begin + count)),
            .past_caches = past_caches_};
  }

  void write(Chunk<T> chunk, Worker& worker) const {
    ChunkWriter<T>(options_, shape_, cut_.chunk, problem_.causal, worker).write(chunk);
  }

  const LinearAttention<T>& options_;
  const Call& call_;
  const Problem& problem_;
  Cut cut_;
  StateShape<T> shape_;
  bool past_caches_;
  std::array<T*, kLinearSegments + 1> memory_{};
  std::array<KeyRows<T>, kLinearSegments> keys_{};
  std::array<Index, kLinearSegments> finite_{};
  Index first_ = 0;  ///< of the chunks of queries that are worked on
};

template <class T>
Scratch scratch_of(const LinearAttention<T>& options, const Problem& problem) {
  return Pass<T>::scratch(options, problem);
}
template <class T>
void run_pass(const LinearAttention<T>& options, const Call& call) {
  Pass<T>(options, call).run();
}
template <class T>
void save_state(const LinearAttention<T>& options, const Call& call,
                std::span<std::byte> prepared) {
  Pass<T>(options, call).save(prepared);
}
template <class T>
std::size_t state_bytes_of(const LinearAttention<T>& options, const Problem& problem) {
  if (problem.causal) return 0;
  const Cut cut(problem, options.chunk);
  return sizeof(T) * static_cast<std::size_t>(StateShape<T>(options, problem, cut.chunk).size());
}

}  // namespace
}  // namespace HWY_NAMESPACE

Index mapped_keys(const Problem& problem) {
  if (!problem.causal) return problem.keys;
  return std::min(problem.keys, problem.position(problem.queries));
}

template <class T>
double LinearAttention<T>::multiply_adds(const Problem& problem) const {
  const auto features = static_cast<double>(map.features(problem.dim));
  const auto columns = static_cast<double>(problem.value_dim);
  const auto keys = static_cast<double>(mapped_keys(problem));
  const double sums = normaliser == Normaliser::weights ? 1 : 0;
  return features * (keys * columns + static_cast<double>(problem.queries) * (columns + sums));
}

template <class T>
Scratch LinearAttention<T>::scratch(const Problem& problem) const {
  return HWY_STATIC_DISPATCH(scratch_of)(*this, problem);
}
template <class T>
void LinearAttention<T>::forward(const Call& call) const {
  HWY_STATIC_DISPATCH(run_pass)(*this, call);
}
template <class T>
std::size_t LinearAttention<T>::prepared_bytes(const Problem& problem) const {
  return HWY_STATIC_DISPATCH(state_bytes_of)(*this, problem);
}
template <class T>
void LinearAttention<T>::prepare(const Call& call, std::span<std::byte> prepared) const {
  HWY_STATIC_DISPATCH(save_state)(*this, call, prepared);
}

template struct LinearAttention<float>;
template struct LinearAttention<double>;

}  // namespace subquad
HWY_AFTER_NAMESPACE();

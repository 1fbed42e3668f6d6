// file: Q, K, V of a tensor file, cut to the length that is asked for.
//
// Its arguments are texts, not numbers, so it reads them itself instead of declaring parameters.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "inputs/arguments.h"
#include "inputs/generator.h"
#include "subquad/error.h"
#include "texts/plain_text.h"

namespace subquad {
namespace {

/// Entries begin, begin + step, ... below end of an axis.
struct Selection {
  Index begin = 0, end = 0, step = 1;
  Index count() const { return (end - begin + step - 1) / step; }
};

std::vector<ParameterInfo> parameters() {
  return {
      {.name = "path", .type = "text", .doc = "a .safetensors, .npz or .npy file"},
      {.name = "batch",
       .type = "text",
       .default_value = "all",
       .doc = "sequences of the file: all, one (0), a range without its end (0:8), every second of "
              "one (0:8:2)"},
      {.name = "heads",
       .type = "text",
       .default_value = "all",
       .doc = "query heads of the file: all, one or a range"}};
}

std::optional<Selection> parsed(const std::string& text) {
  std::array<Index, 3> numbers{};
  std::size_t count = 0;
  for (const char *at = text.data(), *const last = at + text.size();; ++at) {
    const auto [end, code] = std::from_chars(at, last, numbers[count++]);
    if (code != std::errc()) return std::nullopt;
    if (end == last) break;
    if (*end != ':' || count == numbers.size()) return std::nullopt;
    at = end;
  }
  if (count == 1) return Selection{numbers[0], numbers[0] + 1};
  if (count == 2) return Selection{numbers[0], numbers[1]};
  if (numbers[2] < 1) return std::nullopt;
  return Selection{numbers[0], numbers[1], numbers[2]};
}

/// `all`, `3`, `0:8` or `0:8:2` of an axis with `count` entries.
Selection selection(const InputArguments& arguments, std::string_view key, Index count) {
  const std::string* text = arguments.written(key);
  if (text == nullptr || *text == "all") return {0, count};
  std::optional<Selection> chosen = parsed(*text);
  if (!chosen) {
    arguments.fail(
        fmt::format("{} = {} is none of all, a number such as 0, a range such as 0:8 or 0:8:2", key,
                    printable(*text)));
  }
  if (chosen->begin < 0 || chosen->begin >= chosen->end || chosen->end > count) {
    arguments.fail(fmt::format("{} = {} is not within the file's 0:{}", key, *text, count));
  }
  // Beyond the range it is all the same, and could overflow.
  chosen->step = std::min(chosen->step, chosen->end - chosen->begin);
  return *chosen;
}

/// Key heads that the selected query heads read. They must be shared as evenly as in the file.
Selection key_heads_of(const InputArguments& arguments, const Selection& heads, Index group) {
  const Selection keys{heads.begin / group, (heads.end - 1) / group + 1};
  if (keys.count() > 1 && (heads.begin % group != 0 || heads.end % group != 0)) {
    arguments.fail(
        fmt::format("heads {}:{} share keys unevenly (in the file every {} heads share theirs)",
                    heads.begin, heads.end, group));
  }
  return keys;
}

/// Rows of the selected matrices of a packed [batch, heads, rows, cols] tensor.
struct Cut {
  Selection batch, heads, rows;
};

AlignedFloats cut(const AlignedFloats& packed, Index heads, Index rows, Index cols,
                  const Cut& chosen) {
  AlignedFloats out;
  out.reserve(static_cast<std::size_t>(chosen.batch.count() * chosen.heads.count() *
                                       chosen.rows.count() * cols));
  for (Index b = chosen.batch.begin; b < chosen.batch.end; b += chosen.batch.step) {
    for (Index h = chosen.heads.begin; h < chosen.heads.end; ++h) {
      const float* matrix = packed.data() + (b * heads + h) * rows * cols;
      out.insert(out.end(), matrix + chosen.rows.begin * cols, matrix + chosen.rows.end * cols);
    }
  }
  return out;
}

/// Which rows of Q belong to the first `request.keys` keys, the last `request.queries` of them.
Selection query_rows(const LayerInput& file, const InputRequest& request, const std::string& path) {
  if (request.keys < 1 || request.queries < 1) {
    throw Error(fmt::format("{}: {} keys and {} queries were asked for (at least 1)", path,
                            request.keys, request.queries));
  }
  if (request.keys > file.keys) {
    throw Error(
        fmt::format("{}: holds n = {} keys, {} were asked for", path, file.keys, request.keys));
  }
  // Self attention: row i of Q is the token of key i. Otherwise Q stands for tokens of its own (or
  // the last ones), which lose their meaning when keys are cut off.
  if (file.queries != file.keys && request.keys != file.keys) {
    throw Error(fmt::format("{}: has {} queries on {} keys, so its keys cannot be cut to {}", path,
                            file.queries, file.keys, request.keys));
  }
  const Index end = file.queries == file.keys ? request.keys : file.queries;
  if (request.queries > end) {
    throw Error(fmt::format("{}: holds {} queries for {} keys, {} were asked for", path, end,
                            request.keys, request.queries));
  }
  return {end - request.queries, end};
}

LayerInput make(const Expression& expression, const InputRequest& request) {
  const InputArguments arguments(expression, parameters());
  const std::string path = arguments.path();
  const LayerInput file = read_layer_input(path);
  const Selection rows = query_rows(file, request, path);
  const Selection batch = selection(arguments, "batch", file.batch);
  const Selection heads = selection(arguments, "heads", file.heads);
  if (heads.step != 1) arguments.fail("heads: a range of heads has no step");
  const Selection key_heads = key_heads_of(arguments, heads, file.heads / file.key_heads);

  LayerInput input;
  input.batch = batch.count();
  input.heads = heads.count();
  input.key_heads = key_heads.count();
  input.queries = request.queries;
  input.keys = request.keys;
  input.dim = file.dim;
  input.value_dim = file.value_dim;
  input.x_dim = file.x_dim;
  input.rank = file.rank;
  input.provenance = file.provenance;
  input.causal_regime = file.causal_regime;
  const Cut of_queries{batch, heads, rows}, of_keys{batch, key_heads, {0, request.keys}};
  input.q = cut(file.q, file.heads, file.queries, file.dim, of_queries);
  input.k = cut(file.k, file.key_heads, file.keys, file.dim, of_keys);
  input.v = cut(file.v, file.key_heads, file.keys, file.value_dim, of_keys);
  if (!file.x.empty()) input.x = cut(file.x, file.heads, file.queries, file.x_dim, of_queries);
  if (!file.lengths.empty()) {
    for (Index b = batch.begin; b < batch.end; b += batch.step) {
      input.lengths.push_back(std::min(file.lengths[b], request.keys));
    }
  }
  return input;
}

const InputRegistrar registrar({"file", "Q, K, V of a tensor file, real or your own", parameters,
                                make});

}  // namespace
}  // namespace subquad

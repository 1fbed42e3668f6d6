// text: windows of a file of bytes, for a trained model to read (mode = model).

#include "inputs/text.h"

#include <fmt/format.h>

#include <cstring>

#include "inputs/arguments.h"
#include "inputs/generator.h"
#include "subquad/error.h"
#include "tensor_files/formats.h"

namespace subquad {
namespace {

std::vector<ParameterInfo> parameters() {
  return {{.name = "path", .type = "text", .doc = "a file, read as bytes"},
          {.name = "offset",
           .type = "text",
           .default_value = "0",
           .doc = "bytes before the first window"},
          {.name = "stride",
           .type = "text",
           .default_value = "even",
           .doc = "bytes from the beginning of a window to that of the next; even: as many as "
                  "spread all of them over the file"}};
}

/// Where `batch` windows begin that take `taken` bytes each.
struct Places {
  Index offset = 0, stride = 0;
  Index end(Index batch, Index taken) const { return offset + (batch - 1) * stride + taken; }
};

Places places_of(const InputArguments& arguments, Index size, Index batch, Index taken) {
  Places places{.offset = arguments.count("offset")};
  const std::string* stride = arguments.written("stride");
  const bool even = stride == nullptr || *stride == "even";
  if (!even) {
    places.stride = arguments.count("stride");
  } else if (batch > 1) {
    places.stride = std::max<Index>(0, size - places.offset - taken) / (batch - 1);
  }
  if (places.end(batch, taken) > size) {
    arguments.fail(fmt::format(
        "{} holds {} bytes; {} windows of {} bytes and the one that follows, from {} on and every "
        "{}, need {}",
        arguments.path(), size, batch, taken - 1, places.offset, places.stride,
        places.end(batch, taken)));
  }
  if (batch > 1 && places.stride == 0) {
    arguments.fail(fmt::format("stride = 0: {} windows would all be the same", batch));
  }
  return places;
}

TextWindows make(const Expression& expression, const InputRequest& request) {
  if (request.keys < 1 || request.batch < 1) {
    throw Error(fmt::format("{}: {} windows of {} bytes were asked for (at least 1 of 1)",
                            expression.text(), request.batch, request.keys));
  }
  const InputArguments arguments(expression, parameters());
  const FileBytes file = read_bytes(arguments.path());
  const Index taken = request.keys + 1;
  const Places places = places_of(arguments, static_cast<Index>(file.size), request.batch, taken);
  TextWindows text{.batch = request.batch, .length = request.keys, .bytes = {}, .provenance = {}};
  text.bytes.resize(static_cast<std::size_t>(request.batch * taken));
  for (Index window = 0; window < request.batch; ++window) {
    std::memcpy(text.bytes.data() + window * taken,
                file.data.get() + places.offset + window * places.stride,
                static_cast<std::size_t>(taken));
  }
  text.provenance = request.batch == 1 ? fmt::format("1 window at byte {}", places.offset)
                                       : fmt::format("{} windows, every {} bytes from byte {} on",
                                                     request.batch, places.stride, places.offset);
  return text;
}

const InputRegistrar registrar({"text", "bytes of a file, for a trained model to read", parameters,
                                nullptr, make});

}  // namespace
}  // namespace subquad

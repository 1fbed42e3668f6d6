#include "report/packed.h"

#include <zlib.h>

#include <boost/archive/iterators/base64_from_binary.hpp>
#include <boost/archive/iterators/transform_width.hpp>
#include <stdexcept>

namespace subquad {
namespace {

std::string compressed(std::string_view text) {
  uLongf size = ::compressBound(text.size());
  std::string stream(size, '\0');
  const int outcome = ::compress(reinterpret_cast<Bytef*>(stream.data()), &size,
                                 reinterpret_cast<const Bytef*>(text.data()), text.size());
  if (outcome != Z_OK) throw std::runtime_error(::zError(outcome));
  stream.resize(size);
  return stream;
}

std::string base64(std::string bytes) {
  namespace iterators = boost::archive::iterators;
  using Letters =
      iterators::base64_from_binary<iterators::transform_width<std::string::const_iterator, 6, 8>>;
  // Four letters for three bytes; those that stand for bytes that are none are '='.
  const std::size_t missing = (3 - bytes.size() % 3) % 3;
  bytes.append(missing, '\0');
  std::string text(Letters(bytes.cbegin()), Letters(bytes.cend()));
  text.replace(text.size() - missing, missing, missing, '=');
  return text;
}

}  // namespace

std::string packed(std::string_view text) { return base64(compressed(text)); }

}  // namespace subquad

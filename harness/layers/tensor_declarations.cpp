#include "layers/tensor_declarations.h"

#include <stdexcept>

#include "subquad/error.h"

namespace subquad {
namespace {

/// Bytes of so many, for all heads of any layer, can still be counted in 64 bits.
constexpr Index kMaxElements = Index{1} << 48;

class Collector final : public TensorVisitor {
 public:
  std::vector<TensorDeclaration> take() { return std::move(declarations_); }

  void declare(TensorDeclaration declaration) override {
    const std::string subject = "tensor '" + declaration.name + "'";
    for (const TensorDeclaration& other : declarations_) {
      if (other.name == declaration.name) throw std::logic_error(subject + " is declared twice");
    }
    Index elements = 1;
    for (const Extent& extent : declaration.shape) {
      if (extent.size < 0) throw std::logic_error(subject + " has a negative extent");
      if (extent.size > 0 && elements > kMaxElements / extent.size) {
        throw Error(subject + " of shape " + shape_text(declaration.shape) +
                    " has more elements than any machine holds");
      }
      elements *= extent.size;
    }
    if (declaration.role == Role::choice && !declaration.is_integer) {
      throw std::logic_error(subject + " is a choice, but not of integers");
    }
    const bool filled = declaration.is_integer ? bool(declaration.initialiser.integers)
                                               : bool(declaration.initialiser.floats);
    if (!filled && !declaration.belongs_to_sequence()) {
      throw std::logic_error(subject + " has no initialiser for its element type");
    }
    declarations_.push_back(std::move(declaration));
  }

 private:
  std::vector<TensorDeclaration> declarations_;
};

}  // namespace

std::vector<TensorDeclaration> declared_tensors(const Variant& variant, const Problem& problem) {
  Collector collector;
  variant.tensors(problem, collector);
  return collector.take();
}

std::vector<TensorInfo> tensor_infos(const Variant& variant, const Problem& problem) {
  std::vector<TensorInfo> infos;
  for (TensorDeclaration& one : declared_tensors(variant, problem)) {
    infos.push_back({std::move(one.name), std::move(one.shape),
                     one.is_integer ? "int32" : "float32", std::move(one.initialiser.text),
                     one.role, one.sharing, std::move(one.doc), std::move(one.fitting)});
  }
  return infos;
}

std::string shape_text(const Shape& shape, Index heads) {
  std::string text = heads > 0 ? "[" + std::to_string(heads) : "[";
  for (const Extent& extent : shape) {
    text += (text.size() > 1 ? ", " : "") + std::to_string(extent.size);
  }
  return text + "]";
}

const char* to_string(Role role) {
  switch (role) {
    case Role::learned:
      return "learned";
    case Role::random:
      return "random";
    case Role::running:
      return "running";
    case Role::choice:
      return "choice";
    case Role::saved:
      return "saved";
  }
  throw std::logic_error("a role without a name");
}

const char* to_string(Fitting::Way way) {
  switch (way) {
    case Fitting::Way::none:
      return "not fitted";
    case Fitting::Way::closed_form:
      return "closed form";
    case Fitting::Way::iterative:
      return "iterative";
  }
  throw std::logic_error("a way of fitting without a name");
}

const char* to_string(Sharing sharing) {
  switch (sharing) {
    case Sharing::head:
      return "head";
    case Sharing::layer:
      return "layer";
    case Sharing::model:
      return "model";
  }
  throw std::logic_error("a sharing without a name");
}

}  // namespace subquad

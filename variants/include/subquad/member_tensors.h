#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <stdexcept>
#include <string>

#include "subquad/tensor.h"

namespace subquad {

/// What a member of a composed variant calls `name` is "member0_name" of the whole, and so for the
/// other numbers. Made without allocating, because plans and forward passes ask for tensors.
class MemberTensorName {
 public:
  MemberTensorName(std::size_t member, std::string_view name) {
    constexpr std::string_view kPrefix = "member";
    constexpr std::size_t kDigits = 20;
    if (kPrefix.size() + kDigits + 1 + name.size() > text_.size()) {
      throw std::logic_error("the name of a tensor is too long: " + std::string(name));
    }
    char* at = std::copy(kPrefix.begin(), kPrefix.end(), text_.data());
    at = std::to_chars(at, at + kDigits, member).ptr;
    *at++ = '_';
    at = std::copy(name.begin(), name.end(), at);
    length_ = static_cast<std::size_t>(at - text_.data());
  }
  operator std::string_view() const { return {text_.data(), length_}; }

 private:
  std::array<char, 96> text_;
  std::size_t length_;
};

/// The tensors of one member, seen in those of the whole.
class MemberTensors final : public Tensors {
 public:
  MemberTensors(const Tensors& whole, std::size_t member) : whole_(whole), member_(member) {}
  ConstView matrix(std::string_view name) const override { return whole_.matrix(own(name)); }
  std::span<const std::int32_t> integers(std::string_view name) const override {
    return whole_.integers(own(name));
  }
  std::span<std::int32_t> choices(std::string_view name) const override {
    return whole_.choices(own(name));
  }
  View writable(std::string_view name) const override { return whole_.writable(own(name)); }

 private:
  MemberTensorName own(std::string_view name) const { return {member_, name}; }

  const Tensors& whole_;
  std::size_t member_;
};

/// Declares the tensors of one member as tensors of the whole.
class MemberTensorVisitor final : public TensorVisitor {
 public:
  MemberTensorVisitor(TensorVisitor& visit, std::size_t member) : visit_(visit), member_(member) {}

  void declare(TensorDeclaration declaration) override {
    declaration.name = std::string_view(MemberTensorName(member_, declaration.name));
    visit_.declare(std::move(declaration));
  }

 private:
  TensorVisitor& visit_;
  std::size_t member_;
};

}  // namespace subquad

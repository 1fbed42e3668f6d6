#include "measuring/fitting.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <stdexcept>

#include "measuring/reference.h"
#include "subquad/error.h"
#include "support/temporary_folder.h"
#include "support/test_plugins.h"

namespace subquad {
namespace {

using ::testing::HasSubstr;

constexpr Index kLength = 8, kDim = 4;

LayerInput gaussian(Index batch, Index heads, Index length = kLength, Index key_heads = 0,
                    Index first_sequence = 0) {
  return make_input(parse_expression("gaussian"), {.batch = batch,
                                                   .heads = heads,
                                                   .key_heads = key_heads > 0 ? key_heads : heads,
                                                   .queries = length,
                                                   .keys = length,
                                                   .dim = kDim,
                                                   .value_dim = kDim,
                                                   .seed = 3,
                                                   .first_sequence = first_sequence});
}

Layer layer(const std::string& text, Index heads, bool causal = false) {
  load_probes();
  return {parse_expression(text),
          {.queries = kLength, .keys = kLength, .dim = kDim, .value_dim = kDim, .causal = causal},
          heads};
}

/// What the probe noted in the tensors of a call.
std::vector<float> notes(const DrawnTensors& tensors, Index call) {
  const ConstView view = tensors.of(call).matrix("notes");
  return {view.data, view.data + 4};
}

std::vector<float> fitted_notes(const Layer& layer, const LayerInput& windows, Index call) {
  DrawnTensors tensors(layer, 0);
  fit_tensors(layer, windows, tensors);
  return notes(tensors, call);
}

/// What it is to note of some heads: dense attention and V as the double reference has them.
std::vector<float> expected(const LayerInput& input, const Problem& problem,
                            const std::vector<Index>& heads) {
  const Reference dense =
      *compute_reference(parse_expression("dense"), input, problem, problem.queries);
  std::vector<float> sums(4);
  for (const Index head : heads) {
    for (Index sequence = 0; sequence < input.batch; ++sequence) {
      sums[0] += 1;
      sums[1] += input.q_of(sequence, head)(0, 0);
      sums[2] += input.v_of(sequence, head)(0, 0);
      sums[3] += static_cast<float>(
          dense.heads[static_cast<std::size_t>(sequence * input.heads + head)].out[0]);
    }
  }
  return sums;
}

void expect_notes(const std::vector<float>& got, const std::vector<float>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-5) << i;
}

TEST(Fitting, EachHeadHasItsOwnHeadOfAllWindows) {
  for (const bool causal : {false, true}) {
    const Layer probe = layer("fitted(probe_fitted)", 3, causal);
    const LayerInput windows = gaussian(5, 3, kLength, 1);  // heads that share keys
    for (const Index head : {0, 2}) {
      expect_notes(fitted_notes(probe, windows, head),
                   expected(windows, probe.head_problem(), {head}));
    }
  }
}

TEST(Fitting, ASharedTensorHasTheHeadsThatShareIt) {
  const LayerInput windows = gaussian(2, 4);
  const Layer all = layer("fitted(probe_fitted(shared=true))", 4);
  expect_notes(fitted_notes(all, windows, 3), expected(windows, all.head_problem(), {0, 1, 2, 3}));
  const Layer some = layer("fitted(heads(mean,probe_fitted(shared=true)))", 4);
  expect_notes(fitted_notes(some, windows, 1), expected(windows, some.head_problem(), {1, 3}));
}

TEST(Fitting, WindowsOfOneHeadServeAllHeads) {
  const LayerInput windows = gaussian(3, 1);
  for (const char* text : {"fitted(probe_fitted)", "fitted(probe_fitted(shared=true))"}) {
    const Layer probe = layer(text, 2);
    expect_notes(fitted_notes(probe, windows, 1), expected(windows, probe.head_problem(), {0}));
  }
}

TEST(Fitting, RefusesWindowsThatDoNotFit) {
  const Layer probe = layer("fitted(probe_fitted)", 3);
  const auto error_of = [&](const LayerInput& windows) -> std::string {
    try {
      fitted_notes(probe, windows, 0);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(error_of(gaussian(1, 2)), HasSubstr("windows have 2 heads; it takes 3"));
  EXPECT_THAT(error_of(gaussian(1, 3, 9)), HasSubstr("queries = 9, the layer was made for 8"));
  LayerInput ragged = gaussian(2, 3);
  ragged.lengths = {8, 5};
  EXPECT_THAT(error_of(ragged), HasSubstr("lengths of their own"));
}

TEST(Fitting, WhatIsNotFiniteIsNotKeptSilent) {
  EXPECT_THROW(fitted_notes(layer("fitted(probe_fitted(broken=true))", 2), gaussian(1, 2), 0),
               Error);
}

TEST(Fitting, OneVariantFitsTensorsOfOneSharing) {
  EXPECT_THROW(fitted_notes(layer("fitted(probe_fitted(other=true))", 2), gaussian(1, 2), 0),
               std::logic_error);
}

TEST(TensorMaker, MakesWhatTheExpressionSays) {
  const Expression gaussian_input = parse_expression("gaussian");
  const InputRequest request{.batch = 2,
                             .heads = 2,
                             .key_heads = 2,
                             .queries = kLength,
                             .keys = kLength,
                             .dim = kDim,
                             .value_dim = kDim,
                             .seed = 3};
  const Layer drawn = layer("probe_fitted", 2);
  EXPECT_EQ(notes(*TensorMaker(drawn, gaussian_input, request).make(1), 0), std::vector<float>(4));
  const Layer fitted = layer("fitted(probe_fitted,batch=5)", 2);
  const std::unique_ptr<DrawnTensors> tensors =
      TensorMaker(fitted, gaussian_input, request).make(1);
  // They follow the two that the layer meets.
  expect_notes(notes(*tensors, 1),
               expected(gaussian(5, 2, kLength, 0, 2), fitted.head_problem(), {1}));

  const TemporaryFolder folder;
  const std::string path = (folder / "tensors.safetensors").string();
  write_safetensors(path, tensors->save());
  const Layer loaded = layer("loaded(probe_fitted,path=" + path + ")", 2);
  EXPECT_EQ(notes(*TensorMaker(loaded, gaussian_input, request).make(7), 1), notes(*tensors, 1));
  const Layer other = layer("loaded(routing,path=" + path + ")", 2);
  EXPECT_THROW(TensorMaker(other, gaussian_input, request).make(7), Error);
}

}  // namespace
}  // namespace subquad

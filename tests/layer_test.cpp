#include "layers/layer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "subquad/error.h"
#include "support/test_plugins.h"

namespace subquad {
namespace {

using ::testing::HasSubstr;

constexpr Index kHeads = 3;

Problem problem() { return {.queries = 16, .keys = 16, .dim = 4, .value_dim = 6}; }

Layer layer(const std::string& text, Index heads = kHeads) {
  load_probes();
  return Layer(parse_expression(text), problem(), heads);
}

std::string error_of(const std::string& text, Index heads = kHeads) {
  try {
    layer(text, heads);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Layer, OneExpressionServesAllHeads) {
  const Layer mean = layer("mean");
  EXPECT_EQ(mean.calls(), 3);
  EXPECT_EQ(mean.distinct(), 1);
  EXPECT_EQ(&mean.variant(0), &mean.variant(2));
  EXPECT_EQ(mean.resolved(), "mean");
  EXPECT_EQ(mean.target(), Target::control);
  EXPECT_EQ(mean.problem(), problem());
}

TEST(Layer, HeadsTakeTheirExpressionsInTurn) {
  const Layer mixed = layer("heads(mean,probe_tiles(rows=keys/4))");
  EXPECT_EQ(mixed.distinct(), 2);
  EXPECT_EQ(mixed.variant_name(0), "mean");
  EXPECT_EQ(mixed.variant_name(1), "probe_tiles");
  EXPECT_EQ(mixed.variant_name(2), "mean");
  EXPECT_EQ(&mixed.variant(0), &mixed.variant(2));
  EXPECT_NE(&mixed.variant(0), &mixed.variant(1));
  EXPECT_EQ(mixed.resolved(), "heads(mean,probe_tiles(rows=4,fail=-1,nested=false,spare=0))");
  EXPECT_EQ(layer(mixed.resolved()).resolved(), mixed.resolved());
}

TEST(Layer, MixtureClaimsWhatItsWeakestHeadClaims) {
  EXPECT_EQ(layer("heads(dense,dense)").target(), Target::exact);
  EXPECT_EQ(layer("heads(dense,local(radius=1))").target(), Target::restriction);
  EXPECT_EQ(layer("heads(local(radius=1),probe_tiles)").target(), Target::operation);
  EXPECT_EQ(layer("heads(mean,dense,local(radius=1))").target(), Target::control);
}

TEST(Layer, CostSumsOverTheCallsOfOneSequence) {
  const Cost dense = layer("dense", 1).cost();
  const Cost mean = layer("mean", 1).cost();
  EXPECT_GT(dense.useful.multiply_adds, 0);
  const Cost mixed = layer("heads(dense,mean)").cost();  // dense, mean, dense
  EXPECT_EQ(mixed.useful.multiply_adds, 2 * dense.useful.multiply_adds);
  EXPECT_EQ(mixed.useful.exponentials, 2 * dense.useful.exponentials);
  EXPECT_EQ(mixed.bytes, 2 * dense.bytes + mean.bytes);
}

TEST(Layer, ConsumesWhatAnyHeadDoesAndGivesWhatAllDo) {
  const Consumes mean = layer("mean").consumes();
  EXPECT_FALSE(mean.q || mean.k || mean.x);
  EXPECT_TRUE(mean.v);
  const Consumes mixed = layer("heads(mean,dense)").consumes();
  EXPECT_TRUE(mixed.q && mixed.k && mixed.v);
  EXPECT_TRUE(layer("dense").gives_log_sum_exp());
  EXPECT_FALSE(layer("heads(mean,dense)").gives_log_sum_exp());
}

TEST(Layer, RefusalsNameTheHead) {
  EXPECT_EQ(layer("probe_tensors(refused=17)").refuses(), "too few keys");
  EXPECT_EQ(layer("heads(mean,probe_tensors(refused=17))").refuses(),
            "head 1 (probe_tensors): too few keys");
  EXPECT_EQ(layer("heads(mean,probe_tensors(refused=16))").refuses(), "");
}

TEST(Layer, LayerScopeSeesTheWholeWidth) {
  const Layer whole = layer("probe_layer(width=dim)");
  EXPECT_EQ(whole.scope(), Scope::layer);
  EXPECT_EQ(whole.calls(), 1);
  EXPECT_EQ(whole.problem().dim, 12);
  EXPECT_EQ(whole.problem().value_dim, 18);
  EXPECT_EQ(whole.problem().scale, 0);
  EXPECT_EQ(whole.head_problem(), problem());
  EXPECT_EQ(whole.resolved(), "probe_layer(width=12)");
}

TEST(Layer, MistakesAreRefused) {
  EXPECT_THAT(error_of("heads"), HasSubstr("lists no variant"));
  EXPECT_THAT(error_of("heads(mean,heads(mean))"), HasSubstr("cannot stand inside"));
  EXPECT_THAT(error_of("heads(mean,count=3)"), HasSubstr("'count=3' is none"));
  EXPECT_THAT(error_of("heads(mean,probe_layer)"),
              HasSubstr("probe_layer works on the whole width"));
  EXPECT_THAT(error_of("heads(mean,dense)", 1), HasSubstr("lists 2 variants for 1 head"));
  EXPECT_THAT(error_of("mean", 0), HasSubstr("heads = 0"));
  EXPECT_THROW(
      Layer(parse_expression("mean"), {.queries = 0, .keys = 4, .dim = 1, .value_dim = 1}, 1),
      Error);
}

}  // namespace
}  // namespace subquad

#include "measuring/quality.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

#include "experiments/options.h"
#include "layers/catalogue.h"
#include "models/language_weights.h"

namespace subquad {
namespace {

/// Two windows of two bytes: 5 6 | 7 and 1 2 | 3.
struct Answers {
  Answers() {
    text.bytes = {5, 6, 7, 1, 2, 3};
    logits.batch = 2;
    logits.heads = 1;
    logits.queries = 2;
    logits.value_dim = kVocabulary;
    logits.out.assign(4 * kVocabulary, 0.0f);
  }
  float& logit(Index window, Index position, Index byte) {
    return logits.of(window, 0)(position, byte);
  }
  std::vector<double> figure(const std::string& key) const {
    return qualities(text, logits).at(key);
  }

  TextWindows text{.batch = 2, .length = 2, .bytes = {}, .provenance = {}};
  LayerOutput logits;
};

TEST(Quality, BytesAllAlikeTakeEightBits) {
  for (const double bits : Answers().figure("bits_per_character")) EXPECT_NEAR(bits, 8, 1e-12);
}

TEST(Quality, BitsAreTheLogarithmOfWhatTheNextByteWasGiven) {
  Answers answers;
  // Byte 6 follows byte 5 with odds of 255 to 255 others: one bit; the second position stays at 8.
  answers.logit(0, 0, 6) = static_cast<float>(std::log(255.0));
  EXPECT_NEAR(answers.figure("bits_per_character")[0], (1 + 8) / 2.0, 1e-6);
  // Logits of a thousand overflow nothing.
  answers.logit(1, 0, 2) = answers.logit(1, 1, 3) = 1000;
  EXPECT_EQ(answers.figure("bits_per_character")[1], 0);
  answers.logit(1, 0, 2) = -1000;
  EXPECT_NEAR(answers.figure("bits_per_character")[1],
              (1000 / std::log(2.0) + std::log2(255.0)) / 2, 1e-9);
}

TEST(Quality, GuessedIsTheShareOfLikeliestBytesThatFollowed) {
  Answers answers;
  answers.logit(0, 0, 6) = answers.logit(0, 1, 9) = answers.logit(1, 0, 2) = 1;
  answers.logit(1, 1, 3) = 1;
  EXPECT_EQ(answers.figure("guessed"), (std::vector<double>{0.5, 1}));
}

TEST(Quality, WhatIsNoNumberIsNoFigure) {
  Answers answers;
  answers.logit(0, 0, 200) = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(answers.figure("bits_per_character")[0]));
  EXPECT_FALSE(std::isnan(answers.figure("bits_per_character")[1]));
}

void add_names(const Expression& expression, std::set<std::string>& names) {
  names.insert(expression.name);
  for (const Expression::Argument& argument : expression.arguments) {
    for (const Expression& nested : argument.nested) add_names(nested, names);
  }
}

// So that a new variant is not forgotten.
TEST(LanguageModelExperiment, HasEveryBuiltInVariantThatTakesCausalProblems) {
  const std::string path = std::string(SUBQUAD_SOURCE_DIR) + "/experiments/language_model.cfg";
  const Experiment experiment = load_experiment(path, {});
  std::set<std::string> there;
  for (const Expression& variant : experiment.variants) add_names(variant, there);
  const Problem problem{.queries = 2048, .keys = 2048, .dim = 64, .value_dim = 64, .causal = true};
  for (const CatalogueEntry& entry : Catalogue::instance().entries()) {
    if (entry.origin != "built-in") continue;
    const std::string name(entry.info().name);
    const auto variant = make_variant(parse_expression(name), problem);
    if (!refusal_of(*variant, problem).empty()) continue;
    EXPECT_EQ(there.count(name), 1u) << name << " is missing in " << path;
  }
}

}  // namespace
}  // namespace subquad

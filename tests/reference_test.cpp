#include "measuring/reference.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "layers/drawn_tensors.h"
#include "layers/executor.h"
#include "layers/layer.h"
#include "measuring/reference_file.h"
#include "support/temporary_folder.h"

namespace subquad {
namespace {

namespace fs = std::filesystem;

LayerInput input_of(Index queries, Index keys) {
  return make_input(parse_expression("gaussian"), {.batch = 2,
                                                   .heads = 4,
                                                   .key_heads = 2,
                                                   .queries = queries,
                                                   .keys = keys,
                                                   .dim = 5,
                                                   .value_dim = 3,
                                                   .seed = 9});
}

Problem problem_on(const LayerInput& input, bool causal) {
  return {.queries = input.queries,
          .keys = input.keys,
          .dim = input.dim,
          .value_dim = input.value_dim,
          .causal = causal,
          .first_query = causal ? input.keys - input.queries : 0};
}

/// Textbook attention of one query row.
struct Row {
  std::vector<double> out;
  double log_sum_exp;
};
Row attend(const LayerInput& input, const Problem& problem, Index sequence, Index head, Index i) {
  const ConstView q = input.q_of(sequence, head), k = input.k_of(sequence, head),
                  v = input.v_of(sequence, head);
  Row row{std::vector<double>(static_cast<std::size_t>(v.cols), 0.0), 0};
  double total = 0;
  for (Index j = 0; j < input.length(sequence); ++j) {
    if (problem.causal && j > i + problem.first_query) continue;
    double score = 0;
    for (Index c = 0; c < q.cols; ++c) score += static_cast<double>(q(i, c)) * k(j, c);
    const double weight = std::exp(score / std::sqrt(static_cast<double>(q.cols)));
    total += weight;
    for (Index c = 0; c < v.cols; ++c) row.out[static_cast<std::size_t>(c)] += weight * v(j, c);
  }
  for (double& value : row.out) value /= total;
  row.log_sum_exp = std::log(total);
  return row;
}

void expect_textbook(const LayerInput& input, const Problem& problem, Index rows) {
  const auto reference = compute_reference(parse_expression("dense"), input, problem, rows);
  ASSERT_TRUE(reference);
  ASSERT_EQ(reference->heads.size(), 8u);
  for (Index index = 0; index < 8; ++index) {
    const ReferenceHead& head = reference->heads[static_cast<std::size_t>(index)];
    for (std::size_t i = 0; i < head.rows.size(); ++i) {
      const Row exact = attend(input, problem, index / 4, index % 4, head.rows[i]);
      EXPECT_NEAR(head.log_sum_exp[i], exact.log_sum_exp, 1e-12);
      for (std::size_t c = 0; c < 3; ++c) {
        EXPECT_NEAR(head.out[3 * i + c], exact.out[c], 1e-12);
      }
    }
  }
}

TEST(Reference, IsTextbookAttention) {
  for (const bool causal : {false, true}) {
    for (const Index queries : {Index{37}, Index{10}}) {
      const LayerInput input = input_of(queries, 37);
      expect_textbook(input, problem_on(input, causal), 100);
      expect_textbook(input, problem_on(input, causal), 7);
    }
  }
}

TEST(Reference, OfMoreQueriesThanKeys) {
  const LayerInput input = input_of(50, 20);
  expect_textbook(input, problem_on(input, false), 100);
}

TEST(Reference, OfTheLastQueriesIsTheEndOfTheWholeOne) {
  const LayerInput input = input_of(13, 13);
  for (const char* target : {"dense", "dense(keys=normalised_queries)"}) {
    const Problem problem = problem_on(input, true);
    const auto whole = compute_reference(parse_expression(target), input, problem, 13);
    const auto last = compute_reference(parse_expression(target), input, problem, 13, 5);
    EXPECT_FALSE(last->sampled);
    EXPECT_EQ(last->rows, 5);
    for (std::size_t head = 0; head < 8; ++head) {
      EXPECT_EQ(last->heads[head].rows, (std::vector<Index>{8, 9, 10, 11, 12}));
      const auto& out = whole->heads[head].out;
      EXPECT_EQ(last->heads[head].out, std::vector<double>(out.begin() + 8 * 3, out.end()));
    }
    const auto sample = compute_reference(parse_expression(target), input, problem, 2, 5);
    EXPECT_TRUE(sample->sampled);
    EXPECT_EQ(sample->heads[3].rows.size(), 2u);
    EXPECT_GE(sample->heads[3].rows.front(), 8);
    EXPECT_LT(sample->heads[3].rows.back(), 13);
  }
}

TEST(Reference, OfShorterSequences) {
  LayerInput input = input_of(30, 30);
  input.lengths = {30, 11};
  for (const bool causal : {false, true}) {
    const auto reference =
        compute_reference(parse_expression("dense"), input, problem_on(input, causal), 100);
    EXPECT_EQ(reference->heads[0].rows.size(), 30u);
    EXPECT_EQ(reference->heads[7].rows.size(), 11u);
    expect_textbook(input, problem_on(input, causal), 100);
  }
}

TEST(Reference, OfOtherDenseTargetsRowByRowIsTheWholeOne) {
  const LayerInput input = input_of(41, 41);
  for (const bool causal : {false, true}) {
    for (const char* text :
         {"dense(keys=normalised_queries)", "dense(keys=normalised_queries,self_penalty=3)",
          "dense(length=1,scale=none)", "dense(keys=normalised_queries,length=2)"}) {
      const Expression target = parse_expression(text);
      const Problem problem = problem_on(input, causal);
      const auto rows = compute_reference(target, input, problem, 13);
      ASSERT_TRUE(rows);
      EXPECT_TRUE(rows->sampled);
      const Layer layer(target, problem, input.heads);
      const DrawnTensors tensors(layer, 0);
      std::vector<double> out(41 * 3), log_sum_exp(41);
      for (Index head = 0; head < 4; ++head) {
        run_reference(layer, input, tensors, 1, head, {out.data(), 41, 3}, log_sum_exp.data());
        const ReferenceHead& found = rows->heads[static_cast<std::size_t>(4 + head)];
        for (std::size_t i = 0; i < found.rows.size(); ++i) {
          const auto row = static_cast<std::size_t>(found.rows[i]);
          EXPECT_NEAR(found.log_sum_exp[i], log_sum_exp[row], 1e-12);
          for (std::size_t c = 0; c < 3; ++c) {
            EXPECT_NEAR(found.out[3 * i + c], out[3 * row + c], 1e-12);
          }
        }
      }
    }
  }
}

TEST(Reference, OfAnotherTargetIsComputedWholeOrNotAtAll) {
  const LayerInput small = input_of(24, 24);
  const auto whole =
      compute_reference(parse_expression("mean"), small, problem_on(small, false), 5);
  ASSERT_TRUE(whole);
  double mean = 0;
  for (Index j = 0; j < 24; ++j) mean += small.v_of(0, 0)(j, 1) / 24.0;
  EXPECT_NEAR(whole->heads[0].out[1], mean, 1e-12);
  const LayerInput large = input_of(1, kWholeReferenceKeys + 1);
  EXPECT_FALSE(compute_reference(parse_expression("mean"), large, problem_on(large, false), 5));
}

TEST(SampledRows, AreDistinctSortedInRangeAndUniform) {
  std::vector<int> hits(50, 0);
  for (Index head = 0; head < 4000; ++head) {
    const std::vector<Index> rows = sampled_rows(10, 50, 0, head);
    ASSERT_EQ(std::set<Index>(rows.begin(), rows.end()).size(), 10u);
    EXPECT_TRUE(std::is_sorted(rows.begin(), rows.end()));
    for (const Index row : rows) ++hits[static_cast<std::size_t>(row)];
  }
  // Expected 800 each; variance 4000 x 0.2 x 0.8; five standard deviations.
  for (const int count : hits) EXPECT_NEAR(count, 800, 5 * std::sqrt(640.0));
  EXPECT_EQ(sampled_rows(10, 50, 3, 1), sampled_rows(10, 50, 3, 1));
  EXPECT_EQ(sampled_rows(60, 50, 0, 0).size(), 50u);
}

class ReferenceCache : public testing::Test {
 protected:
  void SetUp() override { ::setenv("SUBQUAD_CACHE", folder_.c_str(), 1); }
  void TearDown() override { ::unsetenv("SUBQUAD_CACHE"); }
  static std::string contents(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }
  fs::path only_file() const {
    fs::path found;
    int count = 0;
    for (const auto& entry : fs::directory_iterator(folder_)) {
      found = entry.path();
      ++count;
    }
    EXPECT_EQ(count, 1);
    return found;
  }

  TemporaryFolder temporary_;
  const std::string folder_ = (temporary_ / "cache").string();  // made by the first to write there
};

TEST_F(ReferenceCache, ADamagedFileIsComputedAnew) {
  const LayerInput input = input_of(20, 20);
  const Problem problem = problem_on(input, true);
  const Expression dense = parse_expression("dense");
  const std::string good = to_bytes(*reference_of(dense, input, problem, 8));
  const fs::path path = only_file();
  EXPECT_EQ(contents(path), good);
  std::string flipped = good;
  flipped[good.size() / 2] = static_cast<char>(flipped[good.size() / 2] ^ 1);
  for (const std::string& damaged :
       {std::string(), good.substr(0, 10), good.substr(0, good.size() - 1), good + "x", flipped}) {
    std::ofstream(path, std::ios::binary) << damaged;
    EXPECT_FALSE(reference_from_bytes(damaged));
    EXPECT_EQ(to_bytes(*reference_of(dense, input, problem, 8)), good);
    EXPECT_EQ(contents(path), good);
  }
}

TEST_F(ReferenceCache, IsRead) {
  const LayerInput input = input_of(20, 20);
  const Problem problem = problem_on(input, false);
  const Expression dense = parse_expression("dense");
  Reference reference = *reference_of(dense, input, problem, 8);
  reference.heads[0].out[0] = 1234;
  std::ofstream(only_file(), std::ios::binary) << to_bytes(reference);
  EXPECT_EQ(reference_of(dense, input, problem, 8)->heads[0].out[0], 1234);
}

TEST_F(ReferenceCache, AFolderThatCannotBeMadeCostsTimeOnly) {
  std::ofstream(folder_) << "no folder";
  const LayerInput input = input_of(20, 20);
  const Problem problem = problem_on(input, false);
  const Expression dense = parse_expression("dense");
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(to_bytes(*reference_of(dense, input, problem, 8)),
              to_bytes(*compute_reference(dense, input, problem, 8)));
    const std::optional<std::string> said = take_cache_problem();
    ASSERT_EQ(said.has_value(), i == 0);
    EXPECT_NE(said.value_or(folder_).find(folder_), std::string::npos) << *said;
  }
}

TEST_F(ReferenceCache, TellsInputsProblemsAndTargetsApart) {
  LayerInput input = input_of(20, 20);
  const Problem problem = problem_on(input, false);
  const Expression dense = parse_expression("dense");
  reference_of(dense, input, problem, 8);
  reference_of(dense, input, problem, 9);
  reference_of(dense, input, problem_on(input, true), 8);
  Problem scaled = problem;
  scaled.scale = 0.5;
  reference_of(dense, input, scaled, 8);
  reference_of(parse_expression("dense(keys=normalised_queries)"), input, problem, 8);
  input.v[0] += 1;
  reference_of(dense, input, problem, 8);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()), 6);
}

}  // namespace
}  // namespace subquad

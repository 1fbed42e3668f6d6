#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <limits>

#include "inputs/input.h"
#include "subquad/error.h"
#include "support/temporary_folder.h"
#include "tensor_files/tensor_file.h"

namespace subquad {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// A tensor whose element at [b, h, i, c] is 1000 b + 100 h + i + c / 10 + offset.
Array counted(const std::vector<Index>& shape, float offset) {
  Array array{.shape = shape};
  std::vector<Index> four(4 - shape.size(), 1);
  four.insert(four.end(), shape.begin(), shape.end());
  for (Index b = 0; b < four[0]; ++b) {
    for (Index h = 0; h < four[1]; ++h) {
      for (Index i = 0; i < four[2]; ++i) {
        for (Index c = 0; c < four[3]; ++c) {
          array.floats.push_back(static_cast<float>(1000 * b + 100 * h + i) +
                                 static_cast<float>(c) / 10 + offset);
        }
      }
    }
  }
  return array;
}

class InputFileTest : public ::testing::Test {
 protected:
  InputFileTest() : path_((folder_ / "t.safetensors").string()) {
    file_.tensors["q"] = counted({2, 4, 6, 3}, 0);
    file_.tensors["k"] = counted({2, 2, 6, 3}, 0.25f);
    file_.tensors["v"] = counted({2, 2, 6, 5}, 0.5f);
  }

  LayerInput read() {
    write_safetensors(path_, file_);
    return read_layer_input(path_);
  }
  LayerInput make(const std::string& arguments, Index keys, Index queries) {
    write_safetensors(path_, file_);
    const std::string text = "file(path=" + path_ + arguments + ")";
    return make_input(parse_expression(text), {.queries = queries, .keys = keys});
  }
  template <class F>
  std::string error_of(F action) {
    try {
      action();
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }
  std::string read_error() {
    return error_of([&] { read(); });
  }
  std::string make_error(const std::string& arguments, Index keys = 6, Index queries = 6) {
    return error_of([&] { make(arguments, keys, queries); });
  }

  TemporaryFolder folder_;
  std::string path_;
  TensorFile file_;
};

TEST_F(InputFileTest, GroupedHeadsAndMetadata) {
  file_.metadata = {{"source", "a model"}, {"regime", "trained"}, {"causal", "true"}};
  const LayerInput input = read();
  EXPECT_EQ(input.batch, 2);
  EXPECT_EQ(input.heads, 4);
  EXPECT_EQ(input.key_heads, 2);
  EXPECT_EQ(input.value_dim, 5);
  EXPECT_EQ(input.rank, 4);
  EXPECT_EQ(input.provenance, "a model; trained");
  EXPECT_TRUE(input.causal_regime);
  EXPECT_EQ(input.q_of(1, 3)(2, 0), 1302);
  EXPECT_EQ(input.k_of(1, 3)(2, 0), 1102.25f);  // query head 3 reads key head 1
  EXPECT_EQ(input.v_of(1, 1)(2, 0), 1002.5f);
  EXPECT_EQ(input.x_of(1, 1).data, input.v_of(1, 1).data);
  EXPECT_EQ(input.length(0), 6);
}

TEST_F(InputFileTest, LowerRanksAndX) {
  file_.tensors = {{"q", counted({4, 3}, 0)},
                   {"k", counted({6, 3}, 0)},
                   {"v", counted({6, 2}, 0)},
                   {"x", counted({4, 7}, 9)}};
  const LayerInput input = read();
  EXPECT_EQ(input.rank, 2);
  EXPECT_EQ(input.queries, 4);
  EXPECT_EQ(input.keys, 6);
  EXPECT_EQ(input.x_dim, 7);
  EXPECT_EQ(input.x_of(0, 0)(3, 0), 12);
}

TEST_F(InputFileTest, NumpyNeighbours) {
  const std::string from = SUBQUAD_SOURCE_DIR "/tests/data/numpy_";
  std::filesystem::copy_file(from + "f2.npy", folder_ / "layer3_q.npy");
  std::filesystem::copy_file(from + "f4.npy", folder_ / "layer3_k.npy");
  const std::string path = (folder_ / "layer3_q.npy").string();
  EXPECT_THAT(error_of([&] { read_layer_input(path); }), HasSubstr("layer3_v.npy: No such file"));
  std::filesystem::copy_file(from + "fortran.npy", folder_ / "layer3_v.npy");
  const LayerInput input = read_layer_input(path);
  EXPECT_EQ(input.heads, 2);
  EXPECT_EQ(input.rank, 3);
  EXPECT_EQ(input.v, input.q);
  EXPECT_THAT(error_of([&] { read_layer_input(from + "f4.npy"); }), HasSubstr("name it q.npy"));
}

TEST_F(InputFileTest, LengthsAreWholeNumbersWithinTheKeys) {
  file_.tensors["lengths"] = {.shape = {2}, .integers = {6, 1}, .is_integer = true};
  EXPECT_THAT(read().lengths, ElementsAre(6, 1));
  EXPECT_THAT(make("", 4, 4).lengths, ElementsAre(4, 1));
  for (const float wrong : {0.0f, 7.0f, 1.5f, std::numeric_limits<float>::quiet_NaN()}) {
    file_.tensors["lengths"] = {.shape = {2}, .floats = {3, wrong}};
    EXPECT_THAT(read_error(), HasSubstr("at [1]: a whole number in 1 ... 6 is needed"));
  }
  file_.tensors["lengths"] = {.shape = {3}, .floats = {3, 3, 3}};
  EXPECT_THAT(read_error(), HasSubstr("tensor 'lengths': shape [3]: [batch] = [2] is needed"));
}

TEST_F(InputFileTest, NonFiniteValuesAreNamedWithTheirPlace) {
  file_.tensors["k"].floats[((1 * 2 + 1) * 6 + 4) * 3 + 2] =
      std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(read_error(), path_ + ": tensor 'k': nan at [1, 1, 4, 2], which is not finite");
  file_.tensors["k"].floats[0] = -std::numeric_limits<float>::infinity();
  EXPECT_EQ(read_error(), path_ + ": tensor 'k': -inf at [0, 0, 0, 0], which is not finite");
}

TEST_F(InputFileTest, ShapesThatDoNotFit) {
  const auto with = [&](const char* name, Array array) {
    const Array kept = file_.tensors[name];
    file_.tensors[name] = std::move(array);
    const std::string error = read_error();
    file_.tensors[name] = kept;
    return error;
  };
  EXPECT_THAT(with("k", counted({1, 2, 6, 3}, 0)), HasSubstr("'k': shape [1, 2, 6, 3]: batch = 1"));
  EXPECT_THAT(with("k", counted({2, 2, 6, 4}, 0)), HasSubstr("dim = 4, 3 needed"));
  EXPECT_THAT(with("k", counted({2, 6, 3}, 0)), HasSubstr("rank 4 needed, as q has"));
  EXPECT_THAT(with("v", counted({2, 2, 5, 5}, 0)), HasSubstr("'v': shape [2, 2, 5, 5]: n = 5"));
  EXPECT_THAT(with("v", counted({2, 1, 6, 5}, 0)), HasSubstr("heads = 1, 2 needed"));
  EXPECT_THAT(with("q", counted({2, 3, 6, 3}, 0)), HasSubstr("cannot share 2 heads evenly"));
  EXPECT_THAT(with("q", counted({2, 4, 0, 3}, 0)),
              HasSubstr("'q': shape [2, 4, 0, 3]: no element"));
  EXPECT_THAT(
      with("q",
           {.shape = {2, 4, 6, 3}, .integers = std::vector<std::int32_t>(144), .is_integer = true}),
      HasSubstr("'q': holds integers, floats are needed"));
  file_.tensors["x"] = counted({2, 4, 5, 3}, 0);
  EXPECT_THAT(read_error(), HasSubstr("tensor 'x': shape [2, 4, 5, 3]: n = 5, 6 needed"));
  file_.tensors.erase("x");
  file_.tensors.erase("v");
  EXPECT_EQ(read_error(), path_ + ": tensor 'v' is missing (found: k, q)");
  file_.tensors = {{"q", counted({3}, 0)}, {"k", counted({3}, 0)}, {"v", counted({3}, 0)}};
  EXPECT_THAT(read_error(), HasSubstr("[batch, heads, n, dim], [heads, n, dim] or [n, dim]"));
  file_.metadata["causal"] = "perhaps";
  file_.tensors = {{"q", counted({3, 1}, 0)}, {"k", counted({3, 1}, 0)}, {"v", counted({3, 1}, 0)}};
  EXPECT_THAT(read_error(), HasSubstr("causal = 'perhaps' is neither true nor false"));
}

TEST_F(InputFileTest, HostileMetadataIsSpelledOut) {
  file_.metadata = {{"source", "\x1b[2J" + std::string(2000, 'a')}, {"regime", "trained"}};
  const std::string provenance = read().provenance;
  EXPECT_TRUE(provenance.starts_with("\\x1b[2Jaaa")) << provenance;
  EXPECT_TRUE(provenance.ends_with("aaa...; trained")) << provenance;
  EXPECT_LT(provenance.size(), 1100u);
  file_.metadata = {{"causal", "\x1b]0;x\x07"}};
  EXPECT_THAT(read_error(), HasSubstr("causal = '\\x1b]0;x\\x07' is neither true nor false"));
  file_.metadata = {};
  file_.tensors.clear();
  for (int i = 0; i < 1000; ++i) file_.tensors["t" + std::to_string(i)] = {.shape = {0}};
  EXPECT_LT(read_error().size(), path_.size() + 300);
}

TEST_F(InputFileTest, SelectionAndCut) {
  file_.tensors["x"] = counted({2, 4, 6, 1}, 7);
  const LayerInput input = make(",batch=1,heads=2:4", 4, 2);
  EXPECT_EQ(input.batch, 1);
  EXPECT_EQ(input.heads, 2);
  EXPECT_EQ(input.key_heads, 1);
  EXPECT_EQ(input.keys, 4);
  EXPECT_EQ(input.queries, 2);
  EXPECT_EQ(input.q.size(), 2u * 2 * 3);
  EXPECT_EQ(input.q_of(0, 1)(0, 0), 1302);  // last two of the first four rows
  EXPECT_EQ(input.x_of(0, 0)(1, 0), 1210);
  EXPECT_EQ(input.k.size(), 4u * 3);
  EXPECT_EQ(input.k_of(0, 1)(3, 0), 1103.25f);
  EXPECT_EQ(input.v_of(0, 0)(0, 4), 1100.9f);

  EXPECT_EQ(make(",heads=3", 6, 6).k_of(1, 0)(0, 0), 1100.25f);
  EXPECT_THAT(make(",batch=all,heads=all", 6, 6).q,
              testing::ElementsAreArray(file_.tensors["q"].floats));
  EXPECT_EQ(make(",heads=0:2", 6, 6).key_heads, 1);
}

TEST_F(InputFileTest, EveryFewSequences) {
  const auto same = [&](const char* a, const char* b) {
    const LayerInput one = make(a, 6, 6), other = make(b, 6, 6);
    EXPECT_EQ(one.batch, other.batch) << a;
    EXPECT_EQ(one.q, other.q) << a;
    EXPECT_EQ(one.v, other.v) << a;
    EXPECT_EQ(one.lengths, other.lengths) << a;
  };
  same(",batch=0:2:2", ",batch=0");
  same(",batch=0:2:1", ",batch=all");
  same(",batch=1:2:9223372036854775807", ",batch=1");
}

TEST_F(InputFileTest, MistakesInTheArguments) {
  EXPECT_THAT(make_error(",batch=2"), HasSubstr("batch = 2 is not within the file's 0:2"));
  EXPECT_THAT(make_error(",batch=1:1"), HasSubstr("is not within"));
  EXPECT_THAT(make_error(",batch=-1"), HasSubstr("is not within"));
  EXPECT_THAT(make_error(",heads=0:5"), HasSubstr("heads = 0:5 is not within the file's 0:4"));
  EXPECT_THAT(make_error(",heads=first"), HasSubstr("heads = first is none of all, a number"));
  EXPECT_THAT(make_error(",heads=0:2:2"), HasSubstr("a range of heads has no step"));
  EXPECT_THAT(make_error(",batch=0:2:0"), HasSubstr("is none of all"));
  EXPECT_THAT(make_error(",batch=0:2:1:1"), HasSubstr("is none of all"));
  EXPECT_THAT(make_error(",batch=0:"), HasSubstr("is none of all"));
  EXPECT_THAT(make_error(",heads=0:99999999999999999999"), HasSubstr("is none of all"));
  EXPECT_THAT(make_error(",heads=1:3"), HasSubstr("heads 1:3 share keys unevenly"));
  EXPECT_THAT(make_error(",head=1"), HasSubstr("no parameter 'head' (did you mean 'heads'?)"));
  EXPECT_THAT(make_error("", 7, 7), HasSubstr("holds n = 6 keys, 7 were asked for"));
  EXPECT_THAT(make_error("", 3, 4), HasSubstr("holds 3 queries for 3 keys, 4 were asked for"));
  EXPECT_THAT(make_error("", 0, 0), HasSubstr("at least 1"));
  EXPECT_EQ(error_of([] { make_input(parse_expression("file"), {}); }), "file: path is missing");
  EXPECT_EQ(error_of([] {
              make_input(parse_expression("file(path=no/such/file.npz)"),
                         {.queries = 1, .keys = 1});
            }),
            "no/such/file.npz: No such file or directory");
  file_.tensors["q"] = counted({2, 4, 2, 3}, 0);
  EXPECT_THAT(make_error("", 4, 2), HasSubstr("has 2 queries on 6 keys"));
  EXPECT_EQ(make("", 6, 1).q_of(0, 0)(0, 0), 1);
}

TEST_F(InputFileTest, TheShippedFilesAreWhatTheirReadmeSays) {
  const std::string data = SUBQUAD_SOURCE_DIR "/experiments/data/";
  const LayerInput ocr = read_layer_input(data + "ocr_n320.safetensors");
  EXPECT_THAT((std::vector<Index>{ocr.batch, ocr.heads, ocr.keys, ocr.dim}),
              ElementsAre(2, 8, 320, 15));
  EXPECT_FALSE(ocr.causal_regime);
  EXPECT_THAT(ocr.provenance, HasSubstr("PP-OCRv4"));
  const LayerInput language = read_layer_input(data + "causal_lm_n2048.safetensors");
  EXPECT_THAT((std::vector<Index>{language.batch, language.heads, language.keys, language.dim}),
              ElementsAre(4, 4, 2048, 64));
  EXPECT_TRUE(language.causal_regime);
}

}  // namespace
}  // namespace subquad

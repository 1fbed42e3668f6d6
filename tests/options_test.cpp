#include "experiments/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "layers/catalogue.h"
#include "subquad/error.h"
#include "support/temporary_folder.h"

namespace subquad {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class ConfigFile {
 public:
  explicit ConfigFile(const std::string& text) : path_((folder_ / "test.cfg").string()) {
    std::ofstream(path_) << text;
  }
  const std::string& path() const { return path_; }

 private:
  TemporaryFolder folder_;
  std::string path_;
};

ParsedOptions command_line(const std::vector<std::string>& words) {
  return parse_options(words, experiment_option_specs());
}

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

std::string config_error(const std::string& text) {
  const ConfigFile file(text);
  return error_of([&] { load_experiment(file.path(), {}); });
}

TEST(Options, ConfigGivesAnExperiment) {
  const ConfigFile file(
      "# a comment\n"
      "question = How much? # the rest is a comment, but#not this\n"
      "variant = mean\n"
      "  variant =  mean  \n"
      "length = 512, 1024 2048\n"
      "causal = no yes\n"
      "memory-limit = 2GiB\n"
      "rounds=4\r\n");
  const Experiment experiment = load_experiment(file.path(), {});
  EXPECT_EQ(experiment.question, "How much?");
  EXPECT_EQ(experiment.variants.size(), 2u);
  EXPECT_THAT(experiment.lengths, ElementsAre(512, 1024, 2048));
  EXPECT_THAT(experiment.causal, ElementsAre(false, true));
  EXPECT_EQ(experiment.memory_limit_bytes, std::uint64_t{2} << 30);
  EXPECT_EQ(experiment.rounds, 4);
  EXPECT_EQ(experiment.name, std::filesystem::path(file.path()).stem());
}

TEST(Options, CommandLineReplacesTheConfig) {
  const ConfigFile file("variant = mean\nlength = 512 1024\nrounds = 4\n");
  const Experiment experiment =
      load_experiment(file.path(), command_line({"--length", "7", "--length=9", "--dim", "8"}));
  EXPECT_THAT(experiment.lengths, ElementsAre(7, 9));
  EXPECT_EQ(experiment.dim, 8);
  EXPECT_EQ(experiment.rounds, 4);
}

TEST(Options, ResolvedConfigGivesTheSameExperiment) {
  const ConfigFile file(
      "question = Why?\nvariant = heads(mean,mean)\nvariant = mean\ninput = gaussian(std=1|2)\n"
      "length = 5 6\ncausal = true\nseed = 3 4\nthreads = 1 2\nscale = 0.3\nmin-time = 0.013\n"
      "memory-limit = 5MiB\nanchor = mean\nfigures = no\nresults = elsewhere\n");
  const std::string resolved = load_experiment(file.path(), {}).resolved_config();
  const ConfigFile again(resolved);
  EXPECT_EQ(load_experiment(again.path(), {}).resolved_config(), resolved);
  EXPECT_THAT(resolved, AllOf(HasSubstr("variant = heads(mean,mean)\n"),
                              HasSubstr("input = gaussian(std=2)\n"), HasSubstr("scale = 0.3\n"),
                              HasSubstr("seed = 3 4\n")));
}

TEST(Options, AllStandsForEveryVariantOfTheCatalogue) {
  const ConfigFile file("variant = local(radius=3)\nvariant = all\nlength = 8\n");
  std::vector<std::string> variants;
  for (const Expression& variant : load_experiment(file.path(), {}).variants) {
    variants.push_back(variant.text());
  }
  std::vector<std::string> expected = {"local(radius=3)"};
  for (const std::string& name : Catalogue::instance().names()) expected.push_back(name);
  EXPECT_EQ(variants, expected);
  EXPECT_THAT(config_error("variant = heads(all,mean)\nlength = 8\n"), HasSubstr("'all'"));
}

TEST(Options, ConfigErrorsNamePlaceAndWhatIsAllowed) {
  EXPECT_THAT(config_error("variant = mean\nlenght = 5\n"),
              AllOf(HasSubstr(".cfg:2"), HasSubstr("lenght"), HasSubstr("'length'")));
  EXPECT_THAT(config_error("variant = mean\nlength = 5 0\n"),
              AllOf(HasSubstr(".cfg:2"), HasSubstr("length = 0"), HasSubstr("from 1")));
  EXPECT_THAT(config_error("variant = mean\nlength = 5 6k\n"), HasSubstr("length = 6k"));
  EXPECT_THAT(config_error("just words\n"), AllOf(HasSubstr(".cfg:1"), HasSubstr("key = value")));
  EXPECT_THAT(config_error("variant =\n"), AllOf(HasSubstr(".cfg:1"), HasSubstr("no value")));
  EXPECT_THAT(config_error("variant = mean(\nlength = 5\n"), HasSubstr(".cfg:1"));
  EXPECT_THAT(config_error("variant = maen\nlength = 5\n"), HasSubstr("mean"));
  EXPECT_THAT(config_error("length = 5\n"), HasSubstr("variant"));
  EXPECT_THAT(config_error("variant = mean\n"), HasSubstr("length"));
  EXPECT_THAT(config_error("variant = mean\nlength = 5\ncausal = perhaps\n"),
              HasSubstr("true or false"));
  EXPECT_THAT(config_error("variant = mean\nlength = 5\nmin-time = nan\n"), HasSubstr("min-time"));
  EXPECT_THAT(error_of([] { load_experiment("no/such.cfg", {}); }), HasSubstr("no/such.cfg"));
}

TEST(Options, ConfigsAreTextOfLimitedLength) {
  const auto parsed = [](const std::string& text) { return parse_config(text, "x.cfg"); };
  // As other systems' editors leave it: byte order mark, CRLF, no last line end.
  const Settings settings =
      parsed("\xef\xbb\xbflength = 5\r\n\r\nquestion = caf\xc3\xa9?\r\nrounds=4");
  EXPECT_EQ(settings.at("length").front().text, "5");
  EXPECT_EQ(settings.at("question").front().text, "caf\xc3\xa9?");
  EXPECT_EQ(settings.at("rounds").front().where, "x.cfg:4");
  EXPECT_TRUE(parsed("").empty());
  EXPECT_TRUE(parsed("\n\n# nothing").empty());

  const std::pair<std::string, const char*> cases[] = {
      {"question = a\x1b[2Jb", "x.cfg:1: 'question = a\\x1b[2Jb' is not plain text"},
      {"question = a" + std::string(1, '\0'), "x.cfg:1: 'question = a\\x00' is not plain text"},
      {"\n\nquestion = caf\xe9", "x.cfg:3: 'question = caf\\xe9' is not plain text"},
      {"question = a\rrounds = 4", "is not plain text"},
      {"question = \xe2\x80\xae", "is not plain text"},
      {"x\xff = 5", "is not plain text"},
      {std::string(5000, 'k') + " = 5", "unknown key 'kkk"},
      {std::string(5000, 'k'), "kkk...' is not of the form key = value"},
      {"= 5", "unknown key ''"},
      {"question =# a", "x.cfg:1: question: a value does not begin with #"},
      {std::string((1 << 20) + 1, '#'), "x.cfg: longer than 1048576 bytes"},
  };
  for (const auto& [text, what] : cases) {
    const std::string error = error_of([&, &config = text] { parsed(config); });
    EXPECT_THAT(error, HasSubstr(what));
    EXPECT_LT(error.size(), 1000u);
  }
  EXPECT_TRUE(parsed(std::string(1 << 20, '#')).empty());
  EXPECT_THAT(error_of([] { load_experiment(testing::TempDir(), {}); }), HasSubstr("is a folder"));
}

TEST(Options, DecodingIsOfCausalSelfAttention) {
  const std::string decode = "variant = mean\nlength = 5\nmode = forward decode\n";
  const ConfigFile file(decode + "causal = true\n");
  const Experiment experiment = load_experiment(file.path(), {});
  EXPECT_THAT(experiment.modes, ElementsAre(Mode::forward, Mode::decode));
  EXPECT_THAT(experiment.resolved_config(), HasSubstr("mode = forward decode\n"));
  EXPECT_THAT(config_error(decode),
              AllOf(HasSubstr(".cfg: "), HasSubstr("mode = decode"), HasSubstr("causal = true")));
  EXPECT_THAT(config_error(decode + "causal = true false\n"), HasSubstr("causal = true"));
  EXPECT_THAT(config_error(decode + "causal = true\nqueries = 3\n"),
              AllOf(HasSubstr("mode = decode"), HasSubstr("queries = 3")));
  EXPECT_THAT(config_error("variant = mean\nlength = 5\nmode = decodes\n"),
              AllOf(HasSubstr(".cfg:3"), HasSubstr("mode = decodes"), HasSubstr("forward"),
                    HasSubstr("decode")));
}

TEST(Options, AnOptionThatTakesOneValueIsGivenOnce) {
  EXPECT_THAT(config_error("variant = mean\nrounds = 4\nlength = 5\nrounds = 6\n"),
              AllOf(HasSubstr(".cfg:4: rounds is given twice"), HasSubstr(".cfg:2")));
  const ConfigFile file(
      "variant = mean\nvariant = dense\nlength = 5\nlength = 6 7\ncausal = no\n"
      "causal = yes\nseed = 1\nseed = 2\nthreads = 1\nthreads = 2\n");
  const Experiment experiment = load_experiment(file.path(), {});
  EXPECT_THAT(experiment.lengths, ElementsAre(5, 6, 7));
  EXPECT_THAT(experiment.causal, ElementsAre(false, true));
  EXPECT_THAT(experiment.seeds, ElementsAre(1, 2));
  EXPECT_THAT(experiment.threads, ElementsAre(1, 2));
}

TEST(Options, ListsHoldSomethingAndNotTooMuch) {
  for (const char* name : {"length", "mode", "causal", "seed", "threads"}) {
    EXPECT_THAT(config_error("variant = mean\n" + std::string(name) + " = ,\n"),
                HasSubstr(std::string(name) + " lists no value"))
        << name;
  }
  // Each sweep is within its limit; the experiment is not.
  std::string many = "length = 5\n";
  for (int line = 0; line < 3; ++line) {
    many += "variant = mean(a=0";
    for (int i = 1; i < 2000; ++i) many += "|" + std::to_string(i);
    many += ",b=0";
    for (int i = 1; i < 40; ++i) many += "|" + std::to_string(i);
    many += ")\n";
  }
  EXPECT_THAT(config_error(many), HasSubstr(".cfg:3: more than 100000 expressions"));
  std::string lengths = "variant = mean\ninput = gaussian\nlength =";
  for (int i = 1; i <= 2000; ++i) lengths += " " + std::to_string(i);
  std::string seeds = "\nseed =";
  for (int i = 1; i <= 501; ++i) seeds += " " + std::to_string(i);
  EXPECT_THAT(config_error(lengths + seeds + "\n"), HasSubstr("spans 1002000 points"));
}

TEST(Options, CommandLineErrors) {
  EXPECT_THAT(error_of([] {
                command_line({"--lengths", "5"});
              }),
              AllOf(HasSubstr("--lengths"), HasSubstr("'length'")));
  EXPECT_THAT(error_of([] { command_line({"--len", "5"}); }), HasSubstr("--len"));
  EXPECT_THAT(error_of([] { command_line({"--length"}); }), HasSubstr("length"));
  EXPECT_THAT(error_of([] { command_line({"-length", "5"}); }), HasSubstr("-length"));
}

TEST(Bytes, AreNumbersWithAUnit) {
  const auto bytes = [](const std::string& text) { return to_bytes("memory", {text, "here"}); };
  EXPECT_EQ(bytes("4096"), 4096u);
  EXPECT_EQ(bytes("64MiB"), 64u << 20);
  EXPECT_EQ(bytes("1.5 GiB"), 3u << 29);
  EXPECT_EQ(bytes("7B"), 7u);
  for (const char* wrong : {"", "64Mb", "MiB", "-1", "1e300GiB", "nan", "inf", "3 4"}) {
    EXPECT_THROW(bytes(wrong), Error) << wrong;
  }
}

}  // namespace
}  // namespace subquad

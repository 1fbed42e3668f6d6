#include "records/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "records/machine.h"
#include "subquad/error.h"
#include "support/temporary_folder.h"

namespace subquad {
namespace {

namespace fs = std::filesystem;

class StoreTest : public testing::Test {
 protected:
  std::string path() const { return folder_ / "points.jsonl"; }
  std::string contents() const {
    std::ifstream file(path());
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
  void append_text(const std::string& text) { std::ofstream(path(), std::ios::app) << text; }

  TemporaryFolder temporary_;
  const fs::path folder_ = temporary_ / "store";  // made by the store
};

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

Record record_of(const std::string& key, const std::string& variant = "dense") {
  Record record;
  record.key = key;
  record.build = "b";
  record.machine = machine_identity();
  record.variant = variant;
  return record;
}

std::string line_of(const std::string& key, const std::string& variant = "dense") {
  return to_json(record_of(key, variant)).dump() + "\n";
}

/// What the Error that `step` throws says; empty if it throws none.
template <class Step>
std::string error_of(Step&& step) {
  try {
    step();
    return {};
  } catch (const Error& error) {
    return error.what();
  }
}

TEST_F(StoreTest, KeepsWhatWasAppended) {
  {
    Store store(folder_);
    store.append(record_of("one", "local"));
    store.append(record_of("two", "dense"));
  }
  Store store(folder_);
  EXPECT_TRUE(store.has("one"));
  EXPECT_FALSE(store.has("three"));
  EXPECT_EQ(store.size(), 2u);
  store.append(record_of("three", "mean"));
  EXPECT_EQ(store.record("one").variant, "local");
  EXPECT_EQ(store.record("two").variant, "dense");
  EXPECT_EQ(store.record("three").variant, "mean");
  EXPECT_THROW(store.record("four"), std::logic_error);
}

TEST_F(StoreTest, OfSeveralRecordsOfAKeyTheLastIsGiven) {
  fs::create_directories(folder_);
  append_text(line_of("one", "dense") + line_of("two", "mean") + line_of("one", "local"));
  EXPECT_EQ(Store(folder_).record("one").variant, "local");
}

TEST_F(StoreTest, DropsATornLastLineWhereverItWasCut) {
  {
    Store store(folder_);
    store.append(record_of("one"));
  }
  const std::string whole = contents();
  const std::string second = to_json(record_of("two")).dump();
  for (const std::string& torn : {second.substr(0, 1), second.substr(0, second.size() / 2), second,
                                  std::string(5000, '\0')}) {
    append_text(torn);
    EXPECT_TRUE(read_records(folder_).torn);
    EXPECT_EQ(read_records(folder_).records.size(), 1u);
    Store store(folder_);
    EXPECT_EQ(store.size(), 1u);
    EXPECT_FALSE(store.has("two"));
    EXPECT_THAT(store.notices({"b"}), ElementsAre(HasSubstr("cut off")));
    EXPECT_EQ(contents(), whole);
  }
  {
    Store store(folder_);
    store.append(record_of("two"));
  }
  EXPECT_EQ(read_records(folder_).records.size(), 2u);
}

TEST_F(StoreTest, ALineThatIsNoRecordCostsThatLineOnly) {
  const std::string one = line_of("one"), two = line_of("two");
  // Garbage, nothing, what a crash leaves between two writers, bytes that never reached the disk,
  // other JSON, and a record with a field that no record has.
  const std::string bad[] = {"garbage\n",
                             "\n",
                             one.substr(0, 40) + two,
                             std::string(70000, '\0') + "\n",
                             "[1]\n",
                             "{\"schema\":\"2\"}\n",
                             std::string("{\"colour\":1,") + one.substr(1)};
  fs::create_directories(folder_);
  append_text(one);
  for (const std::string& line : bad) append_text(line);
  append_text(two);
  const std::string before = contents();
  const StoredRecords stored = read_records(folder_);
  ASSERT_EQ(stored.records.size(), 2u);
  EXPECT_EQ(stored.records[1].key, "two");
  EXPECT_EQ(stored.bad_count, std::size(bad));
  const std::string text = bad_lines_text(stored.path, stored);
  EXPECT_THAT(text, HasSubstr("points.jsonl: lines 2, 3, 4, 5, 6, 7, 8 are no records (line 2: "));
  Store store(folder_);
  EXPECT_EQ(store.record("two").key, "two");
  EXPECT_THAT(store.notices({"b"}), ElementsAre(HasSubstr(text)));
  EXPECT_EQ(contents(), before);
}

TEST_F(StoreTest, OfManyBadLinesTheFirstAreNamed) {
  std::string garbage;
  for (int i = 0; i < 1000; ++i) garbage += "x\n";
  std::istringstream text(line_of("one") + garbage);
  std::size_t taken = 0;
  const LeftOut left_out = scan_records(text, [&](Record&&, off_t) { ++taken; });
  EXPECT_EQ(taken, 1u);
  EXPECT_EQ(left_out.bad_count, 1000u);
  EXPECT_EQ(left_out.bad.size(), kBadLinesKept);
  EXPECT_THAT(bad_lines_text("f", left_out), HasSubstr("9 and 992 more are no records"));
}

/// A line too long for memory, produced as it is read.
class EndlessLine : public std::streambuf {
 public:
  explicit EndlessLine(std::size_t chunks) : chunks_(chunks) {}

 private:
  int_type underflow() override {
    if (chunks_-- == 0) return traits_type::eof();
    if (chunks_ == 0) chunk_.back() = '\n';
    setg(chunk_.data(), chunk_.data(), chunk_.data() + chunk_.size());
    return traits_type::to_int_type(chunk_.front());
  }
  std::size_t chunks_;
  std::string chunk_ = std::string(std::size_t{1} << 20, 'x');
};

TEST_F(StoreTest, AnEndlessLineIsNotHeldInMemory) {
  EndlessLine line(300);
  std::istream text(&line);
  const LeftOut left_out = scan_records(text, [](Record&&, off_t) { FAIL(); });
  EXPECT_EQ(left_out.bad_count, 1u);
  EXPECT_EQ(left_out.whole_bytes, off_t{300} << 20);
  EXPECT_THAT(bad_lines_text("f", left_out), HasSubstr("line 1 is no record (record: longer"));
}

TEST_F(StoreTest, AFileThatIsGoneIsNotWrittenInSilence) {
  Store store(folder_);
  store.append(record_of("one"));
  EXPECT_NO_THROW(store.check_in_place());
  fs::rename(path(), path() + ".moved");
  EXPECT_THAT(error_of([&] { store.append(record_of("two")); }),
              AllOf(HasSubstr(path()), HasSubstr("removed"), HasSubstr("1 record of this run")));
  append_text("");  // another file of that name
  EXPECT_THAT(error_of([&] { store.check_in_place(); }), HasSubstr("replaced"));
  fs::remove_all(folder_);
  EXPECT_THAT(error_of([&] { store.append(record_of("three")); }), HasSubstr("removed"));
}

TEST_F(StoreTest, ALockThatIsGoneIsNoticed) {
  Store store(folder_);
  fs::remove(folder_ / "lock");
  EXPECT_THAT(error_of([&] { store.append(record_of("one")); }),
              AllOf(HasSubstr("lock"), HasSubstr("removed")));
  EXPECT_EQ(contents(), "");
}

TEST_F(StoreTest, AFileThatWasCutShortGivesNoWrongRecords) {
  Store store(folder_);
  store.append(record_of("one"));
  store.append(record_of("two"));
  fs::resize_file(path(), fs::file_size(path()) - 10);
  EXPECT_EQ(store.record("one").key, "one");
  EXPECT_THAT(error_of([&] { store.record("two"); }), HasSubstr("was changed"));
  EXPECT_THAT(error_of([&] { store.append(record_of("three")); }), HasSubstr("cut short"));
}

TEST_F(StoreTest, WhatOthersAppendMeanwhileCostsNothing) {
  Store store(folder_);
  store.append(record_of("one"));
  append_text(line_of("other"));
  store.append(record_of("two"));
  append_text(line_of("another").substr(0, 20));
  store.append(record_of("three"));
  EXPECT_EQ(store.record("two").key, "two");
  EXPECT_EQ(store.record("three").key, "three");
  const StoredRecords stored = read_records(folder_);
  EXPECT_EQ(stored.records.size(), 4u);
  EXPECT_EQ(stored.bad_count, 1u);
}

TEST_F(StoreTest, WhatDidNotFitIsCutOffAgain) {
  Store store(folder_);
  store.append(record_of("one"));
  const std::string before = contents();
  // The system refuses what goes beyond, after writing what fits.
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &limit), 0);
  const rlimit small{before.size() + 100, limit.rlim_max};
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string said = error_of([&] { store.append(record_of("two")); });
  ::setrlimit(RLIMIT_FSIZE, &limit);
  ::signal(SIGXFSZ, handler);
  EXPECT_THAT(said, AllOf(HasSubstr(path()), HasSubstr("too large"), HasSubstr("1 record")));
  EXPECT_EQ(contents(), before);
  EXPECT_FALSE(store.has("two"));
  store.append(record_of("two"));  // there is room again
  EXPECT_EQ(read_records(folder_).records.size(), 2u);
}

TEST_F(StoreTest, SaysWhoseRecordsAreKeptApart) {
  {
    Store store(folder_);
    for (int i = 0; i < 6; ++i) {
      Record record = record_of(std::to_string(i));
      if (i < 3) record.machine = i < 2 ? "elsewhere" : "unknown";
      if (i == 3) record.build = "older";
      store.append(record);
    }
  }
  std::ofstream(folder_ / "machine.json") << R"({"identity":"first","cpu":"This"})";
  std::ofstream(folder_ / "machine-elsewhere.json") << R"({"identity":"elsewhere","cpu":"That"})";
  EXPECT_THAT(
      Store(folder_).notices({"b"}),
      ElementsAre("2 records here are of another kind of machine (That), kept apart",
                  "1 record here is of another kind of machine (unknown), kept apart",
                  "1 record here is of other builds than this experiment's, kept as stale"));
  EXPECT_THAT(Store(folder_).notices({"b", "older"}), testing::SizeIs(2));
}

TEST_F(StoreTest, AKeyIsWrittenOnce) {
  Store store(folder_);
  store.append(record_of("one"));
  EXPECT_THROW(store.append(record_of("one")), std::logic_error);
  EXPECT_EQ(read_records(folder_).records.size(), 1u);
}

TEST_F(StoreTest, LinesOfAnotherSchemaAreLeftOut) {
  {
    Store store(folder_);
    store.append(record_of("one"));
  }
  append_text("{\"schema\":99,\"colour\":1}\n");
  const StoredRecords stored = read_records(folder_);
  EXPECT_EQ(stored.records.size(), 1u);
  EXPECT_EQ(stored.other_schema, 1u);
}

TEST_F(StoreTest, HasOneWriter) {
  Store store(folder_);
  EXPECT_THAT(error_of([&] { Store second(folder_); }),
              HasSubstr("process " + std::to_string(::getpid()) + " on "));
}

TEST_F(StoreTest, TheLockOfAKilledWriterIsFree) {
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    Store store(folder_);
    if (::write(ready[1], "x", 1) != 1) ::_exit(1);
    ::pause();
    ::_exit(0);
  }
  char byte;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  EXPECT_THROW(Store{folder_}, Error);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_NO_THROW(Store{folder_});
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST_F(StoreTest, TextThatIsNotUtf8IsStored) {
  {
    Store store(folder_);
    Record record = record_of("one");
    record.reason = "died saying \xff\xfe";
    store.append(record);
  }
  EXPECT_THAT(read_records(folder_).records[0].reason, testing::HasSubstr("died saying"));
}

TEST_F(StoreTest, AMissingRunIsAnError) { EXPECT_THROW(read_records(folder_), Error); }

}  // namespace
}  // namespace subquad

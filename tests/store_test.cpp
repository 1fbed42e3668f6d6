#include "records/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "subquad/error.h"

namespace subquad {
namespace {

namespace fs = std::filesystem;

class StoreTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) /
              ("store_" + std::to_string(::getpid()) + "_" +
               testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string path() const { return folder_ / "points.jsonl"; }
  std::string contents() const {
    std::ifstream file(path());
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
  void append_text(const std::string& text) { std::ofstream(path(), std::ios::app) << text; }

  fs::path folder_;
};

Record record_of(const std::string& key, const std::string& variant = "dense") {
  Record record;
  record.key = key;
  record.build = "b";
  record.variant = variant;
  return record;
}

TEST_F(StoreTest, KeepsWhatWasAppended) {
  {
    Store store(folder_);
    store.append(record_of("one"));
    store.append(record_of("two"));
  }
  Store store(folder_);
  EXPECT_TRUE(store.has("one"));
  EXPECT_TRUE(store.has("two"));
  EXPECT_FALSE(store.has("three"));
  EXPECT_EQ(store.records().size(), 2u);
}

TEST_F(StoreTest, DropsATornLastLineWhereverItWasCut) {
  {
    Store store(folder_);
    store.append(record_of("one"));
  }
  const std::string whole = contents();
  const std::string second = to_json(record_of("two")).dump();
  for (const std::size_t size : {std::size_t{1}, second.size() / 2, second.size()}) {
    append_text(second.substr(0, size));
    EXPECT_TRUE(read_records(folder_).torn);
    EXPECT_EQ(read_records(folder_).records.size(), 1u);
    Store store(folder_);
    EXPECT_EQ(store.records().size(), 1u);
    EXPECT_FALSE(store.has("two"));
    EXPECT_EQ(contents(), whole);
  }
  {
    Store store(folder_);
    store.append(record_of("two"));
  }
  EXPECT_EQ(read_records(folder_).records.size(), 2u);
}

TEST_F(StoreTest, GarbageInTheMiddleIsNamedAndLeftAlone) {
  {
    Store store(folder_);
    store.append(record_of("one"));
  }
  append_text("garbage\n");
  const std::string before = contents();
  try {
    Store store(folder_);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("points.jsonl:2"));
  }
  EXPECT_EQ(contents(), before);
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
  try {
    Store second(folder_);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("process " + std::to_string(::getpid()) + " on "));
  }
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

TEST(CurrentRecords, AreOfTheBuildAndTheLastOfTheirPoint) {
  std::vector<Record> records = {record_of("1", "dense"), record_of("2", "local"),
                                 record_of("3", "dense"), record_of("4", "mine")};
  records[1].build = "older";
  records[3].build = "b+plugin";
  const std::vector<Record> current = current_records(records, "b");
  ASSERT_EQ(current.size(), 2u);
  EXPECT_EQ(current[0].key, "3");
  EXPECT_EQ(current[1].key, "4");
  EXPECT_EQ(current_records(records, "").size(), 3u);
}

TEST(CurrentRecords, TellPointsApart) {
  std::vector<Record> records(5, record_of("k"));
  records[1].problem.causal = true;
  records[2].seed = 1;
  records[3].threads = 2;
  records[4].input = "smooth";
  EXPECT_EQ(current_records(records, "b").size(), 5u);
}

}  // namespace
}  // namespace subquad

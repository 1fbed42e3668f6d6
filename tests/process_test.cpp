#include "measuring/process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>

namespace subquad {
namespace {

TEST(Interrupt, IsNotedAndDoesNotEndTheProgram) {
  {
    const InterruptGuard guard;
    EXPECT_FALSE(InterruptGuard::interrupted());
    ::raise(SIGTERM);
    EXPECT_TRUE(InterruptGuard::interrupted());
  }
  const InterruptGuard again;
  EXPECT_FALSE(InterruptGuard::interrupted());
}

TEST(Interrupt, HasOneGuardAtATime) {
  const InterruptGuard guard;
  EXPECT_THROW(InterruptGuard{}, std::logic_error);
}

TEST(SignalText, NamesAndExplains) {
  EXPECT_THAT(signal_text(SIGSEGV), testing::HasSubstr("SIGSEGV"));
  EXPECT_THAT(signal_text(SIGSEGV), testing::HasSubstr("egmentation"));
}

}  // namespace
}  // namespace subquad

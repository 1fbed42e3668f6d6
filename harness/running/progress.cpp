#include "running/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>

namespace subquad {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// Counts; when and how a line is shown is up to the derived class.
class Counting : public Progress {
 public:
  void begin(std::size_t points, std::size_t done, double work) override {
    points_ = points;
    done_ = done;
    work_ = work;
    worked_ = 0;
    begin_ = Clock::now();
  }
  void working_on(const std::string& what) override {
    what_ = what;
    changed(false);
  }
  void advance(double work) override {
    worked_ += work;
    changed(false);
  }
  void point_done() override {
    ++done_;
    changed(true);
  }

 protected:
  virtual void changed(bool point_done) = 0;

  double elapsed() const { return seconds_since(begin_); }
  std::string status() const {
    std::string text = fmt::format("{}/{} points, {}", done_, points_, duration_text(elapsed()));
    // Before a hundredth is done an estimate would mislead more than help.
    const double fraction = work_ > 0 ? worked_ / work_ : 1;
    if (fraction > 0.01 && fraction < 1) {
      text += fmt::format(", about {} left", duration_text(elapsed() * (1 - fraction) / fraction));
    }
    return text;
  }

  std::string what_;
  bool all_done() const { return done_ == points_; }

 private:
  std::size_t points_ = 0, done_ = 0;
  double work_ = 0, worked_ = 0;
  Clock::time_point begin_;
};

std::size_t terminal_width() {
  winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

class Terminal final : public Counting {
 public:
  ~Terminal() override { clear(); }
  void note(const std::string& text) override {
    clear();
    fmt::print(stderr, "{}\n", text);
    shown_ = {};
  }
  void end() override { clear(); }

 private:
  void changed(bool) override {
    // Drawing competes with what is measured: ten lines a second are enough.
    if (visible_ && seconds_since(shown_) < 0.1) return;
    std::string line = fmt::format("[{}] {}", status(), what_);
    line.resize(std::min(line.size(), terminal_width() - 1));
    fmt::print(stderr, "\r\x1b[K{}", line);
    std::fflush(stderr);
    visible_ = true;
    shown_ = Clock::now();
  }
  void clear() {
    if (visible_) fmt::print(stderr, "\r\x1b[K");
    std::fflush(stderr);
    visible_ = false;
  }

  bool visible_ = false;
  Clock::time_point shown_;
};

class Lines final : public Counting {
 public:
  void begin(std::size_t points, std::size_t done, double work) override {
    Counting::begin(points, done, work);
    shown_ = Clock::now();
  }
  void note(const std::string& text) override {
    fmt::print(stderr, "{}\n", text);
    std::fflush(stderr);
  }
  void end() override {
    if (all_done()) note(status());
  }

 private:
  void changed(bool) override {
    if (seconds_since(shown_) < 10) return;
    shown_ = Clock::now();
    note(status() + ": " + what_);
  }

  Clock::time_point shown_;
};

class Silent final : public Progress {
 public:
  void begin(std::size_t, std::size_t, double) override {}
  void working_on(const std::string&) override {}
  void advance(double) override {}
  void point_done() override {}
  void note(const std::string&) override {}
  void end() override {}
};

}  // namespace

std::unique_ptr<Progress> make_progress() {
  if (::isatty(STDERR_FILENO)) return std::make_unique<Terminal>();
  return std::make_unique<Lines>();
}

std::unique_ptr<Progress> make_silent_progress() { return std::make_unique<Silent>(); }

std::string duration_text(double seconds) {
  const auto whole = static_cast<long>(std::lround(std::max(0.0, seconds)));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  return fmt::format("{} h {} min", whole / 3600, whole % 3600 / 60);
}

}  // namespace subquad

#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "experiments/experiment.h"
#include "experiments/points.h"
#include "measuring/subject.h"
#include "records/peak.h"
#include "records/record.h"
#include "running/progress.h"

namespace subquad {

/// Points that wait for one another in a round, each with a process of its own.
inline constexpr std::size_t kMostTogether = 64;

/// Cuts points, in their order, into batches of at most `most` whose bytes together stay within
/// `budget` where that can be; each holds at least one, and with `first_in_all` point 0 beside it.
std::vector<std::vector<std::size_t>> cut_into_batches(const std::vector<std::uint64_t>& bytes,
                                                       bool first_in_all, std::uint64_t budget,
                                                       std::size_t most = kMostTogether);

/// Measures points of one group together: each in a process of its own, one after the other through
/// set-up and checks, then in rounds of timing passes in shuffled order, the anchor in every round.
/// Where they are too many, or all at once would not fit into memory, they are measured in several
/// batches, each with the anchor.
class GroupRun {
 public:
  using Keep = std::function<void(const Record&)>;

  /// `keep` gets the record of each wanted variant, some at once, others when all rounds are over.
  /// `peak` is that of this machine, which records are held against.
  GroupRun(const Experiment& experiment, const Group& group, const Peak& peak, Progress& progress,
           Keep keep);

  /// False if interrupted: the points that have no record yet are lost. Throws Error for an input
  /// that cannot be made.
  bool measure(const std::vector<Expression>& wanted);

  /// Wall time that forward passes took, of every point that was measured, in seconds.
  double forward_seconds() const { return forward_s_; }

  /// What `Progress::advance` will have counted after one point.
  static double work_of_point(const Experiment& experiment, const Group& group);

 private:
  struct Point;

  void declare(const Expression& variant, bool wanted, std::vector<Point>& points);
  bool can_run(Point& point);
  bool declare_in_child(Point& point);
  bool measure_batch(std::vector<Point>& points);
  bool check_all(std::vector<Point>& points);
  void start(Point& point);
  bool time_round(int round, std::vector<Point>& points);
  bool time(Point& point, int round);
  void finish(Point& point);
  bool ask(Point& point, const std::string& request, nlohmann::json& answer);
  bool await(Point& point, nlohmann::json& answer);
  bool take_record(Point& point, const nlohmann::json& answer);
  void end(Point& point, Status status, const std::string& reason);

  const Experiment& experiment_;
  const Group& group_;
  const Peak& peak_;
  Progress& progress_;
  Keep keep_;
  std::unique_ptr<Subject> subject_;  ///< of any point: what the group has in common
  std::uint64_t memory_limit_ = 0;
  double forward_s_ = 0;
  bool interrupted_ = false;
};

}  // namespace subquad

#include "report/frontier.h"

#include <algorithm>
#include <cmath>

#include "report/summary.h"

namespace subquad {
namespace {

/// Rounding is no loss: exact attention has error 0.
std::optional<Tradeoff> tradeoff_of(const Row& row, double time) {
  if (row.first().target == "exact") return Tradeoff{time, 0};
  if (!row.error || !std::isfinite(row.error->median)) return std::nullopt;
  return Tradeoff{time, row.error->median};
}

std::optional<Tradeoff> tradeoff_of(const Row& row) {
  if (row.status != Status::ok || !row.time_ns) return std::nullopt;
  return tradeoff_of(row, row.time_ns->median);
}

/// Times over the anchor's, from the median of ratios within rounds.
std::optional<Tradeoff> relative_tradeoff_of(const Row& row) {
  if (!row.speed_up) return std::nullopt;
  return tradeoff_of(row, 1 / row.speed_up->median);
}

void add_hypervolumes(const std::vector<Row>& rows, Frontier& frontier) {
  std::vector<Tradeoff> all;
  std::map<std::string, std::vector<Tradeoff>> by_family;
  bool approximates = false;
  for (const Row& row : rows) {
    const std::optional<Tradeoff> tradeoff = relative_tradeoff_of(row);
    if (!approximates_dense(row) || !tradeoff) continue;
    approximates = approximates || row.first().target != "exact";
    all.push_back(*tradeoff);
    by_family[row.first().family].push_back(*tradeoff);
  }
  if (!approximates) return;
  frontier.hypervolume = hypervolume(std::move(all));
  for (auto& [family, members] : by_family) {
    frontier.family_hypervolume[family] = hypervolume(std::move(members));
  }
}

}  // namespace

bool approximates_dense(const Row& row) {
  const std::string& target = row.first().target;
  return target == "exact" || target == "estimator" || target == "restriction";
}

bool beats(const Tradeoff& one, const Tradeoff& other) {
  return one.time <= other.time && one.error <= other.error &&
         (one.time < other.time || one.error < other.error);
}

double hypervolume(std::vector<Tradeoff> members) {
  std::sort(members.begin(), members.end(), [](const Tradeoff& a, const Tradeoff& b) {
    return std::pair(a.time, a.error) < std::pair(b.time, b.error);
  });
  // A staircase: each member adds a slab below the least error so far, from its time to 1.
  double area = 0, least_error = 1;
  for (const Tradeoff& member : members) {
    if (member.time >= 1 || member.error >= least_error) continue;
    area += (1 - member.time) * (least_error - member.error);
    least_error = member.error;
  }
  return area;
}

Frontier find_frontier(const std::vector<Row>& rows) {
  Frontier frontier;
  frontier.unbeaten.resize(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::optional<Tradeoff> own = tradeoff_of(rows[i]);
    if (!approximates_dense(rows[i]) || !own) continue;
    frontier.unbeaten[i] = true;
    for (const Row& other : rows) {
      const std::optional<Tradeoff> its = tradeoff_of(other);
      if (!its || !beats(*its, *own)) continue;
      if (approximates_dense(other)) frontier.unbeaten[i] = false;
      if (other.first().target == "control") {
        frontier.beaten_by_control[other.first().variant].push_back(rows[i].first().variant);
      }
    }
  }
  add_hypervolumes(rows, frontier);
  return frontier;
}

}  // namespace subquad

#include "running/run.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "experiments/points.h"
#include "layers/tensor_source.h"
#include "measuring/process.h"
#include "measuring/subject.h"
#include "records/machine.h"
#include "records/store.h"
#include "running/group_run.h"
#include "subquad/error.h"

namespace subquad {
namespace {

namespace fs = std::filesystem;

/// A group and what of it is to be measured.
struct Task {
  Group group;
  std::vector<Expression> wanted;
};

/// Key under which the point's record is stored, or empty.
std::string stored_key(const Store& store, const Experiment& single) {
  const std::string build = build_of(single.variants.front());
  for (const bool by_limit : {false, true}) {
    const std::string key = point_key(single, build, by_limit);
    if (store.has(key)) return key;
  }
  return {};
}

std::vector<Task> tasks_of(const Experiment& experiment, const Store& store) {
  std::vector<Task> tasks;
  for (const Group& group : groups_of(experiment)) {
    Task task{group, {}};
    for (const Expression& variant : group.variants) {
      if (stored_key(store, single_point(experiment, group, variant)).empty()) {
        task.wanted.push_back(variant);
      }
    }
    tasks.push_back(std::move(task));
  }
  return tasks;
}

/// Inputs that read files are tried before hours are spent on others.
void check_input_files(const Experiment& experiment, const std::vector<Task>& tasks) {
  std::map<std::string, Index> longest;
  for (const Task& task : tasks) {
    if (task.wanted.empty() || input_files(task.group.input).empty()) continue;
    Index& length = longest[task.group.input.text()];
    if (task.group.length <= length) continue;
    length = task.group.length;
    make_subject(single_point(experiment, task.group, task.wanted.front()));
  }
  // Windows too, which are as long as the input: the same ones, of several variants, once.
  std::set<std::string> tried;
  for (const Task& task : tasks) {
    for (const Expression& variant : task.wanted) {
      const TensorSource source = TensorSource::of(variant);
      if (source.from != TensorSource::From::windows) continue;
      if (source.files(task.group.input).empty()) continue;
      const std::string windows = source.around({.name = "layer", .arguments = {}}).text();
      if (!tried.insert(windows + " on " + task.group.input.text()).second) continue;
      const InputRequest request = request_of(single_point(experiment, task.group, variant));
      if (task.group.mode == Mode::model) {
        source.text_windows(task.group.input, request);
      } else {
        source.windows(task.group.input, request);
      }
    }
  }
}

void write_if_changed(const std::string& path, const std::string& contents) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream present;
  present << file.rdbuf();
  if (!file || present.str() != contents) write_file_atomically(path, contents);
}

std::set<std::string> builds_of(const Experiment& experiment) {
  std::set<std::string> builds = {build_of(experiment.anchor)};
  for (const Expression& variant : experiment.variants) builds.insert(build_of(variant));
  return builds;
}

std::vector<Record> records_of(const Experiment& experiment, const Store& store) {
  std::vector<Record> records;
  for (const Group& group : groups_of(experiment)) {
    for (const Expression& variant : group.variants) {
      const std::string key = stored_key(store, single_point(experiment, group, variant));
      if (!key.empty()) records.push_back(store.record(key));
    }
  }
  return records;
}

}  // namespace

bool RunSummary::all_well() const {
  return records.size() == points &&
         std::all_of(records.begin(), records.end(), [](const Record& record) {
           return record.status == Status::ok || record.status == Status::refused;
         });
}

RunSummary run_experiment(const Experiment& experiment, Progress& progress) {
  RunSummary summary;
  summary.folder = experiment.results + "/" + experiment.name;
  Store store(summary.folder);
  for (const std::string& text : store.notices(builds_of(experiment))) progress.note(text);
  const std::vector<Task> tasks = tasks_of(experiment, store);
  double work = 0;
  for (const Task& task : tasks) {
    const std::size_t wanted = task.wanted.size();
    summary.points += task.group.variants.size();
    summary.there += task.group.variants.size() - wanted;
    work += static_cast<double>(wanted) * GroupRun::work_of_point(experiment, task.group);
  }
  write_if_changed(summary.folder + "/experiment.cfg", experiment.resolved_config());
  if (summary.there < summary.points) {
    const InterruptGuard guard;
    check_input_files(experiment, tasks);
    const Peak peak = write_machine(summary.folder);
    progress.begin(summary.points, summary.there, work);
    for (const Task& task : tasks) {
      if (task.wanted.empty()) continue;
      GroupRun run(experiment, task.group, peak, progress, [&](const Record& record) {
        store.append(record);
        ++summary.measured;
      });
      summary.interrupted = InterruptGuard::interrupted() || !run.measure(task.wanted);
      summary.forward_s += run.forward_seconds();
      if (summary.interrupted) break;
    }
    progress.end();
  }
  store.check_in_place();
  summary.records = records_of(experiment, store);
  return summary;
}

Record measure_point(const Experiment& single, Progress& progress) {
  require_single(single);
  Group group = groups_of(single).front();
  group.variants = single.variants;  // whatever is asked for is asked of this one
  Record result;
  const Peak peak = single.rounds > 0 ? measure_peak() : Peak();
  GroupRun run(single, group, peak, progress, [&](const Record& record) { result = record; });
  run.measure({single.variants.front()});
  return result;
}

}  // namespace subquad

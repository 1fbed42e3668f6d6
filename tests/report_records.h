#pragma once

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "records/record.h"

namespace subquad::testing {

/// A record that ended well, of `variant` with the times of its rounds against `anchor_ns`.
inline Record make_record(const std::string& variant, const std::string& target,
                          const std::vector<double>& time_ns,
                          const std::vector<double>& anchor_ns) {
  Record r;
  r.key = variant;
  r.build = "build-a";
  r.status = Status::ok;
  r.experiment = "synthetic";
  r.variant = r.resolved = variant;
  r.family = variant.substr(0, variant.find('('));
  r.target = target;
  r.dense_target = "dense";
  r.input = "gaussian(std=1)";
  r.problem = {.queries = 512, .keys = 512, .dim = 64, .value_dim = 64};
  r.heads = r.key_heads = 4;
  r.threads_used = 1;
  r.command = "subquad measure --variant '" + variant + "'";
  r.error = {{"relative_error", {0.2, 0.1, 0.4, 0.3}}};
  r.reference_rows = 256;
  r.arithmetic_error = 1e-7;
  for (std::size_t i = 0; i < time_ns.size(); ++i) {
    r.rounds.push_back({static_cast<int>(i), time_ns[i], anchor_ns[i], 10, 1.7e9, time_ns[i], {}});
  }
  r.useful_multiply_adds = 1e6;
  r.executed_multiply_adds = 2e6;
  r.scratch_bytes = r.scratch_declared_bytes = 1536;
  return r;
}

/// The anchor, whose rounds are its own yardstick.
inline Record make_anchor(const std::vector<double>& time_ns) {
  Record r = make_record("dense", "exact", time_ns, time_ns);
  r.anchor = true;
  r.error = {{"relative_error", {1e-7, 2e-7, 1e-7, 1e-7}}};
  r.useful_multiply_adds = 8e6;
  r.executed_multiply_adds = 8e6;
  return r;
}

/// What became of a point that did not end well.
inline Record make_ending(const std::string& variant, Status status, const std::string& reason) {
  Record r = make_record(variant, "restriction", {}, {});
  r.status = status;
  r.reason = reason;
  r.error.clear();
  return r;
}

struct SyntheticVariant {
  const char* text;
  const char* target;
  double ns_per_key;  ///< at 512 keys
  double exponent;    ///< of its time in the number of keys
  double error;
  double scratch_per_key;
  double parameter_bytes;
};

inline const std::vector<SyntheticVariant>& synthetic_variants() {
  static const std::vector<SyntheticVariant> kVariants = {
      {"dense", "exact", 8e3, 2, 1.5e-7, 0, 0},
      {"naive", "exact", 16e3, 2.1, 2e-7, 2048, 0},
      {"local(radius=16)", "restriction", 700, 1, 0.72, 64, 0},
      {"local(radius=64)", "restriction", 1800, 1, 0.61, 72, 0},
      {"local(radius=256)", "restriction", 5200, 1.1, 0.43, 80, 0},
      {"lsh(rounds=1,bucket=64)", "restriction", 3900, 1.05, 0.66, 300, 4096},
      {"lsh(rounds=4,bucket=64)", "restriction", 14e3, 1.05, 0.48, 1100, 16384},
      {"linear", "operation", 1900, 1, 0.83, 40, 0},
      {"linformer(rank=128)", "operation", 2100, 1, 0.95, 130, 131072},
      {"synthesizer(kind=dense)", "operation", 9e3, 2, 1.1, 500, 65536},
      {"synthesizer(kind=random)", "operation", 4e3, 2, 1.05, 0, 4194304},
      {"aft(kind=local,window=32)", "operation", 2500, 1.2, 0.9, 600, 2048},
      {"fnet", "operation", 600, 1.1, 1.4, 16, 0},
      {"mean", "control", 40, 1, 0.78, 0, 0},
      {"random_pattern(keys=64)", "control", 3000, 1, 0.8, 128, 8192},
  };
  return kVariants;
}

/// A run of the kind that the quickstart is: variants x lengths x inputs, with one point each that
/// was refused, is mistrusted, took errors from sampled rows.
inline std::vector<Record> synthetic_run() {
  const std::vector<std::string> inputs = {"gaussian(std=1)",
                                           "file(path=experiments/data/bert_ocr.safetensors)"};
  std::vector<Record> records;
  for (std::size_t input = 0; input < inputs.size(); ++input) {
    for (const Index keys : {512, 1024, 2048, 4096}) {
      std::vector<double> anchor_ns;
      for (const SyntheticVariant& v : synthetic_variants()) {
        const double grown = std::pow(keys / 512.0, v.exponent) * v.ns_per_key * 512;
        std::vector<double> time_ns;
        for (int round = 0; round < 6; ++round) {
          time_ns.push_back(grown * (1 + 0.01 * ((round * 7 + records.size()) % 5)));
        }
        if (anchor_ns.empty()) anchor_ns = time_ns;
        Record r = make_record(v.text, v.target, time_ns, anchor_ns);
        r.key = std::to_string(records.size());
        r.anchor = r.variant == "dense";
        r.input = inputs[input];
        r.problem.queries = r.problem.keys = keys;
        if (input == 1) {  // a file has a shape of its own
          r.problem.dim = r.problem.value_dim = 15;
          r.heads = r.key_heads = 8;
        }
        const double error = v.error * (input == 0 ? 1 : 0.7);
        r.error = {{"relative_error", {error * 0.9, error, error * 1.05, error * 1.2}}};
        if (r.family == "lsh") {
          r.dense_target = "dense(keys=normalised_queries)";
          r.target_error = {{"relative_error", {0.3, 0.31, 0.29, 0.33}},
                            {"dropped_mass", {0.2, 0.22, 0.24, 0.26}}};
        } else if (r.target == "restriction") {
          r.error["dropped_mass"] = {0.4, 0.5, 0.45, 0.47};
        }
        r.sampled = keys > 256;
        r.scratch_bytes = static_cast<std::uint64_t>(v.scratch_per_key * keys);
        r.parameter_bytes = static_cast<std::uint64_t>(v.parameter_bytes * (keys / 512.0));
        r.useful_multiply_adds = grown * 4;
        r.executed_multiply_adds = grown * 5;
        if (r.variant == "linformer(rank=128)" && keys == 4096) {
          r.status = Status::mistrusted;
          r.reason = "float and double differ by 1e-3";
        }
        if (r.variant == "aft(kind=local,window=32)" && keys == 4096 && input == 1) {
          r.status = Status::refused;
          r.reason = "needs self attention";
          r.rounds.clear();
          r.error.clear();
        }
        records.push_back(r);
      }
    }
  }
  return records;
}

/// The same run of decoded tokens: causal, with a state that grows for dense and naive alone.
inline std::vector<Record> decoded_run() {
  std::vector<Record> records = synthetic_run();
  for (Record& record : records) {
    record.key += "d";
    record.direction = "decode";
    record.decoded_tokens = 64;
    record.problem.causal = true;
    record.executed_multiply_adds = 0;
    record.scratch_bytes = record.scratch_declared_bytes = 0;
    record.state_bytes =
        record.target == "exact" ? static_cast<std::uint64_t>(record.problem.keys) * 1024 : 65536;
  }
  return records;
}

/// The same run of blocks, with a feed-forward layer in chunks.
inline std::vector<Record> block_run() {
  std::vector<Record> records = synthetic_run();
  for (Record& record : records) {
    record.key += "b";
    record.direction = "block";
    record.feed_forward = 1024;
    record.feed_forward_chunk = 256;
    record.scratch_bytes *= 3;
  }
  return records;
}

}  // namespace subquad::testing

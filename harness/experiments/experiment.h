#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "expressions/expression.h"
#include "subquad/view.h"

namespace subquad {

/// What a point times: a forward pass over the whole problem, decoding token by token, or a forward
/// pass of a transformer block around the layer.
enum class Mode { forward, decode, block };
const char* to_string(Mode mode);

/// Width of the hidden layer of a block: a number, or so many times the block's width.
struct FeedForward {
  Index number = 4;
  bool in_widths = true;

  Index of(Index width) const { return in_widths ? number * width : number; }
};

/// What a config file (or a command line) spans: every combination of the lists below is a point.
/// The option of the same name, with '-' for '_', sets each member (options.h).
struct Experiment {
  static constexpr Index kWholeLength = 0;

  std::string name;  ///< stem of the config file, or "adhoc"
  std::string question;

  std::vector<Expression> variants;  ///< sweeps expanded
  std::vector<Expression> inputs;    ///< sweeps expanded
  /// Keys (and queries, unless `queries` is set); kWholeLength: as many as the input's file holds.
  std::vector<Index> lengths;
  std::vector<Mode> modes = {Mode::forward};
  FeedForward feed_forward;                      ///< of blocks; 0: attention alone
  std::vector<Index> feed_forward_chunks = {0};  ///< rows that a block's takes at a time; 0: all
  std::vector<bool> causal = {false};
  bool causal_as_trained = false;  ///< instead: where the input's file says that its model is
  std::vector<int> threads = {1};
  std::vector<std::uint64_t> seeds = {0};
  Index queries = 0;  ///< 0: as many as keys; otherwise the last `queries` positions where causal
  Index batch = 1, heads = 4, key_heads = 0, dim = 64, value_dim = 0;  ///< 0: as `heads`, as `dim`
  double scale = 0;                                                    ///< 0: 1 / sqrt(dim)

  Expression anchor;            ///< what speed-ups are over; default `dense`
  Index anchor_max_length = 0;  ///< no anchor beyond this many keys; 0: always one
  int rounds = 9;               ///< 0: memory and errors alone, nothing is timed
  int draws = 1;                ///< of a variant's random tensors, over which errors are taken
  bool pin = false;             ///< bind each point's threads to processors
  double min_time_s = 0.05;     ///< of one timing pass
  Index reference_rows = 256;   ///< query rows per head that errors are taken over, at the most
  /// Query rows per head, at the most, of the exact attention whose singular values are taken, once
  /// per group; 0: none.
  Index spectrum = 0;
  static constexpr Index kMostSpectrumRows = 8192;
  double time_limit_s = 300;             ///< of one point
  std::uint64_t memory_limit_bytes = 0;  ///< of one point; 0: three quarters of what is free

  std::vector<std::string> plugins;  ///< shared libraries, loaded before variants are looked up
  std::string results = "results";   ///< folder that holds the folders of runs
  bool figures = true;               ///< draw figures when the run is done

  /// As a config file that gives the same experiment.
  std::string resolved_config() const;
};

}  // namespace subquad

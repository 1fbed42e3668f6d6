#!/usr/bin/python3
"""Every figure of a run, in one process."""

import block_memory_vs_length
import block_time_vs_length
import common
import crossover_brackets
import equal_budget
import error_by_head
import error_distribution
import error_vs_budget
import error_vs_length
import error_vs_property
import error_vs_time
import frontier_vs_length
import memory_vs_length
import precision
import state_vs_context
import threads_scaling
import time_vs_length
import token_time_vs_context


def draw(frame, out, _=None):
    # Points measured for their memory alone have no times to draw.
    timed = frame[frame["time"] > 0]["direction"].unique()
    # Those that draw nothing where a run has nothing for them.
    figures = [memory_vs_length, state_vs_context, error_vs_budget, equal_budget, precision,
               error_vs_property, threads_scaling]
    if "forward" in timed:
        figures += [time_vs_length, error_vs_time, crossover_brackets, frontier_vs_length]
    # What is not about time or budgets is about errors alone.
    if not len(timed):
        figures += [error_vs_length, error_distribution]
        if not any(error_vs_budget.has_budgets(rows) for _, _, rows in common.figure_groups(frame)):
            figures += [error_by_head]
    if "decode" in timed:
        figures += [token_time_vs_context]
    if "block" in frame["direction"].unique():
        figures += [block_memory_vs_length]
    if "block" in timed:
        figures += [block_time_vs_length]
    return [path for figure in figures for path in figure.draw(frame, out)]


if __name__ == "__main__":
    common.main(__doc__, draw)

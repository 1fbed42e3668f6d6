#!/usr/bin/python3
"""Every figure of a run, in one process."""

import common
import error_vs_budget
import error_vs_time
import memory_vs_length
import time_vs_length


def draw(frame, out, _=None):
    # Points measured for their memory alone have no times to draw.
    timed = (frame["time"] > 0).any()
    figures = (time_vs_length, error_vs_time) if timed else ()
    figures += memory_vs_length, error_vs_budget
    return [path for figure in figures for path in figure.draw(frame, out)]


if __name__ == "__main__":
    common.main(__doc__, draw)

#!/usr/bin/python3
"""Memory beside inputs and output against length: scratch and parameters."""

import common
import curves


def draw(frame, out, _=None):
    return curves.draw_figures(frame, out, "memory_vs_length", "forward", "memory",
                               "scratch + parameters", False,
                               "Memory beside inputs and output, against length",
                               "No memory at any length: ", common.human_bytes)


if __name__ == "__main__":
    common.main(__doc__, draw)

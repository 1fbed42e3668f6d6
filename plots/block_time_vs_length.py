#!/usr/bin/python3
"""Time of a forward pass of a transformer block against length: median over rounds, with its
interval. A panel for each feed-forward layer and size of its chunks."""

import common
import curves


def draw(frame, out, _=None):
    return curves.draw_figures(frame, out, "block_time_vs_length", "block", "time",
                               "time of a block's pass", True, "Time of a block against length",
                               "No time: ", common.human_seconds)


if __name__ == "__main__":
    common.main(__doc__, draw)

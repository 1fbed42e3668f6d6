#!/usr/bin/python3
"""Time of a forward pass against length: median over rounds, with its interval."""

import common
import curves


def draw(frame, out, _=None):
    return curves.draw_figures(frame, out, "time_vs_length", "forward", "time", "time of a forward pass", True,
                               "Time against length", "No time: ", common.human_seconds)


if __name__ == "__main__":
    common.main(__doc__, draw)

#!/usr/bin/python3
"""Time of a forward pass against length: median over rounds, with its interval."""

import common
import curves


def draw(frame, out, _=None):
    looks = common.Looks(frame)
    paths = []
    for suffix, words, rows in common.figure_groups(frame):
        figure = curves.draw_figure(rows, looks, "time", "time of a forward pass", True,
                                    f"Time against length ({words})", "No time: ",
                                    common.human_seconds)
        paths += common.save(figure, out, "time_vs_length" + suffix)
    return paths


if __name__ == "__main__":
    common.main(__doc__, draw)

#!/usr/bin/python3
"""Memory beside inputs and output against length: scratch and parameters."""

import common
import curves


def draw(frame, out, _=None):
    looks = common.Looks(frame)
    paths = []
    for suffix, words, rows in common.figure_groups(frame):
        figure = curves.draw_figure(rows, looks, "memory", "scratch + parameters", False,
                                    f"Memory beside inputs and output, against length ({words})",
                                    "No memory at any length: ", common.human_bytes)
        paths += common.save(figure, out, "memory_vs_length" + suffix)
    return paths


if __name__ == "__main__":
    common.main(__doc__, draw)

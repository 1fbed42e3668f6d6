#!/usr/bin/python3
"""Time of a decoded token against the length of its context: median over rounds, with its interval."""

import common
import curves


def draw(frame, out, _=None):
    looks = common.Looks(frame)
    paths = []
    for suffix, words, rows in common.figure_groups(frame, "decode"):
        figure = curves.draw_figure(rows, looks, "time", "time per token, all heads", True,
                                    f"Decoding: time per token against context ({words})",
                                    "No time: ", common.human_seconds,
                                    "context length n (tokens)", True)
        paths += common.save(figure, out, "token_time_vs_context" + suffix)
    return paths


if __name__ == "__main__":
    common.main(__doc__, draw)

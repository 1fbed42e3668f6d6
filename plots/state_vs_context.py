#!/usr/bin/python3
"""State that a decoder holds against the length of its context: keys and values, or sums of them."""

import common
import curves


def draw(frame, out, _=None):
    looks = common.Looks(frame)
    paths = []
    for suffix, words, rows in common.figure_groups(frame, "decode"):
        figure = curves.draw_figure(rows, looks, "state", "state, all heads", False,
                                    f"Decoding: state against context ({words})",
                                    "No state at any length: ", common.human_bytes,
                                    "context length n (tokens)", True)
        paths += common.save(figure, out, "state_vs_context" + suffix)
    return paths


if __name__ == "__main__":
    common.main(__doc__, draw)

#!/usr/bin/python3
"""State that a decoder holds against the length of its context: keys and values, or sums of them."""

import common
import curves


def draw(frame, out, _=None):
    return curves.draw_figures(frame, out, "state_vs_context", "decode", "state", "state, all heads", False,
                               "Decoding: state against context", "No state at any length: ",
                               common.human_bytes, "context length n (tokens)", True)


if __name__ == "__main__":
    common.main(__doc__, draw)

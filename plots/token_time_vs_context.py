#!/usr/bin/python3
"""Time of a decoded token against the length of its context: median over rounds, with its interval."""

import common
import curves


def draw(frame, out, _=None):
    return curves.draw_figures(frame, out, "token_time_vs_context", "decode", "time", "time per token, all heads",
                               True, "Decoding: time per token against context", "No time: ",
                               common.human_seconds, "context length n (tokens)", True)


if __name__ == "__main__":
    common.main(__doc__, draw)

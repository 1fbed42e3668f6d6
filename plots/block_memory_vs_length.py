#!/usr/bin/python3
"""Temporary memory of a forward pass of a transformer block against length."""

import common
import curves


def draw(frame, out, _=None):
    return curves.draw_figures(frame, out, "block_memory_vs_length", "block", "memory",
                               "temporary memory", False, "Memory of a block against length",
                               "No temporary memory: ", common.human_bytes)


if __name__ == "__main__":
    common.main(__doc__, draw)

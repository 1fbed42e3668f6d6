#!/usr/bin/python3
"""Error against length: what a fixed budget is worth as the sequence grows. Median and range over heads."""

import common
import curves


def draw(frame, out, _=None):
    # Rounding, at one end of a logarithmic axis, would leave no room for the others.
    frame = frame[(frame["target"] != "exact") & frame["error"].notna()]
    several = [n for _, n in frame.groupby(["input", "shape"])["keys"].nunique().items()]
    if max(several, default=0) < 2:
        return []
    return curves.draw_figures(frame, out, "error_vs_length", "forward", "error",
                               "error, or an operation's distance", False, "Error against length",
                               "No error: ", lambda error, _=None: f"{error:g}", flat=True,
                               slopes=False)


if __name__ == "__main__":
    common.main(__doc__, draw)

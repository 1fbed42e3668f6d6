#!/usr/bin/python3
"""How the error is spread over sequences and heads: one panel per input and length, one line per
variant, nearest first, with every head's error, its quartiles and its median."""

import statistics

import common
import strips

LEAST = 4  # errors that have quartiles


def panels(rows):
    """(title, rows) of each panel: variants that have errors of several heads or sequences."""
    for title, of_length in strips.each_length(rows):
        good = of_length[(of_length["status"] == "ok") & (of_length["target"] != "exact")]
        good = good[good["each_error"].map(lambda e: len(e) >= LEAST and min(e, default=0) > 0)]
        if len(good):
            yield title, good.sort_values("error")


def draw_panel(axes, rows, looks):
    axes.set_xlabel("relative error against dense; of an operation: its distance")
    for place, (_, row) in enumerate(rows.iterrows()):
        errors, colour = row["each_error"], strips.colour_of(row, looks)
        low, middle, high = statistics.quantiles(errors, n=4, method="inclusive")
        axes.plot([low, high], [place, place], color=colour, linewidth=5, alpha=0.25, zorder=2,
                  solid_capstyle="butt")
        hollow = row["target"] == "operation"
        axes.plot(errors, [place] * len(errors), linestyle="none", marker="o", markersize=3.2,
                  markeredgewidth=0.7, color=colour, markerfacecolor="none" if hollow else colour,
                  alpha=0.7, zorder=3)
        axes.plot([middle], [place], linestyle="none", marker="|", markersize=10,
                  markeredgewidth=1.8, color=colour, zorder=4)
    strips.logarithmic(axes)


FOOT = ("Points: sequences and heads, each at its median over seeds; hollow: an operation, whose figure is "
        "a distance; grey: a control. Bar: from the first quartile to the third; stroke: median.")


def draw(frame, out, _=None):
    return strips.draw_groups(frame, out, "error_distribution", panels, draw_panel,
                              "Error over heads", FOOT)


if __name__ == "__main__":
    common.main(__doc__, draw)

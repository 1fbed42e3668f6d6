#!/usr/bin/python3
"""Error of every head: one panel per input and length, one line per variant, one digit per head."""

import common
import strips

MOST_HEADS = 8  # as in the report's table


def panels(rows):
    """(title, rows) of each panel: what has an error, nearest first; nothing where there is one head,
    or too many to tell apart."""
    for title, of_length in strips.each_length(rows):
        # Rounding, at one end of a logarithmic axis, would leave no room for the others.
        good = of_length[(of_length["status"] == "ok") & (of_length["error"] > 0)
                         & (of_length["target"] != "exact")]
        heads = good["by_head"].map(len)
        if len(good) and heads.min() >= 2 and heads.max() <= MOST_HEADS:
            yield title, good.sort_values("error")


def draw_panel(axes, rows, looks):
    axes.set_xlabel("relative error against dense; of an operation: its distance")
    for place, (_, row) in enumerate(rows.iterrows()):
        for head, error in enumerate(row["by_head"]):
            axes.plot(error, place, marker=f"${head}$", markersize=5.5, markeredgewidth=0.3,
                      color=strips.colour_of(row, looks), zorder=3)
        if row["target"] == "control":  # what the others are to beat
            axes.axvspan(min(row["by_head"]), max(row["by_head"]), color=common.GREY, alpha=0.1,
                         linewidth=0, zorder=0)
    strips.logarithmic(axes)


FOOT = ("Digits: heads, each at its median over sequences and seeds. Grey: the range of a control over "
        "heads.")


def draw_figure(drawn, looks, words):
    return strips.draw_figure(drawn, draw_panel, looks, f"Error by head ({words})", FOOT)


def draw(frame, out, _=None):
    return strips.draw_groups(frame, out, "error_by_head", panels, draw_panel, "Error by head", FOOT)


if __name__ == "__main__":
    common.main(__doc__, draw)

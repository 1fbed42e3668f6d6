#!/usr/bin/python3
"""Errors of methods that do the same work: one panel per input and length, one bar per variant."""

import common
import strips

METHODS = ("estimator", "restriction", "operation")
SPAN = 2  # most work over least, of methods that count as equal
LEAST = 4  # methods


def panels(rows):
    """(title, rows) of each panel whose methods do equal work, nearest first."""
    for title, of_length in strips.each_length(rows):
        good = of_length[(of_length["status"] == "ok") & (of_length["error"] > 0)
                         & (of_length["target"] != "exact")]
        work = good[good["target"].isin(METHODS)]["work"]
        if len(work) >= LEAST and work.min() > 0 and work.max() <= SPAN * work.min():
            yield title, good.sort_values("error")


def draw_panel(axes, rows, looks):
    axes.set_xlabel("relative error against dense; of an operation: its distance")
    axes.set_xscale("log")
    low = rows["error_low"].min() / 1.3
    usual = rows[rows["target"].isin(METHODS)]["work"].median()
    for place, (_, row) in enumerate(rows.iterrows()):
        colour = strips.colour_of(row, looks)
        filled = row["target"] in ("estimator", "restriction")
        axes.barh(place, row["error"] - low, left=low, height=0.62, zorder=2, linewidth=1,
                  color=colour if filled else "white", edgecolor=colour, alpha=0.85,
                  hatch="////" if row["target"] == "oracle" else None)
        axes.hlines(place, row["error_low"], row["error_high"], color="black", linewidth=0.8,
                    zorder=3)
        if row["target"] in METHODS:
            axes.text(row["error_high"] * 1.06, place, f"{row['work'] / usual:.2f}", fontsize=6.5,
                      color="#444444", va="center")
        if row["target"] == "control":
            axes.axvline(row["error"], color=common.GREY, linewidth=0.8, zorder=1)
    axes.set_xlim(low, rows["error_high"].max() * 1.5)
    strips.logarithmic(axes)


FOOT = (f"Methods whose useful multiply-adds differ by a factor of {SPAN:g} at the most. Bar: median over heads; "
        "stroke: range; number: work over the median of the methods' work. White: an operation, whose figure is a distance, or a control (grey, with a line "
        "through all); hatched: an oracle. Controls and oracles have no budget to keep to.")


def draw(frame, out, _=None):
    return strips.draw_groups(frame, out, "equal_budget", panels, draw_panel,
                              "Error at equal work", FOOT)


if __name__ == "__main__":
    common.main(__doc__, draw)

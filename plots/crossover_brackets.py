#!/usr/bin/python3
"""From which length on each family is faster than the anchor: of each family the variant that overtakes it
first, with what was found at every measured length, and the bracket between two of them."""

import math

import common
import strips

CHOICES = ("exact", "estimator", "restriction", "operation")


def bracket_of(points):
    """(longest length where certainly slower, shortest from which on certainly faster to the end) of one
    variant's rows by increasing length; None for what there is not."""
    begin = None
    for row in reversed(list(points.itertuples())):
        if row.side <= 0:
            break
        begin = row.keys
    slower = [row.keys for row in points.itertuples() if row.side < 0]
    return max(slower, default=None), begin


def order_of(points):
    """As in the report's table of crossovers: the earliest bracket, then what is nowhere slower, then the
    larger speed-up at the greatest length."""
    slower, begin = bracket_of(points)
    return math.inf if begin is None else begin, slower or 0, -points["speed_up"].iloc[-1]


def firsts(rows):
    """Rows of each family's first variant, the families in that order, as lists of rows."""
    good = rows[(rows["status"] == "ok") & rows["speed_up"].notna() & ~rows["anchor"]
                & rows["target"].isin(CHOICES)].sort_values("keys")
    found = []
    for _, of_family in good.groupby("family", sort=False):
        variants = [points for _, points in of_family.groupby("variant", sort=False)
                    if len(points) > 1]
        if variants:
            found.append(min(variants, key=order_of))
    return sorted(found, key=order_of)


def panels(rows):
    for title, of_panel in common.panels_of(rows):
        found = firsts(of_panel)
        if found:
            yield title, common.pandas.concat(found)


def names_of(rows):
    return list(dict.fromkeys(rows["variant"]))


MARKS = {1: {"marker": "o", "fillstyle": "full"}, 0: {"marker": "o", "fillstyle": "none"},
         -1: {"marker": "x"}}


def draw_panel(axes, rows, looks):
    lengths = sorted(rows["keys"].unique())
    axes.set_xscale("log", base=2)
    axes.set_xlabel("length n (keys)")
    axes.set_xlim(lengths[0] / 1.3, lengths[-1] * 1.3)
    axes.xaxis.set_major_locator(common.matplotlib.ticker.FixedLocator(lengths))
    axes.xaxis.set_major_formatter(common.matplotlib.ticker.FuncFormatter(lambda n, _: f"{n:g}"))
    axes.xaxis.set_minor_locator(common.matplotlib.ticker.NullLocator())
    for place, variant in enumerate(names_of(rows)):
        points, colour = rows[rows["variant"] == variant], looks(variant)["color"]
        slower, begin = bracket_of(points)
        if begin is not None:
            axes.plot([begin, lengths[-1]], [place, place], color=colour, linewidth=2, zorder=2)
            if slower is not None:
                axes.plot([slower, begin], [place, place], color=colour, linewidth=7, alpha=0.25,
                          solid_capstyle="butt", zorder=2)
        for row in points.itertuples():
            axes.plot([row.keys], [place], linestyle="none", color=colour, markersize=5,
                      markeredgewidth=1.2, zorder=3, **MARKS[row.side])


FOOT = ("Dot: certainly faster than the anchor (the 95% interval of the speed-up lies above 1); cross: "
        "certainly slower; ring: cannot be told. Band: the bracket in which it overtakes, between measured "
        "lengths; line: faster from there to the end. Nothing is extrapolated.")


def draw(frame, out, _=None):
    return strips.draw_groups(frame, out, "crossover_brackets", panels, draw_panel,
                              "From which length on each family is faster", FOOT, names_of=names_of)


if __name__ == "__main__":
    common.main(__doc__, draw)

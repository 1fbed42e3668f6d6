#!/usr/bin/python3
"""Pareto frontiers of error against time, one for each length, times over that of the anchor: how what is
worth choosing moves as sequences grow. One panel per input."""

import common
import curves
import error_vs_time

PANEL_WIDTH = 4.6  # inches
HEIGHT = 4.2
COLUMNS = 2
SHADES = "viridis_r"


def frontiers(rows):
    """(length, rows on its frontier by increasing time, with a column `share`: time over the anchor's)
    of each length that has approximations; exact attention, without an error, is none of them."""
    for n, of_length in rows.groupby("keys", sort=True):
        members = error_vs_time.members_of(of_length)
        members = members[members["speed_up"] > 0].assign(share=lambda m: 1 / m["speed_up"])
        if members.empty:
            continue
        corners = error_vs_time.pareto_frontier(list(members["share"]),
                                                error_vs_time.losses(members))
        found = members.iloc[corners]
        found = found[found["target"] != "exact"]
        if len(found):
            yield n, found


def panels(rows):
    for title, of_panel in common.panels_of(rows):
        found = list(frontiers(of_panel))
        if len(found) > 1:
            yield title, found


def draw_panel(axes, found, looks):
    points = common.pandas.concat([rows for _, rows in found])
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("time over the anchor's")
    axes.set_ylabel("relative error against dense")
    axes.set_xlim(points["share"].min() / 1.4, max(1, points["share"].max()) * 1.1)
    axes.set_ylim(points["error"].min() / 1.4, points["error"].max() * 1.4)
    axes.axvline(1, color="black", linewidth=1, zorder=1)
    low, high = points["error"].min(), points["error"].max()
    axes.yaxis.set_major_locator(common.matplotlib.ticker.LogLocator(
        subs=(1, 2, 5) if high < 300 * low else (1,)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(common.matplotlib.ticker.FuncFormatter(lambda x, _: f"{x:g}"))
        axis.set_minor_formatter(common.matplotlib.ticker.NullFormatter())
    shades = common.matplotlib.colormaps[SHADES]
    for i, (n, rows) in enumerate(found):
        shade = shades(0.1 + 0.9 * i / max(1, len(found) - 1))
        axes.step(rows["share"], rows["error"], where="post", color=shade, linewidth=1.6, zorder=2,
                  label=f"n = {n}")
        for row in rows.itertuples():
            axes.plot([row.share], [row.error], zorder=3, **(looks(row.variant) | {"linestyle": "none"}))
    axes.legend(fontsize=7.5, loc="best", frameon=False)
    # A variant that is on several frontiers is named at the longest.
    last = points.drop_duplicates("variant", keep="last")
    ends = [(row.variant, (row.share, row.error)) for row in last.itertuples()]
    curves.draw_labels(axes, ends, looks, HEIGHT)


FOOT = ("Line: what no other estimator, restriction or exact variant beats in time and error at that length. "
        "Each variant is named once, at the greatest length where it is on the frontier. Left of the "
        "black line: faster than the anchor.")


def draw(frame, out, _=None):
    looks, paths = common.Looks(frame), []
    for suffix, words, rows in common.figure_groups(frame):
        drawn = list(panels(rows))
        if drawn:
            longest = max(len(v) for _, found in drawn for _, of in found for v in of["variant"])
            figure = curves.draw_grid(drawn, draw_panel, looks,
                                      f"Frontier of each length ({words})", FOOT,
                                      (PANEL_WIDTH, HEIGHT), COLUMNS, longest)
            paths += common.save(figure, out, "frontier_vs_length" + suffix)
    return paths


if __name__ == "__main__":
    common.main(__doc__, draw)

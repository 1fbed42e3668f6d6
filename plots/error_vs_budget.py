#!/usr/bin/python3
"""Error against budget: what the numbers that vary within a family come to, ranks or keys, say. One
panel per input and length, one curve per family."""

import matplotlib.ticker

import budgets
import common
import curves

PANEL_WIDTH = 3.9  # inches
HEIGHT = 3.4
COLUMNS = 3
FLOOR = "dense: rounding"
FAR = 30  # A floor so many times below all else is told in words: it would take most of the panel.


def families_of(rows):
    """(label, rows with a column `budget`) of each family of one panel, in the order of records; the
    budget of a family in which no number varies is missing, and so is 0, which a logarithmic axis has
    no place for."""
    found = budgets.families_of(list(zip(rows["family"], rows["resolved"])))
    rows = rows.assign(label=[label for label, _ in found],
                       budget=[b or float("nan") for _, b in found])
    for label, members in rows.groupby("label", sort=False):
        yield label, members


def with_length(rows):
    """(title, rows) of each panel: inputs and shapes in order, each by length."""
    for name, of_panel in common.panels_of(rows):
        for n, of_length in of_panel.groupby("keys", sort=True):
            yield f"n = {n}, {name}", of_length


def shown(rows):
    """What has an error against dense: a distance is none, and a logarithmic axis has no zero."""
    good = (rows["status"] == "ok") & (rows["error"] > 0) & (rows["target"] != "operation")
    return rows[good]


def draw_family(axes, points, look):
    """The curve with its range over heads; returns its last point."""
    points = points.sort_values("budget")
    axes.plot(points["budget"], points["error"], zorder=3, **look)
    axes.fill_between(points["budget"], points["error_low"], points["error_high"],
                      color=look["color"], alpha=0.14, linewidth=0, zorder=2)
    return points["budget"].iloc[-1], points["error"].iloc[-1]


def draw_level(axes, error, look, right):
    """A family without a budget: one error for all of them."""
    axes.axhline(error, color=look["color"], linewidth=1.1, linestyle=look["linestyle"], zorder=1.5)
    return right, error


def draw_panel(axes, rows, looks):
    axes.set_ylabel("relative error against dense")
    axes.set_xlabel("budget: what the brackets name")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    families = list(families_of(rows[rows["target"] != "exact"]))
    ticks = sorted({b for _, points in families for b in points["budget"].dropna()})
    if not ticks:
        axes.text(0.5, 0.5, "no family has several ticks here", transform=axes.transAxes,
                  ha="center", color=common.GREY)
        return
    exact = rows[(rows["target"] == "exact") & (rows["family"] == "dense")]
    others = rows[rows["target"] != "exact"]
    far = len(exact) and exact["error"].median() * FAR < others["error_low"].min()
    if far:
        rows = others
    # Before anything is drawn, since labels are placed by them.
    axes.set_xlim(ticks[0] / 1.15, ticks[-1] * 1.15)
    axes.set_ylim(rows["error_low"].min() / 1.6, rows["error_high"].max() * 1.6)
    styles, ends = {}, []
    for label, points in families:
        look = looks(points["variant"].iloc[0]) | {"fillstyle": "full"}
        styles[label] = look
        if points["budget"].isna().all():
            ends.append((label, draw_level(axes, points["error"].median(), look, ticks[-1])))
        else:
            ends.append((label, draw_family(axes, points, look)))
    if far:
        axes.text(0.02, 0.02, f"{FLOOR} {exact['error'].median():.1e}", transform=axes.transAxes,
                  fontsize=8, color=common.GREY)
    elif len(exact):
        look = looks(exact["variant"].iloc[0]) | {"linestyle": (0, (1, 1.5)), "linewidth": 1.2}
        styles[FLOOR] = look
        ends.append((FLOOR, draw_level(axes, exact["error"].median(), look, ticks[-1])))
    axes.xaxis.set_major_locator(matplotlib.ticker.FixedLocator(ticks))
    axes.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda b, _: f"{b:g}"))
    axes.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    axes.yaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    curves.draw_labels(axes, ends, styles.__getitem__, HEIGHT)


def draw_figure(rows, looks, words):
    panels = list(with_length(shown(rows)))
    labels = [label for _, of_panel in panels for label, _ in families_of(of_panel)] + [FLOOR]
    foot = ("Line: median over heads; band: range over heads. Budget: the parameter that varies within a "
            "family, or the sum of those that do. Dotted, or in words where far below: the error of "
            "dense attention in float32. "
            "Operations, whose figure is a distance, are left out. " + common.describe_missing(rows))
    return curves.draw_grid(panels, draw_panel, looks, f"Error against budget ({words})", foot,
                            (PANEL_WIDTH, HEIGHT), COLUMNS, max(map(len, labels)))


def has_budgets(rows):
    return any(points["budget"].notna().any() for _, of_panel in with_length(shown(rows))
               for _, points in families_of(of_panel))


def draw(frame, out, _=None):
    looks = common.Looks(frame)
    return [path for suffix, words, rows in common.figure_groups(frame) if has_budgets(rows)
            for path in common.save(draw_figure(rows, looks, words), out,
                                    "error_vs_budget" + suffix)]


if __name__ == "__main__":
    common.main(__doc__, draw)

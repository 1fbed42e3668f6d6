#!/usr/bin/python3
"""Error as one property of the input changes: one panel per generator and length, one curve per variant,
a ring around the nearest one at each value."""

import budgets
import common
import curves

PANEL_WIDTH = 3.9  # inches
HEIGHT = 4.2
COLUMNS = 3
LEAST = 3  # values
CHOICES = ("estimator", "restriction", "operation")


def panels(rows):
    """(title, rows with a column `value`) of each generator of which one number varies."""
    shown = rows[(rows["status"] == "ok") & (rows["error"] > 0) & (rows["target"] != "exact")]
    for n, of_length in shown.groupby("keys", sort=True):
        generators = {}
        for text in of_length["input"].unique():
            given = budgets.parameters_of(text)
            words = tuple((k, v) for k, v in given.items() if budgets.number(v) is None)
            generators.setdefault((text.split("(")[0], tuple(given), words), []).append(text)
        for (name, names, _), texts in generators.items():
            varying = [key for key in names if budgets.number(budgets.parameters_of(texts[0])[key])
                       is not None and len({budgets.parameters_of(t)[key] for t in texts}) > 1]
            if len(varying) != 1 or len(texts) < LEAST:
                continue
            value = {t: budgets.number(budgets.parameters_of(t)[varying[0]]) for t in texts}
            of_panel = of_length[of_length["input"].isin(texts)]
            yield (f"n = {n}, {name}: {varying[0]}",
                   of_panel.assign(value=of_panel["input"].map(value)))


def winners(rows):
    """The nearest of what one could choose, at each value."""
    choices = rows[rows["target"].isin(CHOICES)]
    return choices.loc[choices.groupby("value")["error"].idxmin()]


def draw_panel(axes, rows, looks):
    values = sorted(rows["value"].unique())
    # Evenly, whatever the values: correlations of 0.95 and 0.99 are worlds apart.
    rows = rows.assign(place=rows["value"].map(values.index))
    axes.set_xlabel("value of the property, evenly spaced")
    axes.set_ylabel("error, or an operation's distance")
    axes.set_yscale("log")
    axes.set_xlim(-0.15, len(values) - 0.85)
    axes.set_xticks(range(len(values)), [f"{value:g}" for value in values])
    # An oracle may be decades below all others, and would leave them no room.
    others = rows[rows["target"] != "oracle"]["error"]
    floor = others.min() / 3
    axes.set_ylim(floor, others.max() * 1.5)
    axes.yaxis.set_minor_formatter(common.matplotlib.ticker.NullFormatter())
    ends = []
    for variant, points in rows.groupby("variant", sort=False):
        points = points.sort_values("value")
        axes.plot(points["place"], points["error"], zorder=3, **looks(variant))
        ends.append((variant, (points["place"].iloc[-1], max(floor, points["error"].iloc[-1]))))
    best = winners(rows)
    axes.plot(best["place"], best["error"], linestyle="none", marker="o", markersize=12,
              markerfacecolor="none", markeredgecolor="black", markeredgewidth=0.9, zorder=5)
    curves.draw_labels(axes, ends, looks, HEIGHT)


FOOT = ("Median over heads and seeds. Ring: the nearest to dense of what one could choose; controls and oracles "
        "are drawn, but none of it, and an oracle may leave "
        "the panel downwards.")


def draw(frame, out, _=None):
    looks, paths = common.Looks(frame), []
    for suffix, words, rows in common.figure_groups(frame):
        drawn = list(panels(rows))
        if drawn:
            figure = curves.draw_grid(drawn, draw_panel, looks,
                                      f"Error as the input changes ({words})", FOOT,
                                      (PANEL_WIDTH, HEIGHT), COLUMNS,
                                      max(len(v) for _, of in drawn for v in of["variant"]))
            paths += common.save(figure, out, "error_vs_property" + suffix)
    return paths


if __name__ == "__main__":
    common.main(__doc__, draw)

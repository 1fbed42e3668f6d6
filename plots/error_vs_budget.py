#!/usr/bin/python3
"""Error against budget: what the numbers that vary within a family come to, ranks or keys, say. One
panel per input and length, one curve per family."""

import re

import matplotlib.ticker

import common
import curves

PANEL_WIDTH = 3.9  # inches
HEIGHT = 3.4
COLUMNS = 3
FLOOR = "dense: rounding"


def parameters_of(resolved):
    """{name: text} of the parameters in "rank=64,keys=8"'s parentheses. Of a mixture or a variant made
    of others nothing: which of its members' numbers would be the budget?"""
    match = re.fullmatch(r"\w+\((.*)\)", resolved)
    if not match or "(" in match[1]:
        return {}
    return dict(part.split("=", 1) for part in match[1].split(",") if "=" in part)


def number(text):
    """The number that the text is, or nothing."""
    try:
        return float(text)
    except ValueError:
        return None


def families_of(rows):
    """(label, rows with a column `budget`) of each family of one panel, in the order of records; the
    budget of a family in which no number varies is missing. Choices of a family, which are no
    numbers, are families of their own."""
    rows = rows.assign(parameters=[parameters_of(text) for text in rows["resolved"]])
    choices = [tuple((k, v) for k, v in p.items() if number(v) is None)
               for p in rows["parameters"]]
    groups = rows.assign(choices=choices).groupby(["family", "choices"], sort=False)
    several = groups.ngroups > rows["family"].nunique()
    for (family, chosen), members in groups:
        names = [name for name in members["parameters"].iloc[0]
                 if number(members["parameters"].iloc[0][name]) is not None
                 and members["parameters"].map(lambda p: p.get(name)).nunique() > 1]
        words = [family] + [value for _, value in chosen if several]
        if not names:
            yield " ".join(words), members.assign(budget=float("nan"))
            continue
        budgets = [sum(number(p[name]) for name in names) for p in members["parameters"]]
        yield f"{' '.join(words)} ({' + '.join(names)})", members.assign(budget=budgets)


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


def draw_panel(axes, rows, looks, title):
    axes.set_title(title, loc="left")
    axes.set_ylabel("relative error against dense")
    axes.set_xlabel("budget: what the brackets name")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    families = list(families_of(rows[rows["target"] != "exact"]))
    budgets = sorted({b for _, points in families for b in points["budget"].dropna()})
    if not budgets:
        axes.text(0.5, 0.5, "no family has several budgets here", transform=axes.transAxes,
                  ha="center", color=common.GREY)
        return
    # Before anything is drawn, since labels are placed by them.
    axes.set_xlim(budgets[0] / 1.15, budgets[-1] * 1.15)
    axes.set_ylim(rows["error_low"].min() / 1.6, rows["error_high"].max() * 1.6)
    styles, ends = {}, []
    for label, points in families:
        look = looks(points["variant"].iloc[0]) | {"fillstyle": "full"}
        styles[label] = look
        if points["budget"].isna().all():
            ends.append((label, draw_level(axes, points["error"].median(), look, budgets[-1])))
        else:
            ends.append((label, draw_family(axes, points, look)))
    exact = rows[(rows["target"] == "exact") & (rows["family"] == "dense")]
    if len(exact):
        look = looks(exact["variant"].iloc[0]) | {"linestyle": (0, (1, 1.5)), "linewidth": 1.2}
        styles[FLOOR] = look
        ends.append((FLOOR, draw_level(axes, exact["error"].median(), look, budgets[-1])))
    axes.xaxis.set_major_locator(matplotlib.ticker.FixedLocator(budgets))
    axes.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda b, _: f"{b:g}"))
    axes.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    axes.yaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    curves.draw_labels(axes, ends, styles.__getitem__, HEIGHT)


def draw_figure(rows, looks, words):
    panels = list(with_length(shown(rows)))
    labels = [label for _, of_panel in panels for label, _ in families_of(of_panel)] + [FLOOR]
    margin = 0.5 + common.TEXT_WIDTH * max(map(len, labels))
    titles = [common.title_of(name, PANEL_WIDTH + margin) for name, _ in panels]
    across = min(COLUMNS, len(panels))
    down = -(-len(panels) // COLUMNS)
    pitch = 0.85 + PANEL_WIDTH + margin
    lines = max(title.count("\n") + 1 for title in titles)
    step = HEIGHT + 0.75 + common.LINE_HEIGHT * lines
    foot = common.foot_lines(
        "Line: median over heads; band: range over heads. Budget: the parameter that varies within a "
        "family, or the sum of those that do. Dotted: the error of dense attention in float32. "
        "Operations, whose figure is a distance, are left out. " + common.describe_missing(rows),
        pitch * across)
    figure, bottom = common.titled_figure(pitch * across, HEIGHT + step * (down - 1),
                                          f"Error against budget ({words})", titles, foot)
    for i, (_, of_panel) in enumerate(panels):
        axes = common.add_panel(figure, 0.85 + i % COLUMNS * pitch,
                                bottom + step * (down - 1 - i // COLUMNS), PANEL_WIDTH, HEIGHT)
        draw_panel(axes, of_panel, looks, titles[i])
    return figure


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

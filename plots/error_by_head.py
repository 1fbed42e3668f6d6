#!/usr/bin/python3
"""Error of every head: one panel per input and length, one line per variant, one digit per head."""

import common

WIDTH = 5.4  # inches, of the axes
LINE = 0.2
MOST_HEADS = 8  # as in the report's table


def panels(rows):
    """(title, rows) of each panel: what has an error, nearest first; nothing where there is one head,
    or too many to tell apart."""
    for name, of_panel in common.panels_of(rows):
        for n, of_length in of_panel.groupby("keys", sort=True):
            # Rounding, at one end of a logarithmic axis, would leave no room for the others.
            good = of_length[(of_length["status"] == "ok") & (of_length["error"] > 0)
                             & (of_length["target"] != "exact")]
            heads = good["by_head"].map(len)
            if len(good) and heads.min() >= 2 and heads.max() <= MOST_HEADS:
                yield f"n = {n}, {name}", good.sort_values("error")


def draw_panel(axes, rows, looks, title):
    axes.set_title(title, loc="left")
    axes.set_xlabel("relative error against dense; of an operation: its distance")
    axes.set_xscale("log")
    axes.grid(axis="y", visible=False)
    names = list(rows["variant"])
    axes.set_yticks(range(len(names)), names, fontsize=7.5)
    axes.set_ylim(len(names) - 0.4, -0.6)
    for place, (_, row) in enumerate(rows.iterrows()):
        control = row["target"] == "control"
        colour = common.GREY if control else looks(row["variant"])["color"]
        axes.axhline(place, color="#eeeeee", linewidth=0.6, zorder=1)
        for head, error in enumerate(row["by_head"]):
            axes.plot(error, place, marker=f"${head}$", markersize=5.5, markeredgewidth=0.3,
                      color=colour, zorder=3)
        if control:  # what the others are to beat
            axes.axvspan(min(row["by_head"]), max(row["by_head"]), color=common.GREY, alpha=0.1,
                         linewidth=0, zorder=0)
    low, high = axes.get_xlim()
    steps = (1, 2, 5) if high < 100 * low else (1,)
    axes.xaxis.set_major_locator(common.matplotlib.ticker.LogLocator(subs=steps))
    axes.xaxis.set_major_formatter(common.matplotlib.ticker.FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_formatter(common.matplotlib.ticker.NullFormatter())


def draw_figure(drawn, looks, words):
    margin = 0.3 + common.TEXT_WIDTH * max(len(v) for _, rows in drawn for v in rows["variant"])
    titles = [common.title_of(name, WIDTH) for name, _ in drawn]
    heights = [0.2 + LINE * len(rows) for _, rows in drawn]
    gap = 0.75 + common.LINE_HEIGHT * max(title.count("\n") + 1 for title in titles)
    width = margin + WIDTH + 0.3
    foot = common.foot_lines("Digits: heads, each at its median over sequences and seeds. Grey: the "
                             "range of a control over heads.", width)
    total = sum(heights) + gap * (len(drawn) - 1)
    figure, bottom = common.titled_figure(width, total, f"Error by head ({words})", titles, foot)
    top = bottom + total
    for title, height, (_, rows) in zip(titles, heights, drawn):
        draw_panel(common.add_panel(figure, margin, top - height, WIDTH, height), rows, looks, title)
        top -= height + gap
    return figure


def draw(frame, out, _=None):
    looks = common.Looks(frame)
    paths = []
    for suffix, words, rows in common.figure_groups(frame):
        drawn = list(panels(rows))
        if drawn:
            paths += common.save(draw_figure(drawn, looks, words), out, "error_by_head" + suffix)
    return paths


if __name__ == "__main__":
    common.main(__doc__, draw)

"""Figures of one line per variant: panels below one another, names at the left."""

import common

WIDTH = 5.4  # inches, of the axes
LINE = 0.2


def name_lines(axes, names):
    axes.grid(axis="y", visible=False)
    axes.set_yticks(range(len(names)), names, fontsize=7.5)
    axes.set_ylim(len(names) - 0.4, -0.6)
    for place in range(len(names)):
        axes.axhline(place, color="#eeeeee", linewidth=0.6, zorder=1)


def logarithmic(axes):
    """A logarithmic x axis with plain numbers; of few decades with more of them."""
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    steps = (1, 2, 5) if high < 100 * low else (1,)
    axes.xaxis.set_major_locator(common.matplotlib.ticker.LogLocator(subs=steps))
    axes.xaxis.set_major_formatter(common.matplotlib.ticker.FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_formatter(common.matplotlib.ticker.NullFormatter())


def colour_of(row, looks):
    """Controls are what others are to beat, and grey in every figure of this kind."""
    return common.GREY if row["target"] == "control" else looks(row["variant"])["color"]


def draw_figure(drawn, draw_panel, looks, title, foot, names_of=lambda rows: rows["variant"]):
    """A panel for each (title, rows) of `drawn`, by `draw_panel(axes, rows, looks)`, which has a line
    for each of `names_of(rows)`."""
    names = [list(names_of(rows)) for _, rows in drawn]
    margin = 0.3 + common.TEXT_WIDTH * max(len(name) for of_panel in names for name in of_panel)
    titles = [common.title_of(name, WIDTH) for name, _ in drawn]
    heights = [0.2 + LINE * len(of_panel) for of_panel in names]
    gap = 0.75 + common.LINE_HEIGHT * max(text.count("\n") + 1 for text in titles)
    width = margin + WIDTH + 0.3
    total = sum(heights) + gap * (len(drawn) - 1)
    figure, bottom = common.titled_figure(width, total, title, titles,
                                          common.foot_lines(foot, width))
    top = bottom + total
    for panel_title, of_panel, height, (_, rows) in zip(titles, names, heights, drawn):
        axes = common.add_panel(figure, margin, top - height, WIDTH, height)
        axes.set_title(panel_title, loc="left")
        name_lines(axes, of_panel)
        draw_panel(axes, rows, looks)
        top -= height + gap
    return figure


def each_length(rows):
    """(title, rows) for each input, shape and length."""
    for name, of_panel in common.panels_of(rows):
        for n, of_length in of_panel.groupby("keys", sort=True):
            yield f"n = {n}, {name}", of_length


def draw_groups(frame, out, name, panels, draw_panel, title, foot, **more):
    """A figure for each mask and number of threads that has panels."""
    looks = common.Looks(frame)
    paths = []
    for suffix, words, rows in common.figure_groups(frame):
        drawn = list(panels(rows))
        if drawn:
            figure = draw_figure(drawn, draw_panel, looks, f"{title} ({words})", foot, **more)
            paths += common.save(figure, out, name + suffix)
    return paths

"""Figures of some quantity against length: one panel per input, one curve per variant."""

import matplotlib.ticker

import common

PANEL_WIDTH = 4.3  # inches


def draw_slopes(axes, lengths, flat):
    """Short light lines of slope 1 and 2 for the eye to compare with, in the lower right corner, which
    growing curves leave free; where many are `flat`, of slope 1 alone in the upper left one."""
    if flat:
        begin, end = lengths[0], min(lengths[-1], lengths[0] * 2.5)
        floor = axes.get_ylim()[1] / 1.1 * begin / end
    else:
        begin, end = max(lengths[0], lengths[-1] / 2.5), lengths[-1]
        floor = axes.get_ylim()[0] * 1.1
    for power, up, align in ((1, -2, "top"), (2, 1, "bottom"))[:1 if flat else 2]:
        axes.plot([begin, end], [floor, floor * (end / begin)**power], color="#bdbdbd",
                  linewidth=1, zorder=0)
        middle = (begin * end**2)**(1 / 3)
        axes.annotate("∝ n²" if power == 2 else "∝ n", (middle, floor * (middle / begin)**power),
                      (4 if power == 1 else -4, up), textcoords="offset points",
                      ha="left" if power == 1 else "right", va=align, fontsize=7,
                      color="#999999", zorder=0)


def draw_labels(axes, ends, looks, height):
    """The curves' names in the right margin, as near to their ends as they fit."""
    to_axes = axes.transAxes.inverted()
    wanted = [to_axes.transform(axes.transData.transform(end))[1] for _, end in ends]
    gap = common.LINE_HEIGHT / height
    # Not above the panel, where its title is.
    places = common.spread(wanted, gap, -0.02, 0.97)
    for (variant, end), place in zip(ends, places):
        colour = looks(variant)["color"]
        axes.annotate("", xy=end, xytext=(1.035, place), textcoords="axes fraction",
                      arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.6,
                                  "alpha": 0.7, "shrinkA": 0, "shrinkB": 3},
                      annotation_clip=False)
        axes.plot([1.055], [place], transform=axes.transAxes, clip_on=False,
                  **(looks(variant) | {"linestyle": "none"}))
        axes.text(1.08, place, variant, transform=axes.transAxes, fontsize=8, color=colour,
                  va="center_baseline")


def draw_curves(axes, rows, looks, quantity, interval):
    """Curves of the positive values; returns (variant, last point) of each."""
    ends = []
    for variant, points in rows.groupby("variant", sort=False):
        points = points.sort_values("keys")
        positive = points[points[quantity] > 0]
        if positive.empty:
            continue
        look = looks(variant)
        axes.plot(positive["keys"], positive[quantity], zorder=4 if look["color"] == "black" else 3,
                  **look)
        if interval:
            axes.vlines(positive["keys"], positive[quantity + "_low"],
                        positive[quantity + "_high"], color=look["color"], linewidth=3, alpha=0.4,
                        zorder=2)
        ends.append((variant, (positive["keys"].iloc[-1], positive[quantity].iloc[-1])))
    return ends


def prepare(axes, lengths, limits, y_axis, x_label):
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2 if y_axis is common.human_bytes else 10)
    axes.set_xlim(lengths[0] / 1.12, lengths[-1] * 1.12)
    axes.set_ylim(limits[0] / 1.6, limits[1] * 1.6)
    axes.xaxis.set_major_locator(matplotlib.ticker.FixedLocator(lengths))
    axes.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda n, _: f"{n:g}"))
    if len(lengths) > 8:
        axes.tick_params(axis="x", labelsize=8)
    axes.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    axes.yaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(y_axis))
    axes.yaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    axes.set_xlabel(x_label)


def notes_of(rows, quantity, none_text, width):
    """What the panels do not show: points that did not end well, and values of zero, for which a
    logarithmic axis has no place."""
    ok = rows[rows["status"] == "ok"]
    zero = sorted(v for v, points in ok.groupby("variant") if (points[quantity] == 0).all())
    lines = common.foot_lines(common.describe_missing(rows), width)
    if zero:
        lines += common.foot_lines(none_text + ", ".join(zero) + ".", width)
    return lines


def draw_figures(frame, out, name, direction, quantity, words, interval, title, *more, **choices):
    """A figure for each group of a direction's rows, saved as `name`; the rest as for draw_figure, but
    that the group's words go behind the title."""
    looks = common.Looks(frame)
    paths = []
    for suffix, group, rows in common.figure_groups(frame, direction):
        figure = draw_figure(rows, looks, quantity, words, interval, f"{title} ({group})", *more,
                             **choices)
        paths += common.save(figure, out, name + suffix)
    return paths


def draw_figure(rows, looks, quantity, words, interval, title, none_text, y_axis,
                x_label="length n (keys)", flat=False, slopes=True):
    """`quantity` is a column of the frame, `words` its axis; `flat`: most curves are expected to be;
    `slopes`: light lines to compare with."""
    panels = common.panels_of(rows)
    names = rows["variant"].unique()
    margin = 0.45 + common.TEXT_WIDTH * max(len(name) for name in names)
    height = max(3.5, common.LINE_HEIGHT * len(names) + 0.2)
    pitch = 0.85 + PANEL_WIDTH + margin
    titles = [common.title_of(name, PANEL_WIDTH + margin) for name, _ in panels]
    across = len(panels) if len(panels) <= 3 else 2 if len(panels) == 4 else 3
    down = -(-len(panels) // across)
    step = height + 0.75 + common.LINE_HEIGHT * max(text.count("\n") + 1 for text in titles)
    foot = notes_of(rows, quantity, none_text, pitch * across)
    figure, bottom = common.titled_figure(pitch * across, height + step * (down - 1), title, titles,
                                          foot)
    positive = rows[(rows["status"] == "ok") & (rows[quantity] > 0)]
    limits = (positive[quantity].min(), positive[quantity].max()) if len(positive) else (1, 2)
    lengths = sorted(rows["keys"].unique())
    for i, (_, of_panel) in enumerate(panels):
        axes = common.add_panel(figure, 0.8 + i % across * pitch,
                                bottom + step * (down - 1 - i // across), PANEL_WIDTH, height)
        prepare(axes, lengths, limits, y_axis, x_label)
        axes.set_title(titles[i], loc="left")
        axes.set_ylabel(words)
        ends = draw_curves(axes, of_panel, looks, quantity, interval)
        if slopes and len(lengths) > 1:
            draw_slopes(axes, lengths, flat)
        draw_labels(axes, ends, looks, height)
    return figure


def draw_grid(drawn, draw_panel, looks, title, foot, size, columns, longest):
    """A panel of `size` (width, height) inches for each (title, data) of `drawn`, by
    `draw_panel(axes, data, looks)`, `columns` of them beside one another, with room at the right of each
    for labels of `longest` characters."""
    width, height = size
    margin = 0.5 + common.TEXT_WIDTH * longest
    titles = [common.title_of(name, width + margin) for name, _ in drawn]
    across = min(columns, len(drawn))
    down = -(-len(drawn) // columns)
    pitch = 0.85 + width + margin
    step = height + 0.75 + common.LINE_HEIGHT * max(text.count("\n") + 1 for text in titles)
    figure, bottom = common.titled_figure(pitch * across, height + step * (down - 1), title, titles,
                                          common.foot_lines(foot, pitch * across))
    for i, (_, data) in enumerate(drawn):
        axes = common.add_panel(figure, 0.85 + i % columns * pitch,
                                bottom + step * (down - 1 - i // columns), width, height)
        axes.set_title(titles[i], loc="left")
        draw_panel(axes, data, looks)
    return figure

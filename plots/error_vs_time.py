#!/usr/bin/python3
"""Error against time at one length, with the Pareto frontier; operations, whose figure is a
distance, in panels of their own."""

import textwrap

import matplotlib.patheffects
import matplotlib.ticker

import common

PANEL_WIDTH = 5.2  # inches
ERROR_HEIGHT = 3.6
DISTANCE_HEIGHT = 2.0
# What approximates dense attention; controls and oracles are drawn, but nothing to choose from.
MEMBERS = ("exact", "estimator", "restriction")
HALO = matplotlib.patheffects.withStroke(linewidth=2, foreground="white")


def pareto_frontier(times, errors):
    """Indices, by increasing time, of the points that no other one beats: none is at least as fast
    and at least as exact, and better in one of the two. Of equal points the first counts."""
    frontier = []
    least = float("inf")
    for i in sorted(range(len(times)), key=lambda i: (times[i], errors[i], i)):
        if errors[i] < least:
            frontier.append(i)
            least = errors[i]
    return frontier


def losses(rows):
    """Errors, but for exact attention, whose rounding does not count."""
    return [0 if row.target == "exact" else row.error for row in rows.itertuples()]


def members_of(rows):
    """The rows of one panel that a frontier is made of, as in the tables of `subquad report`."""
    good = (rows["status"] == "ok") & (rows["time"] > 0) & rows["target"].isin(MEMBERS)
    return rows[good & ((rows["target"] == "exact") | rows["error"].notna())]


def unbeaten(members):
    """Names of the members that no other one beats; of equal ones all."""
    points = list(zip(members["time"], losses(members)))
    corners = {points[i] for i in pareto_frontier(*zip(*points))} if points else set()
    return {name for name, point in zip(members["variant"], points) if point in corners}


def tick(value, _=None):
    return f"{value:g}"


def prepare(axes, rows, quantity_words, times):
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(times.min() / 1.7, times.max() * 2.2)
    low, high = rows["error_low"].min(), rows["error_high"].max()
    if len(rows):
        room = max(1.25, (high / low)**0.12)
        axes.set_ylim(low / room, high * room)
    axes.set_ylabel(quantity_words)
    # Within a decade or two powers of ten alone would leave an axis bare.
    dense = (1, 2, 5) if high / low < 300 else (1,)
    axes.yaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=dense))
    axes.xaxis.set_major_locator(matplotlib.ticker.LogLocator())
    axes.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(common.human_seconds))
    axes.yaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(tick))
    axes.yaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    axes.xaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())


def draw_points(axes, rows, looks, beaten=()):
    """Markers with interval of time and range over heads. Returns boxes that labels must avoid."""
    boxes = []
    for row in rows.itertuples():
        look = looks(row.variant)
        if row.variant in beaten:
            look = look | {"color": common.GREY}
        axes.hlines(row.error, row.time_low, row.time_high, color=look["color"], linewidth=0.8)
        axes.vlines(row.time, row.error_low, row.error_high, color=look["color"], linewidth=0.8,
                    alpha=0.6)
        axes.plot([row.time], [row.error], zorder=4, **(look | {"linestyle": "none"}))
        x, y = axes.transData.transform((row.time, row.error))
        boxes.append((x - 5, y - 5, x + 5, y + 5))
        (x0, y0), (x1, y1) = axes.transData.transform(
            [(row.time_low, row.error_low), (row.time_high, row.error_high)])
        boxes += [(x - 1, y0, x + 1, y1), (x0, y - 1, x1, y + 1)]
    return boxes


def candidates(x, y, width, height):
    """Places for a label around a point, nearest first: (box, distance)."""
    for distance in (7, 12, 18, 26, 36, 48, 62, 78, 96):
        for right, up in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1),
                          (1, 0.5), (1, -0.5), (-1, 0.5), (-1, -0.5)):
            left = x + distance * right - width * (1 - right) / 2
            bottom = y + distance * up - height * (1 - up) / 2
            yield (left, bottom, left + width, bottom + height), distance


def best_place(axes, point, size, taken):
    """The nearest box that touches nothing taken and stays inside; failing that, the one that
    overlaps least."""
    frame = axes.bbox.extents
    best, least = None, float("inf")
    for box, distance in candidates(*point, *size):
        if box[0] < frame[0] or box[2] > frame[2] or box[1] < frame[1] or box[3] > frame[3]:
            continue
        covered = sum(common.overlap(box, other) for other in taken)
        if covered < least:
            best, least = (box, distance), covered
        if covered == 0:
            break
    return best


def label_of(variant):
    """The name; a very long one in two lines or more, so that there is a place for it."""
    return "\n".join(textwrap.wrap(variant.replace(",", ", "), 32)).replace(", ", ",")


def draw_labels(axes, rows, looks, taken, beaten=()):
    renderer = axes.figure.canvas.get_renderer()
    for row in rows.itertuples():
        colour = common.GREY if row.variant in beaten else looks(row.variant)["color"]
        text = axes.text(0, 0, label_of(row.variant), fontsize=7.5, color=colour, zorder=5,
                         transform=None, va="bottom", ha="left", path_effects=[HALO])
        extent = text.get_window_extent(renderer)
        point = axes.transData.transform((row.time, row.error))
        box, distance = best_place(axes, point, (extent.width + 2, extent.height), taken) or (
            (point[0], point[1], point[0] + extent.width, point[1] + extent.height), 0)
        taken.append(box)
        # Pixels of this figure: placed relative to the axes, they hold at any resolution.
        text.set_transform(axes.transAxes)
        text.set_position(axes.transAxes.inverted().transform((box[0] + 1, box[1])))
        if distance > 7:
            near = (min(max(point[0], box[0]), box[2]), min(max(point[1], box[1]), box[3]))
            line = axes.transAxes.inverted().transform([point, near])
            axes.plot(line[:, 0], line[:, 1], transform=axes.transAxes, color=colour,
                      linewidth=0.5, alpha=0.8, zorder=2)


def draw_exact(axes, exact, looks, taken):
    """Exact attention has no error but rounding: a line at its time, named along it."""
    renderer = axes.figure.canvas.get_renderer()
    for row in exact.itertuples():
        look = looks(row.variant)
        axes.axvline(row.time, color=look["color"], linewidth=1.2,
                     linestyle=look["linestyle"], zorder=1)
        x = axes.transData.transform((row.time, 1))[0]
        taken.append((x - 2, axes.bbox.y0, x + 2, axes.bbox.y1))
        text = axes.text(0, 0, f"{row.variant} (exact)", fontsize=7.5, rotation=90, zorder=5,
                         color=look["color"], transform=None, va="bottom", ha="left")
        extent = text.get_window_extent(renderer)
        boxes = [(left, bottom, left + extent.width, bottom + extent.height)
                 for bottom in (axes.bbox.y0 + 4, axes.bbox.y1 - extent.height - 4,
                                (axes.bbox.y0 + axes.bbox.y1 - extent.height) / 2)
                 for left in (x + 3, x - 3 - extent.width)]
        box = min(boxes, key=lambda b: sum(common.overlap(b, other) for other in taken))
        taken.append(box)
        text.set_transform(axes.transAxes)
        text.set_position(axes.transAxes.inverted().transform(box[:2]))


def draw_frontier(axes, members):
    """The staircase of what nothing beats; returns the names of what is beaten, and the boxes of the
    stairs."""
    errors, times = losses(members), list(members["time"])
    frontier = pareto_frontier(times, errors)
    x = [times[i] for i in frontier]
    floor = axes.get_ylim()[0]
    y = [max(errors[i], floor) for i in frontier]
    axes.step(x, y, where="post", color="#555555", linewidth=1, zorder=1.5, alpha=0.8)
    corners = axes.transData.transform(list(zip(x, y)))
    boxes = [box for (x0, y0), (x1, y1) in zip(corners, corners[1:])
             for box in ((x0, y0 - 1, x1, y0 + 1), (x1 - 1, y1, x1 + 1, y0))]
    return set(members["variant"]) - unbeaten(members), boxes


def draw_panels(figure, rows, looks, left, error_bottom, distance_bottom, title):
    times = rows["time"]
    shown = rows[rows["target"] != "operation"]
    approximate = shown[(shown["target"] != "exact") & (shown["error"] > 0)]
    operations = rows[(rows["target"] == "operation") & (rows["error"] > 0)]
    exact = shown[shown["target"] == "exact"]
    axes = common.add_panel(figure, left, error_bottom, PANEL_WIDTH, ERROR_HEIGHT)
    axes.set_title(title, loc="left")
    if len(approximate):
        prepare(axes, approximate, "relative error against dense", times)
        members = members_of(shown)
        beaten, stairs = draw_frontier(axes, members) if len(members) else (set(), [])
        taken = stairs + draw_points(axes, approximate, looks, beaten)
        draw_exact(axes, exact, looks, taken)
        first = approximate["variant"].isin(beaten)
        draw_labels(axes, approximate[~first], looks, taken)
        draw_labels(axes, approximate[first], looks, taken, beaten)
    else:
        axes.text(0.5, 0.5, "nothing approximates dense here", transform=axes.transAxes,
                  ha="center", color=common.GREY)
    if distance_bottom is None:
        axes.set_xlabel("time of a forward pass")
        return
    axes = common.add_panel(figure, left, distance_bottom, PANEL_WIDTH, DISTANCE_HEIGHT)
    axes.set_xlabel("time of a forward pass")
    if len(operations):
        prepare(axes, operations, "distance from dense\n(other operations)", times)
        taken = draw_points(axes, operations, looks)
        draw_exact(axes, exact[exact["anchor"]], looks, taken)
        draw_labels(axes, operations, looks, taken)
    else:
        axes.text(0.5, 0.5, "no other operations here", transform=axes.transAxes, ha="center",
                  color=common.GREY)


def draw_figure(rows, looks, title):
    done = rows[(rows["status"] == "ok") & (rows["time"] > 0)]
    panels = common.panels_of(done)
    titles = [common.title_of(name, PANEL_WIDTH) for name, _ in panels]
    width = 0.2 + (PANEL_WIDTH + 1.05) * len(panels)
    foot = common.foot_lines(
        "Line: Pareto frontier of what approximates dense; grey: another such variant, or exact "
        "attention itself, is at least as fast and as exact. Controls and oracles take no part. "
        "Bars: interval of the median time, range over heads. "
        + common.describe_missing(rows), width)
    distances = DISTANCE_HEIGHT + 0.5 if (done["target"] == "operation").any() else 0
    figure, bottom = common.titled_figure(width, ERROR_HEIGHT + distances, title, titles, foot)
    for i, (_, of_panel) in enumerate(panels):
        draw_panels(figure, of_panel, looks, 0.95 + i * (PANEL_WIDTH + 1.05),
                    bottom + distances, bottom if distances else None, titles[i])
    return figure


def lengths_to_draw(rows, asked):
    lengths = sorted(rows[(rows["status"] == "ok") & (rows["time"] > 0)]["keys"].unique())
    if asked == "all":
        return lengths
    if asked == "largest":
        return lengths[-1:]
    return [n for n in lengths if str(n) == asked]


def draw(frame, out, options=None):
    looks = common.Looks(frame)
    asked = options.length if options else "largest"
    paths = []
    for suffix, words, rows in common.figure_groups(frame):
        for n in lengths_to_draw(rows, asked):
            figure = draw_figure(rows[rows["keys"] == n], looks,
                                 f"Error against time at n = {n} ({words})")
            name = f"error_vs_time{suffix}" + ("" if asked == "largest" else f"_n{n}")
            paths += common.save(figure, out, name)
    if not paths:
        raise common.NoRecords(f"no point of length {asked} ended well")
    return paths


def add_options(parser):
    parser.add_argument("--length", default="largest", metavar="N|largest|all",
                        help="which length to draw (default: largest)")


if __name__ == "__main__":
    common.main(__doc__, draw, add_options)

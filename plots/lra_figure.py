#!/usr/bin/python3
"""Figure 3 of the Long Range Arena (arXiv:2011.04006) with own speed and memory: speed to the right,
the PUBLISHED mean score up, memory as the area of the circles. Nothing was trained here.

    plots/lra_figure.py results/lra_efficiency results/lra_efficiency_memory
"""

import json
import math
import pathlib
import statistics

import common
import error_vs_time

RUNS = ("lra_efficiency", "lra_efficiency_memory")  # that it is drawn of
PUBLISHED = pathlib.Path(__file__).parent.parent / "experiments/papers/lra_scores.published.json"
SPEED, MEMORY, SCORE = range(3)  # columns of its panel
WIDTH, HEIGHT = 6.0, 4.2  # inches
LARGEST = 0.32  # inches, radius of the largest circle
HELD_PARTS = ("scratch_declared", "heap", "choice", "layout")  # declared_bytes of the table


def panel_of(path):
    """The panel with own figures beside scores, of NAME.published.json."""
    return json.loads(pathlib.Path(path).read_text())["panels"][1]


def record_of(records, panel, row, column):
    """The record that a cell means, or None."""
    wanted = panel | panel["columns"][column]
    found = [r for r in records
             if r["variant"] == row["variant"] and r["status"] == "ok"
             and r["direction"] == wanted["mode"] and r["heads"] == wanted["heads"]
             and r["feed_forward"] == wanted["feed_forward"] and r["threads"] == wanted["threads"]
             and r["problem"]["keys"] == wanted["length"]]
    return found[-1] if found else None


def speed_of(record):
    ratios = [r["anchor_ns"] / r["time_ns"] for r in record["rounds"] if r["anchor_ns"]]
    return statistics.median(ratios) if ratios else None


def models_of(records, panel):
    """(name, speed, bytes, score, variant) of every model of which both were measured, by falling
    bytes, and the names of the others."""
    models, missing = [], []
    for row in panel["rows"]:
        timed = record_of(records, panel, row, SPEED)
        held = record_of(records, panel, row, MEMORY)
        speed = speed_of(timed) if timed else None
        if speed is None or held is None:
            missing.append(row["name"])
            continue
        memory = sum(held[f"{part}_bytes"] for part in HELD_PARTS)
        models.append((row["name"], speed, memory, row["values"][SCORE], row["variant"]))
    return sorted(models, key=lambda model: -model[2]), missing


def radius_of(memory, largest):
    """In inches: areas are as bytes are."""
    return LARGEST * math.sqrt(memory / largest)


def draw_figure(models, missing, panel, looks):
    foot = common.foot_lines(
        "Scores are the PUBLISHED means over five tasks (Tay et al. 2020, Table 1); speed and memory "
        f"are measured here, of one block with {panel['heads']} heads and a feed-forward layer of "
        f"{panel['feed_forward']}. Area of a circle: what the block's pass holds beside input, "
        "output and weights, with a thread for each head. Nothing was trained here."
        + (f" Not measured: {', '.join(missing)}." if missing else ""), WIDTH + 1)
    figure, bottom = common.titled_figure(
        WIDTH + 1, HEIGHT, f"Own speed and memory, published scores, n = {panel['length']}", [""], foot)
    axes = common.add_panel(figure, 0.75, bottom, WIDTH, HEIGHT)
    axes.set_xlabel("own speed: times that of a block with streaming dense attention")
    axes.set_ylabel("published mean score, %")
    speeds, scores = [m[1] for m in models], [m[3] for m in models]
    wide, high = max(speeds) - min(speeds) or 1, max(scores) - min(scores) or 1
    axes.set_xlim(max(0, min(speeds) - 0.15 * wide), max(speeds) + 0.2 * wide)
    axes.set_ylim(min(scores) - 0.15 * high, max(scores) + 0.15 * high)
    boxes = []
    for _, speed, memory, score, variant in models:
        radius = radius_of(memory, models[0][2])
        colour = looks(variant)["color"]
        axes.scatter([speed], [score], s=math.pi * (72 * radius)**2, color=colour, alpha=0.45,
                     edgecolors=colour, linewidths=0.8, zorder=3)
        x, y = axes.transData.transform((speed, score))
        pixels = radius * figure.dpi
        boxes.append((x - pixels, y - pixels, x + pixels, y + pixels))
    draw_labels(axes, models, boxes)
    return figure


def draw_labels(axes, models, taken):
    """Names with their bytes, where they cover neither circles nor one another."""
    renderer = axes.figure.canvas.get_renderer()
    taken = list(taken)
    for name, speed, memory, score, _ in models:
        text = axes.text(0, 0, f"{name}, {common.human_bytes(memory)}", fontsize=7.5, zorder=5,
                         transform=None, va="bottom", ha="left", path_effects=[error_vs_time.HALO])
        extent = text.get_window_extent(renderer)
        point = tuple(axes.transData.transform((speed, score)))
        place = error_vs_time.best_place(axes, point, (extent.width + 2, extent.height), taken)
        box, distance = place or ((*point, point[0] + extent.width, point[1] + extent.height), 0)
        taken.append(box)
        # Pixels of this figure: placed relative to the axes, they hold at any resolution.
        text.set_transform(axes.transAxes)
        text.set_position(axes.transAxes.inverted().transform((box[0] + 1, box[1])))
        if distance > 12:
            near = (min(max(point[0], box[0]), box[2]), min(max(point[1], box[1]), box[3]))
            line = axes.transAxes.inverted().transform([point, near])
            axes.plot(line[:, 0], line[:, 1], transform=axes.transAxes, color=common.GREY,
                      linewidth=0.5, zorder=2)


def draw_runs(folders, out, published=PUBLISHED):
    records = common.latest([r for folder in folders for r in common.read_records(folder)])
    panel = panel_of(published)
    models, missing = models_of(records, panel)
    if not models:
        raise common.NoRecords(f"no block of n = {panel['length']} was both timed and held")
    looks = common.Looks(common.load(folders))
    return common.save(draw_figure(models, missing, panel, looks), out, "lra_figure")


def draw(_, out, options):
    return draw_runs(options.results, out, options.published)


def add_options(parser):
    parser.add_argument("--published", default=PUBLISHED, metavar="FILE",
                        help="lra_scores.published.json, which holds the scores")


if __name__ == "__main__":
    common.main(__doc__, draw, add_options)

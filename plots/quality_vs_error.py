#!/usr/bin/python3
"""What a trained model makes of each variant's error: characters that its judge reads, and the
divergence of its frames, against the relative error of attention itself."""

import argparse
import sys

import common
import judged

WIDTH = 4.2  # inches, of each panel
HEIGHT = 4.4
COLOUR = {"exact": "black", "estimator": common.COLOURS[0], "restriction": common.COLOURS[1],
          "operation": common.COLOURS[2], "oracle": common.COLOURS[6], "control": common.GREY}
LIST_WIDTH = 3.9
NUMBER_GAP = 7  # points between a mark and its number
LARGEST = 4  # errors beyond would squeeze all others into a corner


def marks(axes, rows, places, spans):
    """A mark and its rank for each row, with the interval of what is measured upwards. A number goes
    to the side where it overlaps least with other marks and numbers."""
    for row, (x, y), (low, high) in zip(rows, places, spans):
        axes.plot([x, x], [low, high], color=COLOUR[row["target"]], linewidth=0.7, alpha=0.5,
                  zorder=2)
        axes.plot(x, y, "o", color=COLOUR[row["target"]], markersize=4, zorder=3)
    at = axes.transData.transform(places)
    unit = axes.figure.dpi / 72
    taken = [(x - 3 * unit, y - 3 * unit, x + 3 * unit, y + 3 * unit) for x, y in at]
    sides = [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, -1), (1, -1), (-1, 1)]
    for row, (x, y) in zip(rows, at):
        half = 2.1 * len(str(row["rank"])) * unit
        boxes = [(x + dx * gap * unit - half, y + dy * gap * unit - 3 * unit,
                  x + dx * gap * unit + half, y + dy * gap * unit + 3 * unit)
                 for gap in (NUMBER_GAP, 1.7 * NUMBER_GAP) for dx, dy in sides]
        box = min(boxes, key=lambda b: sum(common.overlap(b, other) for other in taken))
        taken.append(box)
        centre = axes.transData.inverted().transform(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2))
        axes.text(*centre, row["rank"], fontsize=6.5, ha="center", va="center",
                  color=COLOUR[row["target"]], zorder=4)


def level(axes, height, text, side):
    axes.axhline(height, color="#555555", linewidth=0.8, linestyle=(0, (4, 2)), zorder=1)
    axes.annotate(text, (1 if side == "right" else 0.01, height), fontsize=7, va="bottom", ha=side,
                  xycoords=("axes fraction", "data"), xytext=(0, 1.5), textcoords="offset points",
                  color="#555555")


def draw_reading(axes, rows, zeroed):
    """What is lost of the characters that exact attention reads."""
    axes.set_ylabel("characters lost against exact attention")
    lost = [row["lost"][0] for row in rows]
    axes.set_yscale("symlog", linthresh=0.01, linscale=0.7)
    axes.set_yticks([-0.01, 0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1])
    axes.yaxis.set_major_formatter(common.matplotlib.ticker.PercentFormatter(1, decimals=0))
    axes.yaxis.set_minor_locator(common.matplotlib.ticker.NullLocator())
    axes.set_ylim(min(-0.012, min(lost) - 0.004), 1.5 * max(*lost, zeroed["lost"][0]))
    level(axes, 0, "exact attention", "right")
    level(axes, zeroed["lost"][0], "attention zeroed", "left")
    marks(axes, rows, [(row["error"][0], row["lost"][0]) for row in rows],
          [row["lost"][1:] for row in rows])


def draw_divergence(axes, rows, zeroed):
    axes.set_ylabel("KL per frame, nats")
    axes.set_yscale("log")
    values = [row["kl"][0] for row in rows]
    axes.set_ylim(min(values) / 1.6, max(values) * 1.6)
    level(axes, zeroed["kl"][0], "attention zeroed", "left")
    marks(axes, rows, [(row["error"][0], row["kl"][0]) for row in rows],
          [row["kl"][1:] for row in rows])


def list_ranks(figure, rows, left, top, bottom):
    """Numbers and names, one below the other."""
    across, up = figure.get_size_inches()
    step = min(0.165, (top - bottom) / len(rows))
    for i, row in enumerate(rows):
        text = f"{row['rank']:>3}  {row['variant']}"
        figure.text(left / across, (top - step * i) / up, text, fontsize=6.6, va="top",
                    color=COLOUR[row["target"]])


def draw_legend(axes, rows):
    handles = [common.matplotlib.lines.Line2D([], [], color=colour, marker="o", linestyle="",
                                              markersize=4, label=target)
               for target, colour in COLOUR.items() if any(row["target"] == target for row in rows)]
    axes.legend(handles=handles, fontsize=7, loc="lower right", bbox_to_anchor=(1, 0.02),
                frameon=True, framealpha=0.9, edgecolor="#dddddd")


def describe_far(rows):
    far = [f"{row['rank']} {row['variant']} (error {judged.figure(row['error'][0])}, "
           f"{100 * row['lost'][0]:.0f} % lost, KL {row['kl'][0]:.2g})"
           for row in rows if row["error"][0] > LARGEST]
    return f" Not drawn, too far right: {'; '.join(far)}." if far else ""


def draw(rows, out):
    zeroed = next(row for row in rows if row["variant"] == judged.ZEROED)
    drawn = [row for row in rows
             if row["variant"] not in (judged.EXACT, judged.ZEROED)
             and row["error"][0] <= LARGEST]
    width = 2 * WIDTH + LIST_WIDTH + 1.6
    foot = common.foot_lines("Numbers are the ranks of the table: by characters read. Error: median "
                             "over heads, layers, lines and seeds; an operation's is a distance. Bars: "
                             "interval of the median over lines." + describe_far(rows), width)
    figure, bottom = common.titled_figure(
        width, HEIGHT, "What a text recogniser makes of the error in its attention", [""], foot)
    errors = [row["error"][0] for row in drawn]
    for i, draw_panel in enumerate((draw_reading, draw_divergence)):
        axes = common.add_panel(figure, 0.75 + i * (WIDTH + 0.75), bottom, WIDTH, HEIGHT)
        axes.set_xscale("log")
        axes.set_xlabel("relative error of attention")
        axes.xaxis.set_major_formatter(common.matplotlib.ticker.FuncFormatter(lambda x, _: f"{x:g}"))
        axes.set_xlim(min(errors) / 1.4, max(errors) * 1.4)
        draw_panel(axes, drawn, zeroed)
    draw_legend(figure.axes[1], drawn)
    list_ranks(figure, rows, 2 * WIDTH + 1.65, figure.get_size_inches()[1] - 0.2, bottom - 0.3)
    return common.save(figure, out, "quality_vs_error")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", metavar="RESULTS_DIR", help="folder that holds trials.jsonl")
    parser.add_argument("--out", default="figures", metavar="DIR", help="where figures go")
    parsed = parser.parse_args()
    try:
        rows, _ = judged.summary(judged.read_trials(parsed.results))
    except common.NoRecords as error:
        print(error, file=sys.stderr)
        sys.exit(common.NOTHING_DRAWN)
    with common.matplotlib.rc_context(common.RC):
        for path in draw(rows, parsed.out):
            print(path)


if __name__ == "__main__":
    main()

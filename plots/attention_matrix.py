#!/usr/bin/python3
"""Which keys each query sees, or attention matrices: one panel per variant.

MATRICES is a JSON file: "queries", "keys", "causal", and "panels", a list of objects with "title",
"rows" (a matrix, queries down, keys across) and "kind": "keys" where entries say 1 for a key that the
query sees, "weights" where they are attention weights. Optional: "first_query", the position of the
first query among the keys; "colour_bar": true gives all weights one scale, which a bar explains.
"""

import argparse
import json
import pathlib
import textwrap

import common
import matplotlib
import matplotlib.colors
import numpy

MOST_COLUMNS = 4
PANEL = 2.5  # inches
GAP, LEFT = 0.35, 0.55
BAR, BAR_ROOM = 0.12, 1.0
SEEN = "#0072B2"
UNSEEN = "#f1f1f1"
FUTURE = "#ffffff"


def masked(rows, causal, first_query=0):
    """Pairs that causality hides are no part of any pattern."""
    rows = [[None if causal and j > first_query + i else value for j, value in enumerate(row)]
            for i, row in enumerate(rows)]
    return common.pandas.DataFrame(rows, dtype=float).to_numpy()


def draw_grid(axes, queries, keys):
    """Light lines between cells, as long as these are large enough to be told apart."""
    if max(queries, keys) > 100:
        return
    axes.set_xticks([j - 0.5 for j in range(1, keys)], minor=True)
    axes.set_yticks([i - 0.5 for i in range(1, queries)], minor=True)
    axes.grid(which="minor", color="white", linewidth=0.4)
    axes.tick_params(which="minor", length=0)


def colours_of(values, kind):
    """Colour map and scale of the entries of a matrix, those of None left out."""
    values = values[values == values]
    if kind == "keys":
        colours = matplotlib.colors.ListedColormap([UNSEEN, SEEN])
        norm = matplotlib.colors.Normalize(0, 1)
    elif (values < 0).any():
        largest = max(abs(values))
        colours = matplotlib.colormaps["RdBu"].copy()
        norm = matplotlib.colors.TwoSlopeNorm(0, -largest, largest)
    else:
        # Square roots, or one heavy key would leave all others white.
        colours = matplotlib.colors.LinearSegmentedColormap.from_list("seen", [UNSEEN, SEEN])
        norm = matplotlib.colors.PowerNorm(0.5, 0, values.max() or 1)
    colours.set_bad(FUTURE)
    return colours, norm


def draw_matrix(axes, values, look):
    colours, norm = look
    image = axes.imshow(values, cmap=colours, norm=norm, interpolation="nearest", aspect="equal")
    draw_grid(axes, *values.shape)
    axes.grid(which="major", visible=False)
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color("#9a9a9a")
    axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(5, integer=True))
    return image


def draw_colour_bar(figure, image, left, bottom, height):
    axes = common.add_panel(figure, left, bottom, BAR, height)
    bar = figure.colorbar(image, cax=axes)
    bar.outline.set_edgecolor("#9a9a9a")
    axes.set_ylabel("weight of the key")
    axes.grid(visible=False)
    low, high = image.norm.vmin, image.norm.vmax
    # Even steps of colour, which on a scale of square roots are no even steps of weight.
    bar.set_ticks([image.norm.inverse(part) for part in (0, 0.25, 0.5, 0.75, 1)])
    bar.ax.set_yticklabels([f"{image.norm.inverse(part):.2g}" if low < high else ""
                            for part in (0, 0.25, 0.5, 0.75, 1)])
    bar.ax.minorticks_off()


def title_lines(text):
    """Broken behind commas, as expressions are."""
    pieces = text.replace(",", ", ")
    return [line.replace(", ", ",")
            for line in textwrap.wrap(pieces, 40, break_on_hyphens=False)]


def negative_note(panels):
    if any(value < 0 for panel in panels for row in panel["rows"] for value in row):
        return "Where weights may be negative, red is negative and blue positive."
    return ""


def draw(matrices):
    panels = matrices["panels"]
    columns = min(MOST_COLUMNS, len(panels))
    lines = -(-len(panels) // columns)
    titles = [title_lines(panel["title"]) for panel in panels]
    head = 0.12 + 0.15 * max(map(len, titles))
    height = PANEL * matrices["queries"] / max(matrices["queries"], matrices["keys"])
    foot = 0.45
    note = negative_note(panels)
    with_bar = matrices.get("colour_bar", False)
    across = LEFT + columns * (PANEL + GAP) + (BAR_ROOM if with_bar else 0)
    below = 0.2 if note else 0
    up = lines * (head + height + foot) + below
    figure = common.new_figure(across, up)
    figure.text(LEFT / across, 0.08 / up, note, fontsize=7.5, color="#444444")
    all_values = [masked(panel["rows"], matrices["causal"], matrices.get("first_query", 0))
                  for panel in panels]
    shared = colours_of(numpy.concatenate([v.ravel() for v in all_values]), "weights")
    for number, (panel, title) in enumerate(zip(panels, titles)):
        column, line = number % columns, number // columns
        axes = common.add_panel(figure, LEFT + column * (PANEL + GAP),
                                up - (line + 1) * (head + height + foot) + foot, PANEL, height)
        values = all_values[number]
        image = draw_matrix(axes, values, shared if with_bar else colours_of(values, panel["kind"]))
        axes.set_title("\n".join(title), loc="left", fontsize=8.5)
        axes.set_xlabel("key")
        if column == 0:
            axes.set_ylabel("query")
    if with_bar:
        draw_colour_bar(figure, image, LEFT + columns * (PANEL + GAP), up - head - height, height)
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("matrices", metavar="MATRICES")
    parser.add_argument("--out", required=True, metavar="FILE", help=".png or .svg")
    parsed = parser.parse_args()
    matrices = json.loads(pathlib.Path(parsed.matrices).read_text(encoding="utf-8"))
    with matplotlib.rc_context(common.RC):
        figure = draw(matrices)
        metadata = {"Date": None} if parsed.out.endswith(".svg") else {}
        figure.savefig(parsed.out, dpi=110, metadata=metadata)


if __name__ == "__main__":
    main()

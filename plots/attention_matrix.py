#!/usr/bin/python3
"""Which keys each query sees, or attention matrices: one panel per variant.

MATRICES is a JSON file: "queries", "keys", "causal", and "panels", a list of objects with "title",
"rows" (a matrix, queries down, keys across) and "kind": "keys" where entries say 1 for a key that the
query sees, "weights" where they are attention weights.
"""

import argparse
import json
import pathlib
import textwrap

import common
import matplotlib
import matplotlib.colors

MOST_COLUMNS = 4
PANEL = 2.5  # inches
GAP, LEFT = 0.35, 0.55
SEEN = "#0072B2"
UNSEEN = "#f1f1f1"
FUTURE = "#ffffff"


def masked(rows, causal):
    """Pairs that causality hides are no part of any pattern."""
    return [[None if causal and j > i else value for j, value in enumerate(row)]
            for i, row in enumerate(rows)]


def draw_grid(axes, queries, keys):
    """Light lines between cells, as long as these are large enough to be told apart."""
    if max(queries, keys) > 100:
        return
    axes.set_xticks([j - 0.5 for j in range(1, keys)], minor=True)
    axes.set_yticks([i - 0.5 for i in range(1, queries)], minor=True)
    axes.grid(which="minor", color="white", linewidth=0.4)
    axes.tick_params(which="minor", length=0)


def draw_matrix(axes, panel, causal):
    rows = masked(panel["rows"], causal)
    values = common.pandas.DataFrame(rows, dtype=float).to_numpy()
    if panel["kind"] == "keys":
        colours = matplotlib.colors.ListedColormap([UNSEEN, SEEN])
        norm = matplotlib.colors.Normalize(0, 1)
    elif (values < 0).any():
        largest = max(abs(values[values == values]))
        colours = matplotlib.colormaps["RdBu"].copy()
        norm = matplotlib.colors.TwoSlopeNorm(0, -largest, largest)
    else:
        # Square roots, or one heavy key would leave all others white.
        colours = matplotlib.colors.LinearSegmentedColormap.from_list("seen", [UNSEEN, SEEN])
        norm = matplotlib.colors.PowerNorm(0.5, 0, values[values == values].max() or 1)
    colours.set_bad(FUTURE)
    axes.imshow(values, cmap=colours, norm=norm, interpolation="nearest", aspect="equal")
    draw_grid(axes, len(rows), len(rows[0]))
    axes.grid(which="major", visible=False)
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color("#9a9a9a")
    axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(5, integer=True))


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
    across = LEFT + columns * (PANEL + GAP)
    below = 0.2 if note else 0
    up = lines * (head + height + foot) + below
    figure = common.new_figure(across, up)
    figure.text(LEFT / across, 0.08 / up, note, fontsize=7.5, color="#444444")
    for number, (panel, title) in enumerate(zip(panels, titles)):
        column, line = number % columns, number // columns
        axes = common.add_panel(figure, LEFT + column * (PANEL + GAP),
                                up - (line + 1) * (head + height + foot) + foot, PANEL, height)
        draw_matrix(axes, panel, matrices["causal"])
        axes.set_title("\n".join(title), loc="left", fontsize=8.5)
        axes.set_xlabel("key")
        if column == 0:
            axes.set_ylabel("query")
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

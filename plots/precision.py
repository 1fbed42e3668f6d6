#!/usr/bin/python3
"""What the precision of operands costs and buys: variants that differ in the parameter `precision` alone,
one line for all of them; error at each precision, and how much faster the reduced one is."""

import re

import common
import strips

PARAMETER = re.compile(r",?precision=(\w+)")
DEFAULT = "f32"
MARKS = {"f32": "o", "bf16": "s"}


def without_precision(variant):
    """(the variant without its precision, the precision)."""
    found = PARAMETER.search(variant)
    rest = PARAMETER.sub("", variant).replace("(,", "(").replace("()", "")
    return rest, found[1] if found else DEFAULT


def panels(rows):
    """(title, rows with columns `base` and `precision`) of each panel where something was measured at
    two precisions."""
    for title, of_length in strips.each_length(rows):
        good = of_length[(of_length["status"] == "ok") & (of_length["error"] > 0)]
        split = [without_precision(variant) for variant in good["variant"]]
        good = good.assign(base=[base for base, _ in split], precision=[p for _, p in split])
        several = good.groupby("base")["precision"].transform("nunique") > 1
        if several.any():
            yield title, good[several]


def names_of(rows):
    return list(dict.fromkeys(rows["base"]))


def speeds_of(of_base):
    """"bf16: 1.80 x as fast, ..." over float32; nothing where that or nothing was timed."""
    full = of_base[(of_base["precision"] == DEFAULT) & (of_base["time"] > 0)]
    others = of_base[(of_base["precision"] != DEFAULT) & (of_base["time"] > 0)]
    if full.empty or others.empty:
        return ""
    ratios = [f"{row.precision} {full['time'].iloc[0] / row.time:.2f}" for row in others.itertuples()]
    return ", ".join(ratios) + " x as fast"


def draw_panel(axes, rows, looks):
    axes.set_xlabel("relative error against dense in double")
    axes.set_xscale("log")
    low, high = rows["error"].min(), rows["error"].max()
    axes.set_xlim(low / 2, high * (high / low)**0.4 * 3)  # room for words at the right
    for place, base in enumerate(names_of(rows)):
        of_base = rows[rows["base"] == base]
        colour = looks(of_base["variant"].iloc[0])["color"]
        axes.plot(of_base["error"], [place] * len(of_base), color=colour, linewidth=1.2, zorder=2)
        for row in of_base.itertuples():
            axes.plot([row.error], [place], linestyle="none", color=colour, zorder=3,
                      marker=MARKS.get(row.precision, "D"),
                      markersize=4 if row.precision == DEFAULT else 6.5,
                      fillstyle="full" if row.precision == DEFAULT else "none")
        axes.annotate(speeds_of(of_base), (of_base["error"].max(), place), (7, 0),
                      textcoords="offset points", fontsize=7, color=colour, va="center")
    strips.logarithmic(axes)


FOOT = ("Dot: float32; square: bf16; diamond: another. Median over heads. The factor is the ratio of the "
        "median times of the two.")


def draw(frame, out, _=None):
    return strips.draw_groups(frame, out, "precision", panels, draw_panel,
                              "Precision of operands", FOOT, names_of=names_of)


if __name__ == "__main__":
    common.main(__doc__, draw)

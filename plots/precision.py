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


def draw_panel(axes, rows, looks):
    axes.set_xlabel("relative error against dense in double")
    axes.set_xscale("log")
    axes.set_xlim(rows["error"].min() / 2, rows["error"].max() * 8)
    for place, base in enumerate(names_of(rows)):
        of_base = rows[rows["base"] == base]
        colour = looks(of_base["variant"].iloc[0])["color"]
        axes.plot(of_base["error"], [place] * len(of_base), color=colour, linewidth=1.2, zorder=2)
        full = of_base[of_base["precision"] == DEFAULT]
        for row in of_base.itertuples():
            axes.plot([row.error], [place], linestyle="none", color=colour, markersize=5.5, zorder=3,
                      marker=MARKS.get(row.precision, "D"))
            if row.precision != DEFAULT and len(full) and row.time > 0:
                axes.text(of_base["error"].max() * 1.5, place,
                          f"{row.precision}: {full['time'].iloc[0] / row.time:.2f} x as fast",
                          fontsize=7, color=colour, va="center")
    strips.logarithmic(axes)


FOOT = ("Circle: float32; square: bf16; diamond: another. Median over heads. The factor is the ratio of the "
        "median times of the two.")


def draw(frame, out, _=None):
    return strips.draw_groups(frame, out, "precision", panels, draw_panel,
                              "Precision of operands", FOOT, names_of=names_of)


if __name__ == "__main__":
    common.main(__doc__, draw)

#!/usr/bin/python3
"""What threads make of a pass: time on one thread over the time on several, one panel per input, mask and
length, one curve per variant."""

import common
import curves

PANEL_WIDTH = 3.4  # inches
HEIGHT = 3.2
COLUMNS = 3


def panels(frame):
    """(title, rows with columns `gain`, `gain_low`, `gain_high`) of what ran on one thread and more."""
    timed = frame[(frame["status"] == "ok") & (frame["time"] > 0)
                  & (frame["direction"] == "forward")]
    for (text, shape, causal, n), rows in timed.groupby(["input", "shape", "causal", "keys"],
                                                        sort=False):
        alone = rows[rows["threads"] == 1].set_index("variant")
        rows = rows[rows["variant"].isin(alone.index)]
        if rows["threads"].nunique() < 2:
            continue
        single = alone.loc[rows["variant"]]
        yield (f"n = {n}, {'causal' if causal else 'not causal'}, {text}: {shape}",
               rows.assign(gain=single["time"].values / rows["time"].values,
                           gain_low=single["time_low"].values / rows["time_high"].values,
                           gain_high=single["time_high"].values / rows["time_low"].values))


def draw_panel(axes, rows, looks):
    counts = sorted(rows["threads"].unique())
    axes.set_xlabel("threads")
    axes.set_ylabel("time on one thread over time")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set_xlim(counts[0] / 1.1, counts[-1] * 1.1)
    axes.set_ylim(min(0.9, rows["gain_low"].min() / 1.1),
                  max(counts[-1], rows["gain_high"].max()) * 1.1)
    for axis, ticks in ((axes.xaxis, counts), (axes.yaxis, counts)):
        axis.set_major_locator(common.matplotlib.ticker.FixedLocator(ticks))
        axis.set_major_formatter(common.matplotlib.ticker.FuncFormatter(lambda n, _: f"{n:g}"))
        axis.set_minor_locator(common.matplotlib.ticker.NullLocator())
    axes.plot([counts[0], counts[-1]], [counts[0], counts[-1]], color="#bdbdbd", linewidth=1,
              zorder=0)
    ends = []
    for variant, points in rows.groupby("variant", sort=False):
        points, look = points.sort_values("threads"), looks(variant)
        axes.plot(points["threads"], points["gain"], zorder=3, **look)
        several = points[points["threads"] > 1]
        axes.vlines(several["threads"], several["gain_low"], several["gain_high"],
                    color=look["color"], linewidth=3, alpha=0.4, zorder=2)
        ends.append((variant, (points["threads"].iloc[-1], points["gain"].iloc[-1])))
    curves.draw_labels(axes, ends, looks, HEIGHT)


FOOT = ("Ratio of medians over rounds; bars: from the ends of their intervals. Grey: as many times as fast "
        "as there are threads.")


def draw(frame, out, _=None):
    drawn, looks = list(panels(frame)), common.Looks(frame)
    if not drawn:
        return []
    figure = curves.draw_grid(drawn, draw_panel, looks, "What threads make of a pass", FOOT,
                              (PANEL_WIDTH, HEIGHT), COLUMNS,
                              max(len(v) for _, rows in drawn for v in rows["variant"]))
    return common.save(figure, out, "threads_scaling")


if __name__ == "__main__":
    common.main(__doc__, draw)

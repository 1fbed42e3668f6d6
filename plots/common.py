"""What the figures share: reading records, one look per variant, panels whose labels never overlap.

Figures are functions of records (points.jsonl) alone.
"""

import argparse
import hashlib
import json
import math
import os
import pathlib
import statistics
import sys
import textwrap

NOTHING_DRAWN = 3  # exit status: a reason why there are no figures, on standard error

try:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.backends.backend_agg
    import matplotlib.figure
    import matplotlib.ticker
    import pandas
except ImportError as error:
    print(f"figures need the packages python3-matplotlib and python3-pandas ({error})",
          file=sys.stderr)
    sys.exit(NOTHING_DRAWN)

# Of the memory that a variant takes beside input and output, as in the report's tables.
MEMORY_PARTS = ("scratch", "heap", "choice", "layout", "parameter", "random")
RECORD_SCHEMA = 5
HEADLINE = "relative_error"

# ---- records -----------------------------------------------------------------------------------


class NoRecords(Exception):
    """There is nothing to draw; the text says why."""


def read_records(directory):
    """Records of DIRECTORY/points.jsonl in order. A torn last line is no record; other lines that are
    none are left out and named on standard error."""
    path = pathlib.Path(directory) / "points.jsonl"
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise NoRecords(f"{path}: {error.strerror}") from error
    records, bad = [], []
    for number, line in enumerate(lines[:-1], 1):  # after the last newline: empty, or torn
        record = parsed(line)
        if isinstance(record, str):
            bad.append((number, record))
        else:
            records.append(record)
    if bad:
        numbers = ", ".join(str(number) for number, _ in bad[:8])
        more = f" and {len(bad) - 8} more" if len(bad) > 8 else ""
        text = f"{path}: left out lines that are no records: {numbers}{more} ({bad[0][1]})"
        if not records:
            raise NoRecords(text)
        print(text, file=sys.stderr)
    return records


def parsed(line):
    """The record of a line, or a text that says why it is none."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return "no JSON"
    if not isinstance(record, dict):
        return "no JSON object"
    if record.get("schema") != RECORD_SCHEMA:
        return f"schema {record.get('schema')!r}; these figures read schema {RECORD_SCHEMA}"
    return record


def point_of(record):
    """What tells one point from another, whatever code measured it."""
    return (record["variant"], record["input"], json.dumps(record["problem"], sort_keys=True),
            record["batch"], record["heads"], record["key_heads"], record["threads"],
            record["seed"], around_of(record), record["machine"])


def around_of(record):
    """What is timed, and what stands around attention."""
    return tuple(record[key] for key in ("direction", "feed_forward", "feed_forward_chunk", "model",
                                         "replaced"))


def latest(records):
    """The last record of each point, without those of builds that another build came after: a build
    is stale as soon as one of its points was measured again by other code."""
    last, stale = {}, set()
    for record in records:
        before = last.get(point_of(record))
        if before and before["build"] != record["build"]:
            stale.add(before["build"])
            stale.discard(record["build"])
        last[point_of(record)] = record
    return [record for record in last.values() if record["build"] not in stale]


def median_interval(values, confidence=0.95):
    """Narrowest order-statistic interval of the median that has the confidence, or the range."""
    ordered, n = sorted(values), len(values)
    coverage, k = 1 - 2 * 0.5**n, 0
    while k + 1 < n - 1 - (k + 1):
        narrower = coverage - 2 * math.comb(n, k + 1) * 0.5**n
        if narrower < confidence:
            break
        coverage, k = narrower, k + 1
    return ordered[k], ordered[n - 1 - k]


def figure_of(per_seed, spread_of):
    """Median over seeds of the median over each one's values; low and high by `spread_of`, which is
    given the lists of values."""
    per_seed = [values for values in per_seed if values]
    if not per_seed or any(math.isnan(value) for values in per_seed for value in values):
        return math.nan, math.nan, math.nan
    return statistics.median(map(statistics.median, per_seed)), *spread_of(per_seed)


def over_rounds(per_seed):
    """Interval of the median of one seed's rounds; range of the medians of several seeds."""
    if len(per_seed) == 1:
        return median_interval(per_seed[0])
    medians = [statistics.median(values) for values in per_seed]
    return min(medians), max(medians)


def over_heads(per_seed):
    """Range over all heads of all seeds."""
    return min(map(min, per_seed)), max(map(max, per_seed))


def by_head(records):
    """Median of each head's error over sequences and seeds."""
    errors = [(record["heads"], record["error"].get(HEADLINE) or []) for record in records]
    heads = {count for count, values in errors if len(values) >= count}
    if len(heads) != 1:
        return []
    count = heads.pop()
    return [statistics.median(value for _, values in errors for value in values[head::count])
            for head in range(count)]


def counted(count, word):
    return f"{count} {word}" + ("" if count == 1 else "s")


def shape_of(record):
    """What beside its length and mask makes a problem, in words."""
    problem = record["problem"]
    words = [f"batch {record['batch']}", counted(record["heads"], "head")]
    if record["key_heads"] != record["heads"]:
        words.append(counted(record["key_heads"], "key head"))
    words.append(f"dim {problem['dim']}")
    if problem["value_dim"] != problem["dim"]:
        words.append(f"value dim {problem['value_dim']}")
    if problem["queries"] != problem["keys"]:
        words.append(f"{problem['queries']} queries")
    if problem["scale"]:
        words.append(f"scale {problem['scale']:g}")
    if record["direction"] == "block":
        words.append(f"feed-forward {record['feed_forward']}" if record["feed_forward"]
                     else "no feed-forward")
        if record["feed_forward_chunk"]:
            words.append(f"in chunks of {record['feed_forward_chunk']}")
    if record["model"]:
        words += [f"model {record['model']}", f"layers replaced: {record['replaced']}"]
    return ", ".join(words)


def row_of(seeds, shape):
    """One line of the frame: a variant at one length, over its seeds. Where it decodes, its time is
    that of a token."""
    first = seeds[0]
    done = [record for record in seeds if record["status"] == "ok"]
    trusted = done and all(record["status"] != "mistrusted" for record in seeds)
    times = figure_of([[x["time_ns"] * 1e-9 for x in r["rounds"]] for r in done], over_rounds)
    errors = figure_of([r["error"].get(HEADLINE, []) for r in done], over_heads)
    memory = [sum(r[f"{part}_bytes"] for part in MEMORY_PARTS) for r in done]
    return {
        "variant": first["variant"], "resolved": first["resolved"],
        "family": first["family"], "target": first["target"],
        "input": first["input"], "keys": first["problem"]["keys"],
        "direction": first["direction"], "causal": first["problem"]["causal"],
        "threads": first["threads"],
        "shape": shape, "anchor": first["anchor"],
        "status": "ok" if trusted else next(r["status"] for r in seeds if r["status"] != "ok"),
        "time": times[0], "time_low": times[1], "time_high": times[2],
        "error": errors[0], "error_low": errors[1], "error_high": errors[2],
        "by_head": by_head(done),
        "memory": statistics.median(memory) if memory else math.nan,
        "state": statistics.median(r["state_bytes"] for r in done) if done else math.nan,
    }


def load(directories):
    """A data frame with one line per variant, length, input, direction, mask, threads and shape; what
    several machines measured stands apart, as a shape of its own. Seconds and bytes. Raises
    NoRecords."""
    records = latest([r for directory in directories for r in read_records(directory)])
    several = len({record["machine"] for record in records}) > 1
    groups = {}
    for record in records:
        shape = shape_of(record) + (f", machine {record['machine'][:8]}" if several else "")
        groups.setdefault((record["variant"], record["input"], record["problem"]["keys"],
                           around_of(record), record["problem"]["causal"],
                           record["threads"], shape), []).append(record)
    if not groups:
        raise NoRecords("no records: nothing has been measured yet")
    frame = pandas.DataFrame([row_of(seeds, key[-1]) for key, seeds in groups.items()])
    if not (frame.status == "ok").any():
        raise NoRecords("no point ended well: there is nothing to draw")
    return frame


def figure_groups(frame, direction="forward"):
    """(suffix of the file's name, words for the title, rows) for each figure of what a direction
    measured: one per mask and number of threads. All that is decoded is causal."""
    rows = frame[frame["direction"] == direction]
    for (causal, threads), rows in rows.groupby(["causal", "threads"], sort=True):
        suffix = "_causal" if causal and direction != "decode" else ""
        suffix += f"_{threads}_threads" if threads != 1 else ""
        words = "causal" if causal else "not causal"
        yield suffix, f"{words}, {threads} thread{'s' if threads != 1 else ''}", rows


def panels_of(rows):
    """(name, rows) of each panel of a figure, in the order of records: one per input and shape, as an
    input from a file has a shape of its own."""
    panels = rows.groupby(["input", "shape"], sort=False)
    return [(f"{text}: {shape}", of_panel) for (text, shape), of_panel in panels]


# ---- looks -------------------------------------------------------------------------------------

# Okabe and Ito's colours without yellow, and a wine red: any two differ by at least 16 in CIE Lab
# for normal, protan, deutan and tritan sight.
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#882255"]
# Pairs of them that some reader may take for one another.
SIMILAR = [(0, 2), (0, 5), (1, 3), (1, 5), (2, 4), (2, 5), (2, 6), (4, 5)]
MARKERS = ["o", "s", "^", "v", "D", "P", "X", "*", "<", ">"]
LINES = ["-", (0, (5, 1.5)), (0, (6, 1.5, 1, 1.5)), (0, (2, 1))]
FILLS = ["full", "none", "left", "top", "right", "bottom"]
GREY = "#8a8a8a"
# Chosen so that the families known when it was chosen never share a look.
SALT = 378036


def family_look(family):
    """Numbers of colour, marker and line of a variant's name, and of nothing else, so that a variant
    looks the same in every figure of every run."""
    digest = hashlib.md5(f"{SALT}:{family}".encode()).digest()
    number = int.from_bytes(digest[:8], "big")
    return number % 7, number // 7 % 10, number // 70 % 4


class Looks:
    """Colour, marker and line of every curve. Parameters of one family differ by how their markers
    are filled."""

    def __init__(self, frame):
        self._rank = {}
        for family, rows in frame.groupby("family"):
            for rank, variant in enumerate(sorted(rows["variant"].unique(), key=natural)):
                self._rank[variant] = (family, rank)

    def __call__(self, variant):
        family, rank = self._rank[variant]
        style = {"fillstyle": FILLS[rank % len(FILLS)], "markersize": 5.5, "markeredgewidth": 1.1,
                 "markerfacecoloralt": "white"}
        if family == "dense":
            return style | {"color": "black", "marker": "o", "linestyle": "-", "linewidth": 2}
        colour, marker, line = family_look(family)
        return style | {"color": COLOURS[colour], "marker": MARKERS[marker],
                        "linestyle": LINES[line], "linewidth": 1.3}


def natural(text):
    """Sorts radius=64 before radius=256."""
    parts, digits = [""], False
    for character in text:
        if character.isdigit() != digits:
            parts.append("")
            digits = not digits
        parts[-1] += character
    return [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in parts]


def human_seconds(seconds, _=None):
    for size, unit in ((1, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= 0.9995 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def human_bytes(count, _=None):
    for power, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if count >= 2**power:
            return f"{count / 2**power:.3g} {unit}"
    return f"{count:.3g} B"


# ---- labels ------------------------------------------------------------------------------------


def spread(wanted, gap, low, high):
    """Places near the wanted ones, in the same order, at least `gap` apart, within [low, high] where
    there is room: neighbours that are too close form a block around their mean."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    blocks = []  # [sum of (wanted - offset in block), count]
    for i in order:
        blocks.append([wanted[i], 1])
        while len(blocks) > 1 and start(blocks[-2], gap, low, high) + gap * blocks[-2][1] > \
                start(blocks[-1], gap, low, high):
            total, count = blocks.pop()
            blocks[-1][0] += total - gap * count * blocks[-1][1]
            blocks[-1][1] += count
    places = [0.0] * len(wanted)
    position = 0
    for block in blocks:
        for k in range(block[1]):
            places[order[position]] = start(block, gap, low, high) + gap * k
            position += 1
    return places


def start(block, gap, low, high):
    """First place of a block: the best one, moved into the limits."""
    return max(low, min(block[0] / block[1], high - gap * (block[1] - 1)))


def overlap(a, b):
    """Area that two boxes (x0, y0, x1, y1) share."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0) * max(height, 0)


# ---- figures -----------------------------------------------------------------------------------

RC = {
    "font.size": 8.5, "axes.titlesize": 9, "axes.labelsize": 9, "axes.spines.top": False,
    "axes.spines.right": False, "axes.grid": True, "grid.color": "#e4e4e4", "grid.linewidth": 0.6,
    "axes.axisbelow": True, "svg.hashsalt": "subquad", "figure.facecolor": "white",
}
TEXT_WIDTH = 0.068  # inches per character of a label at 8 points, on the safe side
LINE_HEIGHT = 0.155  # inches


def new_figure(width, height):
    figure = matplotlib.figure.Figure(figsize=(width, height))
    matplotlib.backends.backend_agg.FigureCanvasAgg(figure)
    return figure


def add_panel(figure, left, bottom, width, height, **options):
    """An axes at a place in inches."""
    across, up = figure.get_size_inches()
    return figure.add_axes([left / across, bottom / up, width / across, height / up], **options)


def title_of(panel_name, width):
    """The input as written and its shape, broken to fit `width` inches."""
    return "\n".join(textwrap.wrap(panel_name, max(20, int(width / 0.075)),
                                   break_on_hyphens=False))


def describe_missing(rows):
    """Sentence on the points that are not drawn, or nothing."""
    missing = rows[rows["status"] != "ok"]
    if missing.empty:
        return ""
    parts = []
    for (status, variant), points in missing.groupby(["status", "variant"], sort=True):
        by_input = {text: ", ".join(str(n) for n in sorted(of_input["keys"].unique()))
                    for text, of_input in points.groupby("input", sort=False)}
        everywhere = len(by_input) == rows["input"].nunique() and len(set(by_input.values())) == 1
        places = [f"n = {next(iter(by_input.values()))}"] if everywhere else [
            f"n = {lengths} of {text}" for text, lengths in by_input.items()]
        parts.append(f"{variant} at {', '.join(places)} ({status.replace('_', ' ')})")
    return "Not drawn: " + "; ".join(parts) + "."


def foot_lines(text, width):
    return textwrap.wrap(text, int(width / 0.052)) if text else []


def titled_figure(width, height, title, panel_titles, foot):
    """A figure with `height` inches of room for panels, and the inches below that room."""
    bottom = 0.6 + 0.13 * len(foot)
    title = "\n".join(textwrap.wrap(title, int(width / 0.105)))
    head = 0.3 + 0.15 * (title.count("\n") + 1)
    head += 0.15 * max(text.count("\n") + 1 for text in panel_titles)
    up = bottom + height + head
    figure = new_figure(width, up)
    figure.text(0.01, 1 - 0.08 / up, title, fontsize=10.5, fontweight="bold", va="top")
    for i, line in enumerate(reversed(foot)):
        figure.text(0.01, (0.06 + 0.13 * i) / up, line, fontsize=7, color="#444444", va="bottom")
    return figure, bottom


def save(figure, directory, name):
    """NAME.png and NAME.svg; returns their paths."""
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for kind, metadata in (("png", {}), ("svg", {"Date": None})):
        path = directory / f"{name}.{kind}"
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        figure.savefig(beside, format=kind, dpi=150, metadata=metadata)
        beside.replace(path)
        paths.append(path)
    return paths


def arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("results", nargs="+", metavar="RESULTS_DIR",
                        help="folder of a run, which holds points.jsonl")
    parser.add_argument("--out", default="figures", metavar="DIR", help="where figures go")
    return parser


def main(description, draw, options=lambda parser: None):
    """Runs `draw(frame, out, parsed arguments)` as a program of its own."""
    parser = arguments(description)
    options(parser)
    parsed = parser.parse_args()
    try:
        frame = load(parsed.results)
        with matplotlib.rc_context(RC):
            paths = draw(frame, parsed.out, parsed)
    except NoRecords as error:
        print(error, file=sys.stderr)
        sys.exit(NOTHING_DRAWN)
    for path in paths:
        print(path)

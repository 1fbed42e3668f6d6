#!/usr/bin/python3
"""What a judge's trials say of each variant, as a table: characters read, divergence, error.

A trial is a line read with one seed. Seeds are averaged within a line; medians and their intervals
are over lines, whose text differs. What is lost is taken against exact attention on the same line and
seed.
"""

import argparse
import json
import pathlib
import statistics
import sys

import common

SCHEMA = 1
EXACT = "dense"
ZEROED = "zeroed"


def read_trials(directory):
    """Records of DIRECTORY/trials.jsonl in order; raises NoRecords."""
    path = pathlib.Path(directory) / "trials.jsonl"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise common.NoRecords(f"{path}: {error.strerror}") from error
    records = [json.loads(line) for line in lines]
    for number, record in enumerate(records, 1):
        if record.get("schema") != SCHEMA:
            raise common.NoRecords(f"{path}:{number}: schema {record.get('schema')!r}; "
                                   f"these tables read schema {SCHEMA}")
    return records


def share_read(trial):
    return 1 - trial["edits"] / trial["characters"]


def by_line(values):
    """Mean over seeds of each line, of (line, value) pairs."""
    lines = {}
    for line, value in values:
        lines.setdefault(line, []).append(value)
    return [statistics.fmean(of_line) for of_line in lines.values()]


def with_interval(values):
    """Median over lines, and its interval."""
    return (statistics.median(values), *common.median_interval(values))


def by_head(trials):
    """Median over trials of each head's error, the heads of all layers in a row."""
    flat = [[error for layer in trial["relative_error"] for error in layer] for trial in trials]
    return [statistics.median(head) for head in zip(*flat)]


def row_of(trials, exact):
    """One line of the table: trials of a variant that all ended well; `exact` are those of exact
    attention by (line, seed)."""
    lost = [(trial["line"], share_read(exact[trial["line"], trial["seed"]]) - share_read(trial))
            for trial in trials]
    heads = by_head(trials)
    return {
        "variant": trials[0]["variant"], "target": trials[0]["target"],
        "read": 1 - sum(trial["edits"] for trial in trials)
        / sum(trial["characters"] for trial in trials),
        "lost": with_interval(by_line(lost)),
        "kl": with_interval(by_line([(t["line"], t["kl_per_frame"]) for t in trials])),
        "error": (statistics.median(heads), min(heads), max(heads)),
    }


def summary(trials, layers="all"):
    """Rows of the variants that ended well in every trial, best first, and (variant, reason) of the
    others."""
    groups = {}
    for trial in trials:
        if trial["layers"] == layers:
            groups.setdefault(trial["variant"], []).append(trial)
    if EXACT not in groups:
        raise common.NoRecords(f"no trials of {EXACT} with layers {layers}")
    exact = {(trial["line"], trial["seed"]): trial for trial in groups[EXACT]}
    rows, left_out = [], []
    for variant, group in groups.items():
        bad = next((trial for trial in group if trial["status"] != "ok"), None)
        if bad:
            left_out.append((variant, f"{bad['status']}: {bad['reason']}"))
        elif len(group) != len(exact):
            left_out.append((variant, f"{len(group)} of {len(exact)} trials"))
        else:
            rows.append(row_of(group, exact))
    rows.sort(key=lambda row: (-row["read"], row["kl"][0]))
    for place, row in enumerate(rows, 1):
        row["rank"] = place
    return rows, left_out


# ---- Markdown ----------------------------------------------------------------------------------


def figure(value):
    """Two significant digits; what is rounding alone as its size."""
    if abs(value) < 1e-5:
        return "< 1e-5"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.2g}" if abs(value) >= 1e-3 else f"{value:.1e}".replace("e-0", "e-")


def interval(values):
    if abs(values[0]) < 1e-5:
        return figure(values[0])
    return f"{figure(values[0])} [{figure(values[1])}, {figure(values[2])}]"


def points(values):
    """Hundredths, with their interval."""
    low, high = (f"{100 * value:.1f}".replace("-0.0", "0.0") for value in values[1:])
    middle = f"{100 * values[0]:.1f}".replace("-0.0", "0.0")
    return middle if low == high else f"{middle} [{low}, {high}]"


def error_of(row):
    if row["variant"] == EXACT:
        return "–"
    return interval(row["error"])


def markdown(rows):
    lines = ["| | variant | target | read | lost | KL per frame | error |",
             "|--:|:--|:--|--:|--:|--:|--:|"]
    for row in rows:
        name = "*attention zeroed*" if row["variant"] == ZEROED else f"`{row['variant']}`"
        lines.append(f"| {row['rank']} | {name} | {row['target']} | {100 * row['read']:.1f} % | "
                     f"{points(row['lost'])} | {interval(row['kl'])} | {error_of(row)} |")
    return "\n".join(lines) + "\n"


def rank_correlation(first, second):
    """Spearman's."""
    return common.pandas.Series(first).rank().corr(common.pandas.Series(second).rank())


def foretold(rows):
    """Sentence on how well errors order variants by divergence; nothing where there are too few."""
    rows = [row for row in rows if row["variant"] not in (EXACT, ZEROED)]
    if len(rows) < 5:
        return ""
    kl = [row["kl"][0] for row in rows]
    middle, worst = (rank_correlation([row["error"][i] for row in rows], kl) for i in (0, 2))
    return (f"Rank correlation (Spearman) with the KL per frame, over the {len(rows)} variants between the "
            f"ends: {middle:.2f} of the median head's error, {worst:.2f} of the worst head's.\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", metavar="RESULTS_DIR", help="folder that holds trials.jsonl")
    parser.add_argument("--layers", default="all", help="layers that were replaced")
    parsed = parser.parse_args()
    layers = int(parsed.layers) if parsed.layers.isdecimal() else parsed.layers
    try:
        rows, left_out = summary(read_trials(parsed.results), layers)
    except common.NoRecords as error:
        print(error, file=sys.stderr)
        sys.exit(common.NOTHING_DRAWN)
    print(markdown(rows) + "\n" + foretold(rows), end="")
    for variant, reason in left_out:
        print(f"\n`{variant}`: {reason}")


if __name__ == "__main__":
    main()

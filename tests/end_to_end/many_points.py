"""Thousands of points for the report page. As a program it measures how long a browser takes to draw
them, which no test may depend on:

    SUBQUAD_BINARY=build/release/subquad SUBQUAD_SOURCE=. tests/end_to_end/many_points.py [POINTS]
"""

import json
import os
import pathlib
import sys
import tempfile
from random import Random


PAINTED = """new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(
    () => done(performance.now()))))"""


def records_of(source, run_name):
    path = pathlib.Path(source, "results", "recorded", run_name, "points.jsonl")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_run(folder, records):
    with open(os.path.join(folder, "points.jsonl"), "w", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)
    return folder


def scaled(value, random):
    """The same with every number that is not whole a little smaller, each by its own factor."""
    if isinstance(value, float):
        return value * random.uniform(0.9, 1)
    if isinstance(value, list):
        return [scaled(one, random) for one in value]
    if isinstance(value, dict):
        return {key: scaled(one, random) for key, one in value.items()}
    return value


def many_points(source, count):
    """`count` records of one problem: dense, and restrictions of the quickstart with figures that all
    differ, as measured ones do."""
    base = [r for r in records_of(source, "quickstart")
            if r["input"] == "gaussian" and r["problem"]["keys"] == 512]
    records = [r for r in base if r["anchor"]]
    others = [r for r in base if r["target"] == "restriction"]
    for i in range(count - len(records)):
        random = Random(i)
        record = scaled(others[i % len(others)], random)
        record["variant"] = f"{record['family']}(number={i})"
        record["key"] = f"{random.getrandbits(64):016x}"
        spread = 1 + i / count
        for one in record["rounds"]:
            one["time_ns"] *= spread
        record["error"]["relative_error"] = [e / spread for e in record["error"]["relative_error"]]
        records.append(record)
    return records


def main():
    from browser import Browser
    from support import SOURCE, run
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    with tempfile.TemporaryDirectory() as folder:
        page = os.path.join(folder, "page.html")
        run("report", write_run(folder, many_points(SOURCE, count)), "--html", page)
        print(f"{count} points, {os.path.getsize(page) / 1e6:.1f} MB")
        for _ in range(5):
            browser = Browser()
            try:
                before = browser.processor_seconds()
                browser.open(page)
                drawn = browser.ask("performance.getEntriesByName('drawn')[0].startTime")
                painted = browser.ask(PAINTED)
                used = browser.processor_seconds() - before
                print(f"script done {drawn / 1e3:.2f} s after navigation, painted "
                      f"{painted / 1e3:.2f} s; processor time {used:.2f} s")
            finally:
                browser.close()


if __name__ == "__main__":
    main()

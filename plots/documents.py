#!/usr/bin/python3
"""Brings what pages show of records up to date: the tables between markers in README.md and docs/*.md,
and with --figures the figures of recorded runs and the pictures of docs/pictures. With --check it
changes nothing, says what is not up to date, and ends with 1 if anything is."""

import argparse
import difflib
import json
import os
import pathlib
import re
import sys

import crossovers
import tables

SOURCE = pathlib.Path(__file__).resolve().parent.parent
END = "<!-- end -->"
EXPERIMENTS = "experiments"


def question_of(config):
    lines = re.findall(r"^question\s*=\s*(.*)$", config.read_text(encoding="utf-8"), re.MULTILINE)
    if len(lines) != 1:
        raise tables.Mistake(f"{config}: {len(lines)} lines 'question = ...', not one")
    return lines[0].strip()


def page_of(name, source):
    """The page that reads an experiment: docs/NAME.md, or else the first, README.md before all, that
    names its config; nothing where none does."""
    own = source / "docs" / f"{name}.md"
    others = [page for page in pages_of(source) if page.stem != EXPERIMENTS and page != own]
    for page in ([own] if own.exists() else []) + others:
        if re.search(rf"\b{name}\.cfg\b", page.read_text(encoding="utf-8")):
            return f"[{page.name}]({os.path.relpath(page, source / 'docs')})"
    return ""


def minutes_of(name, source):
    """From the first timed pass to the last of the recorded run, in minutes; nothing where nothing was
    timed."""
    path = source / "results" / "recorded" / name / "points.jsonl"
    if not path.exists():
        return "not recorded"
    times = [entry["unix_time"] for line in path.read_bytes().splitlines()
             for entry in json.loads(line)["rounds"]]
    return f"{max(1, round((max(times) - min(times)) / 60))}" if times else "errors alone"


def index(lines, reports):
    """One line for each experiments/*.cfg."""
    tables.parse(lines, (), ())
    source = pathlib.Path(reports.folder)
    out = ["| experiment | question | minutes of timing | page |", "|:--|:--|--:|:--|"]
    for config in sorted((source / EXPERIMENTS).glob("*.cfg")):
        out.append(f"| [`{config.stem}`](../{EXPERIMENTS}/{config.name}) | {question_of(config)} | "
                   f"{minutes_of(config.stem, source)} | {page_of(config.stem, source)} |")
    return out


def published(lines, reports):
    """Every published table as judged by what runs left in a folder, and their summary."""
    settings = tables.parse(lines, ("recorded",), ())
    if not settings.get("recorded"):
        raise tables.Mistake("no line 'recorded = FOLDER'")
    text = reports.printed("reproduce", "all", "--recorded", settings["recorded"], "--format",
                           "markdown")
    return text.strip("\n").split("\n")


KINDS = {"table": tables.table, "crossovers": crossovers.table, "experiments": index,
         "published": published}
# A page that explains markers shows some in a code block; those begin with spaces.
OPENING = re.compile(f"^<!-- ({'|'.join(KINDS)})$")


def redrawn(text, where, reports):
    """The page with all that stands between markers made anew."""
    lines, out, i = text.split("\n"), [], 0
    while i < len(lines):
        opening = OPENING.match(lines[i])
        out.append(lines[i])
        i += 1
        if not opening:
            continue
        begin = i
        try:
            close = lines.index("-->", begin)
            end = lines.index(END, close)
        except ValueError:
            raise tables.Mistake(f"{where}:{begin}: the marker has no line '-->', or none '{END}' "
                                 "behind it") from None
        try:
            table = KINDS[opening[1]](lines[begin:close], reports)
        except tables.Mistake as mistake:
            raise tables.Mistake(f"{where}:{begin}: {mistake}") from None
        out += lines[begin:close + 1] + table + [END]
        i = end + 1
    return "\n".join(out)


def pages_of(source):
    return [source / "README.md", *sorted((source / "docs").glob("*.md"))]


def bring_up_to_date(source, program, check):
    """Whether all tables were up to date; says which were not."""
    reports = tables.Reports(program, source)
    good = True
    for page in pages_of(source):
        before = page.read_text(encoding="utf-8")
        after = redrawn(before, page.relative_to(source), reports)
        if after == before:
            continue
        good = False
        if check:
            name = str(page.relative_to(source))
            sys.stdout.writelines(line + "\n" for line in difflib.unified_diff(
                before.split("\n"), after.split("\n"), name, name + ", redrawn", lineterm="", n=1))
        else:
            page.write_text(after, encoding="utf-8")
            print(page.relative_to(source))
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; 1 if there is need to")
    parser.add_argument("--figures", action="store_true", help="also figures and pictures")
    parser.add_argument("--program", default=os.environ.get("SUBQUAD_BINARY"), metavar="FILE",
                        help="the subquad program (default: $SUBQUAD_BINARY)")
    parser.add_argument("--source", default=SOURCE, type=pathlib.Path, metavar="DIR",
                        help="the tree to work on (default: this one)")
    parsed = parser.parse_args()
    if not parsed.program:
        parser.error("--program or $SUBQUAD_BINARY must name the program")
    try:
        good = bring_up_to_date(parsed.source.resolve(), parsed.program, parsed.check)
        if parsed.figures:
            import pictures  # needs matplotlib

            good = pictures.bring_up_to_date(parsed.source.resolve(), parsed.program,
                                             parsed.check) and good
    except tables.Mistake as mistake:
        print(f"subquad: {mistake}", file=sys.stderr)
        sys.exit(2)
    sys.exit(1 if parsed.check and not good else 0)


if __name__ == "__main__":
    main()

"""Tables of pages, made from records: a pivot of what `subquad report --format json` says.

A marker in a page says what to show; docs/figures.md describes its lines.
"""

import fnmatch
import json
import re
import subprocess

import budgets
import figures_of_rows as figures

Mistake = figures.Mistake
# What stands around attention, of blocks and models.
AROUND = ("feed_forward", "feed_forward_chunk", "replaced")
ROW_KEYS = ("variant", "family", "input", "length", "causal", "threads", *AROUND)


class Reports:
    """What the program reports of runs, asked once for each."""

    def __init__(self, program, folder):
        self.program, self.folder, self.known = program, folder, {}

    def printed(self, *arguments):
        """What the program prints."""
        done = subprocess.run([self.program, *arguments], cwd=self.folder, capture_output=True,
                              text=True)
        if done.returncode:
            raise Mistake(done.stderr.strip() or f"{' '.join(arguments)}: {done.returncode}")
        return done.stdout

    def __call__(self, runs):
        if runs not in self.known:
            self.known[runs] = json.loads(self.printed("report", *runs, "--format", "json"))
        return self.known[runs]


SETTING = ("machine", "input", "dim", "value_dim", "causal", "scale", "batch", "heads", "key_heads",
           "threads", "direction", "model", *AROUND)


def setting_of(part):
    return tuple(part.get(key) for key in SETTING)


def entries_of(report):
    """One entry for each row of each table, those of the greatest lengths first."""
    trends = {(setting_of(series), trend["variant"]): trend
              for series in report["scaling"] for trend in series["variants"]}
    entries = []
    for table in sorted(report["tables"], key=lambda t: -t["keys"]):
        labels = budgets.families_of([(r["family"], r["resolved"]) for r in table["rows"]])
        for row, (family, budget) in zip(table["rows"], labels):
            entries.append({
                "table": table, "row": row, "trend": trends.get((setting_of(table), row["variant"])),
                "variant": row["variant"], "family": family, "budget": budget, "head": None,
                "input": table["input"], "length": table["keys"], "causal": table["causal"],
                "threads": table["threads"], "direction": table["direction"],
                **{key: table.get(key) for key in AROUND}})
    for entry in entries:
        entry["times"] = [figures.time_of(other) for other in entries
                          if other["variant"] == entry["variant"]
                          and setting_of(other["table"]) == setting_of(entry["table"])]
    return entries


def selects(selectors, entry):
    for key, wanted in selectors.items():
        value = entry[key]
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if isinstance(value, float):
            text = f"{value:g}"
        if not any(fnmatch.fnmatchcase(text, one) for one in wanted.split("|")):
            return False
    return True


class Column:
    """"TITLE ; FIGURES ; KEY=VALUE ...": which entries its cells may show, and what of them. {KEY} in
    a title stands for one column for each value of KEY."""

    def __init__(self, text):
        parts = [part.strip() for part in text.split(";")]
        if len(parts) not in (2, 3):
            raise Mistake(f"column = {text}: not TITLE ; FIGURES or TITLE ; FIGURES ; KEY=VALUE ...")
        self.title = parts[0]
        self.figures = [figures.parse_figure(word) for word in parts[1].split(" / ")]
        self.selectors = {}
        for word in parts[2].split() if len(parts) == 3 else []:
            key, _, value = word.partition("=")
            self.select(key, value)

    def select(self, key, value):
        if key not in ROW_KEYS + ("budget", "head", "direction"):
            raise Mistake(f"column '{self.title}': no key '{key}'; known: "
                          f"{', '.join(ROW_KEYS)}, budget, head, direction")
        self.selectors[key] = value

    def among(self, entries):
        """Those that it may show, each of its head where one is asked for."""
        head = self.selectors.get("head")
        others = {k: v for k, v in self.selectors.items() if k != "head"}
        found = [entry for entry in entries if selects(others, entry)]
        return [entry | {"head": int(head)} for entry in found] if head is not None else found

    def expanded(self, entries):
        """The columns that a {KEY} in the title stands for."""
        key = self.title.partition("{")[2].partition("}")[0]
        if not key:
            return [self]
        found = self.among(entries)
        if key == "head":
            values = range(max((entry["table"]["heads"] for entry in found), default=0))
        else:
            values = sorted({entry[key] for entry in found if entry.get(key) is not None})
        columns = []
        for value in values:
            column = object.__new__(Column)
            text = f"{value:g}" if isinstance(value, float) else str(value)
            column.title = self.title.replace("{" + key + "}", text)
            column.figures, column.selectors = self.figures, dict(self.selectors)
            column.select(key, text)
            columns.append(column)
        if not columns:
            raise Mistake(f"column '{self.title}': nothing recorded fits it")
        return columns


def parse(lines, known, repeated):
    """{key: value} of "key = value" lines, lists of those that may repeat."""
    settings = {key: [] for key in repeated}
    for line in lines:
        key, equals, value = (part.strip() for part in line.partition("="))
        if not equals or key not in known + repeated:
            raise Mistake(f"'{line.strip()}': not KEY = VALUE; known keys: "
                          f"{', '.join(known + repeated)}")
        if key in repeated:
            settings[key].append(value)
        elif key in settings:
            raise Mistake(f"'{key}' stands twice")
        else:
            settings[key] = value
    return settings


def entries_for(settings, reports):
    if not settings.get("run"):
        raise Mistake("no line 'run = FOLDER'")
    entries = entries_of(reports(tuple(settings["run"].split())))
    only = settings.get("only", "*").split()
    without = settings.get("without", "").split()
    return [entry for entry in entries
            if any(fnmatch.fnmatchcase(entry["variant"], glob) for glob in only)
            and not any(fnmatch.fnmatchcase(entry["variant"], glob) for glob in without)]


def names_of(settings):
    """[(pattern, name)] of "name = PATTERN : NAME" lines."""
    pairs = [tuple(part.strip() for part in line.split(" : ", 1)) for line in settings["name"]]
    if any(len(pair) != 2 for pair in pairs):
        raise Mistake("name: not PATTERN : NAME")
    return pairs


def name_of(value, key, names):
    text = str(value)
    for pattern, name in names:
        if fnmatch.fnmatchcase(text, pattern):
            return name
    return f"`{text}`" if key in ("variant", "family", "input") else text


def row_names(row, keys, names):
    return [name_of(value, key, names) for key, value in zip(keys, row)]


def cell(column, entries, row, keys):
    found = [entry for entry in column.among(entries)
             if all(entry[key] == value for key, value in zip(keys, row))]
    if len(found) > 1:
        ways = sorted({f"{key}={entry[key]}" for entry in found for key in
                       ROW_KEYS + ("budget", "direction")
                       if len({str(other[key]) for other in found}) > 1})
        raise Mistake(f"column '{column.title}', row {row}: {len(found)} points fit it; they differ in "
                      f"{', '.join(ways)[:300]}")
    return found[0] if found else None


def table(lines, reports):
    """Lines of Markdown of the table that a marker's lines ask for."""
    settings = parse(lines, ("run", "rows", "groups", "sort", "order", "only", "without"), ("column", "name"))
    entries = entries_for(settings, reports)
    keys = settings.get("rows", "variant").split()
    for key in keys:
        if key not in ROW_KEYS:
            raise Mistake(f"rows: no key '{key}'; known: {', '.join(ROW_KEYS)}")
    columns = [column for text in settings["column"] for column in Column(text).expanded(entries)]
    if not columns:
        raise Mistake("no line 'column = ...'")
    shown = {}  # row: cells, in order of appearance
    for entry in entries:
        row = tuple(entry[key] for key in keys)
        if row not in shown and any(column.among([entry]) for column in columns):
            shown[row] = [cell(column, entries, row, keys) for column in columns]
    # What was refused everywhere has nothing to show.
    shown = {row: cells for row, cells in shown.items()
             if any(entry and ended_well(entry) for entry in cells)}
    if not shown:
        raise Mistake("nothing recorded fits it")
    return markdown(ordered(shown, columns, keys, settings), columns, keys, settings)


def natural(text):
    """Sorts radius=64 before radius=256."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", text)]


def ordered(shown, columns, keys, settings):
    """Rows in order of their first keys' appearance, or by the figures of a column, or as the globs of
    `order` come."""
    if "sort" in settings:
        place = int(settings["sort"]) - 1
        return sorted(shown.items(), key=lambda item: figures.sort_value(
            item[1][place], columns[place].figures) if item[1][place] else float("inf"))
    if "order" in settings:
        globs = settings["order"].split()
        return sorted(shown.items(), key=lambda item: (next(
            (i for i, glob in enumerate(globs) if fnmatch.fnmatchcase(str(item[0][-1]), glob)),
            len(globs)), natural(str(item[0][-1]))))
    first = {}
    for row in shown:
        for depth in range(len(keys)):
            first.setdefault(row[:depth + 1], len(first))
    return sorted(shown.items(),
                  key=lambda item: [first[item[0][:depth + 1]] for depth in range(len(keys))])


def texts_of(cells, columns):
    """How a point ended stands once, in the first of its cells."""
    texts = []
    for i, (entry, column) in enumerate(zip(cells, columns)):
        again = i and entry and not ended_well(entry) and cells[i - 1] \
            and cells[i - 1]["row"] is entry["row"]
        texts.append("" if again else figures.write(entry, column.figures) if entry
                     else figures.NO_FIGURE)
    return texts


def ended_well(entry):
    return entry["row"]["status"] == "ok"


def markdown(rows, columns, keys, settings):
    names = names_of(settings)
    out = ["| " + " | ".join([*[key if len(keys) > 1 else "" for key in keys],
                              *[column.title for column in columns]]) + " |",
           "|" + ":--|" * len(keys) + "--:|" * len(columns)]
    groups = settings.get("groups", "no") == "yes"
    if groups:
        targets = {row: next(e["row"]["target"] for e in cells if e and ended_well(e)) for row, cells in rows}
        order = {target: i for i, target in enumerate(dict.fromkeys(targets.values()))}
        rows = sorted(rows, key=lambda item: order[targets[item[0]]])
    before, target = [], None
    for row, cells in rows:
        if groups and targets[row] != target:
            target = targets[row]
            out.append(f"| *{target}* |" + " |" * (len(keys) - 1 + len(columns)))
        texts = row_names(row, keys, names)
        # A name that stands above is not said again.
        same = [text if row[:i + 1] != before[:i + 1] or i + 1 == len(keys) else ""
                for i, text in enumerate(texts)]
        before = row
        out.append("| " + " | ".join([*same, *texts_of(cells, columns)]) + " |")
    return out

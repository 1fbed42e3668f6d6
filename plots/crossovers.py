"""The table that says from which length on each family is faster than the anchor, and with what error
on other inputs: brackets of measured lengths, from the report's scaling, and errors of the same
variants in another run."""

import math

import figures_of_rows as figures
import tables

# What a user could choose in place of the anchor; controls and oracles are none.
CHOICES = ("exact", "estimator", "restriction", "operation")
KNOWN = ("run", "causal", "threads", "real")


def wanted_series(report, settings):
    """Series of the run that fit causal and threads; there must be one input and shape."""
    found = [series for series in report["scaling"] if series["anchor"]
             and ("causal" not in settings or str(series["causal"]).lower() == settings["causal"])
             and ("threads" not in settings or str(series["threads"]) == settings["threads"])]
    if len(found) != 1:
        raise figures.Mistake(f"{len(found)} series of lengths with an anchor fit it, not one: say "
                              "'causal = true|false' or 'threads = N', or name another run")
    return found[0]


def errors_elsewhere(settings, reports):
    """{(column's number, variant): entry} and the titles of "real = TITLE ; RUN ; KEY=VALUE ..."."""
    found, titles = {}, []
    for number, text in enumerate(settings["real"]):
        parts = [part.strip() for part in text.split(";")]
        if len(parts) not in (2, 3):
            raise figures.Mistake(f"real = {text}: not TITLE ; RUN or TITLE ; RUN ; KEY=VALUE ...")
        titles.append(parts[0])
        column = tables.Column("; ".join([parts[0], "error"] + parts[2:]))
        for entry in column.among(tables.entries_of(reports((parts[1],)))):
            if (number, entry["variant"]) in found:
                raise figures.Mistake(f"real = {text}: {entry['variant']} has several points there; "
                                      "select one input, length and mask")
            found[number, entry["variant"]] = entry
    return found, titles


def bracket_order(trend):
    """Earliest bracket first: by the length from which on it is faster; then those that are slower at
    no length; then the larger speed-up at the greatest length."""
    crossover = trend["crossover"]
    begin = crossover["faster_from"]
    last = crossover["lengths"][-1]["speed_up"]["median"] or 0
    return (math.inf if begin is None else begin, crossover["slower_until"] or 0, -last)


def speed_up_cell(crossover):
    """At the length from which on it is faster, or else at the last one."""
    begin = crossover["faster_from"]
    place = next((at for at in crossover["lengths"] if at["keys"] == begin), crossover["lengths"][-1])
    return f"{figures.plain(place['speed_up'], 3, '[]')} at {place['keys']}"


def table(lines, reports):
    """Lines of Markdown: of each family the variant that overtakes the anchor first."""
    settings = tables.parse(lines, KNOWN, ("real",))
    if not settings.get("run"):
        raise figures.Mistake("no line 'run = FOLDER'")
    series = wanted_series(reports(tuple(settings["run"].split())), settings)
    real, titles = errors_elsewhere(settings, reports)
    families = {}
    for trend in series["variants"]:
        if trend["crossover"] and trend["target"] in CHOICES:
            families.setdefault(trend["family"], []).append(trend)
    firsts = sorted((min(trends, key=bracket_order) for trends in families.values()),
                    key=bracket_order)
    out = ["| family: its first variant | is | faster than " + f"`{series['anchor']}` | speed-up | "
           + " | ".join(titles) + " |", "|:--|:--|:--|--:|" + "--:|" * len(titles)]
    for trend in firsts:
        cells = [f"`{trend['variant']}`", trend["target"], trend["crossover"]["text"],
                 speed_up_cell(trend["crossover"])]
        for number in range(len(titles)):
            entry = real.get((number, trend["variant"]))
            cells.append(figures.write(entry, [("error", 2, "[]")]) if entry else "not measured")
        out.append("| " + " | ".join(cells) + " |")
    if len(out) == 2:
        raise figures.Mistake("no variant with a crossover is in that run")
    return out

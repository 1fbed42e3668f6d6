"""Figures of a row of `subquad report --format json` as text, as the program itself writes them."""

import math
import re

NO_FIGURE = "–"
TIMES = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1, "ns"))
BYTES = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B"))


class Mistake(Exception):
    """Something that whoever wrote a marker got wrong."""


def significant(value, digits=3):
    """`digits` significant digits, exponents only where the number would be long."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    exponent = int(exponent)
    if exponent < -3 or exponent > 5:
        return f"{mantissa}e{exponent}"
    return f"{value:.{max(0, digits - 1 - exponent)}f}"


def unit_for(value, units):
    return next((unit for unit in units if value >= 0.9995 * unit[0]), units[-1])


def in_units(units):
    """A writer of an estimate in the largest unit that its median holds at least once."""
    def write(estimate, digits, form):
        size, name = unit_for(estimate["median"], units)
        whole = name == "B"
        text = f"{estimate['median']:.0f}" if whole else significant(estimate["median"] / size, digits)
        return f"{text} {name}" + bounds(estimate, digits, form, size)
    return write


def bounds(estimate, digits, form, size=1):
    if form != "[]" or "low" not in estimate:
        return ""
    low, high = (significant(estimate[end] / size, digits) for end in ("low", "high"))
    return f" [{low}, {high}]"


def plain(estimate, digits, form):
    return significant(estimate["median"], digits) + bounds(estimate, digits, form)


def percent(estimate, digits, form):
    shown = {key: 100 * estimate[key] for key in ("median", "low", "high") if key in estimate}
    return f"{significant(shown['median'], digits)} %" + bounds(shown, digits, form)


def with_deviation(estimate, digits, form):
    text = plain(estimate, digits, form)
    if form == "±" and estimate.get("deviation"):
        text += f" ± {significant(estimate['deviation'], 1)}"
    return text


def exponent(estimate, digits, form):
    value = 0 if abs(estimate["median"]) < 0.005 else estimate["median"]
    margin = estimate.get("margin")
    return f"{value:.2f}" + (f" ± {margin:.2f}" if margin is not None and form == "±" else "")


def decimals(sign):
    """A writer with so many decimals, however large the number."""
    def write(estimate, digits, form):
        def text(value):
            return f"{round(value, digits) + 0.0:{sign}.{digits}f}"  # + 0.0: no "-0.000"
        bounded = f" [{text(estimate['low'])}, {text(estimate['high'])}]" if form == "[]" else ""
        return text(estimate["median"]) + bounded
    return write


def count(estimate, digits, form):
    return f"{estimate['median']:g}"


def plain_text(value, digits, form):
    return value


def as_estimate(value):
    return None if value is None else value if isinstance(value, dict) else {"median": value}


def field(name):
    return lambda entry: as_estimate(entry["row"].get(name))


def time_of(entry):
    return as_estimate(entry["row"].get("time_ns", entry["row"].get("time_per_token_ns")))


def sum_of(*names):
    def read(entry):
        parts = [entry["row"][name] for name in names]
        return None if None in parts else {"median": sum(parts)}
    return read


def error_of(entry):
    error = as_estimate(entry["row"]["relative_error"])
    return error and error | {"deviation": entry["row"]["relative_error_deviation"]}


def head_error(entry):
    errors = entry["row"]["relative_error_by_head"]
    return as_estimate(errors[entry["head"]]) if entry["head"] is not None and errors else None


def dropped_mass(entry):
    """What is left of none after rounding is none."""
    mass = entry["row"]["dropped_mass"]
    return mass and {key: 0 if abs(value) < 1e-6 else value for key, value in mass.items()}


def negative_share(entry):
    count = entry["row"]["negative_denominators"]
    return None if count is None else {"median": count / entry["row"]["output_rows"]}


def roofline(name):
    return lambda entry: as_estimate((entry["row"]["roofline"] or {}).get(name))


def quality(name, beyond_anchor=False):
    """Of what a trained model made of it: the mean over windows, and their range."""
    def read(entry):
        found = (entry["row"].get("quality") or {}).get(name)
        found = found and (found["beyond_anchor"] if beyond_anchor else found)
        return found and {"median": found["mean"], "low": found["low"], "high": found["high"]}
    return read


def attention(name):
    return lambda entry: as_estimate((entry["table"]["attention"] or {}).get(name))


def growth(name):
    def read(entry):
        found = (entry["trend"] or {}).get(name)
        return found and {"median": found["exponent"], "margin": found["margin"]}
    return read


def crossover(entry):
    found = (entry["trend"] or {}).get("crossover")
    return found and found["text"]


def flatness(entry):
    """The largest time over all lengths over the smallest."""
    times = [time["median"] for time in entry["times"] if time]
    return {"median": max(times) / min(times)} if len(times) > 1 else None


# name: (what it reads of an entry, how it writes it, significant digits)
FIGURES = {
    "time": (time_of, in_units(TIMES), 3),
    "speed_up": (field("speed_up"), plain, 3),
    "efficiency": (field("efficiency"), percent, 2),
    "scratch": (field("scratch_bytes"), in_units(BYTES), 3),
    "parameters": (field("parameter_bytes"), in_units(BYTES), 3),
    "memory": (sum_of("scratch_bytes", "parameter_bytes"), in_units(BYTES), 3),
    "state": (field("state_bytes"), in_units(BYTES), 3),
    "error": (error_of, with_deviation, 2),
    "head_error": (head_error, plain, 2),
    "target_error": (field("target_relative_error"), plain, 2),
    "dropped_mass": (dropped_mass, plain, 2),
    "negative_share": (negative_share, percent, 2),
    "bits_per_character": (quality("bits_per_character"), decimals(""), 3),
    "bits_beyond_anchor": (quality("bits_per_character", True), decimals("+"), 3),
    "guessed": (quality("guessed"), decimals(""), 3),
    "share_of_peak": (roofline("useful_share_of_peak"), percent, 2),
    "share_of_attainable": (roofline("share_of_attainable"), percent, 2),
    "effective_rank": (attention("effective_rank"), plain, 2),
    "rank_99": (attention("rank_99"), count, 0),
    "time_exponent": (growth("time"), exponent, 2),
    "work_exponent": (growth("work"), exponent, 2),
    "scratch_exponent": (growth("scratch"), exponent, 2),
    "parameters_exponent": (growth("parameters"), exponent, 2),
    "target": (lambda entry: entry["row"]["target"], plain_text, 0),
    "crossover": (crossover, plain_text, 0),
    "flatness": (flatness, plain, 3),
}


def parse_figure(word):
    """(name, digits, form) of "NAME", "NAME@DIGITS", each with "[]" or "±" behind it where wanted."""
    match = re.fullmatch(r"(\w+)(?:@(\d+))?(\[\]|±)?", word)
    if not match or match[1] not in FIGURES:
        raise Mistake(f"figure '{word}' is none; known: {', '.join(FIGURES)}, each with @DIGITS, and [] "
                      "for bounds or ± for an error behind it")
    return match[1], int(match[2] or FIGURES[match[1]][2]), match[3]


def write(entry, words):
    """The figures in `words`, "error / dropped_mass", of an entry; those that were not taken are left
    out, and instead of none at all stands how the point ended."""
    texts = []
    for name, digits, form in words:
        read, writer, _ = FIGURES[name]
        value = read(entry)
        if value is not None and not (isinstance(value, dict) and value.get("median") is None):
            texts.append(writer(value, digits, form))
    if texts:
        return " / ".join(texts)
    status = entry["row"]["status"]
    return NO_FIGURE if status == "ok" else status.replace("_", " ")


def sort_value(entry, words):
    name, _, _ = words[0]
    value = FIGURES[name][0](entry)
    return value["median"] if isinstance(value, dict) and value.get("median") is not None else math.inf

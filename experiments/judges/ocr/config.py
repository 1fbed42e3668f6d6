"""The judge's config: `key = value` lines, as in experiments; each may be given on the command line
too. `variant` repeats."""

import difflib
from typing import NamedTuple


class Mistake(Exception):
    """Of the user; the text names file, key, value and what is allowed."""


class Option(NamedTuple):
    read: object
    help: str
    several: bool = False


def whole(low):
    def read(text):
        if not text.isdecimal() or int(text) < low:
            raise ValueError(f"a whole number from {low} on")
        return int(text)
    return read


def real(low, high):
    def read(text):
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise ValueError(f"a number from {low} to {high}")
        return value
    return read


def layers(text):
    if text != "all" and not text.isdecimal():
        raise ValueError("all, or the number of a layer")
    return text if text == "all" else int(text)


OPTIONS = {
    "question": Option(str, "what the experiment asks"),
    "length": Option(whole(64), "frames of a line, 8 pixels each"),
    "lines": Option(whole(2), "lines to judge by"),
    "fitting-lines": Option(whole(0), "further lines, to fit on"),
    "seed": Option(whole(0), "seeds of noise and of random tensors", several=True),
    "layers": Option(layers, "layers that are replaced: all, or one number", several=True),
    "height": Option(whole(4), "pixels that a line is shrunk to"),
    "contrast": Option(real(0, 1), "of the spoilt line"),
    "noise": Option(real(0, 10), "standard deviation of its noise; white less black is 1"),
}


class Config(NamedTuple):
    variants: list
    values: dict  # by the names of OPTIONS

    def __getitem__(self, key):
        return self.values[key]

    def task(self):
        """What each trial depends on. A run may be extended by further variants, seeds and layers."""
        return {key: self[key] for key in ("length", "lines", "fitting-lines", "height", "contrast",
                                           "noise")}

    def text(self):
        """A config that says the same."""
        def spelt(value):
            return " ".join(map(str, value)) if isinstance(value, list) else str(value)
        return "".join([f"{key} = {spelt(value)}\n" for key, value in self.values.items()]
                       + [f"variant = {variant}\n" for variant in self.variants])


def value_of(key, text, where):
    option = OPTIONS[key]
    try:
        if option.several:
            return [option.read(word) for word in text.split()]
        return option.read(text)
    except ValueError as error:
        raise Mistake(f"{where}: {key} = {text}: allowed is {error}") from None


def read_file(path):
    variants, values = [], {}
    try:
        with open(path, encoding="utf-8") as file:
            content = file.read().splitlines()
    except OSError as error:
        raise Mistake(f"{path}: {error.strerror}") from None
    for number, line in enumerate(content, 1):
        key, equals, text = (part.strip() for part in line.partition("="))
        if not key or key.startswith("#"):
            continue
        where = f"{path}:{number}"
        if not equals or not text:
            raise Mistake(f"{where}: '{line.strip()}': allowed is key = value")
        if key == "variant":
            variants.append(text)
        elif key not in OPTIONS:
            near = difflib.get_close_matches(key, ["variant", *OPTIONS], 1)
            known = f"did you mean {near[0]}?" if near else "known: variant, " + ", ".join(OPTIONS)
            raise Mistake(f"{where}: unknown key '{key}' ({known})")
        elif key in values:
            raise Mistake(f"{where}: {key} stands there twice")
        else:
            values[key] = value_of(key, text, where)
    return variants, values


def add_options(parser):
    parser.add_argument("--variant", action="append", metavar="EXPRESSION",
                        help="instead of the config's; repeats")
    for key, option in OPTIONS.items():
        parser.add_argument(f"--{key}", nargs="+" if option.several else None, help=option.help)


def resolve(path, given):
    """The config at a path, with what the command line gave in place of the config's."""
    variants, values = read_file(path)
    for key in OPTIONS:
        words = getattr(given, key.replace("-", "_"))
        if words is not None:
            text = " ".join(words) if isinstance(words, list) else words
            values[key] = value_of(key, text, "command line")
    missing = [key for key in OPTIONS if key not in values]
    if missing:
        raise Mistake(f"{path}: no {missing[0]} ({OPTIONS[missing[0]].help})")
    variants = given.variant or variants
    twice = next((one for i, one in enumerate(variants) if one in variants[:i]), None)
    if twice or not variants:
        raise Mistake(f"{path}: " + (f"variant = {twice} stands there twice" if twice
                                     else "no variant"))
    return Config(variants, {key: values[key] for key in OPTIONS})

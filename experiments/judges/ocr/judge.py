#!/usr/bin/python3
"""Lets a trained text recogniser read spoilt lines with an approximation in place of its attention."""

import argparse
import hashlib
import json
import pathlib
import platform
import sys
import tempfile
from typing import NamedTuple

import numpy as np
import onnx
import PIL

import config
import lines
import program
import recogniser
import scores
import store

SCHEMA = 1
EXACT = "dense"
ZEROED = "zeroed"  # no variant: nothing is added to the residual stream
TOLERANCE = 1e-4  # of class probabilities: whole graph against split graph around `dense`


class SplitDiffers(Exception):
    """The graph in stages is not the whole graph; the text says by how much."""


class Trial(NamedTuple):
    """A line as spoilt with one seed."""
    number: int
    line: lines.Line
    exact: scores.ExactFrames


class Judge:
    def __init__(self, settings, reader, subquad):
        self.settings, self.reader, self.subquad = settings, reader, subquad
        self.characters = scores.alphabet(reader.modules / recogniser.ALPHABET)
        total = settings["lines"] + settings["fitting-lines"]
        self.lines = lines.draw_lines(total, settings["length"])
        self.scratch = reader.scratch

    def judged(self):
        return self.lines[:self.settings["lines"]]

    def save(self, name, sequences):
        """q, k, v and x of several sequences as a file; returns what Program.apply takes."""
        np.savez(self.scratch / name, **{key: np.stack([one[key] for one in sequences])
                                         for key in sequences[0]})
        return f"{name}:{len(self.judged())}"

    def begin(self, seed):
        """Runs the recogniser on every line with exact attention. What fitting needs stays: the
        inputs of every layer on the lines after those judged by."""
        how = lines.Degradation(*(self.settings[key] for key in lines.Degradation._fields))
        self.seed, self.trials, self.first = seed, [], []
        for number, line in enumerate(self.lines):
            image = lines.as_input(lines.degraded(line.image, how, seed, number))
            self.first.append(self.reader.layer_inputs(number, 0, image))
            if number < len(self.judged()):
                exact = scores.ExactFrames(self.reader.whole(image))
                self.trials.append(Trial(number, line, exact))
        judged = len(self.trials)
        self.first_file = self.save("layer0.npz", self.first)
        self.fitting = [self.first[judged:]]
        for layer in range(1, len(self.reader.layers)):
            self.fitting.append(self.fitted_inputs(layer))
        self.exact_first = self.subquad.apply(EXACT, self.first_file, seed)[0]

    def fitted_inputs(self, layer):
        """Inputs of a layer on the lines to fit on, where the layer before is exact."""
        before = self.fitting[layer - 1]
        if not before:
            return []
        np.savez(self.scratch / "fitting.npz", **{key: np.stack([one[key] for one in before])
                                                  for key in before[0]})
        out = self.subquad.apply(EXACT, f"fitting.npz:{len(before)}", self.seed)[0]
        judged = len(self.judged())
        return [self.reader.layer_inputs(judged + i, layer, one) for i, one in enumerate(out)]

    def attend(self, variant, inputs, exact):
        """Output of a layer; `exact` is that of dense attention."""
        if variant == ZEROED:
            return np.zeros_like(exact), ZEROED
        if variant == EXACT:
            return exact, EXACT
        return self.subquad.apply(variant, inputs, self.seed)

    def last_output(self, variant, replaced):
        """What the last layer gives with a variant in the layers `replaced` (all, or one); relative
        errors [batch, heads] of each replaced layer; and the resolved expression."""
        errors, resolved, out = [], EXACT, None
        for layer in range(len(self.reader.layers)):
            inputs, exact = self.first_file, self.exact_first
            if layer:
                given = [self.reader.layer_inputs(trial.number, layer, out[trial.number])
                         for trial in self.trials]
                inputs = self.save(f"layer{layer}.npz", given + self.fitting[layer])
                exact = self.subquad.apply(EXACT, inputs, self.seed)[0]
            out = exact
            if replaced in ("all", layer):
                out, resolved = self.attend(variant, inputs, exact)
                errors.append(scores.relative_errors(out, exact))
        return out, errors, resolved

    def read(self, variant, replaced):
        """Records of all lines of this seed."""
        out, errors, resolved = self.last_output(variant, replaced)
        return [self.score(trial, out[trial.number], [layer[trial.number] for layer in errors])
                | {"resolved": resolved} for trial in self.trials]

    def score(self, trial, out, errors):
        logits = self.reader.read(trial.number, out)
        text = scores.read_text(logits, self.characters)
        wrong, printed = scores.edits(text, trial.line.text)
        return {"status": "ok", "line": trial.number, "characters": printed, "edits": wrong,
                "kl_per_frame": rounded(trial.exact.divergence(logits)),
                "relative_error": [[rounded(error) for error in layer] for layer in errors]}

    def check_split(self):
        """Dense attention by subquad inside the split graph must give what the whole graph gives.
        Returns the largest difference."""
        largest = max(trial.exact.largest_difference(self.reader.read(trial.number, out))
                      for trial, out in zip(self.trials, self.last_output(EXACT, "all")[0]))
        if not largest <= TOLERANCE:
            raise SplitDiffers(f"seed {self.seed}: class probabilities of the split graph around "
                               f"`{EXACT}` differ by {largest:.2g} from those of the whole graph; "
                               f"allowed is {TOLERANCE:g}")
        return largest

    def records(self, variant, replaced):
        about = {"schema": SCHEMA, "variant": variant, "layers": replaced, "seed": self.seed,
                 "target": "control" if variant == ZEROED else self.subquad.target(variant)}
        try:
            return [about | record for record in self.read(variant, replaced)]
        except program.Ended as ended:
            return [about | {"status": ended.status, "reason": ended.reason, "line": trial.number}
                    for trial in self.trials]


def rounded(value):
    return float(f"{value:.5g}")


def sha256(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def set_up(judge, machine):
    """All that has to be the same for trials to be comparable, but the machine."""
    judged = len(judge.judged())
    return {
        "schema": SCHEMA, "task": judge.settings.task(),
        "program": {key: machine[key] for key in ("build", "compiler", "flags",
                                                  "instruction_set")},
        "model": {"file": recogniser.MODEL, "sha256": sha256(judge.reader.model),
                  "licence": "Apache-2.0"},
        "font": {"file": pathlib.Path(lines.FONT).name, "sha256": sha256(lines.FONT),
                 "size": lines.FONT_SIZE},
        "lines": [{"line": i, "use": "judge" if i < judged else "fit", "begins": line.begins,
                   "text": line.text, "image_sha256": lines.digest(line.image)}
                  for i, line in enumerate(judge.lines)],
        "versions": judge.reader.versions() | {
            "python": platform.python_version(), "numpy": np.__version__,
            "pillow": PIL.__version__, "onnx": onnx.__version__},
    }


def run(settings, modules, binary, folder):
    """Number of groups of trials that did not end well."""
    with tempfile.TemporaryDirectory() as scratch:
        subquad = program.Program(binary, scratch)
        reader = recogniser.Recogniser(modules, scratch)
        try:
            machine = subquad.machine()
            judge = Judge(settings, reader, subquad)
            layers = len(reader.layers)
            for replaced in settings["layers"]:
                if replaced != "all" and replaced >= layers:
                    raise config.Mistake(f"layers = {replaced}: allowed are all and 0 to {layers - 1}")
            done = store.open_folder(folder, set_up(judge, machine), settings, machine)
            return sum(run_seed(judge, seed, done, folder / "trials.jsonl")
                       for seed in settings["seed"])
        finally:
            reader.close()


def run_seed(judge, seed, done, path):
    variants = [EXACT, ZEROED] + [one for one in judge.settings.variants if one not in (EXACT, ZEROED)]
    missing = [(variant, replaced) for replaced in judge.settings["layers"] for variant in variants
               if (variant, replaced, seed) not in done]
    if not missing:
        return 0
    judge.begin(seed)
    with open(path.with_name("checks.jsonl"), "a", encoding="utf-8") as file:
        check = {"schema": SCHEMA, "seed": seed, "split_difference": rounded(judge.check_split()),
                 "tolerance": TOLERANCE}
        file.write(json.dumps(check) + "\n")
    bad = 0
    for variant, replaced in missing:
        records = judge.records(variant, replaced)
        with open(path, "a", encoding="utf-8") as file:
            file.write("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records))
        bad += records[0]["status"] != "ok"
        print(f"seed {seed}, layers {replaced}, {variant}: {summary(records)}", flush=True)
    return bad


def summary(records):
    if records[0]["status"] != "ok":
        return f"{records[0]['status']}: {records[0]['reason']}"
    right = np.mean([1 - one["edits"] / one["characters"] for one in records])
    return f"{right:.3f} read, KL {np.mean([one['kl_per_frame'] for one in records]):.3g} per frame"


def main():
    here = pathlib.Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("config", nargs="?", default=here.parent / "ocr.cfg", help="default: ocr.cfg")
    parser.add_argument("--program", required=True, help="the built subquad")
    parser.add_argument("--modules", required=True, help="node_modules, with what package.json names")
    parser.add_argument("--results", default="results/ocr_judge", type=pathlib.Path,
                        help="folder for the records; a run that is there already is taken up")
    config.add_options(parser)
    given = parser.parse_args()
    try:
        settings = config.resolve(given.config, given)
        bad = run(settings, given.modules, given.program, given.results)
    except (config.Mistake, program.Ended) as error:
        print(f"judge-ocr: {error}", file=sys.stderr)
        sys.exit(2)
    except SplitDiffers as error:
        print(f"judge-ocr: {error}", file=sys.stderr)
        sys.exit(1)
    print(f"{given.results}: done" + (f", {bad} did not end well" if bad else ""))
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()

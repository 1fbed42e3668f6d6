"""The text recogniser as judge: its scores, its config, its calls of the program, and that the table
in the docs is what plots/judged.py makes of the recorded trials."""

import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import unittest

import numpy as np

import support

SOURCE = pathlib.Path(support.SOURCE)
RECORDED = SOURCE / "results" / "recorded" / "ocr_judge"
JUDGE = SOURCE / "experiments" / "judges"
sys.path.insert(0, str(JUDGE / "ocr"))

import config  # noqa: E402
import lines  # noqa: E402
import program  # noqa: E402
import scores  # noqa: E402
import store  # noqa: E402


def script(name, *arguments):
    return subprocess.run(["/usr/bin/python3", SOURCE / "plots" / name, *map(str, arguments)],
                          capture_output=True, text=True, timeout=120)


def recorded_trials():
    return [json.loads(line) for line in (RECORDED / "trials.jsonl").read_text().splitlines()]


class RecordedResult(unittest.TestCase):

    def test_the_table_in_the_docs_is_made_of_the_trials(self):
        drawn = script("judged.py", RECORDED)
        self.assertEqual(drawn.returncode, 0, drawn.stderr)
        self.assertGreater(drawn.stdout.count("\n"), 30)
        self.assertIn(drawn.stdout, (SOURCE / "docs" / "ocr_judge.md").read_text())

    def test_the_table_by_layer_too(self):
        trials = recorded_trials()
        for layer in {trial["layers"] for trial in trials} - {"all"}:
            drawn = script("judged.py", RECORDED, "--layers", layer)
            self.assertIn(drawn.stdout, (SOURCE / "docs" / "ocr_judge.md").read_text())

    def test_its_figures_follow_from_single_trials(self):
        trials = [one for one in recorded_trials() if one["layers"] == "all"]
        table = script("judged.py", RECORDED).stdout.splitlines()
        for variant in ("dense", "mean", "local(radius=64)"):
            with self.subTest(variant):
                row, = (line for line in table if f"| `{variant}` |" in line)
                cells = [cell.strip() for cell in row.split("|")]
                own = [one for one in trials if one["variant"] == variant]
                wrong, printed = (sum(one[key] for one in own) for key in ("edits", "characters"))
                self.assertEqual(cells[4], f"{100 - 100 * wrong / printed:.1f} %")
                more = {}
                for one in own:
                    exact, = (e for e in trials if e["variant"] == "dense"
                              and (e["line"], e["seed"]) == (one["line"], one["seed"]))
                    more.setdefault(one["line"], []).append(
                        100 * (one["edits"] - exact["edits"]) / one["characters"])
                lost = statistics.median(sum(of_line) / len(of_line) for of_line in more.values())
                self.assertAlmostEqual(float(cells[5].split()[0]), lost, delta=0.0501)

    def test_every_seed_passed_the_check_of_the_split_graph(self):
        checks = [json.loads(line) for line in (RECORDED / "checks.jsonl").read_text().splitlines()]
        self.assertEqual({check["seed"] for check in checks},
                         {trial["seed"] for trial in recorded_trials()})
        for check in checks:
            self.assertLessEqual(check["split_difference"], 1e-4)

    def test_the_recorded_config_is_the_one_beside_the_judge(self):
        self.assertEqual(config.read_file(RECORDED / "experiment.cfg"),
                         config.read_file(JUDGE / "ocr.cfg"))

    def test_the_figure_names_every_variant_of_the_table(self):
        with tempfile.TemporaryDirectory() as folder:
            drawn = script("quality_vs_error.py", RECORDED, "--out", folder)
            self.assertEqual(drawn.returncode, 0, drawn.stderr)
            self.assertEqual(sorted(os.listdir(folder)),
                             ["quality_vs_error.pdf", "quality_vs_error.png", "quality_vs_error.svg"])
            svg = pathlib.Path(folder, "quality_vs_error.svg").read_text()
        for variant in {trial["variant"] for trial in recorded_trials() if trial["status"] == "ok"}:
            self.assertIn(variant, svg)

    def test_what_did_not_end_well_stays_out_and_is_named(self):
        exact = {"schema": 1, "variant": "dense", "layers": "all", "seed": 1, "target": "exact",
                 "status": "ok", "line": 0, "characters": 10, "edits": 2, "kl_per_frame": 0,
                 "relative_error": [[0], [0]]}
        refused = {"schema": 1, "variant": "sinks", "layers": "all", "seed": 1, "status": "refused",
                   "reason": "causal only", "line": 0}
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "trials.jsonl")
            path.write_text(json.dumps(exact) + "\n" + json.dumps(refused) + "\n")
            drawn = script("judged.py", folder)
            self.assertIn("| 1 | `dense` | exact | 80.0 %", drawn.stdout)
            self.assertIn("`sinks`: refused: causal only", drawn.stdout)
            path.write_text(json.dumps(exact | {"schema": 99}) + "\n")
            drawn = script("judged.py", folder)
            self.assertEqual(drawn.returncode, 3)
            self.assertIn("trials.jsonl:1: schema 99", drawn.stderr)


class Scores(unittest.TestCase):

    def test_divergence_is_that_of_the_definition(self):
        rng = np.random.default_rng(5)
        exact, other = (rng.normal(0, 4, (7, 30)).astype(np.float32) for _ in range(2))
        kl, largest, p = 0.0, 0.0, np.empty((7, 30))
        for f in range(7):
            powers = [[math.exp(x) for x in logits[f].astype(float)] for logits in (exact, other)]
            p[f], q = ([x / sum(row) for x in row] for row in powers)
            kl += sum(a * math.log(a / b) for a, b in zip(p[f], q)) / 7
            largest = max(largest, *(abs(a - b) for a, b in zip(p[f], q)))
        frames = scores.ExactFrames(p.astype(np.float32))
        self.assertAlmostEqual(frames.divergence(other), kl, delta=1e-5)
        self.assertAlmostEqual(frames.largest_difference(other), largest, delta=1e-6)
        self.assertAlmostEqual(frames.divergence(exact), 0, delta=1e-5)

    def test_decoding_drops_repeats_then_blanks(self):
        characters = ["", "a", "b", " "]
        best = [0, 1, 1, 0, 1, 2, 2, 3, 0, 0, 2]
        self.assertEqual(scores.read_text(np.eye(4)[best], characters), "aab b")
        self.assertEqual(scores.read_text(np.eye(4)[[0, 0]], characters), "")

    def test_errors_are_those_of_each_head(self):
        rng = np.random.default_rng(6)
        out, exact = (rng.normal(size=(2, 3, 5, 4)).astype(np.float32) for _ in range(2))
        found = scores.relative_errors(out, exact)
        for b in range(2):
            for h in range(3):
                self.assertAlmostEqual(found[b, h], support.relative_error(out[b, h], exact[b, h]),
                                       delta=1e-6)


class Lines(unittest.TestCase):

    def test_noise_is_as_large_as_it_says_and_each_line_has_its_own(self):
        grey = np.full((48, 4000), 0.5)
        how = lines.Degradation(height=20, contrast=0.5, noise=0.1)
        first = lines.degraded(grey, how, 1, 0)
        self.assertAlmostEqual(first.std(), 0.1, delta=0.002)
        np.testing.assert_array_equal(first, lines.degraded(grey, how, 1, 0))
        for seed, number in ((2, 0), (1, 1)):
            other = lines.degraded(grey, how, seed, number)
            self.assertLess(abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]), 0.02)

    def test_without_noise_contrast_shrinks_towards_grey_and_edges_are_blurred(self):
        image = np.ones((48, 480))
        image[:, 240:] = 0
        spoilt = lines.degraded(image, lines.Degradation(12, 0.5, 0), 1, 0)
        self.assertAlmostEqual(spoilt[:, :200].min(), 0.75, delta=0.01)
        self.assertAlmostEqual(spoilt[:, 280:].max(), 0.25, delta=0.01)
        between = (spoilt[24] > 0.3) & (spoilt[24] < 0.7)
        self.assertGreaterEqual(between.sum(), 2)
        self.assertEqual(lines.as_input(spoilt).shape, (1, 3, 48, 480))
        self.assertAlmostEqual(float(lines.as_input(spoilt).max()), 0.5, delta=0.02)


class Config(unittest.TestCase):

    def mistake(self, text):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "x.cfg")
            path.write_text(text)
            with self.assertRaises(config.Mistake) as caught:
                config.read_file(path)
        return str(caught.exception)

    def test_mistakes_name_file_line_key_and_what_is_allowed(self):
        self.assertRegex(self.mistake("# one\nvarient = dense\n"),
                         r"x\.cfg:2: unknown key 'varient' \(did you mean variant\?\)")
        self.assertRegex(self.mistake("lines = 1\n"), r"x\.cfg:1: lines = 1: allowed is .* from 2 on")
        self.assertRegex(self.mistake("noise = loud\n"), r"noise = loud: allowed is a number from 0")
        self.assertRegex(self.mistake("seed = 1 -2\n"), r"seed = 1 -2: allowed is a whole number")
        self.assertRegex(self.mistake("layers = both\n"), r"layers = both: allowed is all")
        self.assertRegex(self.mistake("noise = 1\nnoise = 2\n"), r"x\.cfg:2: noise stands there twice")
        self.assertRegex(self.mistake("noise\n"), r"x\.cfg:1: 'noise': allowed is key = value")

    def test_every_variant_of_the_config_is_known_to_the_program(self):
        variants, _ = config.read_file(JUDGE / "ocr.cfg")
        self.assertGreaterEqual(len(variants), 25)
        self.assertEqual(len(set(variants)), len(variants))
        with tempfile.TemporaryDirectory() as folder:
            subquad = program.Program(support.BINARY, folder)
            for variant in variants:
                with self.subTest(variant):
                    self.assertRegex(subquad.target(variant), r"^[a-z]+$")


class Store(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name, "run")
        self.settings = config.Config(*config.read_file(JUDGE / "ocr.cfg"))

    def open(self, about):
        return store.open_folder(self.folder, about, self.settings, {"cpu": "any"})

    def test_a_killed_run_goes_on_with_what_is_whole(self):
        self.assertEqual(self.open({"schema": 1}), set())
        lines_judged = self.settings["lines"]
        text = ""
        for variant, count in (("dense", lines_judged), ("mean", lines_judged - 1)):
            for line in range(count):
                text += json.dumps({"variant": variant, "layers": "all", "seed": 1, "line": line}) + "\n"
        path = self.folder / "trials.jsonl"
        path.write_text(text + '{"variant": "me')
        self.assertEqual(self.open({"schema": 1}), {("dense", "all", 1)})
        kept = [json.loads(line) for line in path.read_text().splitlines()]
        self.assertEqual([one["variant"] for one in kept], ["dense"] * lines_judged)
        self.assertEqual(self.open({"schema": 1}), {("dense", "all", 1)})

    def test_a_run_of_another_build_is_not_mixed_in(self):
        self.open({"program": "a"})
        with self.assertRaisesRegex(config.Mistake, r"setup\.json: made by another"):
            self.open({"program": "b"})

    def test_the_written_config_says_the_same(self):
        self.open({})
        self.assertEqual(config.read_file(self.folder / "experiment.cfg"),
                         (self.settings.variants, self.settings.values))


class Program(unittest.TestCase):

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        rng = np.random.default_rng(7)
        self.tensors = {key: rng.normal(size=(3, 2, 40, 5)).astype(np.float32) for key in "qkvx"}
        np.savez(os.path.join(self.folder.name, "in.npz"), **self.tensors)
        self.subquad = program.Program(support.BINARY, self.folder.name)

    def test_dense_is_exact_attention_of_the_first_sequences(self):
        out, resolved = self.subquad.apply("dense", "in.npz:2", seed=1)
        self.assertEqual(out.shape, (2, 2, 40, 5))
        self.assertRegex(resolved, r"^dense\(")
        for (b, h), (q, k, v) in support.heads_of(self.tensors):
            if b < 2:
                self.assertLess(support.relative_error(out[b, h], support.attention(q, k, v)), 1e-6)

    def test_fitting_takes_the_sequences_behind_them(self):
        out, resolved = self.subquad.apply("fitted(linformer(rank=8),batch=2:3)", "in.npz:2", seed=1)
        self.assertEqual(out.shape, (2, 2, 40, 5))
        self.assertIn("batch=2:3", resolved)

    def test_refusals_and_mistakes_carry_their_reason(self):
        for expression, status, words in (("sinks", "refused", "causal only"),
                                          ("nonesuch", "failed", "unknown variant 'nonesuch'")):
            with self.assertRaises(program.Ended) as caught:
                self.subquad.apply(expression, "in.npz:2", seed=1)
            self.assertEqual(caught.exception.status, status)
            self.assertIn(words, caught.exception.reason)

    def test_targets_are_those_of_the_variant_inside(self):
        for expression, target in (("dense", "exact"), ("topk(keys=3)", "oracle"),
                                   ("fitted(linformer(rank=8),batch=2:3)", "operation"),
                                   ("heads(local(radius=2),dense)", "restriction")):
            self.assertEqual(self.subquad.target(expression), target)


if __name__ == "__main__":
    unittest.main()

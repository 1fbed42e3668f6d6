"""`subquad fit`, fitted(...) and loaded(...) on windows of a trained model, against numpy."""

import json
import os
import tempfile
import unittest

import numpy as np

from support import (DATA, attention, heads_of, read_safetensors, relative_error, run,
                     write_safetensors)

ENCODER = os.path.join(DATA, "sentence_encoder_layer0_n128.safetensors")
FIT, TEST = f"file(path={ENCODER},batch=0:16:2)", f"file(path={ENCODER},batch=1:16:2)"
RANDOM = "synthesizer(kind=random)"


def softmax(scores):
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


class Fit(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.windows = {}  # [head]: (q, k, v) of each sequence
        for (_, head), matrices in heads_of(read_safetensors(ENCODER)):
            cls.windows.setdefault(head, []).append([m.astype(float) for m in matrices])

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def run_well(self, *arguments):
        result = run(*arguments)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def fit(self, expression, *options):
        return self.run_well("fit", expression, "--input", FIT, "--save-tensors",
                             self.path("t.safetensors"), *options)

    def apply(self, expression, *options):
        self.run_well("apply", expression, "--input", TEST, "--output",
                      self.path("o.safetensors"), *options)
        return read_safetensors(self.path("o.safetensors"))["o"]

    def errors(self, *variants):
        """Of a run on the held-out windows: errors [sequence, head] of each variant."""
        arguments = [word for variant in variants for word in ("--variant", variant)]
        with open(self.path("x.cfg"), "w") as file:
            file.write(f"input = {TEST}\nlength = whole\nrounds = 0\n")
        self.run_well("run", self.path("x.cfg"), *arguments, "--results", self.folder,
                      "--figures", "false")
        with open(self.path("x/points.jsonl")) as file:
            records = {record["variant"]: record for record in map(json.loads, file)}
        for variant in variants:
            self.assertEqual(records[variant]["status"], "ok", records[variant]["reason"])
        return {variant: np.reshape(records[variant]["error"]["relative_error"], (8, 4))
                for variant in variants}

    def mean_attention(self, head, sequences):
        return np.mean([softmax(q @ k.T / np.sqrt(q.shape[1]))
                        for q, k, _ in self.windows[head][sequences]], axis=0)

    def test_random_scores_are_the_log_of_the_mean_attention(self):
        self.fit(RANDOM)
        r = read_safetensors(self.path("t.safetensors"))["r"].astype(float)
        for head in range(4):
            mean = self.mean_attention(head, slice(0, 16, 2))
            self.assertLess(abs(softmax(r[head]) - mean).max(), 1e-6)

    def test_three_ways_to_the_same_output(self):
        self.fit(RANDOM)
        there_and_then = self.apply(f"fitted({RANDOM},batch=0:16:2)")
        from_file = self.apply(RANDOM, "--tensors", self.path("t.safetensors"))
        loaded = self.apply(f"loaded({RANDOM},path={self.path('t.safetensors')})")
        np.testing.assert_array_equal(from_file, there_and_then)
        np.testing.assert_array_equal(loaded, there_and_then)

    def test_held_out_errors_are_those_of_numpy(self):
        errors = self.errors(f"fitted({RANDOM},batch=0:16:2)", f"fitted({RANDOM},batch=0:16:2,heads=2)",
                             f"fitted({RANDOM},on={FIT})")
        own, of_head_2, elsewhere = errors.values()
        np.testing.assert_array_equal(own, elsewhere)
        for head in range(4):
            for which, fitted_on in ((own, head), (of_head_2, 2)):
                mean = self.mean_attention(fitted_on, slice(0, 16, 2))
                for place, (q, k, v) in enumerate(self.windows[head][1::2]):
                    want = relative_error(mean @ v, attention(q, k, v))
                    self.assertAlmostEqual(which[place, head], want, places=4)

    def test_every_head_beats_the_control_and_foreign_fits(self):
        fits = [f"fitted({one},batch=0:16:2)" for one in
                (RANDOM, "linformer(rank=32)", "mixer(sharing=none)")]
        foreign = [f"fitted({RANDOM},batch=0:16:2,heads={head})" for head in range(4)]
        errors = self.errors("mean", "fitted(constant)", *fits, *foreign)
        median = {variant: np.median(values, axis=0) for variant, values in errors.items()}
        for head in range(4):
            self.assertLess(median["fitted(constant)"][head], median["mean"][head])
            for fit in fits:
                self.assertLess(median[fit][head], median["mean"][head], fit)
            for other in range(4):
                if other != head:
                    self.assertLess(median[fits[0]][head], median[foreign[other]][head])

    def test_tells_what_was_fitted_and_what_it_is_worth(self):
        text = self.fit("linformer(rank=16)", "--test", TEST)
        for words in ("f of linformer, closed form: ridge regression", "8 to fit on, 8 held out",
                      "fitted, held out"):
            self.assertIn(words, text)
        described = json.loads(self.run_well("describe", "linformer", "--format", "json"))
        self.assertEqual({t["name"]: t["fitted"] for t in described["tensors"]},
                         {"e": "closed form", "f": "closed form"})

    def test_refusals_say_what_to_do(self):
        def refused(words, *arguments):
            result = run(*arguments)
            self.assertEqual(result.returncode, 2, result.stdout)
            self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
            for word in words:
                self.assertIn(word, result.stderr)

        where = "--input", FIT, "--save-tensors", self.path("t.safetensors")
        refused(["mean", "nothing in it is fitted"], "fit", "mean", *where)
        refused(["fit takes the layer itself, mixer"], "fit", "fitted(mixer)", *where)
        refused(["--save-tensors"], "fit", "mixer", "--input", FIT)
        refused(["has no parameter 'bach'", "batch"], "apply", "fitted(mixer,bach=2)", "--input",
                TEST, "--output", self.path("o.safetensors"))
        write_safetensors(self.path("r.safetensors"), {"r": np.zeros((4, 8, 8), np.float32)})
        refused(["r", "[4, 8, 8]", "[128, 128]"], "apply",
                f"loaded({RANDOM},path={self.path('r.safetensors')})", "--input", TEST, "--output",
                self.path("o.safetensors"))
        refused(["--tensors"], "apply", f"fitted({RANDOM},batch=0)", "--tensors",
                self.path("r.safetensors"), "--input", TEST, "--output", self.path("o.safetensors"))


if __name__ == "__main__":
    unittest.main()

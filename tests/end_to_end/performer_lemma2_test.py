"""The input of the table performer_lemma2 is what its script says, and shows the error of a kernel."""

import importlib.util
import json
import math
import os
import tempfile
import unittest

from support import SOURCE, run

PAPERS = os.path.join(SOURCE, "experiments", "papers")


def script():
    path = os.path.join(PAPERS, "performer_lemma2.py")
    spec = importlib.util.spec_from_file_location("performer_lemma2", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class PerformerLemma2(unittest.TestCase):
    def test_the_file_is_what_the_script_writes(self):
        with open(os.path.join(PAPERS, "performer_lemma2.safetensors"), "rb") as file:
            self.assertEqual(file.read(), script().contents())

    def test_errors_are_those_of_the_lemma(self):
        draws = 1000
        with tempfile.TemporaryDirectory() as folder:
            ended = run("run", os.path.join(PAPERS, "performer_lemma2.cfg"), "--draws", str(draws),
                        "--results", folder, cwd=SOURCE)
            self.assertEqual(ended.returncode, 0, ended.stderr)
            with open(os.path.join(folder, "performer_lemma2", "points.jsonl")) as file:
                records = [json.loads(line) for line in file]
        records = [r for r in records if r["draws"]]
        self.assertEqual(len(records), 4)
        for record in records:
            pair = script().PAIRS[0 if record["input"].endswith("heads=0)") else 1]
            square = sum((a + b) ** 2 for a, b in zip(*pair))
            wanted = (math.exp(square) - 1) / 64
            if "hyperbolic" in record["variant"]:
                wanted *= (1 - math.exp(-square)) / 2
            errors = record["error"]["relative_error"] + [
                error for draw in record["draws"] for error in draw["error"]]
            self.assertEqual(len(errors), draws)
            found = sum(error ** 2 for error in errors) / draws
            # The estimate is a mean of 64, so nearly normal (kurtosis 3.4): the mean of its square has
            # a relative standard error of sqrt(2.4 / draws). The denominator takes away a hundredth.
            self.assertLess(abs(found / wanted - 1), 4 * math.sqrt(2.4 / draws) + 0.01)


if __name__ == "__main__":
    unittest.main()

"""`subquad reproduce` on a small table: cells, verdicts, exit codes, going on, listing."""

import json
import os
import tempfile
import unittest

from support import SOURCE, run

CONFIG = """
variant = naive
variant = local(radius=8)
anchor = naive
length = 128 256 512
heads = 1
dim = 8
rounds = 0
reference-rows = 4
figures = false
"""
COLUMNS = [{"name": str(n), "length": n} for n in (128, 256, 512)]


def table(formula="n^2/128"):
    return {
        "title": "A small table",
        "source": {"paper": "P", "place": "Table 1", "arxiv": "0000.00000"},
        "judged": "counted work",
        "minutes": 1,
        "panels": [{
            "title": "Work",
            "figure": "multiply_adds",
            "columns": COLUMNS,
            "rows": [
                {"name": "all pairs", "variant": "naive", "values": [128, 512, 2048], "mark": "D",
                 "rules": [{"kind": "formula", "formula": formula, "within": 0.5},
                           {"kind": "equals", "formula": "2*n^2*dim", "within": 0}]},
                {"name": "window", "variant": "local(radius=8)", "values": [1, 2, 4], "mark": "D",
                 "rules": [{"kind": "slope", "law": "n^2", "within": 0.1}],
                 "known": [{"why": "A window is linear."}]},
                {"name": "none", "values": [1, 1, 1], "mark": "D", "unmeasured": "nobody has it"},
            ],
        }],
    }


def expected_window(n):
    """Pairs at most 8 apart, two multiply-adds of 8 each."""
    pairs = sum(1 for i in range(n) for j in range(n) if abs(i - j) <= 8)
    return 2 * 8 * pairs


class Reproduce(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        os.mkdir(os.path.join(self.folder, "tables"))
        self.write("small.cfg", CONFIG)
        self.write("small.published.json", json.dumps(table()))

    def write(self, name, text):
        with open(os.path.join(self.folder, "tables", name), "w") as file:
            file.write(text)

    def reproduce(self, *words):
        return run("reproduce", *words, "--tables", "tables", cwd=self.folder)

    def test_cells_and_verdicts(self):
        ended = self.reproduce("small", "--format", "json")
        self.assertEqual(ended.returncode, 0, ended.stderr)
        judged = json.loads(ended.stdout)
        cells = {(c["row"], c["column"]): c for c in judged["panels"][0]["cells"]}
        for n in (128, 256, 512):
            self.assertEqual(cells["all pairs", str(n)]["measured"], 2 * n * n * 8)
            self.assertEqual(cells["all pairs", str(n)]["verdict"], "pass")
            self.assertEqual(cells["window", str(n)]["measured"], expected_window(n))
            self.assertEqual(cells["none", str(n)]["why_not"], "nobody has it")
        self.assertEqual(cells["window", "128"]["verdict"], "shown")
        self.assertEqual(cells["window", "512"]["verdict"], "differs")
        self.assertEqual(cells["window", "512"]["reasons"], ["A window is linear."])
        self.assertEqual(judged["counts"], {"formulas_right": 3, "formulas": 3, "passed": 3,
                                            "judged": 5, "differ_without_reason": 0,
                                            "not_measured": 3})

    def test_goes_on_and_judges_what_is_recorded(self):
        first = self.reproduce("small")
        self.assertEqual(first.returncode, 0, first.stderr)
        points = os.path.join(self.folder, "results", "small", "points.jsonl")
        with open(points) as file:
            records = file.read()
        again = self.reproduce("small")
        with open(points) as file:
            self.assertEqual(file.read(), records, "nothing is measured twice")
        self.assertEqual(first.stdout, again.stdout)
        self.assertEqual(self.reproduce("small", "--recorded", "results").stdout, first.stdout)
        for words in ("all pairs: naive", "Why: A window is linear.", "nobody has it",
                      "Measured cells that pass: 3/5"):
            self.assertIn(words, first.stdout)

    def test_options_replace_those_of_configs(self):
        ended = self.reproduce("small", "--length", "256", "--format", "json")
        cells = json.loads(ended.stdout)["panels"][0]["cells"]
        measured = [c["column"] for c in cells if c["measured"] is not None]
        self.assertEqual(measured, ["256", "256"])

    def test_a_wrong_formula_is_an_exit_code(self):
        self.write("small.published.json", json.dumps(table(formula="n^2/127")))
        ended = self.reproduce("small")
        self.assertEqual(ended.returncode, 1)
        self.assertIn("the formula gives", ended.stdout)

    def test_all_ends_in_a_summary(self):
        other = table()
        other["runs"] = [{"config": "small.cfg", "name": "other", "set": {"length": "64 128"}}]
        self.write("other.published.json", json.dumps(other))
        ended = self.reproduce("all", "--format", "markdown")
        self.assertEqual(ended.returncode, 0, ended.stderr)
        lines = [line for line in ended.stdout.splitlines() if line.startswith("| small | 3/3")]
        self.assertEqual(len(lines), 1)
        self.assertIn("| all | 6/6 | 4/6 |", ended.stdout)
        self.assertTrue(os.path.exists(os.path.join(self.folder, "results", "other")))

    def test_all_judges_what_is_recorded_and_tells_what_is_not(self):
        self.reproduce("small")
        other = table()
        other["runs"] = [{"config": "small.cfg", "name": "other"}]
        self.write("other.published.json", json.dumps(other))
        ended = self.reproduce("all", "--recorded", "results")
        self.assertEqual(ended.returncode, 0, ended.stderr)
        self.assertIn("The run other is not in results", ended.stdout)
        self.assertIn("Measured cells that pass: 3/5", ended.stdout)
        self.assertEqual(self.reproduce("other", "--recorded", "results").returncode, 2)
        self.assertEqual(self.reproduce("all", "--recorded", "nowhere").returncode, 2)

    def test_mistakes_of_a_user(self):
        ended = self.reproduce("smal")
        self.assertEqual(ended.returncode, 2)
        self.assertIn("did you mean 'small'", ended.stderr)
        self.write("small.published.json", json.dumps(table() | {"colour": "red"}))
        ended = self.reproduce("small")
        self.assertEqual(ended.returncode, 2)
        self.assertIn("small.published.json: has an unknown key 'colour'", ended.stderr)

    def test_list(self):
        ended = run("reproduce", "list", cwd=SOURCE)
        self.assertEqual(ended.returncode, 0, ended.stderr)
        tables = os.path.join(SOURCE, "experiments", "papers")
        names = sorted(f[:-len(".published.json")] for f in os.listdir(tables)
                       if f.endswith(".published.json"))
        listed = [line.split()[0] for line in ended.stdout.splitlines() if line[:1].strip()]
        self.assertEqual(listed, names)
        self.assertIn("arXiv:2205.14135", ended.stdout)


if __name__ == "__main__":
    unittest.main()

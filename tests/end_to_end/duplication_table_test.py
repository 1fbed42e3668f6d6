"""The table reformer_duplication, on six of its twenty sequences: recall by rounds, and its verdicts."""

import json
import os
import tempfile
import unittest

from support import SOURCE, run

TABLES = os.path.join(SOURCE, "experiments", "papers")


class DuplicationTable(unittest.TestCase):
    def test_recall_rises_with_rounds(self):
        with tempfile.TemporaryDirectory() as folder:
            ended = run("reproduce", "reformer_duplication", "--tables", TABLES, "--heads", "6",
                        "--format", "json", cwd=folder)
            self.assertEqual(ended.returncode, 0, ended.stderr)
            with open(os.path.join(folder, "results", "reformer_duplication",
                                   "points.jsonl")) as file:
                records = {r["variant"]: r for r in map(json.loads, file)}
        panel = json.loads(ended.stdout)["panels"][0]
        cells = {cell["row"]: cell for cell in panel["cells"]}
        self.assertGreaterEqual(cells["Full"]["measured"], 0.999)
        recalls = [cells[f"LSH-{rounds}"]["measured"] for rounds in (8, 4, 2, 1)]
        self.assertEqual(recalls, sorted(recalls, reverse=True))
        for row in ("Full", "LSH-8", "LSH-4", "LSH-2"):
            self.assertEqual(cells[row]["verdict"], "pass", row)
        # The paired rule, once more: gains of two rounds over one on each sequence.
        found = {rounds: records[f"lsh(bucket=32,rounds={rounds})"]["error"]["row_recall"]
                 for rounds in (1, 2)}
        self.assertEqual(len(found[1]), 6)
        for one, two in zip(found[1], found[2]):
            self.assertGreater(two, one)


if __name__ == "__main__":
    unittest.main()

"""Tables of README.md and docs/*.md are those that the program makes from the committed records."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from support import BINARY, SOURCE

SCRIPT = os.path.join(SOURCE, "plots", "documents.py")


def documents(*options, source=SOURCE):
    return subprocess.run([sys.executable, "-B", SCRIPT, "--program", BINARY, "--source", source,
                           *options], capture_output=True, text=True, timeout=280)


class Documents(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.tree = pathlib.Path(folder.name)
        for name in ("results", "experiments"):
            (self.tree / name).symlink_to(os.path.join(SOURCE, name))
        (self.tree / "docs").mkdir()
        (self.tree / "README.md").write_text("no table\n", encoding="utf-8")

    def page(self, text):
        (self.tree / "docs" / "page.md").write_text(text, encoding="utf-8")
        return self.tree / "docs" / "page.md"

    def marked(self, *lines, kind="table"):
        return self.page("\n".join([f"<!-- {kind}", *lines, "-->", "<!-- end -->", ""]))

    def test_every_table_is_what_the_records_say(self):
        done = documents("--check")
        self.assertEqual(done.returncode, 0, done.stdout[:3000] + done.stderr)

    def test_tables_are_not_few(self):
        pages = [pathlib.Path(SOURCE, "README.md"), *pathlib.Path(SOURCE, "docs").glob("*.md")]
        markers = sum(page.read_text(encoding="utf-8").count("\n<!-- table\n") for page in pages)
        self.assertGreaterEqual(markers, 14)

    def test_a_changed_number_is_found_and_put_right(self):
        shutil.copy(os.path.join(SOURCE, "docs", "decode.md"), self.tree / "docs")
        page = self.tree / "docs" / "decode.md"
        right = page.read_text(encoding="utf-8")
        self.assertIn("| 20.3 µs |", right)
        page.write_text(right.replace("| 20.3 µs |", "| 2.03 µs |"), encoding="utf-8")
        done = documents("--check", source=self.tree)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("-| `dense` | 2.03 µs", done.stdout)
        self.assertIn("+| `dense` | 20.3 µs", done.stdout)
        done = documents(source=self.tree)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(page.read_text(encoding="utf-8"), right)

    def test_every_experiment_is_in_the_index_with_its_question(self):
        index = pathlib.Path(SOURCE, "docs", "experiments.md").read_text(encoding="utf-8")
        for config in pathlib.Path(SOURCE, "experiments").glob("*.cfg"):
            self.assertIn(f"(../experiments/{config.name})", index)
            (question,) = [line.partition("=")[2].strip()
                           for line in config.read_text(encoding="utf-8").splitlines()
                           if line.startswith("question")]
            self.assertIn(f"| {question} |", index)

    def test_every_fuzz_target_says_what_must_hold(self):
        page = pathlib.Path(SOURCE, "docs", "reliability.md").read_text(encoding="utf-8")
        for target in pathlib.Path(SOURCE, "tests", "fuzz").glob("fuzz_*.cpp"):
            self.assertIn(f"| `{target.stem}` |", page)

    def test_crossovers_stand_between_measured_lengths(self):
        page = self.marked("run = results/recorded/quickstart", "real = recogniser ; "
                           "results/recorded/quickstart ; input=file* length=4096", kind="crossovers")
        done = documents(source=self.tree)
        self.assertEqual(done.returncode, 2)
        self.assertIn("2 series of lengths", done.stderr)
        page = self.marked("run = results/recorded/patterns_scaling", "real = recogniser 4096 ; "
                           "results/recorded/quickstart ; input=file* length=4096", kind="crossovers")
        done = documents(source=self.tree)
        self.assertEqual(done.returncode, 0, done.stderr)
        rows = [line for line in page.read_text(encoding="utf-8").splitlines()
                if line.startswith("| `")]
        self.assertEqual(len(rows), 13)  # of lsh, in two forms, the first alone
        self.assertTrue(all("everywhere, from 4096" in row for row in rows), rows)
        self.assertTrue(all(row.endswith("| not measured |") for row in rows), rows)

    def test_crossovers_of_the_readme_are_brackets_of_measured_lengths(self):
        records = pathlib.Path(SOURCE, "results", "recorded", "length", "points.jsonl")
        measured = {json.loads(line)["problem"]["keys"]
                    for line in records.read_text(encoding="utf-8").splitlines()}
        text = pathlib.Path(SOURCE, "README.md").read_text(encoding="utf-8")
        table = text.partition("<!-- crossovers")[2].partition("<!-- end -->")[0]
        brackets = [line.split(" | ")[2] for line in table.splitlines() if line.startswith("| `")]
        self.assertGreaterEqual(len(brackets), 20)
        for bracket in brackets:
            numbers = {int(number) for number in re.findall(r"\d+", bracket)}
            self.assertLessEqual(numbers, measured, bracket)
            self.assertRegex(bracket, "^(everywhere, from|from|between|nowhere)")

    def test_published_tables_are_judged_from_records(self):
        page = self.marked("recorded = results/recorded/papers", kind="published")
        done = documents(source=self.tree)
        self.assertEqual(done.returncode, 0, done.stderr)
        text = page.read_text(encoding="utf-8")
        self.assertIn("## Published tables, judged", text)
        self.assertIn("The run performer\\_lemma2 is not in results/recorded/papers", text)
        for lines, says in (([], "no line 'recorded = FOLDER'"),
                            (["run = results/recorded/papers"], "known keys: recorded"),
                            (["recorded = results/nowhere"], "results/nowhere")):
            with self.subTest(lines):
                self.marked(*lines, kind="published")
                done = documents(source=self.tree)
                self.assertEqual(done.returncode, 2, done.stdout)
                self.assertIn("docs/page.md:1: ", done.stderr)
                self.assertIn(says, done.stderr)

    def test_mistakes_name_page_and_line(self):
        run = "run = results/recorded/decode"
        for lines, says in (
                (["column = a ; time"], "no line 'run"),
                (["run = results/recorded/none", "column = a ; time"], "no such run"),
                ([run], "no line 'column"),
                ([run, "colum = a ; time"], "known keys"),
                ([run, "column = a"], "TITLE ; FIGURES"),
                ([run, "column = a ; tme"], "figure 'tme' is none; known: time,"),
                ([run, "column = a ; time ; lenght=4096"], "no key 'lenght'"),
                ([run, "column = a ; time"], "7 points fit it; they differ in length=1024"),
                ([run, "column = a ; time ; length=5"], "nothing recorded fits it"),
                ([run, "rows = colour", "column = a ; time"], "no key 'colour'")):
            with self.subTest(lines):
                self.marked(*lines)
                done = documents(source=self.tree)
                self.assertEqual(done.returncode, 2, done.stdout)
                self.assertIn("docs/page.md:1: ", done.stderr)
                self.assertIn(says, done.stderr)
                self.assertNotIn("Traceback", done.stderr)
        self.page("<!-- table\n" + run + "\n-->\n| a |\n")
        self.assertIn("none '<!-- end -->'", documents(source=self.tree).stderr)


if __name__ == "__main__":
    unittest.main()

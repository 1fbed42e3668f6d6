"""Comparing builds and runs. Builds whose times are known beforehand are scripts that speak as a point's
process does, with records of the real program; nothing asserted here depends on how long anything took."""

import json
import os
import shutil
import tempfile
import unittest

from ground import plugin
from support import BINARY, SOURCE, run

PROBLEM = ["--length", "32", "--dim", "4", "--heads", "1"]
QUICK = [*PROBLEM, "--min-time", "0.0005", "--rounds", "10"]
ROUNDS = [10, 20, 40, 80, 160]  # of a point, as far as it is not settled

FAKE = """#!/usr/bin/python3
import json, os, random, socket, sys
folder = {folder!r}
variant = sys.argv[sys.argv.index("--variant") + 1]
plan = json.load(open(os.path.join(folder, "plan.json")))
of_variant = plan.get("all", {{}}) | plan.get(variant, {{}})
if "usage" in of_variant:
    print("subquad: " + of_variant["usage"], file=sys.stderr)
    sys.exit(2)
record = json.load(open(os.path.join(folder, variant + ".json")))
for key, value in of_variant.get("record", {{}}).items():
    record[key] = value
for key in of_variant.get("without", []):
    del record[key]
channel = socket.socket(fileno=3)
lines = channel.makefile("rw")
for line in lines:
    if line == "check\\n":
        lines.write(json.dumps(record) + "\\n")
    elif line == "time\\n":
        if of_variant.get("aborts"):
            os.abort()
        counter = os.path.join(folder, variant + ".count")
        with open(counter, "a") as file:
            file.write(".")
        if os.path.getsize(counter) > of_variant.get("aborts_after", 1e9):
            os.abort()
        noise = random.Random(folder[-1] + variant + str(os.path.getsize(counter))).gauss(
            0, of_variant.get("noise", 0.01))
        time_ns = 1e6 * of_variant.get("factor", 1) * (1 + noise)
        # The wall's time is of no use: others had the processor for most of it.
        pass_times = {{"time_ns": time_ns * random.Random(noise).uniform(1, 50), "complaint": ""}}
        if not of_variant.get("tells_no_cpu"):
            pass_times["cpu_ns"] = time_ns
        else:
            pass_times["time_ns"] = time_ns
        lines.write(json.dumps(pass_times) + "\\n")
    lines.flush()
"""


class Compare(unittest.TestCase):
    VARIANTS = ["dense", "mean", "local"]

    @classmethod
    def setUpClass(cls):
        cls.records = {}
        for variant in cls.VARIANTS:
            result = run("measure", "--variant", variant, "--rounds", 0, *PROBLEM)
            cls.records[variant] = json.loads(result.stdout)

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def fake(self, name, plan=None):
        """A build by `plan`: what it does with all variants or some; its path."""
        folder = os.path.join(self.folder, name)
        os.mkdir(folder)
        for variant, record in self.records.items():
            with open(os.path.join(folder, variant + ".json"), "w") as file:
                json.dump(record, file)
        with open(os.path.join(folder, "plan.json"), "w") as file:
            json.dump(plan or {}, file)
        path = os.path.join(folder, "subquad")
        with open(path, "w") as file:
            file.write(FAKE.format(folder=folder))
        os.chmod(path, 0o755)
        return path

    def compare(self, a, b, *options):
        variants = [word for variant in self.VARIANTS for word in ("--variant", variant)]
        return run("compare", "--builds", a, b, *variants, *QUICK, *options, cwd=self.folder)

    def points(self, result, returncode):
        self.assertEqual(result.returncode, returncode, result.stdout + result.stderr)
        report = json.loads(result.stdout)
        return report, {point["variant"]: point for point in report["points"]}

    def test_a_slowdown_of_a_tenth_is_found(self):
        b = self.fake("b", {"mean": {"factor": 1.1}, "local": {"factor": 0.9}})
        result = self.compare(self.fake("a"), b, "--format", "json")
        _, points = self.points(result, 1)
        self.assertEqual(points["mean"]["verdict"], "slower")
        self.assertAlmostEqual(points["mean"]["ratio"], 1.1, delta=0.02)
        self.assertLess(points["mean"]["low"], 1.1)
        self.assertGreater(points["mean"]["high"], 1.1)
        self.assertLess(points["mean"]["adjusted_p"], 0.05)
        self.assertEqual(points["local"]["verdict"], "faster")
        self.assertEqual(points["dense"]["verdict"], "same")
        self.assertEqual([point["regressed"] for point in points.values()], [False, True, False])

    def test_a_difference_that_is_not_certain_gets_more_rounds(self):
        noisy = {"factor": 1.1, "noise": 0.08}
        a = self.fake("a", {"mean": {"noise": 0.08}})
        result = self.compare(a, self.fake("b", {"mean": noisy}), "--format", "json")
        _, points = self.points(result, 1)
        self.assertEqual(points["mean"]["verdict"], "slower")
        self.assertGreater(len(points["mean"]["times_a"]), 10)
        for variant in ("dense", "local"):
            self.assertEqual(len(points[variant]["times_b"]), 10)
        self.assertIn("1 point not settled: 10 more rounds", result.stderr)

    def test_a_crash_in_a_later_look_is_all_that_is_said(self):
        # Two passes a round.
        noisy = {"factor": 1.1, "noise": 0.08, "aborts_after": 24}
        a = self.fake("a", {"mean": {"noise": 0.08}})
        result = self.compare(a, self.fake("b", {"mean": noisy}), "--format", "json")
        _, points = self.points(result, 1)
        self.assertIn("1 point not settled", result.stderr)
        self.assertEqual(points["mean"]["verdict"], "not timed")
        self.assertIn("SIGABRT", points["mean"]["why"])
        self.assertIsNone(points["mean"]["adjusted_p"])
        self.assertTrue(points["mean"]["regressed"])

    def test_a_build_that_tells_no_processor_time(self):
        a = self.fake("a", {"all": {"tells_no_cpu": True}})
        b = self.fake("b", {"all": {"tells_no_cpu": True}, "mean": {"factor": 1.1}})
        _, points = self.points(self.compare(a, b, "--format", "json"), 1)
        self.assertEqual(points["mean"]["verdict"], "slower")

    def test_the_same_twice_is_no_regression(self):
        result = self.compare(self.fake("a"), self.fake("b"))
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertEqual(result.stdout.count("same within 3.00 %"), 3 + 1)  # and the summary
        self.assertIn("Regressions (!): 0.", result.stdout)

    def test_a_smaller_effect_does_not_matter_unless_told(self):
        a, b = self.fake("a"), self.fake("b", {"mean": {"factor": 1.04}})
        self.assertEqual(self.compare(a, b, "--smallest-effect", "0.1").returncode, 0)

    def test_a_wrong_result_is_seen_however_fast(self):
        wrong = {"record": {"error": {"relative_error": [0.99]}}, "factor": 0.5}
        _, points = self.points(
            self.compare(self.fake("a"), self.fake("b", {"dense": wrong}), "--format", "json"), 1)
        self.assertEqual(points["dense"]["verdict"], "faster")
        self.assertTrue(points["dense"]["regressed"])
        self.assertIn("result changed", points["dense"]["changes"][0]["text"])

    def test_memory_counts_to_the_byte(self):
        more = self.records["mean"]["scratch_bytes"] + 1
        _, points = self.points(
            self.compare(self.fake("a"), self.fake("b", {"mean": {"record": {"scratch_bytes": more}}}),
                         "--format", "json"), 1)
        self.assertIn(f"then {more}", points["mean"]["changes"][0]["text"])
        self.assertFalse(points["dense"]["regressed"])

    def test_a_point_that_crashes_costs_itself_alone(self):
        _, points = self.points(
            self.compare(self.fake("a"), self.fake("b", {"mean": {"aborts": True}}), "--format",
                         "json"), 1)
        self.assertEqual(points["mean"]["verdict"], "not timed")
        self.assertIn("ok, then crashed (SIGABRT", points["mean"]["changes"][0]["text"])
        self.assertEqual(points["dense"]["verdict"], "same")

    def test_a_variant_that_one_build_lacks(self):
        lacks = {"local": {"usage": "unknown variant 'local'"}}
        _, points = self.points(
            self.compare(self.fake("a", lacks), self.fake("b"), "--format", "json"), 0)
        self.assertIn("unknown variant 'local'", points["local"]["why"])
        self.assertFalse(points["local"]["regressed"], "it is new")
        _, points = self.points(
            self.compare(self.fake("c"), self.fake("d", lacks), "--format", "json"), 1)
        self.assertTrue(points["local"]["regressed"], "it is gone")

    def test_another_schema_is_named(self):
        other = self.records["mean"]["schema"] + 1
        report, _ = self.points(
            self.compare(self.fake("a"), self.fake("b", {"all": {"record": {"schema": other}}}),
                         "--format", "json"), 0)
        self.assertTrue(any(f"B of schema {other}" in text for text in report["notices"]),
                        report["notices"])

    def test_a_record_without_what_is_compared_is_refused(self):
        result = self.compare(self.fake("a"), self.fake("b", {"all": {"without": ["heap_bytes"]}}))
        self.assertEqual(result.returncode, 2)
        for word in ("B (", "heap_bytes", "schema"):
            self.assertIn(word, result.stderr)

    def test_a_build_that_does_not_know_the_protocol_is_named(self):
        old = self.fake("old", {"all": {"usage": "command line: unknown option --channel"}})
        result = self.compare(old, self.fake("b"))
        self.assertEqual(result.returncode, 2)
        self.assertIn(f"A ({old})", result.stderr)
        self.assertIn("unknown option --channel", result.stderr)

    def test_other_problems_are_not_compared(self):
        other = {"record": {"resolved": "local(radius=3)"}}
        _, points = self.points(
            self.compare(self.fake("a"), self.fake("b", {"local": other}), "--format", "json"), 0)
        self.assertEqual(points["local"]["verdict"], "not timed")
        self.assertIn("resolved", points["local"]["why"])

    def test_the_program_against_itself(self):
        copy = os.path.join(self.folder, "copy")
        shutil.copy(BINARY, copy)
        result = self.compare(BINARY, copy, "--format", "json")
        report, points = self.points(result, result.returncode)
        self.assertEqual(result.returncode, 1 if report["regressions"] else 0)
        self.assertIn("same program", report["notices"][0])
        for point in points.values():
            self.assertIn(len(point["times_a"]), ROUNDS)
            self.assertGreater(min(point["times_a"] + point["times_b"]), 0)
            self.assertEqual(point["changes"], [])
            self.assertEqual(point["a"]["relative_error"], point["b"]["relative_error"])

    def test_libraries_of_each_side(self):
        result = run("compare", "--builds", BINARY, BINARY, "--plugin-a", plugin("worked"),
                     "--plugin-b", plugin("worked_more"), "--variant", "worked", *QUICK, "--format",
                     "json", cwd=self.folder)
        report, points = self.points(result, result.returncode)
        self.assertEqual(report["notices"], [], "no word of the same program")
        self.assertIn(len(points["worked"]["times_b"]), ROUNDS)
        self.assertEqual(points["worked"]["changes"], [])

    def test_stored_runs(self):
        quickstart = os.path.join(SOURCE, "results", "recorded", "quickstart")
        result = run("compare", quickstart, quickstart, "--format", "json")
        self.assertEqual(result.returncode, 0, result.stderr)
        report = json.loads(result.stdout)
        verdicts = {point["verdict"] for point in report["points"]}
        self.assertEqual(verdicts, {"cannot tell", "not timed"})
        with open(os.path.join(quickstart, "points.jsonl")) as file:
            records = [json.loads(line) for line in file]
        slow = os.path.join(self.folder, "slow")
        os.mkdir(slow)
        shutil.copy(os.path.join(quickstart, "machine.json"), slow)
        chosen = next(record for record in records
                      if record["family"] == "linear" and not record["anchor"])
        for one in chosen["rounds"]:
            one["time_ns"] *= 3
        with open(os.path.join(slow, "points.jsonl"), "w") as file:
            file.writelines(json.dumps(record) + "\n" for record in records)
        result = run("compare", quickstart, slow, "--format", "json")
        self.assertEqual(result.returncode, 1)
        regressed = [point for point in json.loads(result.stdout)["points"] if point["regressed"]]
        self.assertEqual([point["variant"] for point in regressed], ["linear"])
        self.assertAlmostEqual(regressed[0]["ratio"], 3, places=6)
        result = run("compare", quickstart, quickstart, quickstart, "--with",
                     f"{quickstart} {quickstart}", "--with", quickstart, "--format", "json")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertTrue(all(point["ratio"] in (None, 1) for point in
                            json.loads(result.stdout)["points"]))

    def test_usage(self):
        def refused(words, *arguments):
            result = run("compare", *arguments, cwd=self.folder)
            self.assertEqual(result.returncode, 2, result.stdout + result.stderr)
            for word in words:
                self.assertIn(word, result.stderr)

        refused(["usage", "--with", "--builds"])
        refused(["usage"], "one")
        refused(["no such run", "nowhere"], "nowhere", "elsewhere")
        refused(["no such program", "nowhere"], "--builds", "nowhere", BINARY)
        refused(["rounds", "9", "10"], "--builds", BINARY, BINARY, "--rounds", "9")
        refused(["--length", "--builds"], "a", "b", "--length", "32")
        refused(["smallest-effect", "-1"], "--builds", BINARY, BINARY, "--smallest-effect", "-1")
        refused(["format", "latex", "json"], "--builds", BINARY, BINARY, "--format", "latex")


if __name__ == "__main__":
    unittest.main()

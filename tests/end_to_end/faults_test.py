"""Every row of the fault table (faults.py), done to the program as a user runs it.

    faults_test.py --table    prints the table for docs/reliability.md
"""

import os
import sys
import unittest

import faults
from ground import DEADLINE, Ground, plugin
from support import SOURCE

SANITIZED = os.environ.get("SUBQUAD_SANITIZED") == "1"
MARKS = "<!-- fault table -->\n", "<!-- end of fault table -->\n"


@unittest.skipIf(SANITIZED, "a sanitizer takes signals, allocations and preloading for itself")
class Faults(unittest.TestCase):
    def ground(self):
        ground = Ground(self)
        self.addCleanup(ground.close)
        return ground

    def misbehave(self, points, **options):
        """All of them in one run, between points that behave; then once more, which must change
        nothing."""
        ground = self.ground()
        ground.configure("mean", *(point.variant() for point in points), "local(radius=4)",
                         length="32", **options)
        ground.run(expected=1)
        found = {record["variant"]: record for record in ground.records()}
        self.assertEqual(len(found), len(points) + 3)
        for point in points:
            with self.subTest(point.fault):
                record = found.pop(point.variant())
                if point.applies and not point.applies(record):
                    ground.check_well(record)
                    continue
                self.assertEqual(record["status"], point.status, record["reason"])
                self.assertIn(point.says, record["reason"])
                if point.check:
                    point.check(self, record)
        with self.subTest("all others"):
            ground.check_well(*found.values())
        before = ground.lines()
        ground.run(expected=1)
        self.assertEqual(ground.lines(), before)
        return ground

    def check_measured_again(self, ground, points, *options):
        before = ground.lines()
        ground.run(*options, expected=1)
        ground.check_kept(before)
        self.assertEqual(sorted(r["variant"] for r in ground.records()[len(before):]),
                         sorted(point.variant() for point in points))

    def test_a_variant_costs_no_more_than_its_own_record(self):
        points = [point for point in faults.POINTS if point.status != "timeout"]
        ground = self.misbehave(points)
        large = [point for point in points if point.status == "out_of_memory"]
        self.check_measured_again(ground, large, "--memory-limit", "310MiB")

    def test_a_variant_that_never_returns_costs_no_more_than_its_own_record(self):
        points = [point for point in faults.POINTS if point.status == "timeout"]
        ground = self.misbehave(points, time_limit=4)
        self.check_measured_again(ground, points, "--time-limit", "1")

    def test_a_library_costs_no_more_than_a_message(self):
        ground = self.ground()
        ground.configure("mean", length="32")
        ground.run()
        before = ground.lines()
        # All at once, since some are waited for.
        started = [(one, ground.start("--plugin", plugin(one.name), "--results", one.name))
                   for one in faults.LIBRARIES]
        for one, child in started:
            with self.subTest(one.fault):
                stderr = child.communicate(timeout=DEADLINE)[1]
                self.assertEqual(child.returncode, 2, stderr)
                self.assertIn(plugin(one.name), stderr)
                self.assertIn(one.says, stderr)
                self.assertEqual(len(stderr.splitlines()), 1, stderr)
        ground.check_nobody_left()
        self.assertEqual(ground.lines(), before)

    def test_the_document_has_the_table(self):
        with open(os.path.join(SOURCE, "docs", "reliability.md")) as file:
            document = file.read()
        self.assertEqual(document.split(MARKS[0])[1].split(MARKS[1])[0].strip(),
                         faults.markdown().strip())


def test_of(fault):
    def test(self):
        fault(self.ground())
    return test


for one in faults.WORLD:
    setattr(Faults, "test_" + one.__name__, test_of(one))

if __name__ == "__main__":
    if sys.argv[1:] == ["--table"]:
        print(faults.markdown())
    else:
        unittest.main()

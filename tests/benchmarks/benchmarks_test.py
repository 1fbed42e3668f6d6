"""Every benchmark of the kernels runs and reports a rate; no kernel is without one."""

import json
import os
import pathlib
import subprocess
import unittest

PROGRAM = os.environ["KERNEL_BENCHMARKS"]
KERNELS = pathlib.Path(os.environ["SUBQUAD_SOURCE"]) / "variants" / "kernels"
# Rates, of which each benchmark has at least one.
RATES = {"GFLOP/s", "GB/s", "Gexp/s"}


def run(*arguments):
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=280)


class Benchmarks(unittest.TestCase):
    def test_each_runs_once(self):
        done = run("--benchmark_min_time=0.000001", "--benchmark_format=json")
        self.assertEqual(done.returncode, 0, done.stderr)
        benchmarks = json.loads(done.stdout)["benchmarks"]
        for benchmark in benchmarks:
            with self.subTest(benchmark["name"]):
                self.assertNotIn("error_occurred", benchmark)
                rates = RATES & benchmark.keys()
                self.assertTrue(rates)
                self.assertTrue(all(benchmark[rate] > 0 for rate in rates), benchmark)
                if "GFLOP/s" in benchmark:
                    self.assertGreater(benchmark["% of peak"], 0)
                    self.assertGreater(benchmark["GFLOP/s run"], 0)
        headers = {path.stem for path in KERNELS.glob("*.h") if not path.stem.endswith("-inl")}
        if "amx is left out: " in done.stderr:
            headers.remove("amx")
        self.assertEqual({b["name"].split("/")[0] for b in benchmarks}, headers)

    def test_medians_are_printed_alone(self):
        done = run("--medians", "--benchmark_filter=rowwise/max_of/n:512$",
                   "--benchmark_repetitions=3", "--benchmark_min_time=0.000001")
        self.assertEqual(done.returncode, 0, done.stderr)
        rows = [line for line in done.stdout.splitlines() if line.startswith("rowwise/")]
        self.assertEqual(len(rows), 1, done.stdout)
        self.assertIn("_median", rows[0])

    def test_what_is_unknown_is_refused(self):
        self.assertEqual(run("--meidans").returncode, 2)


if __name__ == "__main__":
    unittest.main()

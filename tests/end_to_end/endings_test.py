"""Whatever one point does, the run goes on and its record says how the point ended."""

import json
import os
import shlex
import signal
import subprocess
import tempfile
import time
import unittest

from support import BINARY, run

PLUGIN = os.environ["SUBQUAD_PLUGIN_ILL"]

EXPECTED = {
    "well": ("ok", ""),
    "throws": ("failed", "ill as told"),
    "crashes": ("crashed", "SIGSEGV"),
    "aborts": ("crashed", "SIGABRT"),
    "hangs": ("timeout", "limit of 2 s"),
    "leaves": ("failed", "exit code 7"),
    "is_killed": ("out_of_memory", "killed"),
    "allocates": ("out_of_memory", "allocation"),
    "nan": ("mistrusted", "not finite"),
    "wrong": ("mistrusted", "arithmetic error"),
}


def config(*lines, length=32):
    return "\n".join([f"plugin = {PLUGIN}", f"length = {length}", "heads = 1", "dim = 4", "rounds = 2",
                      "min-time = 0.001", "time-limit = 2", "memory-limit = 300MiB",
                      "figures = false", *lines]) + "\n"


def records(folder):
    with open(os.path.join(folder, "results", "x", "points.jsonl")) as file:
        return [json.loads(line) for line in file]


class Endings(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def write_config(self, *lines, **settings):
        with open(os.path.join(self.folder, "x.cfg"), "w") as file:
            file.write(config(*lines, **settings))

    def run_config(self, *lines, options=(), **settings):
        self.write_config(*lines, **settings)
        return run("run", "x.cfg", *options, cwd=self.folder)

    def start_hanging(self):
        self.write_config("variant = ill(how=hangs)")
        child = subprocess.Popen([BINARY, "run", "x.cfg", "--time-limit", "1000"], cwd=self.folder,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(lambda: (child.kill(), child.wait()))
        deadline = time.time() + 60
        while len(self.workers(child)) < 2:  # the anchor and the one that hangs
            self.assertLess(time.time(), deadline)
            time.sleep(0.05)
        return child

    @staticmethod
    def workers(child):
        with open(f"/proc/{child.pid}/task/{child.pid}/children") as file:
            return file.read().split()

    def wait_for_end_of(self, workers):
        def runs(worker):
            try:
                with open(f"/proc/{worker}/stat") as file:
                    # Whoever inherits an ended process may never ask for its ending.
                    return file.read().rsplit(")", 1)[1].split()[0] != "Z"
            except FileNotFoundError:
                return False

        deadline = time.time() + 10
        while any(map(runs, workers)):
            self.assertLess(time.time(), deadline, "a point's process outlived its run")
            time.sleep(0.05)

    @unittest.skipIf(os.environ.get("SUBQUAD_SANITIZED") == "1",
                     "a sanitizer takes signals and allocations for itself")
    def test_every_ending_has_its_record(self):
        finished = self.run_config(f"variant = ill(how={'|'.join(EXPECTED)})", "variant = mean")
        self.assertEqual(finished.returncode, 1, finished.stderr)
        found = {record["resolved"]: record for record in records(self.folder)}
        for how, (status, reason) in EXPECTED.items():
            with self.subTest(how):
                record = found[f"ill(how={how})"]
                self.assertEqual(record["status"], status, record["reason"])
                self.assertIn(reason, record["reason"])
        self.assertEqual(found["mean"]["status"], "ok")
        self.assertEqual(len(found["mean"]["rounds"]), 2)
        # Measured in the same rounds as the anchor, whatever happened beside it.
        self.assertTrue(all(r["anchor_ns"] > 0 for r in found["mean"]["rounds"]))

        # Nothing is measured again, but what a limit ended, once that is another.
        before = len(records(self.folder))
        self.run_config(f"variant = ill(how={'|'.join(EXPECTED)})", "variant = mean")
        self.assertEqual(len(records(self.folder)), before)
        self.run_config(f"variant = ill(how={'|'.join(EXPECTED)})", "variant = mean",
                        options=("--time-limit", "1"))
        again = [record["resolved"] for record in records(self.folder)[before:]]
        self.assertEqual(sorted(again), ["ill(how=allocates)", "ill(how=hangs)",
                                         "ill(how=is_killed)"])

    def test_a_point_predicted_too_large_is_not_run(self):
        finished = self.run_config("variant = naive", "anchor-max-length = 1", length=32768)
        self.assertEqual(finished.returncode, 1)
        (record,) = records(self.folder)
        self.assertEqual(record["status"], "out_of_memory")
        self.assertIn("not run", record["reason"])

    def test_interrupt_ends_every_process(self):
        child = self.start_hanging()
        workers = self.workers(child)
        child.send_signal(signal.SIGINT)
        self.assertEqual(child.wait(timeout=30), 130)
        self.wait_for_end_of(workers)

    def test_killed_run_takes_its_processes_along(self):
        child = self.start_hanging()
        workers = self.workers(child)
        child.kill()
        child.wait()
        self.wait_for_end_of(workers)

    def test_second_writer_is_told_who_is_first(self):
        first = self.start_hanging()
        second = run("run", "x.cfg", cwd=self.folder)
        self.assertEqual(second.returncode, 2)
        self.assertIn(f"process {first.pid} on ", second.stderr)

    def test_the_command_of_a_record_repeats_it(self):
        self.run_config("variant = local(radius=4)", "causal = true", "seed = 5")
        for record in records(self.folder):
            words = shlex.split(record["command"])
            self.assertEqual(words[0], "subquad")
            repeated = run(*words[1:], cwd=self.folder)
            self.assertEqual(repeated.returncode, 0, repeated.stderr)
            again = json.loads(repeated.stdout)
            for field in ("key", "resolved", "error", "arithmetic_error", "problem", "target"):
                self.assertEqual(again[field], record[field], field)


if __name__ == "__main__":
    unittest.main()

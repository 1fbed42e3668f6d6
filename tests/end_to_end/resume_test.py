"""A run that is killed at any moment goes on where it was: no point lost, none measured twice."""

import json
import os
import random
import signal
import subprocess
import tempfile
import time
import unittest

from support import BINARY, run

CONFIG = """
variant = dense
variant = local(radius=4|8)
variant = mean
variant = linformer(rank=4)
input = gaussian
length = 48 96 192
causal = false true
heads = 1
dim = 8
rounds = 3
min-time = 0.002
figures = false
"""
POINTS = 5 * 3 * 2


def complete_lines(path):
    if not os.path.exists(path):
        return []
    with open(path) as file:
        return [line for line in file.read().split("\n")[:-1]]


class Resume(unittest.TestCase):
    def test_killed_ten_times(self):
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "x.cfg"), "w") as file:
                file.write(CONFIG)
            points = os.path.join(folder, "results", "x", "points.jsonl")
            moments = random.Random(5)
            kills = 0
            while kills < 10:
                child = subprocess.Popen([BINARY, "run", "x.cfg"], cwd=folder,
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                time.sleep(moments.uniform(0.01, 0.6))
                if child.poll() is None:
                    child.send_signal(signal.SIGKILL)
                    kills += 1
                elif len(complete_lines(points)) == POINTS:
                    os.remove(points)  # it was too quick for us: once more from the start
                child.wait()
            finished = run("run", "x.cfg", cwd=folder)
            self.assertEqual(finished.returncode, 0, finished.stderr)
            records = [json.loads(line) for line in complete_lines(points)]
            keys = [record["key"] for record in records]
            self.assertEqual(len(keys), POINTS)
            self.assertEqual(len(set(keys)), POINTS)
            for record in records:
                self.assertIn(record["status"], ("ok", "refused"), record)

            again = run("run", "x.cfg", cwd=folder)
            self.assertEqual(again.returncode, 0, again.stderr)
            self.assertEqual(len(complete_lines(points)), POINTS)


if __name__ == "__main__":
    unittest.main()

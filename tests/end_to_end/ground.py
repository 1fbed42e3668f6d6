"""A folder in which runs go wrong, and what must hold there whatever happened."""

import contextlib
import glob
import json
import os
import shutil
import subprocess
import tempfile
import time
import uuid

from support import BINARY, run

PLUGINS = os.environ["SUBQUAD_PLUGINS"]
WEATHER = os.environ["SUBQUAD_WEATHER"]
DEADLINE = 120  # seconds that any wait may take; no test depends on how long one does


def plugin(name):
    return os.path.join(PLUGINS, f"libplugin_{name}.so")


class Ground:
    """A folder with x.cfg, in which the program runs. `test` is the unittest that asserts."""

    ROUNDS = 2

    def __init__(self, test):
        self.test = test
        self.folder = tempfile.mkdtemp()
        self.gate = self.path("gate")
        self.mark = f"subquad-test-{uuid.uuid4()}"
        self.children = []

    def close(self):
        for child in self.children:
            if child.poll() is None:
                child.kill()
                child.communicate()
        shutil.rmtree(self.folder)

    # ---- files ------------------------------------------------------------------------------------

    def path(self, *names):
        return os.path.join(self.folder, *names)

    @property
    def results(self):
        return self.path("results", "x")

    @property
    def points(self):
        return self.path("results", "x", "points.jsonl")

    def lines(self):
        """Whole lines of points.jsonl, as bytes."""
        if not os.path.exists(self.points):
            return []
        return self.read(self.points).split(b"\n")[:-1]

    def records(self):
        return [json.loads(line) for line in self.lines()]

    def reasons(self):
        """What recorded points say that are not well, a line each; of files as they are."""
        found = []
        for line in self.lines():
            with contextlib.suppress(ValueError, KeyError):
                record = json.loads(line)
                if record["status"] != "ok":
                    found.append(f"{record['variant']}: {record['status']}: {record['reason']}\n")
        return "".join(found)

    def write(self, path, content):
        with open(path, "wb") as file:
            file.write(content)

    def read(self, path):
        with open(path, "rb") as file:
            return file.read()

    def configure(self, *variants, length="32 64", **options):
        """x.cfg over these variants; the anchor comes on top."""
        self.variants, self.lengths = variants, [int(word) for word in length.split()]
        lines = [f"variant = {variant}" for variant in variants]
        options = {"length": length, "heads": 1, "dim": 4, "rounds": self.ROUNDS,
                   "min-time": 0.001, "time-limit": DEADLINE, "memory-limit": "300MiB",
                   "figures": "false"} | {k.replace("_", "-"): v for k, v in options.items()}
        if any("ill(" in variant for variant in variants):
            options.setdefault("plugin", plugin("ill"))
        lines += [f"{key} = {value}" for key, value in options.items()]
        self.write(self.path("x.cfg"), "\n".join(lines + [""]).encode())

    # ---- runs -------------------------------------------------------------------------------------

    def environment(self, weather):
        env = {"SUBQUAD_TEST_GATE": self.gate, "SUBQUAD_TEST_MARK": self.mark}
        if any(name.startswith("WEATHER") for name in weather):
            env["LD_PRELOAD"] = WEATHER
        return env | weather

    def run(self, *options, expected=0, says=(), **weather):
        """Runs x.cfg to its end, which must have this exit code and these words on stderr."""
        finished = run("run", "x.cfg", *options, cwd=self.folder, env=self.environment(weather))
        self.check_end(finished.returncode, finished.stderr, expected, says)
        return finished

    def command(self, *arguments):
        """Any command, in this folder: the finished process."""
        return run(*arguments, cwd=self.folder, env=self.environment({}))

    def check_end(self, code, stderr, expected, says):
        self.test.assertEqual(code, expected, stderr + self.reasons())
        for words in [says] if isinstance(says, str) else says:
            self.test.assertIn(words, stderr)
        self.check_nobody_left()

    def start(self, *options, **weather):
        child = subprocess.Popen([BINARY, "run", "x.cfg", *options], cwd=self.folder,
                                 env=os.environ | self.environment(weather), text=True,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.children.append(child)
        return child

    def start_and_wait_at_gate(self, *options, **weather):
        """A run of `mean` and `ill(how=waits)` at 32 and 64 that has measured the first length, and
        waits in the second: (its process, the process of the point that waits)."""
        self.configure("mean", "ill(how=waits)")
        child = self.start(*options, **weather)
        self.wait(lambda: len(self.lines()) == 3 and self.waiting(), child)
        return child, self.waiting()[0]

    def waiting(self):
        """Processes of points that wait at the gate."""
        return [int(path.rsplit(".", 1)[1]) for path in glob.glob(self.gate + ".*")]

    def open_gate(self):
        self.write(self.gate, b"")

    def wait(self, condition, child=None):
        end = time.monotonic() + DEADLINE
        while not condition():
            self.test.assertLess(time.monotonic(), end)
            if child is not None:
                self.test.assertIsNone(child.poll(), "the run ended too early")
            time.sleep(0.01)

    def end_of(self, child, expected, says=()):
        stderr = child.communicate(timeout=DEADLINE)[1]
        self.check_end(child.returncode, stderr, expected, says)

    # ---- what must hold ---------------------------------------------------------------------------

    def marked(self):
        """Processes that belong to runs of this ground, however they came to be."""
        mark = f"SUBQUAD_TEST_MARK={self.mark}".encode()
        return [int(pid) for pid in os.listdir("/proc") if pid.isdigit()
                and mark in content_of(f"/proc/{pid}/environ").split(b"\0")]

    def check_nobody_left(self):
        with contextlib.suppress(AssertionError):
            self.wait(lambda: not self.marked())
        self.test.assertEqual([words_of(pid) for pid in self.marked()], [])

    def check_kept(self, before):
        """Nothing of what was recorded before has changed."""
        self.test.assertEqual(self.lines()[:len(before)], before)

    def check_well(self, *records):
        for record in records:
            self.test.assertEqual(record["status"], "ok", record)
            self.test.assertEqual(len(record["rounds"]), self.ROUNDS, record)
            self.test.assertTrue(all(r["anchor_ns"] > 0 for r in record["rounds"]), record)

    def check_complete(self, times=1):
        """Every point has so many records, all of them well."""
        records = self.records()
        self.check_well(*records)
        found = sorted((r["variant"], r["problem"]["keys"]) for r in records)
        expected = [(variant, length) for length in self.lengths
                    for variant in ("dense",) + self.variants]
        self.test.assertEqual(found, sorted(expected * times))
        self.test.assertEqual(len({r["key"] for r in records}), len(records))

    def complete(self, says=()):
        """One more run measures what is missing, and no other point; and then nothing is."""
        before = self.lines()
        self.run(says=says)
        self.check_kept(before)
        self.check_complete()
        after = self.lines()
        self.run()
        self.test.assertEqual(self.lines(), after)


def content_of(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:  # the process is gone, or is not ours
        return b""


def words_of(pid):
    return content_of(f"/proc/{pid}/cmdline").split(b"\0")

"""The fault table: what goes wrong, what must come of it, and what must stay as it was.

Each row of POINTS is a way in which a variant misbehaves, each of LIBRARIES one in which a shared
library does when it is loaded, each function of WORLD something that happens around a run.
"""

import dataclasses
import glob
import json
import os
import shutil
import signal
import statistics

from ground import plugin


@dataclasses.dataclass
class Point:
    how: str  # of `ill`
    fault: str
    status: str
    says: str = ""  # is part of the reason
    check: object = None  # more that must hold of the record
    applies: object = None  # False of a record that can only be `ok`, as nothing was to be seen
    fitted: bool = False

    def variant(self):
        return f"fitted(ill(how={self.how}),seed=5)" if self.fitted else f"ill(how={self.how})"


def leaks(test, record):
    test.assertGreater(record["heap_kept_bytes"], 0)


def was_given_processors(record):
    """A loaded machine may not give a point more of them than it asked for."""
    return statistics.median(r["cpu_ns"] / r["time_ns"] for r in record["rounds"]) > 1.5


def called_once_a_pass(test, record):
    test.assertEqual([r["iterations"] for r in record["rounds"]], [1] * len(record["rounds"]))


POINTS = [
    Point("throws", "throws an exception", "failed", "ill as told"),
    Point("throws_a_number", "throws what is no `std::exception`", "failed", "unknown type"),
    Point("crashes", "raises SIGSEGV", "crashed", "SIGSEGV"),
    Point("aborts", "calls `abort`", "crashed", "SIGABRT"),
    Point("recurses", "calls itself without end", "crashed", "SIGSEGV"),
    Point("hangs", "loops for ever", "timeout", "longer than the limit"),
    Point("exits", "calls `exit(0)`", "failed", "exit code 0"),
    Point("leaves", "calls `_Exit(7)`", "failed", "exit code 7"),
    Point("is_killed", "raises SIGKILL", "crashed", "SIGKILL"),
    Point("crashes_in_refuses", "raises SIGSEGV in `refuses()`", "crashed", "SIGSEGV"),
    Point("hangs_in_refuses", "loops for ever in `refuses()`", "timeout", "longer than the limit"),
    Point("crashes_in_cost", "raises SIGSEGV in `cost()`", "crashed", "SIGSEGV"),
    Point("maps", "maps shared memory without end, which no limit of data sees", "out_of_memory",
          "grew beyond the limit"),
    Point("leaks", "leaks at each call", "ok", check=leaks),
    Point("writes_nothing", "leaves its output unwritten", "mistrusted", "not finite"),
    Point("writes_past_output", "writes past its output", "mistrusted", "wrote"),
    Point("writes_past_scratch", "writes past its scratch memory", "mistrusted", "wrote"),
    Point("keeps_a_thread", "leaves a thread running", "mistrusted", "thread"),
    Point("takes_processors", "computes on more processors than it was given, and gets them",
          "mistrusted", "processors busy", applies=was_given_processors),
    Point("allocates", "allocates without end", "out_of_memory", "allocation"),
    Point("nan", "writes a NaN", "mistrusted", "not finite"),
    Point("wrong", "writes a wrong value", "mistrusted", "arithmetic error"),
    Point("forks", "forks children that stay", "ok"),
    Point("closes_files", "closes all file descriptors", "failed"),
    Point("prints", "prints megabytes", "ok"),
    Point("dawdles", "is held up in its first call, so that a pass is one call of a microsecond",
          "ok", check=called_once_a_pass),
    Point("changes_scratch", "asks for more scratch at each question", "failed", "scratch"),
    Point("declares_too_much", "declares a tensor whose bytes overflow 64 bits", "failed",
          "more elements than any machine holds"),
    Point("throws_in_scratch", "throws in `scratch()`", "failed", "ill as told"),
    Point("throws_in_calibrate", "throws where it is fitted", "failed", "ill as told", fitted=True),
    Point("crashes_in_calibrate", "raises SIGSEGV where it is fitted", "crashed", "SIGSEGV",
          fitted=True),
    Point("hangs_in_calibrate", "loops for ever where it is fitted", "timeout",
          "longer than the limit", fitted=True),
    Point("fits_nan", "is fitted to a NaN", "failed", "not finite", fitted=True),
]


@dataclasses.dataclass
class Library:
    name: str  # of the plugin
    fault: str
    says: str


LIBRARIES = [
    Library("throws_at_load", "throws an exception in a constructor", "no licence found"),
    Library("crashes_at_load", "raises SIGSEGV in a constructor", "crashed when loaded: SIGSEGV"),
    Library("hangs_at_load", "never returns from a constructor", "was not loaded within"),
    Library("exits_at_load", "calls `exit(0)` in a constructor", "ended the program when loaded"),
    Library("crashes_at_exit", "raises SIGSEGV in a destructor",
            "crashed at the end of the program: SIGSEGV"),
    Library("no_entry", "is no plugin", "exports no function subquad_plugin"),
    Library("other_abi", "is of another interface version", "version 999"),
    Library("other_toolchain", "was built by another compiler", "libc++ 99"),
]

WORLD = []


def world(fault, outcome, intact):
    """Puts a function of a Ground into the table."""
    def add(function):
        function.fault, function.outcome, function.intact = fault, outcome, intact
        WORLD.append(function)
        return function
    return add


# ---- disks -------------------------------------------------------------------------------------


@world("the disk is full in the middle of the third record", "exit 2, which names the file",
       "two whole records and no half line; the next run measures the rest")
def full_disk(ground):
    ground.configure("mean", "local(radius=4)")
    ground.run()
    sizes = [len(line) + 1 for line in ground.lines()]
    shutil.rmtree(ground.results)
    ground.run(expected=2, says=["points.jsonl: cannot be written: No space left on device",
                                 "2 records are kept"],
               WEATHER_FULL=f"{sum(sizes[:2]) + sizes[2] // 2}:points.jsonl")
    ground.test.assertEqual(len(ground.records()), 2)
    ground.test.assertTrue(ground.read(ground.points).endswith(b"}\n"))
    ground.complete()


@world("the disk fails when a record is to be made safe", "exit 2, which names the file",
       "no record that may not be there after a crash; the next run measures the rest")
def broken_disk(ground):
    ground.configure("mean", length="32")
    ground.run()
    before = ground.lines()
    ground.configure("mean")
    ground.run(expected=2, says="points.jsonl: cannot be written: Input/output error",
               WEATHER_BROKEN="points.jsonl")
    ground.test.assertEqual(ground.lines(), before)
    ground.complete()


@world("the results folder is read-only", "exit 2, which names the folder", "all records")
def read_only_results(ground):
    ground.configure("mean", length="32")
    ground.run()
    before = ground.lines()
    ground.configure("mean")
    ground.run(expected=2, says=["results/x/lock", "Read-only file system"],
               WEATHER_READ_ONLY="results")
    ground.test.assertEqual(ground.lines(), before)
    shutil.rmtree(ground.path("results"))
    ground.run(expected=2, says=["results/x: cannot be made", "Read-only file system"],
               WEATHER_READ_ONLY="results")
    ground.complete()


@world("the results folder is removed while a run goes on",
       "exit 2 at the next record, which says what is lost", "the next run measures all points")
def results_removed(ground):
    child, _ = ground.start_and_wait_at_gate()
    shutil.rmtree(ground.path("results"))
    ground.open_gate()
    ground.end_of(child, 2, ["points.jsonl: was removed", "3 records of this run"])
    ground.test.assertEqual(ground.lines(), [])
    ground.complete()


@world("points.jsonl is removed while a run goes on",
       "exit 2 at the next record, which says what is lost", "the next run measures all points")
def points_removed(ground):
    child, _ = ground.start_and_wait_at_gate()
    os.remove(ground.points)
    ground.open_gate()
    ground.end_of(child, 2, ["points.jsonl: was removed", "3 records of this run"])
    ground.complete()


@world("points.jsonl is emptied while a run goes on", "exit 2 at the next record",
       "the next run measures all points")
def points_emptied(ground):
    child, _ = ground.start_and_wait_at_gate()
    os.truncate(ground.points, 0)
    ground.open_gate()
    ground.end_of(child, 2, "points.jsonl: was cut short")
    ground.complete()


@world("the lock is removed while a run goes on, and another one starts",
       "exit 2 of the first at its next record", "the second goes on to its end, all points `ok`")
def lock_removed(ground):
    first, _ = ground.start_and_wait_at_gate()
    os.remove(os.path.join(ground.results, "lock"))
    second = ground.start()
    ground.wait(lambda: len(ground.waiting()) == 2)
    ground.open_gate()
    ground.end_of(first, 2, "lock: was replaced")
    ground.end_of(second, 0)
    ground.check_complete()


@world("points.jsonl is replaced by another file while a run goes on",
       "exit 2 at the next record, which says where it went", "the other file, to the last byte")
def points_replaced(ground):
    child, _ = ground.start_and_wait_at_gate()
    before = ground.lines()
    os.rename(ground.points, ground.path("moved"))
    ground.write(ground.points, b"\n".join(before + [b""]))
    ground.open_gate()
    ground.end_of(child, 2, "points.jsonl: was replaced")
    ground.test.assertEqual(ground.lines(), before)
    ground.complete()


# ---- what lies there ---------------------------------------------------------------------------


@world("the last line was cut off in writing", "it is dropped, and its point measured again",
       "all other records, which are not measured again")
def torn_line(ground):
    ground.configure("mean", "local(radius=4)")
    ground.run()
    before = ground.lines()
    os.truncate(ground.points, os.path.getsize(ground.points) - 10)
    ground.complete(says="cut off in writing")
    ground.check_kept(before[:-1])


@world("NUL bytes at the end, which a crashed system leaves",
       "they are cut off, and nothing is measured again", "all records")
def nul_bytes(ground):
    ground.configure("mean")
    ground.run()
    before = ground.lines()
    with open(ground.points, "ab") as file:
        file.write(bytes(4096))
    ground.run(says="cut off in writing")
    ground.test.assertEqual(ground.lines(), before)
    ground.check_complete()


@world("garbage in the middle of points.jsonl",
       "the line is named and left out by `run` and `report`, and its point measured again",
       "all other records, and the line itself")
def garbage_line(ground):
    ground.configure("mean", "local(radius=4)")
    ground.run()
    whole = ground.lines()
    damaged = [whole[0], b"\xff garbage \0", whole[2][:50] + whole[3]] + whole[4:]
    ground.write(ground.points, b"\n".join(damaged + [b""]))
    ground.run(says="points.jsonl: lines 2, 3 are no records")
    ground.check_kept(damaged)
    again = [json.loads(line)["key"] for line in ground.lines()[len(damaged):]]
    ground.test.assertEqual(sorted(again), sorted(json.loads(line)["key"] for line in whole[1:4]))
    reported = ground.command("report", "x")
    ground.test.assertIn("lines 2, 3 are no records", reported.stderr)
    good = [json.loads(line) for line in ground.lines()[:1] + ground.lines()[3:]]
    ground.check_well(*good)
    ground.test.assertEqual(len({record["key"] for record in good}), len(whole))


@world("files of the reference cache are damaged", "references are computed anew",
       "every error figure, to the last bit; the cache is mended")
def damaged_cache(ground):
    ground.configure("mean")
    ground.run()
    errors = {record["key"]: record["error"] for record in ground.records()}
    cached = {path: ground.read(path) for path in glob.glob(ground.path(".cache/reference/*"))}
    ground.test.assertTrue(cached)
    for path, content in cached.items():
        middle = len(content) // 2
        ground.write(path, content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1:])
    shutil.rmtree(ground.results)
    ground.run()
    ground.check_complete()
    ground.test.assertEqual({r["key"]: r["error"] for r in ground.records()}, errors)
    for path, content in cached.items():
        ground.test.assertEqual(ground.read(path), content)


@world("the cache folder cannot be written", "exit 0; said once, and references are computed anew",
       "all points of the run `ok`")
def read_only_cache(ground):
    ground.configure("mean")
    finished = ground.run(says="Read-only file system", WEATHER_READ_ONLY=".cache")
    ground.test.assertEqual(finished.stderr.count("computed anew"), 1)
    ground.check_complete()


# ---- what changes between two runs, or under one -------------------------------------------------


@world("the machine is another one when a run goes on",
       "all points are measured there; the run says how many records it keeps apart",
       "the first machine's records and description, to the last byte")
def other_machine(ground):
    ground.configure("mean")
    ground.run()
    before, machine = ground.lines(), ground.read(os.path.join(ground.results, "machine.json"))
    ground.run(says="4 records here are of another kind of machine", SUBQUAD_MACHINE="elsewhere")
    ground.check_kept(before)
    ground.check_complete(times=2)
    ground.test.assertEqual([r["machine"] for r in ground.records()[4:]], ["elsewhere"] * 4)
    ground.test.assertEqual(ground.read(os.path.join(ground.results, "machine.json")), machine)
    other = json.loads(ground.read(os.path.join(ground.results, "machine-elsewhere.json")))
    ground.test.assertEqual(other["identity"], "elsewhere")
    ground.run()
    ground.check_complete(times=2)


def build_again(ground, library):
    ground.write(library + ".new", ground.read(library) + b"built again")
    os.rename(library + ".new", library)


@world("a plugin is another build when a run goes on",
       "its points are measured anew, and the run says how many records are stale",
       "the older records; points without the plugin are not measured again")
def other_build(ground):
    copy = ground.path("mine.so")
    shutil.copy(plugin("example"), copy)
    ground.configure("mean", "own_value", plugin=copy)
    ground.run()
    before = ground.lines()
    build_again(ground, copy)
    ground.run(says="2 records here are of other builds")
    ground.check_kept(before)
    again = ground.records()[len(before):]
    ground.check_well(*again)
    ground.test.assertEqual([r["variant"] for r in again], ["own_value"] * 2)


@world("a plugin is built again while a run goes on",
       "exit 1: the records are there, but under the build that made them",
       "all records, each under the build that made it; the next run measures the plugin's points")
def rebuilt_meanwhile(ground):
    copy = ground.path("mine.so")
    shutil.copy(plugin("ill"), copy)
    child, _ = ground.start_and_wait_at_gate("--plugin", copy)
    build_again(ground, copy)
    ground.open_gate()
    ground.end_of(child, 1)
    ground.check_complete()
    before = ground.records()
    ground.test.assertEqual(len({r["build"] for r in before if r["variant"] != "mean"}), 2)
    ground.run("--plugin", copy)
    again = ground.records()[len(before):]
    ground.check_well(*again)
    ground.test.assertEqual([r["variant"] for r in again], ["ill(how=waits)"] * 2)


@world("the config is changed while a run goes on", "the run is of what it read at its start",
       "its records; the next run measures what the config asks for now")
def config_changed(ground):
    child, _ = ground.start_and_wait_at_gate()
    ground.write(ground.path("x.cfg"), b"nonsense = 1\n")
    ground.open_gate()
    ground.end_of(child, 0)
    ground.check_complete()
    before = ground.lines()
    ground.run(expected=2, says="x.cfg:1")
    ground.test.assertEqual(ground.lines(), before)
    ground.configure("mean", "ill(how=waits)", length="32 64 48")
    ground.complete()


@world("the wall clock jumps ahead by an hour and back", "exit 0",
       "all points of the run `ok`, with times and limits of a clock that does not jump")
def clock_jumps(ground):
    ground.configure("mean")
    ground.run(WEATHER_CLOCK="3600")
    ground.check_complete()
    starts = [r["unix_time"] for record in ground.records() for r in record["rounds"]]
    ground.test.assertGreater(max(starts) - min(starts), 3000, "the clock did jump")
    for record in ground.records():
        for one in record["rounds"]:
            ground.test.assertTrue(0 < one["time_ns"] < 60e9, one)


# ---- processes ---------------------------------------------------------------------------------


@world("two runs write to one folder", "the second: exit 2, which names the first",
       "the first goes on to its end, all points `ok`")
def two_runs(ground):
    first, _ = ground.start_and_wait_at_gate()
    second = ground.command("run", "x.cfg")
    ground.test.assertEqual(second.returncode, 2, second.stderr)
    ground.test.assertIn(f"process {first.pid} on ", second.stderr)
    ground.open_gate()
    ground.end_of(first, 0)
    ground.check_complete()


def ended_by(ground, number, code):
    child, _ = ground.start_and_wait_at_gate()
    before = ground.lines()
    child.send_signal(number)
    ground.end_of(child, code)
    ground.check_kept(before)
    ground.open_gate()
    ground.complete()


@world("SIGINT", "exit 130", "all records of finished groups; the next run goes on from there")
def interrupted(ground):
    ended_by(ground, signal.SIGINT, 130)


@world("SIGTERM", "exit 130", "all records of finished groups; the next run goes on from there")
def terminated(ground):
    ended_by(ground, signal.SIGTERM, 130)


@world("SIGKILL of the run", "its processes die with it",
       "all records of finished groups; the next run goes on from there")
def killed(ground):
    ended_by(ground, signal.SIGKILL, -signal.SIGKILL)


def lost_point(ground, number, status, says, *options):
    child, point = ground.start_and_wait_at_gate(*options)
    os.kill(point, number)
    ground.open_gate()
    ground.end_of(child, 1)
    *others, lost = sorted(ground.records(), key=lambda r: r["status"] != "ok")
    ground.check_well(*others)
    ground.test.assertEqual(len(others), 5)
    ground.test.assertEqual((lost["variant"], lost["problem"]["keys"], lost["status"]),
                            ("ill(how=waits)", 64, status))
    ground.test.assertIn(says, lost["reason"])


@world("SIGKILL of a point's process from outside", "record `crashed`, which names the signal",
       "all other points of the run `ok`")
def point_killed(ground):
    lost_point(ground, signal.SIGKILL, "crashed", "SIGKILL")


@world("SIGSTOP of a point's process", "record `timeout`, and the process is gone",
       "all other points of the run `ok`")
def point_stopped(ground):
    lost_point(ground, signal.SIGSTOP, "timeout", "limit", "--time-limit", "4")


@world("a point is predicted to be too large for the memory limit",
       "record `out_of_memory`; it is not run", "all other points of the run `ok`")
def too_large(ground):
    ground.configure("mean", "naive", length="16384", anchor_max_length=1, memory_limit="64MiB",
                     reference_rows=4)
    ground.run(expected=1)
    records = {record["variant"]: record for record in ground.records()}
    ground.test.assertEqual(records["mean"]["status"], "ok")
    ground.test.assertEqual(records["naive"]["status"], "out_of_memory")
    ground.test.assertIn("not run", records["naive"]["reason"])


@world("a variant crashes under `check`", "exit 1; the clause that it was at is reported as broken",
       "the reports on all other variants")
def check_crashes(ground):
    finished = ground.command("check", "ill(how=crashes)", "mean", "--plugin", plugin("ill"),
                              "--clause", "forward_returns", "--format", "json")
    ground.test.assertEqual(finished.returncode, 1, finished.stderr)
    ill, mean = json.loads(finished.stdout)
    ground.test.assertEqual([(c["clause"], c["status"]) for c in ill["clauses"]],
                            [("forward_returns", "failed")])
    ground.test.assertIn("crashed: SIGSEGV", ill["clauses"][0]["finding"])
    ground.test.assertTrue(mean["kept"])
    ground.test.assertGreater(mean["clauses"][0]["checked"], 0)


def markdown():
    """The tables as docs/reliability.md has them."""
    def table(head, rows):
        lines = [head, ["---"] * len(head), *rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"

    return "\n".join([
        table(["a variant ...", "its record"],
              [[p.fault, f"`{p.status}`" + (f": ... {p.says} ..." if p.says else "")]
               for p in POINTS]),
        table(["a library, when it is loaded, ...", "exit 2, and the error says"],
              [[one.fault, one.says] for one in LIBRARIES]),
        table(["what happens", "what comes of it", "what stays"],
              [[one.fault, one.outcome, one.intact] for one in WORLD])])

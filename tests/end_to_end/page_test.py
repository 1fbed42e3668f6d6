"""`subquad report --html` in a headless browser: what stands on the page is what the records say."""

import collections
import csv
import io
import json
import os
import pathlib
import re
import statistics
import sys
import tempfile
import unittest

from many_points import many_points, records_of, write_run
from support import SOURCE, run

sys.path.insert(0, os.path.join(SOURCE, "plots"))
import common  # noqa: E402  the looks of figures

WITH_PAGE = os.environ.get("SUBQUAD_PAGE") == "ON"
SANITIZED = os.environ.get("SUBQUAD_SANITIZED") == "1"
UNITS = {"ns": 1, "µs": 1e3, "ms": 1e6, "s": 1e9, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "%": 0.01, "": 1}
ROWS = """[...document.querySelectorAll('#figures tbody tr')].map((line) => ({
    variant: line.querySelector('th code').textContent,
    cells: Object.fromEntries([...line.querySelectorAll('td')].map((cell) => [cell.dataset.column, {
        value: cell.dataset.value === undefined ? null : Number(cell.dataset.value),
        text: cell.firstElementChild ? [...cell.childNodes][0].textContent : cell.textContent,
        whole: cell.textContent}]))}))"""
EVIL = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">\u2028&amp;{a|b}"


def expected(record):
    """Figures of a point with one seed, from its record alone."""
    ratios = [r["anchor_ns"] / r["time_ns"] for r in record["rounds"] if r["anchor_ns"] > 0]
    return {
        "time_ns": statistics.median(r["time_ns"] for r in record["rounds"]),
        "speed_up": statistics.median(ratios),
        "relative_error": statistics.median(record["error"]["relative_error"]),
        "memory_bytes": sum(record[f"{part}_bytes"] for part in common.MEMORY_PARTS),
    }


def shown_number(text):
    """What a reader takes a figure for: "~1.75 ms" is 1.75e6."""
    number, unit = re.fullmatch(r"~?([-\d.e]+)\s*(\S*)\s*", text).groups()
    return float(number) * UNITS[unit]


class PageOptions(unittest.TestCase):
    def test_mistakes_are_named_before_anything_is_written(self):
        with tempfile.TemporaryDirectory() as folder:
            page = os.path.join(folder, "page.html")
            cases = [((page, "--format", "json"), "--format"), ((page, "--details"), "--details"),
                     ((os.path.join(folder, "no", "page.html"),), "there is no folder"),
                     ((folder,), "no name of a file")]
            for words, says in cases if WITH_PAGE else [((page,), "SUBQUAD_PAGE=ON")]:
                with self.subTest(words):
                    done = run("report", "quickstart", "--html", *words, cwd=SOURCE)
                    self.assertEqual(done.returncode, 2)
                    self.assertIn(says, done.stderr)
                    self.assertEqual(os.listdir(folder), [])


@unittest.skipUnless(WITH_PAGE, "a build without the page")
@unittest.skipIf(SANITIZED, "what a browser shows does not depend on sanitizers")
class PageCase(unittest.TestCase):
    """A browser, and pages made by the program."""

    @classmethod
    def setUpClass(cls):
        from browser import Browser
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.browser = Browser()
        cls.addClassCleanup(cls.browser.close)

    @classmethod
    def make(cls, *runs):
        path = os.path.join(cls.folder.name, "page.html")
        done = run("report", *runs, "--html", path, cwd=SOURCE)
        if done.returncode != 0 or done.stderr:
            raise AssertionError(done.stderr)
        return path

    def open(self, *runs):
        self.browser.problems.clear()
        self.browser.requests.clear()
        path = self.make(*runs)
        self.browser.open(path)
        return path

    def rows(self):
        return self.browser.ask(ROWS)

    def assert_quiet(self, path):
        self.assertEqual(self.browser.problems, [])
        self.assertEqual(self.browser.requests, [pathlib.Path(path).resolve().as_uri()])


class PageFigures(PageCase):
    def setUp(self):
        self.path = self.open("quickstart")
        self.records = records_of(SOURCE, "quickstart")

    def hold_table_against(self, records):
        """Returns how many rows each input has."""
        rows = self.rows()
        self.assertEqual(len(rows), len(records))
        inputs = collections.Counter()
        by_point = {(r["variant"], r["input"], r["problem"]["keys"]): r for r in records}
        for row in rows:
            cells = row["cells"]
            # What all rows share has no column.
            of_row = cells["input"]["whole"] if "input" in cells else records[0]["input"]
            record = by_point[row["variant"], of_row, cells["keys"]["value"]]
            inputs[record["input"]] += 1
            if record["status"] != "ok":
                self.assertIsNone(cells["time_ns"]["value"])
                continue
            for key, value in expected(record).items():
                with self.subTest((row["variant"], record["problem"]["keys"], key)):
                    self.assertAlmostEqual(cells[key]["value"] / value, 1, delta=1e-12)
                    # Three digits: half a unit of the third one.
                    self.assertAlmostEqual(shown_number(cells[key]["text"]) / value, 1, delta=5.1e-3)
        return inputs

    def test_table_holds_the_figures_of_the_records(self):
        self.assertEqual(len(self.hold_table_against(self.records)), 2)

    def test_table_of_eleven_lengths(self):
        self.open("length")
        records = records_of(SOURCE, "length")
        self.assertEqual(len(self.rows()), 250)
        self.browser.ask("[...document.querySelectorAll('#figures button')]"
                         ".find((button) => button.textContent.startsWith('Show all')).click()")
        self.assertEqual(self.hold_table_against(records), {"gaussian": len(records)})

    def test_downloads_hold_all_digits_and_the_records_themselves(self):
        self.browser.click("#download-csv")
        lines = list(csv.DictReader(io.StringIO(self.browser.downloaded("subquad.csv"))))
        self.assertEqual(len(lines), len(self.records))
        by_point = {(r["variant"], r["input"], str(r["problem"]["keys"])): r for r in self.records}
        for line in lines:
            record = by_point[line["variant"], line["input"], line["keys"]]
            times = sorted(r["time_ns"] for r in record["rounds"])
            self.assertEqual(len(times), 6)
            # Of six rounds, the smallest and the largest.
            self.assertEqual([float(line[key]) for key in ("time_ns_low", "time_ns_high")],
                             [times[0], times[5]])
            self.assertEqual(float(line["time_ns"]), statistics.median(times))
            self.assertEqual(float(line["relative_error_high"]), max(record["error"]["relative_error"]))
        self.browser.click("#download-records")
        text = self.browser.downloaded("points.jsonl")
        handed = {r["key"]: r for r in map(json.loads, text.splitlines())}
        self.assertEqual(handed, {r["key"]: r for r in self.records})

    def test_sorting(self):
        for key, descending in (("time_ns", False), ("speed_up", True)):
            for clicks in range(2):
                self.browser.click(f"#figures [data-sort={key}]")
                values = [row["cells"][key]["value"] for row in self.rows()]
                self.assertEqual(values, sorted(values, reverse=descending == (clicks == 0)))
                state = self.browser.ask(f"document.querySelector('#figures [data-sort={key}]').closest('th').ariaSort")
                self.assertEqual(state, "descending" if descending == (clicks == 0) else "ascending")

    def test_filters(self):
        self.browser.click("#figures input[type=search]")
        self.browser.type("LOCAL 64")
        wanted = [r for r in self.records if "local" in r["variant"] and "64" in r["variant"]]
        self.assertEqual(sorted(row["variant"] for row in self.rows()), sorted(r["variant"] for r in wanted))
        self.browser.ask("""(() => {
            const list = [...document.querySelectorAll('#figures select')].find((one) => one.parentElement.textContent.startsWith('n '));
            list.value = '1024';
            list.dispatchEvent(new Event('change'));
        })()""")
        self.assertEqual(len(self.rows()), sum(r["problem"]["keys"] == 1024 for r in wanted))
        self.assertIn(f"{len(self.rows())} of {len(self.records)} rows",
                      self.browser.ask("document.querySelector('#figures [role=status]').textContent"))

    def dialog(self):
        return self.browser.ask("document.querySelector('dialog').open && document.querySelector('dialog').textContent")

    def test_a_click_on_a_point_of_the_chart_shows_its_command(self):
        place = self.browser.ask("""(() => {
            const holder = document.querySelector('#tradeoff-chart');
            holder.scrollIntoView({block: 'center'});
            const data = holder.chart.getOption().series[2].data;
            const point = data.find((one) => one.label.show && one.row > 0);
            const [x, y] = holder.chart.convertToPixel({seriesIndex: 2}, point.value);
            const box = holder.getBoundingClientRect();
            return [box.x + x, box.y + y];
        })()""")
        self.browser.click_at(*place)
        self.browser.wait_for("document.querySelector('dialog').open")
        variant = self.browser.ask("document.querySelector('#details-title code').textContent")
        commands = {r["command"] for r in self.records if r["variant"] == variant and r["problem"]["keys"] == 4096}
        self.assertIn(self.browser.ask("document.querySelector('dialog pre.command').textContent"), commands)

    def test_rows_open_by_keyboard_with_every_round(self):
        record = next(r for r in self.records if r["variant"].startswith("lsh"))
        self.browser.click("#figures input[type=search]")
        self.browser.type(record["variant"])
        self.browser.ask("document.querySelector('#figures tbody button').focus()")
        self.browser.press("Enter")
        self.browser.wait_for("document.querySelector('dialog').open")
        self.assertEqual(self.browser.ask("document.querySelector('dialog pre.command').textContent"), record["command"])
        times = self.browser.ask("""[...document.querySelectorAll('dialog tbody tr td:nth-child(2)')]
            .filter((cell) => cell.dataset.value).map((cell) => Number(cell.dataset.value))""")
        self.assertEqual(times, [r["time_ns"] for r in record["rounds"]])
        self.browser.press("Escape")
        self.browser.wait_for("!document.querySelector('dialog').open")

    def test_crossovers_follow_from_the_rounds(self):
        found = self.browser.ask("""[...document.querySelectorAll('#crossover table')].flatMap((table) => [...table.querySelectorAll('tbody tr')]
            .map((line) => [table.querySelector('caption code').textContent, line.querySelector('th code').textContent,
                [...line.querySelectorAll('td.verdict')].map((cell) => cell.title), line.querySelector('.bracket').textContent]))""")
        checked = 0
        for setting, variant, verdicts, bracket in found:
            points = sorted((r for r in self.records if setting.startswith(r["input"]) and r["variant"] == variant and not r["anchor"]),
                            key=lambda r: r["problem"]["keys"])
            lengths = [r["problem"]["keys"] for r in points]
            own = []
            for record in points:
                ratios = sorted(r["anchor_ns"] / r["time_ns"] for r in record["rounds"])
                self.assertEqual(len(ratios), 6)  # so that the interval is all of them
                own.append("faster" if ratios[0] > 1 else "slower" if ratios[5] < 1 else "undecided")
            self.assertEqual(verdicts, own, variant)
            if set(own) == {"faster"}:
                self.assertEqual(bracket, f"everywhere, from {lengths[0]}")
            elif own == sorted(own, reverse=True) and set(own) == {"slower", "faster"}:
                first = own.index("faster")
                self.assertEqual(bracket, f"between {lengths[first - 1]} and {lengths[first]}")
            checked += len(own)
        self.assertEqual(checked, sum(not r["anchor"] for r in self.records))

    def test_charts_draw_the_same_figures(self):
        drawn = self.browser.ask("document.querySelector('#lengths-chart').chart.getOption().series.filter((one) => one.name)"
                                 ".map((one) => [one.name, one.data.map((point) => point.value)])")
        setting = self.browser.ask("document.querySelector('#lengths select').selectedOptions[0].textContent")
        records = [r for r in self.records if setting.startswith(r["input"])]
        self.assertEqual({name for name, _ in drawn}, {r["variant"] for r in records})
        for name, points in drawn:
            own = sorted([r["problem"]["keys"], expected(r)["time_ns"]] for r in records if r["variant"] == name)
            self.assertEqual(points, own)

    def test_looks_are_those_of_the_figures(self):
        looks = self.browser.ask("""Object.fromEntries([...document.querySelectorAll('#figures tbody th button')].map((button) =>
            [button.querySelector('code').textContent, button.querySelector('path').getAttribute('stroke')]))""")
        for record in self.records:
            with self.subTest(record["variant"]):
                colour, _, _ = common.family_look(record["family"])
                own = common.COLOURS[colour] if record["family"] != "dense" else "#16191d"
                self.assertEqual(looks[record["variant"]], own)

    def test_dark_and_print(self):
        self.browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
        self.assertEqual(self.browser.ask("getComputedStyle(document.body).backgroundColor"), "rgb(22, 25, 29)")
        self.browser.call("Emulation.setEmulatedMedia", features=[])
        self.assertTrue(self.browser.call("Page.printToPDF")["data"])
        self.assert_quiet(self.path)


class PageSafety(PageCase):
    def write_run(self, records):
        return write_run(tempfile.mkdtemp(dir=self.folder.name), records)

    def test_recorded_runs_are_small_quiet_and_ask_for_nothing(self):
        for name in ("quickstart", "length", "patterns", "decode", "million"):
            with self.subTest(name):
                path = self.open(name)
                self.assertLess(os.path.getsize(path), 3_000_000)
                self.assertGreater(len(self.rows()), 0)
                self.assert_quiet(path)

    def test_text_of_records_stays_text(self):
        records = [r for r in records_of(SOURCE, "quickstart") if r["problem"]["keys"] == 512]
        for record in records:
            if record["family"] in ("lsh", "linear"):
                record["variant"] = record["resolved"] = record["family"] = EVIL + record["variant"]
            record["command"] = EVIL
            record["experiment"] = EVIL
            record["dense_target"] = EVIL
            record["input"] = EVIL + record["input"]
        records[-1] |= {"status": "refused", "reason": EVIL, "rounds": [], "error": {}}
        folder = self.write_run(records)
        pathlib.Path(folder, "experiment.cfg").write_text(EVIL, encoding="utf-8")
        path = self.open(folder)
        self.assertIn(EVIL, "".join(row["variant"] for row in self.rows()))
        self.browser.ask("document.querySelectorAll('#figures tbody button').forEach((button) => {"
                         " button.click(); document.querySelector('dialog').close(); })")
        for chart in ("tradeoff", "lengths", "heads"):
            self.browser.ask(f"""(() => {{ const {{ chart }} = document.querySelector('#{chart}-chart');
                chart.getOption().series.forEach((one, seriesIndex) => (one.data ?? []).forEach((_, dataIndex) =>
                    chart.dispatchAction({{type: 'showTip', seriesIndex, dataIndex}}))); }})()""")
        self.assertEqual(self.browser.ask("document.querySelectorAll('img').length"), 0)
        self.assertEqual(self.browser.ask("document.querySelectorAll('script').length"), 3)  # two of them data
        self.assertIn("subquad report", self.browser.ask("document.title"))
        self.assertIn(EVIL, self.browser.ask("document.querySelector('dialog pre.command').textContent"))
        self.assert_quiet(path)

    def test_policy_stops_scripts_and_requests_of_others(self):
        self.open("quickstart")
        self.browser.ask("""document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.owned = 1'}))""")
        self.assertIsNone(self.browser.ask("window.owned"))
        self.assertEqual(self.browser.ask("fetch('data:text/plain,1').then(() => 'answered', () => 'stopped')"), "stopped")

    def test_patterns_are_drawn_and_what_cannot_be_is_named(self):
        record = next(r for r in records_of(SOURCE, "quickstart") if r["family"] == "local")
        foreign = dict(record, variant="nobody_has_this(radius=1)", key="0" * 16, anchor=False)
        self.open(self.write_run([record, foreign]))
        self.assertEqual(self.browser.ask("[...document.querySelectorAll('#patterns figcaption code')].map((one) => one.textContent)"),
                         ["local(radius=64)"])
        self.assertIn("nobody_has_this", self.browser.ask("document.querySelector('#patterns details').textContent"))
        # The window itself: 64 keys before and after, of 512, in 128 cells of 4 x 4 pairs.
        middle = self.browser.ask("""(() => { const canvas = document.querySelector('#patterns canvas');
            const row = canvas.getContext('2d').getImageData(0, 64, 128, 1).data;
            return Array.from({length: 128}, (_, i) => row[4 * i] !== row[0]); })()""")
        self.assertEqual([i for i, seen in enumerate(middle) if seen], list(range(64 - 16, 64 + 16 + 1)))

    def test_five_thousand_points(self):
        path = self.open(self.write_run(many_points(SOURCE, 5000)))
        self.assertIn("5000 of 5000 rows", self.browser.ask("document.querySelector('#figures [role=status]').textContent"))
        # All but the anchor's have an error; that stands at the edge.
        self.assertEqual(self.browser.ask("document.querySelector('#tradeoff-chart').chart.getOption().series[2].data.length"), 5000)
        self.assertTrue(self.browser.ask("document.querySelector('#figures').textContent.includes('too large for a page')"))
        self.assert_quiet(path)

    def test_no_records_at_all(self):
        path = self.open(self.write_run([]))
        self.assertIn("No records", self.browser.ask("document.getElementById('notices').textContent"))
        self.assert_quiet(path)


if __name__ == "__main__":
    unittest.main()

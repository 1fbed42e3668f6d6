#!/usr/bin/python3
"""Tests of the figures that compare variants over lengths, work, precision, threads and inputs."""

import json
import math
import os
import pathlib
import unittest

import common
import crossover_brackets
import equal_budget
import error_distribution
import error_vs_property
import frontier_vs_length
import precision
import threads_scaling

DEFAULTS = {"target": "restriction", "input": "gaussian", "shape": "one head", "keys": 64,
            "direction": "forward", "causal": False, "threads": 1, "status": "ok", "anchor": False,
            "time": 1.0, "error": 0.5, "speed_up": 2.0, "side": 1, "work": 100.0,
            "each_error": [0.4, 0.5, 0.6, 0.7], "by_head": []}


def frame(*rows):
    """One row each; what is not said is as in DEFAULTS, intervals 10 % to either side."""
    lines = []
    for row in rows:
        line = DEFAULTS | row
        line = {"resolved": line["variant"], "family": line["variant"].split("(")[0]} | line
        for name in ("time", "error", "speed_up"):
            line.setdefault(f"{name}_low", line[name] * 0.9)
            line.setdefault(f"{name}_high", line[name] * 1.1)
        lines.append(line)
    return common.pandas.DataFrame(lines)


def over_lengths(variant, sides, **more):
    return [{"variant": variant, "keys": 512 * 2**i, "side": side} | more
            for i, side in enumerate(sides)]


class CrossoverBrackets(unittest.TestCase):
    def bracket(self, sides):
        return crossover_brackets.bracket_of(frame(*over_lengths("v", sides)))

    def test_are_measured_lengths(self):
        for sides, bracket in (([-1, -1, 0, 1], (1024, 4096)), ([1, 1, 1], (None, 512)),
                               ([-1, -1], (1024, None)), ([0, 0, 1], (None, 2048)),
                               ([-1, 1, 0], (512, None)), ([1, -1, 1], (1024, 2048))):
            self.assertEqual(self.bracket(sides), bracket, sides)

    def test_of_each_family_the_first_variant_and_no_control(self):
        rows = frame(*over_lengths("late(k=2)", [-1, -1, 1]), *over_lengths("late(k=1)", [-1, 1, 1]),
                     *over_lengths("early", [1, 1, 1]), *over_lengths("never", [-1, -1, -1]),
                     *over_lengths("mean", [1, 1, 1], target="control"),
                     *over_lengths("dense", [0, 0, 0], anchor=True))
        (_, found), = crossover_brackets.panels(rows)
        self.assertEqual(crossover_brackets.names_of(found), ["early", "late(k=1)", "never"])

    def test_side_needs_six_rounds(self):
        self.assertEqual(common.side_of([2, 2, 2, 2, 2]), 0)
        self.assertEqual(common.side_of([2] * 6), 1)
        self.assertEqual(common.side_of([0.5] * 6), -1)
        self.assertEqual(common.side_of([0.9, 2, 2, 2, 2, 2]), 0)

    @unittest.skipUnless("SUBQUAD_REPORT" in os.environ, "no report was written")
    def test_are_those_of_the_report(self):
        report = pathlib.Path(os.environ["SUBQUAD_REPORT"])
        rows = common.load([report.parent])
        compared = 0
        for series in json.loads(report.read_text())["scaling"]:
            for trend in series["variants"]:
                if not trend["crossover"]:
                    continue
                points = rows[(rows["variant"] == trend["variant"]) & (rows["status"] == "ok")
                              & (rows["input"] == series["input"])].sort_values("keys")
                slower, faster = crossover_brackets.bracket_of(points)
                self.assertEqual(slower, trend["crossover"]["slower_until"], trend["variant"])
                self.assertEqual(faster, trend["crossover"]["faster_from"], trend["variant"])
                compared += 1
        self.assertGreater(compared, 20)


class Frontiers(unittest.TestCase):
    def test_one_for_each_length_without_exact_attention(self):
        rows = [{"variant": name, "keys": n, "speed_up": up, "error": error, "target": target}
                for n in (64, 128) for name, up, error, target in
                (("dense", 1, 1e-7, "exact"), ("fast", 8, 0.5, "restriction"),
                 ("near", 2, 0.1, "estimator"), ("beaten", 4, 0.6, "restriction"),
                 ("slow", 0.5, 0.01, "estimator"), ("mean", 50, 0.9, "control"))]
        found = list(frontier_vs_length.frontiers(frame(*rows)))
        self.assertEqual([n for n, _ in found], [64, 128])
        for _, of_length in found:
            self.assertEqual(list(of_length["variant"]), ["fast", "near"])
            self.assertEqual(list(of_length["share"]), [1 / 8, 1 / 2])


class EqualBudget(unittest.TestCase):
    METHODS = [{"variant": name, "work": work, "error": error} for name, work, error in
               (("a", 100, 0.4), ("b", 150, 0.2), ("c", 120, 0.3), ("d", 199, 0.1))]

    def test_draws_equal_work_nearest_first_with_controls_of_any_work(self):
        control = {"variant": "mean", "target": "control", "work": 0, "error": 0.25}
        rows = frame(*self.METHODS, control)
        (_, found), = equal_budget.panels(rows)
        self.assertEqual(list(found["variant"]), ["d", "b", "mean", "c", "a"])
        looks = common.Looks(rows)
        axes, = equal_budget.strips.draw_figure([("t", found)], equal_budget.draw_panel, looks, "",
                                                "").axes
        ends = [patch.get_x() + patch.get_width() for patch in axes.patches]
        for end, error in zip(ends, found["error"]):
            self.assertAlmostEqual(end, error)
        self.assertEqual([text.get_text() for text in axes.texts], ["1.47", "1.11", "0.89", "0.74"])

    def test_unequal_work_is_no_figure(self):
        self.assertEqual(list(equal_budget.panels(frame(*self.METHODS[:3], self.METHODS[3]
                                                        | {"work": 201}))), [])
        self.assertEqual(list(equal_budget.panels(frame(*self.METHODS[:3]))), [])


class Precision(unittest.TestCase):
    def test_takes_the_parameter_out(self):
        for variant, base in (("dense", ("dense", "f32")), ("dense(precision=bf16)", ("dense", "bf16")),
                              ("a(k=1,precision=f32)", ("a(k=1)", "f32")),
                              ("a(precision=bf16,k=1)", ("a(k=1)", "bf16"))):
            self.assertEqual(precision.without_precision(variant), base)

    def test_pairs_alone_with_the_ratio_of_times(self):
        rows = frame({"variant": "dense", "target": "exact", "error": 1e-7, "time": 3.0},
                     {"variant": "dense(precision=bf16)", "error": 1e-3, "time": 1.5},
                     {"variant": "alone", "error": 0.1})
        (_, found), = precision.panels(rows)
        self.assertEqual(precision.names_of(found), ["dense"])
        axes, = precision.strips.draw_figure([("t", found)], precision.draw_panel,
                                             common.Looks(rows), "", "", precision.names_of).axes
        self.assertEqual([text.get_text() for text in axes.texts], ["bf16 2.00 x as fast"])
        self.assertIn([1e-7, 1e-3], [list(line.get_xdata()) for line in axes.get_lines()])


class Threads(unittest.TestCase):
    def test_gain_is_over_one_thread_of_the_same_problem(self):
        rows = frame(*({"variant": "v", "threads": t, "keys": n, "time": time}
                       for n, t, time in ((64, 1, 8.0), (64, 2, 5.0), (128, 1, 30.0))))
        (title, found), = threads_scaling.panels(rows)
        self.assertIn("n = 64", title)
        gain = dict(zip(found["threads"], found["gain"]))
        self.assertEqual(gain, {1: 1, 2: 1.6})
        two = found[found["threads"] == 2].iloc[0]
        self.assertAlmostEqual(two["gain_low"], 8 * 0.9 / (5 * 1.1))


class Properties(unittest.TestCase):
    def rows(self, values, name="gaussian(std={})"):
        return [{"variant": v, "input": name.format(value), "error": error + i / 10, "target": target}
                for i, value in enumerate(values)
                for v, error, target in (("a", 0.5, "estimator"), ("b", 0.4, "restriction"),
                                         ("topk", 0.1, "oracle"))]

    def test_a_panel_for_each_generator_of_which_one_number_varies(self):
        other = self.rows([1, 2], "low_rank(rank={})") + self.rows([1], "sinks(tokens=4,strength={})")
        (title, found), = error_vs_property.panels(frame(*self.rows([2, 0.5, 1]), *other))
        self.assertEqual(title, "n = 64, gaussian: std")
        self.assertEqual(sorted(set(found["value"])), [0.5, 1, 2])

    def test_the_ring_is_around_the_nearest_that_one_could_choose(self):
        (_, found), = error_vs_property.panels(frame(*self.rows([1, 2, 3])))
        best = error_vs_property.winners(found)
        self.assertEqual(list(best["variant"]), ["b"] * 3)
        self.assertEqual(list(best["value"]), [1, 2, 3])


class Distribution(unittest.TestCase):
    def test_shows_every_error_and_the_median(self):
        rows = frame({"variant": "a", "each_error": [0.4, 0.1, 0.2, 0.3]},
                     {"variant": "few", "each_error": [0.1]},
                     {"variant": "dense", "target": "exact", "each_error": [1e-7] * 4})
        (_, found), = error_distribution.panels(rows)
        self.assertEqual(list(found["variant"]), ["a"])
        axes, = error_distribution.strips.draw_figure(
            [("t", found)], error_distribution.draw_panel, common.Looks(rows), "", "").axes
        lines = [list(line.get_xdata()) for line in axes.get_lines()]
        self.assertIn([0.4, 0.1, 0.2, 0.3], lines)
        self.assertTrue(any(len(x) == 1 and math.isclose(x[0], 0.25) for x in lines))

    def test_each_error_is_the_median_over_seeds(self):
        records = [{"error": {"relative_error": errors}} for errors in ([1, 5], [3, 6], [2, 9])]
        self.assertEqual(common.each_error(records), [2, 6])
        self.assertEqual(common.each_error(records + [{"error": {}}]), [])
        self.assertEqual(common.each_error([{"error": {"relative_error": [None, 1]}}]), [])


class Content(unittest.TestCase):
    def drawn(self, y, words="title"):
        figure = common.new_figure(3, 3)
        axes = common.add_panel(figure, 1, 1, 1, 1)
        axes.plot([1, 2], y)
        axes.barh(0, y[0])
        axes.set_title(words, loc="left")
        return common.content_of(figure)

    def test_depends_on_numbers_and_words_alone(self):
        self.assertEqual(self.drawn([1, 2]), self.drawn([1, 2 + 1e-12]))
        self.assertNotEqual(self.drawn([1, 2]), self.drawn([1, 2.001]))
        self.assertNotEqual(self.drawn([1, 2]), self.drawn([1, 2], "another"))


if __name__ == "__main__":
    unittest.main()

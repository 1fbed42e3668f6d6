#!/usr/bin/python3
"""Tests of what figures are made of, and, where SUBQUAD_FIGURES names a folder, of figures drawn."""

import contextlib
import io
import itertools
import json
import math
import os
import pathlib
import random
import re
import tempfile
import unittest

import attention_matrix
import common
import error_by_head
import error_vs_budget
import error_vs_time
import matplotlib.image
import numpy


def record(variant, time_s, build="a", seed=0, status="ok", machine="m", **problem):
    shape = {"queries": 64, "keys": 64, "dim": 8, "value_dim": 8, "causal": False,
             "first_query": 0, "scale": 0}
    return {"schema": common.RECORD_SCHEMA, "variant": variant, "resolved": variant, "family": variant.split("(")[0], "build": build,
            "target": "restriction", "input": "gaussian", "problem": shape | problem, "batch": 1,
            "heads": 2, "key_heads": 2, "threads": 1, "seed": seed, "direction": "forward", "state_bytes": 0,
            "status": status, "anchor": False, "error": {"relative_error": [0.1, 0.3]},
            "rounds": [{"time_ns": t * 1e9} for t in time_s], "scratch_bytes": 100,
            "heap_bytes": 1000, "choice_bytes": 30000, "layout_bytes": 400000,
            "parameter_bytes": 20, "random_bytes": 3, "machine": machine,
            "feed_forward": 0, "feed_forward_chunk": 0, "model": "", "replaced": ""}


class ErrorByHead(unittest.TestCase):
    def frame(self, *records):
        with tempfile.TemporaryDirectory() as folder:
            lines = "".join(json.dumps(one) + "\n" for one in records)
            pathlib.Path(folder, "points.jsonl").write_text(lines)
            return common.load([folder])

    def test_each_head_is_its_median_over_sequences_and_seeds(self):
        first = record("a", [1]) | {"batch": 2, "error": {"relative_error": [.1, .4, .3, .8]}}
        second = record("a", [1], seed=1) | {"batch": 2, "error": {"relative_error": [.2, .5, .2, .6]}}
        frame = self.frame(first, second)
        for got, want in zip(frame["by_head"].iloc[0], (0.2, 0.55)):
            self.assertAlmostEqual(got, want)

    def test_a_line_for_each_variant_with_all_its_heads_nearest_first(self):
        frame = self.frame(record("far", [1]) | {"error": {"relative_error": [.5, .9]}},
                           record("near", [1]),
                           record("mean", [1]) | {"target": "control"},
                           record("dense", [1]) | {"target": "exact"})
        (title, rows), = error_by_head.panels(frame)
        self.assertIn("n = 64, gaussian", title)
        self.assertEqual(list(rows["variant"])[-1], "far")
        self.assertNotIn("dense", list(rows["variant"]))
        figure = error_by_head.draw_figure([(title, rows)], common.Looks(frame), "not causal")
        axes, = figure.axes
        self.assertEqual([label.get_text() for label in axes.get_yticklabels()],
                         list(rows["variant"]))
        digits = [line for line in axes.get_lines() if str(line.get_marker()).startswith("$")]
        self.assertEqual(len(digits), 6)

    def test_one_head_is_no_figure(self):
        self.assertEqual(list(error_by_head.panels(self.frame(
            record("a", [1]) | {"heads": 1, "error": {"relative_error": [.1]}}))), [])


class AttentionMatrix(unittest.TestCase):
    def figure(self, rows, kind="keys", causal=False):
        panel = {"title": "local(radius=1)", "kind": kind, "rows": rows}
        return attention_matrix.draw({"queries": len(rows), "keys": len(rows[0]),
                                      "causal": causal, "panels": [panel, panel]})

    def test_draws_a_panel_for_each_matrix(self):
        rows = [[1, 0, 1], [0, 1, 0]]
        figure = self.figure(rows)
        self.assertEqual(len(figure.axes), 2)
        for axes in figure.axes:
            self.assertEqual(axes.get_images()[0].get_array().tolist(), rows)
            self.assertEqual(axes.get_title(loc="left"), "local(radius=1)")

    def test_leaves_out_what_causality_hides(self):
        drawn = self.figure([[1, 0], [0, 1]], causal=True).axes[0].get_images()[0].get_array()
        self.assertTrue(numpy.ma.getmaskarray(drawn)[0][1] or numpy.isnan(drawn[0][1]))
        self.assertEqual(drawn[1].tolist(), [0, 1])

    def test_late_queries_see_what_is_before_them(self):
        panel = {"title": "dense", "kind": "weights", "rows": [[0.5, 0.5, 0], [0.25, 0.25, 0.5]]}
        figure = attention_matrix.draw({"queries": 2, "keys": 3, "causal": True, "first_query": 1,
                                        "panels": [panel]})
        hidden = numpy.isnan(figure.axes[0].get_images()[0].get_array().filled(numpy.nan))
        self.assertEqual(hidden.tolist(), [[False, False, True], [False, False, False]])

    def test_a_colour_bar_explains_the_one_scale_of_all_panels(self):
        panels = [{"title": f"head {h}", "kind": "weights", "rows": [[0, largest]]}
                  for h, largest in enumerate((0.2, 0.8))]
        figure = attention_matrix.draw({"queries": 1, "keys": 2, "causal": False,
                                        "colour_bar": True, "panels": panels})
        first, second, bar = figure.axes
        for axes in (first, second):
            self.assertEqual(axes.get_images()[0].norm.vmax, 0.8)
        self.assertEqual(bar.get_ylabel(), "weight of the key")
        labels = [label.get_text() for label in bar.get_yticklabels()]
        self.assertEqual(labels, ["0", "0.05", "0.2", "0.45", "0.8"])

    def test_negative_weights_have_a_colour_of_their_own_and_are_explained(self):
        figure = self.figure([[0.5, -0.5]], kind="weights")
        image = figure.axes[0].get_images()[0]
        low, high = image.cmap(image.norm(-0.5)), image.cmap(image.norm(0.5))
        self.assertGreater(low[0], low[2])
        self.assertGreater(high[2], high[0])
        self.assertIn("negative", figure.texts[0].get_text())


class Frontier(unittest.TestCase):
    def test_equals_the_definition(self):
        source = random.Random(1)
        for _ in range(200):
            points = [(source.randint(1, 12), source.randint(1, 12)) for _ in range(15)]
            unbeaten = {p for p in points
                        if not any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in points)}
            found = [points[i] for i in error_vs_time.pareto_frontier(*zip(*points))]
            self.assertEqual(set(found), unbeaten)
            self.assertEqual(found, sorted(unbeaten))

    def test_equal_ones_are_both_unbeaten_and_controls_take_no_part(self):
        rows = common.pandas.DataFrame(
            [("dense", "exact", 10, 1e-7), ("a", "restriction", 5, 0.2),
             ("b", "estimator", 5, 0.2), ("c", "restriction", 6, 0.2), ("mean", "control", 1, 0.1)],
            columns=["variant", "target", "time", "error"]).assign(status="ok")
        members = error_vs_time.members_of(rows)
        self.assertEqual(error_vs_time.unbeaten(members), {"dense", "a", "b"})

    @unittest.skipUnless("SUBQUAD_REPORT" in os.environ, "no report was written")
    def test_is_that_of_the_report(self):
        report = pathlib.Path(os.environ["SUBQUAD_REPORT"])
        frame = common.load([report.parent])
        tables = json.loads(report.read_text())["tables"]
        self.assertGreater(len(tables), 1)
        for table in tables:
            rows = frame[(frame["input"] == table["input"]) & (frame["keys"] == table["keys"])]
            marked = {row["variant"] for row in table["rows"] if row["on_frontier"]}
            self.assertEqual(error_vs_time.unbeaten(error_vs_time.members_of(rows)), marked)

    def test_of_nothing(self):
        self.assertEqual(error_vs_time.pareto_frontier([], []), [])


class Budgets(unittest.TestCase):
    def frame(self, variants, **columns):
        """One row each; the error is a tenth of the row's place."""
        rows = [{"variant": text, "resolved": text, "family": text.split("(")[0],
                 "target": "exact" if text == "dense" else "oracle", "input": "gaussian",
                 "shape": "one head", "keys": 64, "causal": False, "threads": 1, "status": "ok",
                 "time": float("nan"), "error": (i + 1) / 10, "error_low": (i + 1) / 20,
                 "error_high": (i + 1) / 5} for i, text in enumerate(variants)]
        return common.pandas.DataFrame(rows).assign(**columns)

    def budgets(self, variants):
        return {label: [None if math.isnan(b) else b for b in points["budget"]]
                for label, points in error_vs_budget.families_of(self.frame(variants))}

    def test_budget_is_the_number_that_varies(self):
        self.assertEqual(self.budgets(["topk(keys=16,mass=1)", "topk(keys=4,mass=1)", "mean"]),
                         {"topk (keys)": [16, 4], "mean": [None]})

    def test_numbers_that_vary_together_are_added(self):
        self.assertEqual(self.budgets(["s(keys=8,rank=8,a=3)", "s(keys=16,rank=32,a=3)"]),
                         {"s (keys + rank)": [16, 48]})

    def test_choices_are_families_of_their_own(self):
        self.assertEqual(self.budgets(["lin(rank=8,kind=a)", "lin(rank=9,kind=a)",
                                       "lin(rank=8,kind=b)"]),
                         {"lin a (rank)": [8, 9], "lin b": [None]})

    def test_mixtures_have_none(self):
        self.assertEqual(self.budgets(["heads(a(k=1),b)", "heads(a(k=2),b)"]),
                         {"heads": [None, None]})

    def test_draws_curves_levels_and_the_floor(self):
        frame = self.frame(["dense", "topk(keys=4)", "topk(keys=2)", "mean"])
        figure = error_vs_budget.draw_figure(frame, common.Looks(frame), "not causal")
        axes, = figure.axes
        drawn = [(list(line.get_xdata()), list(line.get_ydata())) for line in axes.get_lines()]
        self.assertIn(([2, 4], [0.3, 0.2]), [(x, [round(y, 9) for y in ys]) for x, ys in drawn])
        levels = {ys[0] for x, ys in drawn if list(x) == [0, 1]}
        self.assertEqual({round(level, 9) for level in levels}, {0.1, 0.4})
        self.assertEqual(len(axes.collections), 1)  # the range over heads
        self.assertEqual({text.get_text() for text in axes.texts} - {""},
                         {"topk (keys)", "mean", error_vs_budget.FLOOR})

    def test_a_floor_far_below_is_told_and_takes_no_room(self):
        frame = self.frame(["dense", "topk(keys=4)", "topk(keys=2)"])
        for column in ("error", "error_low", "error_high"):
            frame.loc[frame["family"] == "dense", column] = 1.2e-7
        axes, = error_vs_budget.draw_figure(frame, common.Looks(frame), "not causal").axes
        self.assertIn(f"{error_vs_budget.FLOOR} 1.2e-07", {text.get_text() for text in axes.texts})
        self.assertGreater(axes.get_ylim()[0], 1e-3)

    def test_operations_and_what_did_not_end_well_are_left_out(self):
        frame = self.frame(["a(k=1)", "a(k=2)", "b(k=1)", "b(k=2)"])
        frame.loc[frame["family"] == "b", "target"] = "operation"
        self.assertEqual(list(error_vs_budget.shown(frame)["family"]), ["a", "a"])
        self.assertFalse(error_vs_budget.has_budgets(frame[frame["family"] == "b"]))
        frame.loc[1, "status"] = "refused"
        self.assertFalse(error_vs_budget.has_budgets(frame))

    def test_a_panel_for_each_input_and_length(self):
        variants = ["a(k=1)", "a(k=2)"]
        frame = common.pandas.concat([self.frame(variants, keys=n, input=text)
                                      for text in ("one", "two") for n in (64, 128)])
        figure = error_vs_budget.draw_figure(frame, common.Looks(frame), "not causal")
        titles = [axes.get_title(loc="left") for axes in figure.axes]
        self.assertEqual(titles, [f"n = {n}, {text}: one head" for text in ("one", "two")
                                  for n in (64, 128)])
        boxes = [axes.get_position().extents for axes in figure.axes]
        for a, b in itertools.combinations(boxes, 2):
            self.assertEqual(common.overlap(a, b), 0)


class Labels(unittest.TestCase):
    def test_spread_keeps_order_and_distance(self):
        source = random.Random(2)
        for count in range(1, 20):
            wanted = [source.random() for _ in range(count)]
            places = common.spread(wanted, 0.05, 0, 1)
            self.assertEqual(sorted(range(count), key=lambda i: places[i]),
                             sorted(range(count), key=lambda i: wanted[i]))
            ordered = sorted(places)
            for low, high in zip(ordered, ordered[1:]):
                self.assertGreaterEqual(high - low, 0.05 - 1e-12)
            self.assertGreaterEqual(ordered[0], -1e-12)
            self.assertLessEqual(ordered[-1], 1 + 1e-12)

    def test_spread_leaves_what_is_apart(self):
        self.assertEqual(common.spread([0.9, 0.1, 0.5], 0.05, 0, 1), [0.9, 0.1, 0.5])

    def test_best_place_avoids_what_is_taken(self):
        axes = common.add_panel(common.new_figure(4, 4), 0, 0, 4, 4)
        taken = [(195, 195, 205, 205), (205, 180, 320, 220)]
        box, _ = error_vs_time.best_place(axes, (200, 200), (60, 12), taken)
        self.assertEqual(sum(common.overlap(box, other) for other in taken), 0)


class Looks(unittest.TestCase):
    FAMILIES = ["naive", "local", "linear", "linformer", "lsh", "synthesizer", "aft", "fnet", "mean",
                "random_pattern"]

    def test_first_families_are_told_apart(self):
        looks = [common.family_look(family) for family in self.FAMILIES]
        similar = {frozenset(pair) for pair in common.SIMILAR}
        for (colour, marker, line), (other, its_marker, its_line) in itertools.combinations(looks, 2):
            self.assertNotEqual((colour, marker), (other, its_marker))
            if colour == other or frozenset((colour, other)) in similar:
                self.assertNotEqual((marker, line), (its_marker, its_line))

    def test_parameters_differ_by_fill_and_keep_the_colour(self):
        frame = common.pandas.DataFrame(
            {"family": ["local"] * 3 + ["dense"],
             "variant": ["local(radius=256)", "local(radius=16)", "local(radius=64)", "dense"]})
        looks = common.Looks(frame)
        of_local = [looks(f"local(radius={radius})") for radius in (16, 64, 256)]
        self.assertEqual([look["fillstyle"] for look in of_local], common.FILLS[:3])
        self.assertEqual(len({(look["color"], look["marker"]) for look in of_local}), 1)
        self.assertEqual(looks("dense")["color"], "black")


class Records(unittest.TestCase):
    def test_the_last_build_counts(self):
        records = [record("old", [1]), record("again", [1]), record("again", [2], build="b"),
                   record("new", [3], build="b")]
        self.assertEqual([(r["variant"], r["build"]) for r in common.latest(records)],
                         [("again", "b"), ("new", "b")])

    def test_builds_side_by_side_both_count(self):
        records = [record("built_in", [1]), record("plugin", [1], build="b")]
        self.assertEqual(len(common.latest(records)), 2)

    def loaded(self, text):
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "points.jsonl").write_text(text)
            return common.load([folder])

    def test_what_cannot_be_drawn_says_why(self):
        for text, why in [("", "nothing has been measured"), ('{"schema": 99}\n', "schema 99"),
                          ("{]\n[1]\n", "no records: 1, 2 .no JSON"),
                          (json.dumps(record("v", [], status="refused")) + "\n",
                           "no point ended well")]:
            with self.assertRaisesRegex(common.NoRecords, why):
                self.loaded(text)

    def test_a_torn_last_line_is_left_out(self):
        line = json.dumps(record("v", [1]))
        self.assertEqual(len(self.loaded(line + "\n" + line[:50])), 1)

    def test_lines_that_are_no_records_are_left_out_and_named(self):
        line = json.dumps(record("v", [1]))
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            frame = self.loaded("\n".join([line[:60] + line, line, "7", "\0" * 9, ""]))
        self.assertEqual(len(frame), 1)
        self.assertIn("1, 3, 4", said.getvalue())

    def test_machines_stand_apart(self):
        lines = [json.dumps(record("v", [1], machine=machine)) for machine in ("one", "another")]
        frame = self.loaded("\n".join(lines) + "\n")
        self.assertEqual([shape[-11:] for shape in frame["shape"]], ["machine one", "ine another"])

    def test_interval_is_the_order_statistic_one(self):
        # Ten values: between the second and the ninth with probability 1 - 2 * 11 / 1024 = 0.979;
        # one further in, 0.891.
        self.assertEqual(common.median_interval(list(range(1, 11))), (2, 9))
        self.assertEqual(common.median_interval([3, 1, 2]), (1, 3))

    def test_a_row(self):
        row = common.row_of([record("v", [3, 1, 2])], "")
        self.assertEqual((row["time"], row["time_low"], row["time_high"]), (2, 1, 3))
        self.assertEqual((row["error"], row["error_low"], row["error_high"]), (0.2, 0.1, 0.3))
        self.assertEqual(row["memory"], 431123)
        row = common.row_of([record("v", [t], seed=t) for t in (5, 1, 2)], "")
        self.assertEqual((row["time"], row["time_low"], row["time_high"]), (2, 1, 5))
        self.assertEqual((row["error"], row["error_low"], row["error_high"]), (0.2, 0.1, 0.3))

    def test_forward_passes_and_decoding_share_no_figure(self):
        decoded = [record("v", [2, 2], causal=True) | {"direction": "decode", "state_bytes": 77}]
        lines = [json.dumps(r) for r in [record("v", [1, 1], causal=True)] + decoded]
        frame = self.loaded("\n".join(lines) + "\n")
        self.assertEqual(len(frame), 2)
        for direction, suffix, time, state in (("forward", "_causal", 1, 0), ("decode", "", 2, 77)):
            [(of_name, _, rows)] = list(common.figure_groups(frame, direction))
            self.assertEqual((of_name, list(rows["time"]), list(rows["state"])),
                             (suffix, [time], [state]))

    def test_blocks_stand_apart_by_what_is_around_attention(self):
        block = record("v", [2, 2]) | {"direction": "block", "feed_forward": 32}
        lines = [json.dumps(r) for r in (record("v", [1, 1]), block,
                                         block | {"feed_forward_chunk": 16})]
        frame = self.loaded("\n".join(lines) + "\n")
        [(_, _, rows)] = list(common.figure_groups(frame, "block"))
        self.assertEqual([name.split("dim 8, ")[1] for name, _ in common.panels_of(rows)],
                         ["feed-forward 32", "feed-forward 32, in chunks of 16"])
        [(_, _, rows)] = list(common.figure_groups(frame))
        self.assertEqual(list(rows["time"]), [1])

    def test_mistrusted_seeds_are_not_drawn(self):
        row = common.row_of([record("v", [1]), record("v", [1], seed=1, status="mistrusted")],
                            "")
        self.assertEqual(row["status"], "mistrusted")


@unittest.skipUnless("SUBQUAD_FIGURES" in os.environ, "no figures were drawn")
class Figures(unittest.TestCase):
    OF_ALL = ["time_vs_length", "memory_vs_length", "error_vs_time"]
    NAMES = OF_ALL + ["error_vs_budget", "crossover_brackets", "frontier_vs_length"]

    def setUp(self):
        self.folder = pathlib.Path(os.environ["SUBQUAD_FIGURES"])

    def test_nothing_else_is_there(self):
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()),
                         sorted(f"{name}.{kind}" for name in self.NAMES for kind in ("pdf", "png", "svg")))

    def test_pictures_show_the_curves(self):
        # The synthetic run's families have six colours among them, and dense is black; `mean`, which
        # has the seventh, takes no memory and is absent from that figure.
        for name in self.OF_ALL:
            picture = matplotlib.image.imread(self.folder / f"{name}.png")[..., :3]
            parts = (picture * 255).round().astype(int)
            shown = parts[..., 0] * 0x10000 + parts[..., 1] * 0x100 + parts[..., 2]
            wanted = {int(colour[1:], 16) for colour in common.COLOURS + ["#000000"]}
            self.assertGreaterEqual(len(wanted.intersection(numpy.unique(shown))), 7, name)

    def test_drawings_are_whole(self):
        for name in self.NAMES:
            text = (self.folder / f"{name}.svg").read_text()
            self.assertTrue(text.rstrip().endswith("</svg>"))
            self.assertGreater(len(re.findall("<use|<path", text)), 100)


if __name__ == "__main__":
    unittest.main()

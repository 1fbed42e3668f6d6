#!/usr/bin/python3
"""Tests of the tables of pages, on small reports made by hand."""

import unittest

import budgets
import crossovers
import figures_of_rows
import tables


def estimate(median, low=None, high=None, coverage=0.97):
    return {"median": median, "low": low or median, "high": high or median, "coverage": coverage}


def row(variant, time=None, status="ok", **more):
    return {"variant": variant, "resolved": variant, "family": variant.split("(")[0],
            "target": "restriction" if status == "ok" else "", "status": status,
            "time_ns": time and estimate(time, time * 0.9, time * 1.1),
            "speed_up": None, "efficiency": None, "roofline": None, "scratch_bytes": 1536.0,
            "parameter_bytes": 512.0, "state_bytes": None,
            "relative_error": None if status != "ok" else estimate(0.25, 0.1, 0.5),
            "relative_error_deviation": 0.0123, "relative_error_by_head": [0.1, 0.4],
            "target_relative_error": None, "dropped_mass": None, "negative_denominators": None,
            "output_rows": None} | more


def setting(**more):
    return {"machine": "m", "input": "gaussian", "dim": 8, "value_dim": 8, "causal": False,
            "scale": 1, "batch": 1, "heads": 2, "key_heads": 2, "threads": 1,
            "direction": "forward"} | more


def table_of(rows, keys=64, **more):
    return setting(**more) | {"keys": keys, "rows": rows, "attention": None}


def markdown(lines, report):
    return tables.table(["run = r", *lines], lambda runs: report)


class Tables(unittest.TestCase):
    REPORT = {"scaling": [], "tables": [
        table_of([row("dense", 4e6), row("local(radius=4)", 1.5e3)]),
        table_of([row("dense", 16e6), row("local(radius=4)", 3e3), row("lsh", status="refused")],
                 keys=128)]}

    def test_a_pivot_over_lengths(self):
        self.assertEqual(markdown(["column = n = {length} ; time"], self.REPORT), [
            "|  | n = 64 | n = 128 |", "|:--|--:|--:|", "| `dense` | 4.00 ms | 16.0 ms |",
            "| `local(radius=4)` | 1.50 µs | 3.00 µs |"])

    def test_forms_of_a_figure(self):
        text = markdown(["only = local*", "column = a ; time[] / error[] ; length=64",
                         "column = b ; error± ; length=64", "column = c ; error@3 / dropped_mass ; "
                         "length=64", "column = d ; memory ; length=64",
                         "column = e ; head_error ; length=64 head=1"], self.REPORT)[-1]
        self.assertEqual(text, "| `local(radius=4)` | 1.50 µs [1.35, 1.65] / 0.25 [0.10, 0.50] | "
                         "0.25 ± 0.01 | 0.250 | 2.00 KiB | 0.40 |")

    def test_what_a_model_made_of_it_by_the_layers_that_were_replaced(self):
        def judged(bits, beyond):
            return row("mean", quality={"bits_per_character": {
                "mean": bits, "low": bits - 0.25, "high": bits + 0.25,
                "beyond_anchor": {"mean": beyond, "low": -0.00004, "high": beyond}}})
        report = {"scaling": [], "tables": [
            table_of([judged(1.5, -0.00004), row("dense")], direction="model", replaced="all"),
            table_of([judged(1.75, 0.25)], direction="model", replaced="0+2")]}
        text = markdown(["without = dense", "column = {replaced} ; target / bits_per_character[]",
                         "column = b ; bits_beyond_anchor[] ; replaced=all",
                         "column = c ; bits_beyond_anchor@1 ; replaced=0+2"], report)
        self.assertEqual(text[0], "|  | 0+2 | all | b | c |")
        self.assertEqual(text[-1], "| `mean` | restriction / 1.750 [1.500, 2.000] | restriction / 1.500 "
                         "[1.250, 1.750] | +0.000 [+0.000, +0.000] | +0.2 |")

    def test_an_ending_stands_once_and_what_ended_so_everywhere_not_at_all(self):
        report = {"scaling": [], "tables": [
            table_of([row("a", 1e3), row("b", status="refused")], causal=True),
            table_of([row("a", status="out_of_memory"), row("b", status="refused")])]}
        text = markdown(["column = yes ; time / error ; causal=true",
                         "column = no ; time ; causal=false", "column = error ; error ; causal=false"],
                        report)
        self.assertEqual(text[2:], ["| `a` | 1.00 µs / 0.25 | out of memory |  |"])

    def test_budgets_names_sorting_and_order(self):
        rows = [row(f"topk(keys={k})", relative_error=estimate(1 / k)) for k in (4, 16, 8)]
        report = {"scaling": [], "tables": [table_of(rows, input=text) for text in ("x", "y")]}
        text = markdown(["rows = input family", "name = x : first", "column = {budget} ; error"],
                        report)
        self.assertEqual(text, ["| input | family | 4 | 8 | 16 |", "|:--|:--|--:|--:|--:|",
                                "| first | `topk (keys)` | 0.25 | 0.12 | 0.062 |",
                                "| `y` | `topk (keys)` | 0.25 | 0.12 | 0.062 |"])
        select = "column = e ; error ; input=x"
        names = [line.split("`")[1] for line in markdown(["sort = 1", select], report)[2:]]
        self.assertEqual(names, ["topk(keys=16)", "topk(keys=8)", "topk(keys=4)"])
        names = [line.split("`")[1] for line in
                 markdown(["order = *8) topk*", select], report)[2:]]
        self.assertEqual(names, ["topk(keys=8)", "topk(keys=4)", "topk(keys=16)"])

    def test_two_points_in_a_cell_are_a_mistake(self):
        with self.assertRaisesRegex(tables.Mistake, "2 points fit it.*length=128, length=64"):
            markdown(["column = t ; time"], self.REPORT)


class Figures(unittest.TestCase):
    def test_significant_digits_are_those_of_the_program(self):
        for value, digits, text in ((0.0123, 3, "0.0123"), (45.6, 3, "45.6"), (1234, 3, "1234"),
                                    (1.2e-7, 2, "1.2e-7"), (9.996, 3, "10.0"), (0, 3, "0"),
                                    (9.3e-4, 2, "9.3e-4"), (1e-3, 2, "0.0010")):
            self.assertEqual(figures_of_rows.significant(value, digits), text)

    def test_a_unit_is_the_largest_that_is_filled_after_rounding(self):
        write = figures_of_rows.in_units(figures_of_rows.TIMES)
        self.assertEqual(write({"median": 999.6}, 3, None), "1.00 µs")
        self.assertEqual(write({"median": 2.5e9}, 3, None), "2.50 s")


class Budgets(unittest.TestCase):
    def test_a_refused_variant_is_of_the_family_that_it_was_written_in(self):
        members = [("n", "n(k=16,kind=a,steps=6)"), ("n", "n(k=32,kind=a,steps=6)"), ("n", "n(k=64)")]
        self.assertEqual(budgets.families_of(members),
                         [("n (k)", 16), ("n (k)", 32), ("n (k)", 64)])

    def test_a_refused_variant_of_unknown_choice_stands_alone(self):
        members = [("n", "n(k=16,kind=a)"), ("n", "n(k=16,kind=b)"), ("n", "n(k=64)")]
        self.assertEqual([label for label, _ in budgets.families_of(members)], ["n a", "n b", "n"])


def trend(variant, sides, target="restriction"):
    """As the report gives it, of speed-ups certainly above or below 1, or open."""
    lengths = [{"keys": 512 * 2**i, "verdict": "", "speed_up": estimate(1 + side / 2)}
               for i, side in enumerate(sides)]
    slower = [at["keys"] for at, side in zip(lengths, sides) if side < 0]
    faster = [at["keys"] for i, at in enumerate(lengths) if all(s > 0 for s in sides[i:])]
    return {"variant": variant, "family": variant.split("(")[0], "target": target,
            "crossover": {"text": "words", "slower_until": max(slower, default=None),
                          "faster_from": min(faster, default=None), "lengths": lengths}}


class Crossovers(unittest.TestCase):
    def table(self, trends, real=()):
        series = setting(anchor="dense") | {"variants": trends}
        return crossovers.table(["run = r", *real],
                                lambda runs: {"scaling": [series], "tables": [
                                    table_of([row("late(k=1)", 1e3)])]})

    def test_of_each_family_the_first_and_of_families_the_earliest(self):
        text = self.table([trend("late(k=2)", [-1, -1, 1]), trend("late(k=1)", [-1, 1, 1]),
                           trend("early", [1, 1, 1], "estimator"), trend("never", [-1, -1, 0]),
                           trend("mean", [1, 1, 1], "control")], ["real = real input ; other"])
        self.assertEqual(text[0], "| family: its first variant | is | faster than `dense` | speed-up | "
                         "real input |")
        self.assertEqual(text[2:], [
            "| `early` | estimator | words | 1.50 [1.50, 1.50] at 512 | not measured |",
            "| `late(k=1)` | restriction | words | 1.50 [1.50, 1.50] at 1024 | 0.25 [0.10, 0.50] |",
            "| `never` | restriction | words | 1.00 [1.00, 1.00] at 2048 | not measured |"])

    def test_one_series_alone(self):
        with self.assertRaisesRegex(tables.Mistake, "0 series"):
            crossovers.table(["run = r", "causal = true"], lambda runs: {
                "scaling": [setting(anchor="dense") | {"variants": []}], "tables": []})


if __name__ == "__main__":
    unittest.main()

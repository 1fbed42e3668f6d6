"""plots/lra_figure.py on records whose figures are known: what it places where, and what it says."""

import math
import os
import sys
import unittest

from support import SOURCE

try:
    import matplotlib  # noqa: F401, the figures need it
    import pandas  # noqa: F401
except ImportError as error:
    raise unittest.SkipTest(f"figures are not drawn here: {error}")

sys.path.insert(0, os.path.join(SOURCE, "plots"))

import common  # noqa: E402
import lra_figure  # noqa: E402


def record(variant, threads, ratios=(), scratch=0):
    return {"variant": variant, "status": "ok", "direction": "block", "heads": 8,
            "feed_forward": 2048, "threads": threads, "problem": {"keys": 4000},
            "rounds": [{"anchor_ns": 10 * ratio, "time_ns": 10} for ratio in ratios],
            "scratch_bytes": 5, "scratch_declared_bytes": scratch, "heap_bytes": 1, "choice_bytes": 2, "layout_bytes": 3,
            "parameter_bytes": 1 << 40}


class LraFigure(unittest.TestCase):
    def setUp(self):
        self.panel = lra_figure.panel_of(lra_figure.PUBLISHED)
        self.records = [record("naive", 1, (0.5, 0.7, 0.6)), record("naive", 8, (), 400 << 20),
                        record("linear", 1, (2, 3, 9)), record("linear", 8, (), 100 << 20),
                        record("bigbird(block=64,random=3)", 1, (1, 1, 1))]

    def test_speed_is_the_median_over_rounds_and_the_score_is_the_published_one(self):
        models, missing = lra_figure.models_of(self.records, self.panel)
        self.assertEqual(models, [("Transformer", 0.6, (400 << 20) + 6, 54.39, "naive"),
                                  ("Linear Trans.", 3, (100 << 20) + 6, 50.55, "linear")])
        self.assertEqual(len(missing), 7)
        self.assertIn("BigBird", missing, "timed, but its bytes are not known")

    def test_other_blocks_are_other_points(self):
        for key, value in (("heads", 4), ("feed_forward", 1024), ("direction", "forward")):
            changed = [one | {key: value} for one in self.records]
            self.assertEqual(lra_figure.models_of(changed, self.panel)[0], [], key)

    def test_areas_are_as_bytes_are_and_the_figure_says_whose_scores_they_are(self):
        models, missing = lra_figure.models_of(self.records, self.panel)
        frame = common.pandas.DataFrame([{"variant": v, "family": v} for v in ("naive", "linear")])
        figure = lra_figure.draw_figure(models, missing, self.panel, common.Looks(frame))
        axes, = figure.axes
        sizes = [circle.get_sizes()[0] for circle in axes.collections]
        self.assertAlmostEqual(sizes[0] / sizes[1], models[0][2] / models[1][2])
        self.assertAlmostEqual(sizes[0], math.pi * (72 * lra_figure.LARGEST)**2)
        words = " ".join(text.get_text() for text in figure.texts)
        self.assertIn("PUBLISHED", words)
        self.assertIn("Not measured: Local", words)
        self.assertEqual([tuple(circle.get_offsets()[0]) for circle in axes.collections],
                         [(0.6, 54.39), (3, 50.55)])


if __name__ == "__main__":
    unittest.main()

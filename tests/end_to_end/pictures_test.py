"""Figures of recorded runs show what the records say, and pictures of docs/ what their commands draw."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

from support import BINARY, SOURCE

PLOTS = os.path.join(SOURCE, "plots")
sys.path.insert(0, PLOTS)

try:
    import common
    import pictures
except SystemExit:  # the packages are not there, and common said so
    pictures = None


@unittest.skipIf(pictures is None, "matplotlib or pandas is not installed")
class Pictures(unittest.TestCase):
    def test_figures_show_what_the_records_say(self):
        kept = pictures.kept_figures(pathlib.Path(SOURCE))
        self.assertGreaterEqual(sum(map(len, kept.values())), 10)
        for run_folder, names in kept.items():
            with self.subTest(run_folder.name):
                self.assertEqual(pictures.stale_figures(run_folder, names), [])

    @unittest.skipIf(os.environ.get("SUBQUAD_SANITIZED") == "1", "fits would take minutes")
    def test_pictures_are_what_their_commands_draw(self):
        source = pathlib.Path(SOURCE)
        with tempfile.TemporaryDirectory() as folder:
            drawn = pictures.draw_pictures(source, pathlib.Path(BINARY), pathlib.Path(folder))
            kept = source / "docs" / "pictures"
            names = sorted(path.name for path in drawn.iterdir())
            self.assertEqual(names, sorted(path.name for path in kept.iterdir()))
            for name in names:
                self.assertTrue(pictures.same_picture(kept / name, drawn / name), name)

    def test_another_number_is_another_content(self):
        frame = common.load([pathlib.Path(SOURCE, "results", "recorded", "fitting")])
        import error_by_head

        ((name, before),) = error_by_head.draw(frame, None)
        frame.at[frame.index[frame["variant"] == "gmlp"][0], "by_head"] = [2.0, 2.0, 2.0, 2.0]
        ((again, after),) = error_by_head.draw(frame, None)
        self.assertEqual(name, again)
        self.assertNotEqual(before, after)

    def test_each_format_holds_the_content(self):
        run_folder = pathlib.Path(SOURCE, "results", "recorded", "fitting")
        import error_by_head

        ((name, content),) = error_by_head.draw(common.load([run_folder]), None)
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([sys.executable, "-B", os.path.join(PLOTS, "error_by_head.py"),
                                   run_folder, "--out", folder], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            drawn = sorted(pathlib.Path(folder).iterdir())
            self.assertEqual([path.suffix for path in drawn], [".pdf", ".png", ".svg"])
            for path in drawn:
                self.assertIn(content.encode(), path.read_bytes(), path)


if __name__ == "__main__":
    unittest.main()

"""`subquad describe --picture`, of every variant that has something to draw."""

import json
import os
import pathlib
import tempfile
import unittest

from support import SOURCE, run

# The first bytes of a PNG.
SIGNATURE = b"\x89PNG\r\n\x1a\n"


class Picture(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def draw(self, expression, name, *options):
        return run("describe", expression, "--picture", self.path(name), *options)

    def test_every_variant_with_weights_is_drawn_and_every_other_says_why_not(self):
        for variant in json.loads(run("list", "--format", "json").stdout):
            causal = not variant["capabilities"]["self"]
            options = ["--length", "64"] + (["--causal"] if causal else [])
            with self.subTest(variant["name"]):
                done = self.draw(variant["name"], "v.svg", *options)
                if "weights" in variant["powers"]:
                    self.assertEqual(done.returncode, 0, done.stderr)
                    self.assertIn(variant["name"], pathlib.Path(self.path("v.svg")).read_text())
                else:
                    self.assertEqual(done.returncode, 2)
                    # A peer's library may have nothing for this processor.
                    also = "" if variant["origin"] == "built-in" else "| refuses: "
                    self.assertRegex(done.stderr, "no attention matrix" + also)

    def test_panels_for_each_kind_of_head(self):
        done = self.draw("heads(local(radius=3),union(local(radius=1),local(radius=2,dilation=4)))",
                         "h.png", "--causal", "--length", "24")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(pathlib.Path(self.path("h.png")).read_bytes()[:8], SIGNATURE)

    def test_mistakes(self):
        for words, says in ((("local", "a.gif"), ".png or .svg"),
                            (("local", "no/a.png"), "there is no folder"),
                            (("local", "a.png", "--length", "5000"), "length"),
                            (("local", "a.png", "--input", "smoth"), "smooth"),
                            (("lokal", "a.png"), "local")):
            with self.subTest(words):
                done = self.draw(*words)
                self.assertEqual(done.returncode, 2)
                self.assertIn(says, done.stderr)
                self.assertEqual(done.stderr.count("\n"), 1)
                self.assertFalse(os.path.exists(self.path("a.png")))

    def apply(self, expression, name, *options):
        return run("apply", expression, "--output", self.path("o.safetensors"), "--picture",
                   self.path(name), *options)

    def test_apply_draws_the_weights_of_every_head(self):
        shape = ["--input", "alignment", "--length", "12", "--queries", "7", "--heads", "3",
                 "--batch", "2"]
        done = self.apply("heads(additive,local(radius=2))", "w.svg", *shape)
        self.assertEqual(done.returncode, 0, done.stderr)
        text = pathlib.Path(self.path("w.svg")).read_text()
        for title in ("head 0: additive", "head 1: local(radius=2)", "head 2: additive",
                      "weight of the key"):
            self.assertIn(f"<!-- {title} -->", text)
        done = self.apply("dense", "w.png", *shape)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(pathlib.Path(self.path("w.png")).read_bytes()[:8], SIGNATURE)
        self.assertTrue(os.path.exists(self.path("o.safetensors")))

    def test_apply_says_what_cannot_be_drawn_before_it_computes(self):
        shape = ["--input", "gaussian", "--dim", "4", "--length"]
        for expression, name, options, says in (
                ("fnet", "a.png", [*shape, "16"], "no attention matrix"),
                ("heads(dense,fnet)", "a.png", [*shape, "16"], "fnet"),
                ("dense", "a.png", [*shape, "1025"], "1024"),
                ("dense", "a.png", [*shape, "16", "--queries", "1025"], "1024"),
                ("dense", "a.png", [*shape, "16", "--heads", "33"], "32"),
                ("dense", "a.gif", [*shape, "16"], ".png or .svg"),
                ("dense", "no/a.png", [*shape, "16"], "there is no folder")):
            with self.subTest((expression, name, options)):
                done = self.apply(expression, name, *options)
                self.assertEqual(done.returncode, 2, done.stdout)
                self.assertIn(says, done.stderr)
                self.assertEqual(done.stderr.count("\n"), 1)
                self.assertFalse(os.path.exists(self.path(name)))
                self.assertFalse(os.path.exists(self.path("o.safetensors")))

    def test_the_gallery_shows_every_pattern(self):
        page = pathlib.Path(SOURCE, "docs", "patterns.md").read_text(encoding="utf-8")
        for variant in json.loads(run("list", "--format", "json").stdout):
            if "plan" in variant["powers"]:
                self.assertIn(f"{variant['name']}(", page)

    def test_every_picture_stands_in_a_page(self):
        docs = pathlib.Path(SOURCE, "docs")
        pages = "".join(page.read_text(encoding="utf-8") for page in docs.glob("*.md"))
        for picture in (docs / "pictures").glob("*.png"):
            self.assertTrue(f"pictures/{picture.name}" in pages, picture)


if __name__ == "__main__":
    unittest.main()

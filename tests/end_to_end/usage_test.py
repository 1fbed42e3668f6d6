"""Mistakes of a user: one clear line on stderr, exit code 2, and nothing written."""

import json
import os
import tempfile
import unittest

import numpy as np

from support import DATA, read_safetensors, run, write_safetensors

OCR = os.path.join(DATA, "ocr_n320.safetensors")


class Usage(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def config(self, text):
        with open(self.path("x.cfg"), "w") as file:
            file.write(text)
        return self.path("x.cfg")

    def refused(self, words, *arguments, env=None):
        """The command ends with 2 and one line that holds all of `words`."""
        result = run(*arguments, cwd=self.folder.name, env=env)
        self.assertEqual(result.returncode, 2, result.stdout + result.stderr)
        lines = result.stderr.strip().splitlines()
        self.assertEqual(len(lines), 1, result.stderr)
        for word in words:
            self.assertIn(word, lines[0])

    def apply(self, expression, source):
        return "apply", expression, "--input", source, "--output", self.path("o.safetensors")

    def test_commands_and_options(self):
        self.refused(["unknown command 'lst'", "list"], "lst")
        self.refused(["--formt", "format"], "list", "--formt", "json")
        self.refused(["format", "yaml", "json"], "list", "--format", "yaml")
        self.refused(["--input"], "apply", "dense", "--output", self.path("o.safetensors"))
        self.refused(["usage"], "run")

    def test_names_of_machines(self):
        for name in ("a/b", "..\n", "x" * 65):
            self.refused(["SUBQUAD_MACHINE", "letters"], "machine", env={"SUBQUAD_MACHINE": name})

    def test_expressions(self):
        self.refused(["dens", "dense"], *self.apply("dens", OCR))
        self.refused(["local", "radus", "radius"], *self.apply("local(radus=3)", OCR))
        self.refused(["radius", "-3", "from 0"], *self.apply("local(radius=-3)", OCR))
        self.refused(["local(radius="], *self.apply("local(radius=", OCR))
        self.refused(["radius", "wide"], *self.apply("local(radius=wide)", OCR))
        self.refused(["kind", "ful", "full"], *self.apply("aft(kind=ful)", OCR))

    def test_refusals_name_the_reason(self):
        self.refused(["linformer", "causal"], *self.apply("linformer(rank=8)", OCR), "--causal")

    def test_configs(self):
        self.refused(["missing.cfg"], "run", self.path("missing.cfg"))
        good = "variant = mean\ninput = gaussian\n"
        self.refused(["x.cfg:3", "lenght", "length"], "run", self.config(good + "lenght = 5\n"))
        self.refused(["x.cfg:3", "length", "0"], "run", self.config(good + "length = 0\n"))
        self.refused(["x.cfg:3", "length", "12x"], "run", self.config(good + "length = 12x\n"))
        self.refused(["x.cfg:1", "key = value"], "run", self.config("variant\n"))
        self.refused(["dens", "dense"], "run", self.config("variant = dens\nlength = 8\n"))
        self.refused(["gausian", "gaussian"], "run",
                     self.config("variant = mean\ninput = gausian\nlength = 8\n"))
        self.refused(["length"], "run", self.config("variant = mean\n"))

    def test_files(self):
        self.refused(["none.safetensors"], *self.apply("dense", self.path("none.safetensors")))
        with open(OCR, "rb") as file:
            content = file.read()
        for size in (0, 5, 100, len(content) // 2, len(content) - 1):
            with open(self.path("cut.safetensors"), "wb") as file:
                file.write(content[:size])
            self.refused(["cut.safetensors"], *self.apply("dense", self.path("cut.safetensors")))
        self.assertFalse(os.path.exists(self.path("o.safetensors")))

    def test_input_expressions(self):
        self.refused(["gausian", "gaussian"], *self.apply("dense", "gausian"), "--length", "8")
        self.refused(["--length", "gaussian"], *self.apply("dense", "gaussian"))
        self.refused(["heads", "6", "key"], *self.apply("dense", "gaussian"), "--length", "8",
                     "--heads", "6", "--key-heads", "4")
        self.refused(["--batch", OCR], *self.apply("dense", OCR), "--batch", "2")
        self.refused(["99999"], *self.apply("dense", OCR), "--length", "99999")

    def test_shapes_types_and_values(self):
        def source(**tensors):
            write_safetensors(self.path("in.safetensors"), tensors)
            return self.apply("dense", self.path("in.safetensors"))

        ones = np.ones((4, 8), np.float32)
        nan = ones.copy()
        nan[2, 3] = np.nan
        self.refused(["in.safetensors", "'k'"], *source(q=ones, v=ones))
        self.refused(["in.safetensors", "'k'"], *source(q=ones, k=np.ones((4, 9), np.float32), v=ones))
        self.refused(["in.safetensors", "'v'"], *source(q=ones, k=ones, v=np.ones((5, 8), np.float32)))
        self.refused(["in.safetensors", "'q'"], *source(q=ones.astype(np.int32), k=ones, v=ones))
        self.refused(["in.safetensors", "'v'", "finite"], *source(q=ones, k=ones, v=nan))
        empty = np.ones((0, 8), np.float32)
        self.refused(["in.safetensors"], *source(q=empty, k=empty, v=empty))

    def test_wrong_tensors(self):
        write_safetensors(self.path("t.safetensors"), {"e": np.ones((3, 3), np.float32)})
        self.refused(["'e'", "[3, 3]"], *self.apply("linformer(rank=8)", OCR), "--tensors",
                     self.path("t.safetensors"))
        write_safetensors(self.path("t.safetensors"), {"nobody": np.ones((3, 3), np.float32)})
        self.refused(["nobody"], *self.apply("linformer(rank=8)", OCR), "--tensors",
                     self.path("t.safetensors"))

    def test_plugins(self):
        self.refused(["none.so"], "list", "--plugin", self.path("none.so"))
        with open(self.path("text.so"), "w") as file:
            file.write("no library")
        self.refused(["text.so"], "list", "--plugin", self.path("text.so"))


class Catalogue(unittest.TestCase):
    def test_list_declares_every_variant(self):
        result = run("list", "--format", "json")
        self.assertEqual(result.returncode, 0, result.stderr)
        variants = {variant["name"]: variant for variant in json.loads(result.stdout)}
        for variant in variants.values():
            for key in ("summary", "citation"):
                self.assertTrue(variant[key], variant["name"])
            self.assertTrue(variant["complexity"]["time"], variant["name"])
            self.assertIn("causal", variant["capabilities"])
            for parameter in variant["parameters"]:
                self.assertTrue(parameter["doc"])
                self.assertIn("default", parameter)
            for tensor in variant["tensors"]:
                self.assertIn(tensor["role"], ("learned", "random", "running", "choice", "saved"))
                self.assertIn(tensor["sharing"], ("head", "layer", "model"))
                self.assertTrue(all(extent["size"] > 0 for extent in tensor["shape"]))
        linformer = variants["linformer"]
        self.assertFalse(linformer["capabilities"]["causal"])
        self.assertIn("rank", [parameter["name"] for parameter in linformer["parameters"]])

    def test_every_command_has_help(self):
        overview = run("help").stdout
        for command in ("list", "describe", "check", "run", "apply", "report", "machine"):
            self.assertIn(command, overview)
            self.assertIn(command, run(command, "--help").stdout)


if __name__ == "__main__":
    unittest.main()

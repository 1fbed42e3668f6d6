"""docs/add_a_variant.md, followed literally: its example as a plugin, through every command."""

import json
import os
import re
import subprocess
import tempfile
import unittest

from support import SOURCE, run

GUIDE = os.path.join(SOURCE, "docs", "add_a_variant.md")


class Guide(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with open(GUIDE) as file:
            guide = file.read()
        cls.code = re.search(r"```cpp\n(.*?)```", guide, re.S).group(1)
        command = re.search(r"^g\+\+ .*?\.so$", guide, re.S | re.M).group(0).replace("\\\n", " ")
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = folder.name
        source = os.path.join(cls.folder, "log_sparse.cpp")
        cls.plugin = os.path.join(cls.folder, "log_sparse.so")
        with open(source, "w") as file:
            file.write(cls.code)
        words = [{"log_sparse.cpp": source, "log_sparse.so": cls.plugin}.get(word, word)
                 for word in command.split()]
        subprocess.run(words, cwd=SOURCE, check=True, timeout=300)

    def test_is_short(self):
        self.assertLessEqual(self.code.count("\n"), 60)

    def test_is_listed(self):
        result = run("list", "--format", "json", "--plugin", self.plugin)
        self.assertEqual(result.returncode, 0, result.stderr)
        variant = next(v for v in json.loads(result.stdout) if v["name"] == "log_sparse")
        self.assertEqual(variant["origin"], self.plugin)
        self.assertEqual(variant["parameters"][0]["name"], "window")

    def test_keeps_the_contract(self):
        result = run("check", "log_sparse", "--plugin", self.plugin)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_is_swept_and_reported(self):
        result = run("run", os.path.join(SOURCE, "experiments", "quickstart.cfg"), "--plugin",
                     self.plugin, "--variant", "log_sparse(window=4|16)", "--input", "gaussian",
                     "--length", "64 128", "--rounds", "2", "--figures", "false", cwd=self.folder)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        for label in ("log_sparse(window=4)", "log_sparse(window=16)"):
            self.assertIn(label, result.stdout)
        again = run("report", os.path.join("results", "quickstart"), "--plugin", self.plugin,
                    cwd=self.folder)
        self.assertIn("log_sparse(window=16)", again.stdout)


if __name__ == "__main__":
    unittest.main()

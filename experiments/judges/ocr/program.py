"""subquad, as a user runs it."""

import json
import pathlib
import subprocess

import numpy as np


class Ended(Exception):
    """A call that gave no output: refused or failed, and the reason."""

    def __init__(self, status, reason):
        super().__init__(reason)
        self.status, self.reason = status, reason


def read_output(path):
    """The tensor o of a safetensors file, and the resolved expression that made it."""
    content = pathlib.Path(path).read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8:8 + size])
    begin, end = header["o"]["data_offsets"]
    floats = np.frombuffer(content[8 + size + begin:8 + size + end], np.float32)
    return floats.reshape(header["o"]["shape"]), header["__metadata__"]["variant"]


def first_argument(expression):
    """What a word like fitted(...) stands around; empty where there are no brackets."""
    depth, start = 0, expression.find("(") + 1
    for i in range(start, len(expression) if start else 0):
        if depth == 0 and expression[i] in ",)":
            return expression[start:i]
        depth += {"(": 1, ")": -1}.get(expression[i], 0)
    return ""


class Program:
    def __init__(self, path, scratch):
        self.path, self.scratch = str(pathlib.Path(path).resolve()), pathlib.Path(scratch)

    def _run(self, *words):
        return subprocess.run([self.path, *map(str, words)], cwd=self.scratch, capture_output=True,
                              text=True)

    def machine(self):
        return json.loads(self._run("machine", "--format", "json").stdout)

    def target(self, expression):
        """What a layer expression claims to be: of several variants, what the first does."""
        while expression:
            process = self._run("describe", expression, "--format", "json")
            if process.returncode == 0:
                return json.loads(process.stdout)["target"]
            expression = first_argument(expression)
        raise Ended("failed", process.stderr.strip())

    def apply(self, expression, inputs, seed):
        """Output [sequences, heads, n, dim] of the first sequences in the file `inputs`, a name in the
        scratch folder with :N behind it, and the resolved expression."""
        name, _, sequences = inputs.rpartition(":")
        process = self._run("apply", expression, "--input", f"file(path={name},batch=0:{sequences})",
                            "--output", "out.safetensors", "--seed", seed, "--threads", 2)
        if process.returncode:
            reason = process.stderr.strip().splitlines()
            status = "refused" if " refuses " in process.stderr else "failed"
            raise Ended(status, reason[0] if reason else f"exit status {process.returncode}")
        return read_output(self.scratch / "out.safetensors")

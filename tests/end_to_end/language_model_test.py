"""A trained model judges attention: bits per character as a script by itself computes them."""

import json
import math
import os
import shlex
import tempfile
import unittest

import numpy as np

from support import SOURCE, run, write_safetensors

# Bits per character over eight windows of 2048 bytes, by PyTorch in float32 where the model was
# trained (experiments/data/README.md).
PUBLISHED = {
    "dense": 1.508,
    "local(radius=255)": 1.516,
    "local(radius=63)": 1.534,
    "local(radius=15)": 1.582,
    "sinks(sinks=4,window=60)": 1.536,
    "topk(keys=128)": 1.510,
    "topk(keys=32)": 1.533,
    "topk(keys=8)": 1.676,
    "strided(stride=32,window=0)": 3.572,
    "mean": 5.018,
    "zero": 5.678,
}


class Model:
    """The model in numpy, with any rule for which keys a query sees."""

    def __init__(self, tensors, heads):
        self.tensors = {name: array.astype(np.float64) for name, array in tensors.items()}
        self.heads = heads
        self.layers = sum(name.endswith("attention.qkv.weight") for name in tensors)

    def norm(self, x, name):
        centred = x - x.mean(axis=1, keepdims=True)
        scaled = centred / np.sqrt((centred ** 2).mean(axis=1, keepdims=True) + 1e-5)
        return scaled * self.tensors[name + ".weight"] + self.tensors[name + ".bias"]

    def linear(self, x, name):
        bias = self.tensors.get(name + ".bias", 0)
        return x @ self.tensors[name + ".weight"].T + bias

    def attention(self, qkv, sees):
        n, dim = len(qkv), qkv.shape[1] // 3 // self.heads
        q, k, v = (part.reshape(n, self.heads, dim) for part in np.split(qkv, 3, axis=1))
        turns = np.exp(1j * np.arange(n)[:, None] * 10000.0 ** (-np.arange(0, dim, 2) / dim))

        def turned(x):
            pairs = (x[..., 0::2] + 1j * x[..., 1::2]) * turns[:, None]
            return np.stack([pairs.real, pairs.imag], axis=-1).reshape(x.shape)

        scores = np.einsum("ihd,jhd->hij", turned(q), turned(k)) / math.sqrt(dim)
        i, j = np.arange(n)[:, None], np.arange(n)[None, :]
        scores = np.where((j <= i) & sees(i, j), scores, -np.inf)
        weights = np.exp(scores - scores.max(axis=2, keepdims=True))
        weights /= weights.sum(axis=2, keepdims=True)
        return np.einsum("hij,jhd->ihd", weights, v).reshape(n, -1)

    def logits(self, window, sees_of_layer):
        x = self.tensors["embedding.weight"][list(window)]
        for layer in range(self.layers):
            name = f"layers.{layer}."
            qkv = self.linear(self.norm(x, name + "attention_norm"), name + "attention.qkv")
            x = x + self.linear(self.attention(qkv, sees_of_layer(layer)),
                                name + "attention.output")
            hidden = self.linear(self.norm(x, name + "feed_forward_norm"), name + "feed_forward.up")
            hidden = hidden * np.vectorize(math.erfc)(-hidden / math.sqrt(2)) / 2
            x = x + self.linear(hidden, name + "feed_forward.down")
        return self.linear(self.norm(x, "final_norm"), "head")


def bits_per_character(logits, following):
    shifted = logits - logits.max(axis=1, keepdims=True)
    chosen = shifted[np.arange(len(following)), list(following)]
    return float(np.mean(np.log(np.exp(shifted).sum(axis=1)) - chosen) / math.log(2))


def write_small_model(folder, seed=3, layers=2, heads=2, dim=8, hidden=24):
    """Random weights of another shape, and a text; (tensors, text)."""
    random, width = np.random.default_rng(seed), heads * dim

    def normal(*shape, std):
        return (random.standard_normal(shape) * std).astype(np.float32)

    tensors = {"embedding.weight": normal(256, width, std=1), "head.weight": normal(256, width, std=0.5)}
    names = ["final_norm"]
    for layer in range(layers):
        name = f"layers.{layer}."
        names += [name + "attention_norm", name + "feed_forward_norm"]
        tensors[name + "attention.qkv.weight"] = normal(3 * width, width, std=0.5)
        tensors[name + "attention.output.weight"] = normal(width, width, std=0.3)
        tensors[name + "feed_forward.up.weight"] = normal(hidden, width, std=0.3)
        tensors[name + "feed_forward.up.bias"] = normal(hidden, std=0.3)
        tensors[name + "feed_forward.down.weight"] = normal(width, hidden, std=0.3)
        tensors[name + "feed_forward.down.bias"] = normal(width, std=0.3)
    for name in names:
        tensors[name + ".weight"] = 1 + normal(width, std=0.2)
        tensors[name + ".bias"] = normal(width, std=0.2)
    os.makedirs(folder)
    write_safetensors(os.path.join(folder, "weights.safetensors"), tensors,
                      metadata={"heads": str(heads)})
    text = bytes(random.integers(0, 256, 400, dtype=np.uint8))
    with open(os.path.join(folder, "validation.txt"), "wb") as file:
        file.write(text)
    return tensors, text


def records_of(path):
    with open(path) as file:
        return [json.loads(line) for line in file]


class TrainedModel(unittest.TestCase):
    def test_bits_per_character_are_those_of_the_training_program(self):
        variants = [option for variant in PUBLISHED for option in ("--variant", variant)]
        with tempfile.TemporaryDirectory() as folder:
            # Paths of the experiment are relative to the repository.
            finished = run("run", "experiments/language_model.cfg", *variants, "--reference-rows", 16,
                           "--results", folder, cwd=SOURCE, env={"SUBQUAD_CACHE": folder})
            self.assertEqual(finished.returncode, 0, finished.stderr)
            records = {r["variant"]: r for r in records_of(f"{folder}/language_model/points.jsonl")}
        self.assertEqual(records.keys(), PUBLISHED.keys())
        for variant, published in PUBLISHED.items():
            record = records[variant]
            self.assertEqual(record["status"], "ok", record["reason"])
            windows = record["quality"]["bits_per_character"]
            self.assertEqual(len(windows), 8)
            self.assertAlmostEqual(np.mean(windows), published, delta=0.005, msg=variant)
        for error in records["dense"]["error"]["relative_error"]:
            self.assertLess(error, 1e-5)


class SmallModel(unittest.TestCase):
    LENGTH, BATCH = 60, 3
    LOCAL = "local(radius=4)"

    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = temporary.name
        self.tensors, self.text = write_small_model(self.path("m"))
        self.configure("dense", self.LOCAL, "zero")

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def configure(self, *variants, **options):
        options = {"mode": "model", "model": "m", "replace": "all each",
                   "input": "text(path=m/validation.txt,offset=5,stride=100)",
                   "batch": self.BATCH, "length": self.LENGTH, "rounds": 2, "min-time": 0.001,
                   "figures": "false"} | {key.replace("_", "-"): v for key, v in options.items()}
        lines = [f"variant = {variant}" for variant in variants]
        lines += [f"{key} = {value}" for key, value in options.items() if value is not None]
        with open(self.path("x.cfg"), "w") as file:
            file.write("\n".join(lines) + "\n")

    def run_it(self, *options):
        finished = run("run", "x.cfg", *options, cwd=self.folder)
        self.assertEqual(finished.returncode, 0, finished.stderr)
        return records_of(self.path("results", "x", "points.jsonl"))

    def fails(self, code=2):
        finished = run("run", "x.cfg", cwd=self.folder)
        self.assertEqual(finished.returncode, code, finished.stderr)
        return finished.stderr

    def expected(self, replaced, sees, window):
        model = Model(self.tensors, heads=2)
        begin = 5 + 100 * window
        read, following = (self.text[begin + i:begin + i + self.LENGTH] for i in (0, 1))
        everything = lambda i, j: j <= i
        logits = model.logits(read, lambda layer: sees if layer in replaced else everything)
        return logits, bits_per_character(logits, following)

    def test_layers_are_replaced_as_asked(self):
        records = {(r["variant"], r["replaced"]): r for r in self.run_it()}
        self.assertEqual(len(records), 9)
        near = lambda i, j: i - j <= 4
        for replaced, layers in (("all", {0, 1}), ("0", {0}), ("1", {1})):
            record = records[self.LOCAL, replaced]
            self.assertEqual(record["status"], "ok", record["reason"])
            self.assertEqual((record["direction"], record["model"]), ("model", "m"))
            self.assertEqual((record["batch"], record["heads"], record["problem"]["dim"]), (3, 2, 8))
            for window in range(self.BATCH):
                exact, _ = self.expected((), near, window)
                logits, bits = self.expected(layers, near, window)
                self.assertAlmostEqual(record["quality"]["bits_per_character"][window], bits, places=4)
                error = np.linalg.norm(logits - exact) / np.linalg.norm(exact)
                self.assertAlmostEqual(record["error"]["relative_error"][window], error, places=4)
            self.assertEqual(len(record["rounds"]), 2)
            self.assertTrue(all(r["anchor_ns"] > 0 for r in record["rounds"]))
            self.assertLessEqual(record["arithmetic_error"], record["arithmetic_tolerance"])
            self.assertGreaterEqual(record["arithmetic_error"], 0)
            self.assertEqual(record["heap_allocations"], 0)
            self.assertEqual(record["scratch_bytes"], record["scratch_declared_bytes"])

    def test_a_run_goes_on_where_it_was_and_its_commands_repeat_its_points(self):
        records = self.run_it()
        path = self.path("results", "x", "points.jsonl")
        with open(path) as file:
            lines = file.readlines()
        with open(path, "w") as file:
            file.writelines(lines[:4])
        again = self.run_it()
        self.assertEqual(sorted(r["key"] for r in again), sorted(r["key"] for r in records))
        for record in again:
            words = shlex.split(record["command"])
            repeated = run(*words[1:], cwd=self.folder)
            self.assertEqual(repeated.returncode, 0, repeated.stderr)
            repeated = json.loads(repeated.stdout)
            for field in ("key", "resolved", "error", "quality", "replaced", "model"):
                self.assertEqual(repeated[field], record[field], field)

    def test_other_weights_are_other_points(self):
        keys = {r["key"] for r in self.run_it()}
        os.rename(self.path("m"), self.path("old"))
        write_small_model(self.path("m"), seed=4)
        self.assertEqual(len({r["key"] for r in self.run_it()} - keys), len(keys))

    def test_reports_rank_by_what_the_model_makes_of_it(self):
        self.run_it("--replace", "all")
        tables = run("report", "results/x", "--format", "json", cwd=self.folder)
        (table,) = json.loads(tables.stdout)["tables"]
        self.assertEqual((table["direction"], table["model"], table["replaced"]), ("model", "m", "all"))
        rows = {row["variant"]: row["quality"]["bits_per_character"] for row in table["rows"]}
        _, bits = self.expected({0, 1}, lambda i, j: i - j <= 4, 0)
        self.assertLessEqual(rows[self.LOCAL]["low"], bits + 1e-4)
        self.assertGreaterEqual(rows[self.LOCAL]["high"], bits - 1e-4)
        self.assertEqual(rows["dense"]["beyond_anchor"], {"mean": 0, "low": 0, "high": 0})
        text = run("report", "results/x", cwd=self.folder).stdout
        ranking = text.split("best first")[1].split("\n\n")[0]
        places = sorted(rows, key=lambda variant: rows[variant]["mean"])
        self.assertEqual(sorted(rows, key=ranking.index), places)
        csv = run("report", "results/x", "--format", "csv", cwd=self.folder).stdout
        self.assertIn(",bits_per_character,bit,window 2,", csv)

    def test_random_tensors_are_drawn_for_each_layer_and_anew_for_each_draw(self):
        self.configure("performer(features=8)", replace="all", draws=3, rounds=0)
        (record,) = [r for r in self.run_it() if not r["anchor"]]
        self.assertEqual(record["status"], "ok", record["reason"])
        self.assertEqual(len(record["draws"]), 2)
        self.assertNotEqual(record["draws"][0]["error"], record["draws"][1]["error"])

    def test_fits_on_what_the_layers_meet_in_the_model(self):
        # On the very windows that it meets, least squares leave little of most rows' error.
        fitted, others = (f"fitted(constant,offset={offset},stride=100)" for offset in (5, 35))
        self.configure("constant", fitted, others, replace="all", rounds=0)
        records = {r["variant"]: r for r in self.run_it()}
        for record in records.values():
            self.assertEqual(record["status"], "ok", record["reason"])
        error = {key: np.mean(r["error"]["relative_error"]) for key, r in records.items()}
        self.assertLess(error[fitted], 0.8 * error["constant"])
        self.assertLess(error[fitted], 0.8 * error[others])

    def test_what_cannot_stand_in_a_model_is_refused(self):
        self.configure("fnet", "loaded(synthesizer,path=t.npz)", replace="all", rounds=0)
        write_safetensors(self.path("t.npz"), {"q": np.zeros((1, 1), np.float32)})
        records = {r["variant"]: r for r in self.run_it()}
        self.assertEqual(records["fnet"]["status"], "refused")
        loaded = records["loaded(synthesizer,path=t.npz)"]
        self.assertEqual(loaded["status"], "refused", loaded["reason"])
        self.assertIn("each have their own", loaded["reason"])

    def test_mistakes_are_named(self):
        self.configure("dense", replace="2")
        self.assertIn("replace = 2: the model has layers 0 to 1", self.fails())
        self.configure("dense", replace="first")
        self.assertIn("x.cfg:4: replace = first is none of all, each", self.fails())
        self.configure("dense", model="nowhere")
        self.assertIn("nowhere/weights.safetensors", self.fails())
        self.configure("dense", model=None)
        self.assertIn("mode = model needs model = FOLDER", self.fails())
        self.configure("dense", input="gaussian")
        self.assertIn("gaussian gives Q, K, V", self.fails())
        self.configure("dense", mode="forward", model=None)
        self.assertIn("is text, which needs mode = model", self.fails())
        self.configure("dense", length="1000")
        self.assertIn("validation.txt holds 400 bytes", self.fails())


if __name__ == "__main__":
    unittest.main()

"""`subquad apply` against attention computed here, in double, from the same file."""

import os
import tempfile
import unittest

import numpy as np

from support import (DATA, attention, heads_of, read_safetensors, relative_error, run,
                     write_safetensors)


class Apply(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def apply(self, expression, source, *options):
        result = run("apply", expression, "--input", source, "--output", self.path("o.safetensors"),
                     *options)
        self.assertEqual(result.returncode, 0, result.stderr)
        return read_safetensors(self.path("o.safetensors"))["o"]

    def check_heads(self, expression, file, pattern, bound, *options):
        source = os.path.join(DATA, file)
        out = self.apply(expression, source, *options)
        for (b, h), (q, k, v) in heads_of(read_safetensors(source)):
            exact = attention(q, k, v, pattern(len(q)) if pattern else None)
            self.assertLess(relative_error(out[b, h], exact), bound, f"sequence {b}, head {h}")

    def test_dense_on_real_input(self):
        for file in ("ocr_n2048.safetensors", "sentence_encoder_layer0_n128.safetensors"):
            with self.subTest(file):
                self.check_heads("dense", file, None, 1e-6)

    def test_dense_causal_on_a_language_model(self):
        self.check_heads("dense", "causal_lm_n2048.safetensors",
                         lambda n: np.tril(np.ones((n, n), bool)), 1e-6, "--causal")

    def test_local_is_masked_attention(self):
        def window(n):
            position = np.arange(n)
            return abs(position[:, None] - position[None, :]) <= 64

        self.check_heads("local(radius=64)", "ocr_n2048.safetensors", window, 1e-6)

    def test_tensors_of_another_program(self):
        rng = np.random.default_rng(1)
        q, k, v = (rng.standard_normal((2, 97, 16)).astype(np.float32) for _ in range(3))
        e, f = (rng.standard_normal((2, 12, 97)).astype(np.float32) / 4 for _ in range(2))
        write_safetensors(self.path("qkv.safetensors"), {"q": q, "k": k, "v": v})
        write_safetensors(self.path("t.safetensors"), {"e": e, "f": f})
        out = self.apply("linformer(rank=12)", self.path("qkv.safetensors"), "--tensors",
                         self.path("t.safetensors"))
        self.assertEqual(out.shape, (2, 97, 16))
        for h in range(2):
            exact = attention(q[h], e[h].astype(float) @ k[h], f[h].astype(float) @ v[h])
            self.assertLess(relative_error(out[h], exact), 2e-6)

    def test_saved_tensors_repeat_a_result(self):
        source = os.path.join(DATA, "ocr_n320.safetensors")
        first = self.apply("lsh(rounds=2,bucket=16)", source, "--seed", 3, "--save-tensors",
                           self.path("t.safetensors"))
        saved = read_safetensors(self.path("t.safetensors"))
        self.assertIn("rotations", saved)
        write_safetensors(self.path("rotations.safetensors"), {"rotations": saved["rotations"]})
        again = self.apply("lsh(rounds=2,bucket=16)", source, "--seed", 4, "--tensors",
                           self.path("rotations.safetensors"))
        self.assertTrue(np.array_equal(first, again))

    def test_lengths_trim_sequences(self):
        rng = np.random.default_rng(2)
        q, k, v = (rng.standard_normal((2, 3, 50, 8)).astype(np.float32) for _ in range(3))
        lengths = np.array([50, 23], np.int32)
        k[1, :, 23:] = 1e30  # padding must not be read
        write_safetensors(self.path("qkv.safetensors"), {"q": q, "k": k, "v": v, "lengths": lengths})
        out = self.apply("dense", self.path("qkv.safetensors"))
        for b, length in enumerate(lengths):
            for h in range(3):
                exact = attention(*(x[b, h, :length] for x in (q, k, v)))
                self.assertLess(relative_error(out[b, h, :length], exact), 1e-6)
                self.assertTrue((out[b, h, length:] == 0).all())

    def test_rank_two_and_cross_attention(self):
        rng = np.random.default_rng(3)
        q = rng.standard_normal((5, 4)).astype(np.float32)
        k, v = (rng.standard_normal((9, width)).astype(np.float32) for width in (4, 6))
        write_safetensors(self.path("qkv.safetensors"), {"q": q, "k": k, "v": v})
        out = self.apply("naive", self.path("qkv.safetensors"), "--scale", "0.3")
        self.assertEqual(out.shape, (5, 6))
        self.assertLess(relative_error(out, attention(q, k, v, scale=0.3)), 1e-6)

    def test_an_input_expression_instead_of_a_file(self):
        shape = ["--length", 9, "--queries", 5, "--batch", 2, "--heads", 3, "--dim", 8,
                 "--value-dim", 6]
        first = self.apply("dense", "gaussian", *shape)
        self.assertEqual(first.shape, (2, 3, 5, 6))
        again = self.apply("dense", "gaussian(std=1)", *shape, "--seed", 0)
        self.assertTrue(np.array_equal(first, again))
        other = self.apply("dense", "gaussian", *shape, "--seed", 1)
        self.assertFalse(np.isclose(first, other).all())

    def test_part_of_a_file(self):
        source = os.path.join(DATA, "ocr_n320.safetensors")
        _, (q, k, v) = next(heads_of(read_safetensors(source)))
        exact = attention(q[90:100], k[:100], v[:100])
        for text in (source, f"file(path={source},heads=0:2)"):
            out = self.apply("dense", text, "--length", 100, "--queries", 10)
            self.assertLess(relative_error(out[0, 0], exact), 1e-6)
        self.assertEqual(out.shape[1], 2)


if __name__ == "__main__":
    unittest.main()

"""Decoding token by token: states, errors of the decoded rows, refusals, resuming, repeating."""

import csv
import json
import shlex
import unittest

import numpy as np
from ground import Ground
from support import attention, relative_error, write_safetensors

BATCH, HEADS, KEY_HEADS, LENGTH, DIM, VALUE_DIM = 2, 4, 2, 96, 8, 6
RADIUS = 5


def tokens_of(length):
    return min(length, 64)


def linear(q, k, v):
    """Causal linear attention of features elu(x) + 1, in double: every query sums the keys up to it."""
    q, k = (np.where(x > 0, x + 1, np.exp(np.minimum(x, 0))) for x in (q, k))
    weights = np.tril(q @ k.T)
    return weights @ v / weights.sum(axis=1, keepdims=True)


class Decode(unittest.TestCase):
    def setUp(self):
        self.ground = Ground(self)
        self.addCleanup(self.ground.close)
        random = np.random.default_rng(3)
        self.q = random.normal(size=(BATCH, HEADS, LENGTH, DIM)).astype(np.float32)
        self.k = random.normal(size=(BATCH, KEY_HEADS, LENGTH, DIM)).astype(np.float32)
        self.v = random.normal(size=(BATCH, KEY_HEADS, LENGTH, VALUE_DIM)).astype(np.float32)
        write_safetensors(self.ground.path("grouped.safetensors"),
                          {"q": self.q, "k": self.k, "v": self.v})
        sharing = HEADS // KEY_HEADS
        write_safetensors(self.ground.path("separate.safetensors"),
                          {"q": self.q, "k": np.repeat(self.k, sharing, axis=1),
                           "v": np.repeat(self.v, sharing, axis=1)})

    def configure(self, *variants, length="20 96", **options):
        self.ground.configure(*variants, length=length, mode="decode", causal="true",
                              **{"input": "file(path=grouped.safetensors)"} | options)

    def decoded(self, *variants, **options):
        """Records of a run, by variant and length."""
        self.configure(*variants, **options)
        self.ground.run()
        return {(r["variant"], r["problem"]["keys"]): r for r in self.ground.records()}

    def exact_errors(self, method, length):
        """Relative error of the last rows against softmax attention, per sequence and head."""
        errors = []
        causal = np.tril(np.ones((length, length), dtype=bool))
        for b in range(BATCH):
            for h in range(HEADS):
                kv = h // (HEADS // KEY_HEADS)
                q, k, v = (x[:length].astype(np.float64)
                           for x in (self.q[b, h], self.k[b, kv], self.v[b, kv]))
                last = slice(length - tokens_of(length), length)
                errors.append(relative_error(method(q, k, v)[last],
                                             attention(q, k, v, causal)[last]))
        return errors

    def test_records_hold_what_the_definitions_say(self):
        local = f"local(radius={RADIUS})"
        records = self.decoded(local, "linear")

        def window(q, k, v):
            distance = np.subtract.outer(np.arange(len(q)), np.arange(len(k)))
            return attention(q, k, v, (distance >= 0) & (distance <= RADIUS))

        states = {"dense": lambda n: n * (DIM + VALUE_DIM),
                  local: lambda n: (RADIUS + 1) * (DIM + VALUE_DIM),
                  "linear": lambda n: DIM * VALUE_DIM + DIM}
        methods = {local: window, "linear": linear}
        self.assertEqual(set(records), {(v, n) for v in states for n in (20, 96)})
        for (variant, n), record in records.items():
            with self.subTest(variant=variant, n=n):
                self.ground.check_well(record)
                self.assertEqual((record["direction"], record["decoded_tokens"]),
                                 ("decode", tokens_of(n)))
                self.assertEqual(record["state_bytes"],
                                 BATCH * KEY_HEADS * states[variant](n) * 4)
                self.assertEqual(record["problem"]["queries"], n)
                self.assertEqual(record["reference_rows"], tokens_of(n))
                self.assertFalse(record["sampled"])
                self.assertEqual(list(record["error"]).count("dropped_mass"), 0)
                self.assertLessEqual(record["arithmetic_error"], record["arithmetic_tolerance"])
                self.assertGreaterEqual(record["arithmetic_error"], 0)
                for one in record["rounds"]:
                    self.assertGreater(one["time_ns"], 0)
                    self.assertEqual(one["iterations"] % tokens_of(n), 0)
                errors = record["error"]["relative_error"]
                if variant == "dense":
                    self.assertLess(max(errors), 1e-6)
                    pairs = sum(range(n - tokens_of(n) + 1, n + 1)) / tokens_of(n)
                    self.assertAlmostEqual(record["useful_exponentials"], BATCH * HEADS * pairs)
                    self.assertEqual(record["heap_allocations"], 0)
                else:
                    np.testing.assert_allclose(errors, self.exact_errors(methods[variant], n),
                                               rtol=1e-4)

    def test_grouped_queries_are_separate_heads_with_equal_keys(self):
        variants = ("local(radius=5)", "linear")
        shared = self.decoded(*variants)
        both = self.decoded(*variants, input="file(path=separate.safetensors)")
        self.assertEqual(len(self.ground.records()), 2 * len(shared))
        for point, record in shared.items():
            apart = both[point]
            self.assertEqual((record["key_heads"], apart["key_heads"]), (KEY_HEADS, HEADS))
            self.assertEqual(record["state_bytes"] * HEADS, apart["state_bytes"] * KEY_HEADS)
            np.testing.assert_allclose(record["error"]["relative_error"],
                                       apart["error"]["relative_error"], rtol=1e-4, atol=1e-6)

    def test_refusals_name_the_reason(self):
        records = self.decoded("mean", "fnet", "dense(keys=normalised_queries)",
                               "heads(dense,mean)", length="20")
        for variant, words in (("mean", "no stream"), ("fnet", "mixes all positions"),
                               ("dense(keys=normalised_queries)", "normalised_queries"),
                               ("heads(dense,mean)", "head 1 (mean)")):
            record = records[variant, 20]
            self.assertEqual(record["status"], "refused")
            self.assertIn(words, record["reason"])
            self.assertEqual(record["rounds"], [])

    def test_mistakes_of_a_user(self):
        for options, words in (({"causal": "false"}, ["mode = decode", "causal = true"]),
                               ({"causal": "false true"}, ["mode = decode", "causal = true"]),
                               ({"queries": 3}, ["mode = decode", "queries = 3"]),
                               ({"mode": "decoding"}, ["mode = decoding", "forward", "decode"])):
            self.ground.configure("linear", **{"mode": "decode", "causal": "true"} | options)
            self.ground.run(expected=2, says=words)
            self.assertEqual(self.ground.records(), [])

    def test_goes_on_where_it_was(self):
        self.configure("linear", "local(radius=5)")
        self.ground.run()
        before = self.ground.lines()
        self.assertEqual(len(before), 6)
        self.ground.write(self.ground.points, b"".join(line + b"\n" for line in before[:4]))
        self.ground.run()
        self.ground.check_kept(before[:4])
        again = self.ground.records()
        self.assertEqual({r["key"] for r in again}, {json.loads(line)["key"] for line in before})
        after = self.ground.lines()
        self.ground.run()
        self.assertEqual(self.ground.lines(), after)

    def test_commands_repeat_points(self):
        for record in self.decoded("linear", length="96", threads=2).values():
            words = shlex.split(record["command"])
            self.assertIn("--mode", words)
            repeated = self.ground.command(*words[1:])
            self.assertEqual(repeated.returncode, 0, repeated.stderr)
            again = json.loads(repeated.stdout)
            for field in ("key", "direction", "decoded_tokens", "state_bytes", "error",
                          "arithmetic_error", "threads"):
                self.assertEqual(again[field], record[field], field)

    def test_forward_passes_stand_apart(self):
        self.configure("linear", length="96")
        self.ground.run("--mode", "forward decode")
        records = self.ground.records()
        self.assertEqual(sorted(r["direction"] for r in records),
                         ["decode", "decode", "forward", "forward"])
        self.assertEqual(len({r["key"] for r in records}), 4)
        for record in records:
            self.assertEqual(record["state_bytes"] > 0, record["direction"] == "decode")
        report = json.loads(self.ground.command("report", "x", "--format", "json").stdout)
        self.assertEqual(sorted(t["direction"] for t in report["tables"]), ["decode", "forward"])
        text = self.ground.command("report", "x").stdout
        self.assertIn("time per", text)
        self.assertIn("causal, decode, 1 thread", text)
        raw = self.ground.command("report", "x", "--format", "csv").stdout.splitlines()
        times = {(row["direction"], row["figure"]) for row in csv.DictReader(raw)
                 if row["figure"].startswith("time")}
        self.assertEqual(times, {("forward", "time"), ("decode", "time_per_token")})


if __name__ == "__main__":
    unittest.main()

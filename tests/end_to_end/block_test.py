"""Blocks as a user measures them: figures, refusals, mistakes, memory, what stands apart."""

import json
import math
import shlex
import unittest

import numpy as np
from ground import Ground
from support import write_safetensors

PAGE = 4096
SLACK = 256 * 1024
BATCH, HEADS, LENGTH, DIM, FEED_FORWARD = 2, 2, 96, 8, 40
WIDTH = HEADS * DIM


class Block(unittest.TestCase):
    def setUp(self):
        self.ground = Ground(self)
        self.addCleanup(self.ground.close)

    def measured(self, *variants, **options):
        """Records of a run, by variant and rows of a chunk."""
        self.ground.configure(*variants, **{
            "length": str(LENGTH), "mode": "block", "batch": BATCH, "heads": HEADS, "dim": DIM,
            "feed-forward": FEED_FORWARD} | options)
        self.ground.run()
        return {(r["variant"], r["feed_forward_chunk"]): r for r in self.ground.records()}

    def test_records_hold_a_whole_block(self):
        records = self.measured("mean", "fnet", **{"feed-forward-chunk": "0 32"})
        self.assertEqual(len(records), 6)
        projections = {"dense": 4, "mean": 2, "fnet": 0}
        for (variant, chunk), record in records.items():
            with self.subTest(variant=variant, chunk=chunk):
                self.ground.check_well(record)
                self.assertEqual((record["direction"], record["feed_forward"]),
                                 ("block", FEED_FORWARD))
                weights = projections[variant] * WIDTH**2 + 2 * WIDTH * FEED_FORWARD
                self.assertEqual(record["parameter_bytes"],
                                 4 * (weights + 2 * WIDTH + FEED_FORWARD + WIDTH))
                self.assertGreaterEqual(record["useful_multiply_adds"], BATCH * LENGTH * weights)
                self.assertEqual(len(record["error"]["relative_error"]), BATCH)
                self.assertLessEqual(record["arithmetic_error"], record["arithmetic_tolerance"])
                self.assertGreaterEqual(record["arithmetic_error"], 0)
                whole = records[variant, 0]
                self.assertEqual(record["error"], whole["error"])
                self.assertEqual(record["scratch_bytes"], record["scratch_declared_bytes"])
                # 192 rows of the hidden layer, or 36: 32 in groups of six.
                self.assertEqual(whole["scratch_bytes"] - record["scratch_bytes"],
                                 4 * FEED_FORWARD * (192 - 36) if chunk else 0)
        for chunk in (0, 32):
            self.assertLess(max(records["dense", chunk]["error"]["relative_error"]), 1e-6)
        report = self.ground.command("report", "x").stdout
        self.assertIn("block, feed-forward 40, 1 thread", report)
        self.assertIn("block, feed-forward 40 in chunks of 32, 1 thread", report)

    def test_declared_memory_is_what_is_taken(self):
        records = self.measured("mean", "fnet", "linear", "local(radius=20)", "gmlp", length="600",
                                heads=4, dim=32, rounds=0, **{"feed-forward": "4x"})
        for record in records.values():
            with self.subTest(record["command"]):
                self.assertEqual(record["status"], "ok", record["reason"])
                self.assertEqual(record["feed_forward"], 4 * 128)
                self.assertEqual(record["scratch_bytes"], record["scratch_declared_bytes"])
                self.assertEqual(record["heap_allocations"], 0)
                self.assertEqual(record["layout_bytes"], 0)
                known = [record[f"{what}_bytes"] for what in (
                    "input", "output", "parameter", "random", "choice", "saved", "state",
                    "layout", "scratch_declared")]
                self.assertEqual(record["predicted_bytes"], sum(known))
                if record["resident_bytes"] == 0:
                    continue  # the system does not tell
                allocated = record["scratch_declared_bytes"] + record["output_bytes"]
                # Each of q, k, v, x, attention, hidden layer, output and three kinds of scratch.
                self.assertLessEqual(abs(record["resident_bytes"] - allocated), 12 * PAGE + SLACK)

    def test_forward_passes_stand_beside_blocks(self):
        self.measured("mean", mode="forward block")
        records = self.ground.records()
        self.assertEqual(sorted(r["direction"] for r in records), ["block"] * 2 + ["forward"] * 2)
        self.assertEqual(len({r["key"] for r in records}), 4)
        for record in records:
            self.assertEqual(record["feed_forward"] > 0, record["direction"] == "block")
        report = json.loads(self.ground.command("report", "x", "--format", "json").stdout)
        self.assertEqual(sorted((t["direction"], t["feed_forward"]) for t in report["tables"]),
                         [("block", FEED_FORWARD), ("forward", 0)])
        # The same sums, more of them: an error of attention is diluted by the residual.
        errors = {r["direction"]: r["error"]["relative_error"] for r in records
                  if r["variant"] == "mean"}
        self.assertLess(max(errors["block"]), min(errors["forward"]))

    def test_refusals_name_the_reason(self):
        fitted = "fitted(linformer(rank=4),seed=1)"
        self.measured("fnet", fitted, causal="false true")
        of_mask = {(r["variant"], r["problem"]["causal"]): r for r in self.ground.records()}
        self.assertEqual(of_mask["fnet", False]["status"], "ok")
        for point, words in ((("fnet", True), "mixes all positions"),
                             ((fitted, False), "attention in a block meets projections")):
            record = of_mask[point]
            self.assertEqual(record["status"], "refused")
            self.assertIn(words, record["reason"])
            self.assertEqual(record["rounds"], [])

    def test_mistakes_of_a_user(self):
        ones = np.ones((1, 2, 4, 2), dtype=np.float32)
        write_safetensors(self.ground.path("grouped.safetensors"),
                          {"q": ones, "k": ones[:, :1], "v": ones[:, :1]})
        for options, words in (
                ({"queries": 3}, ["mode = block", "queries = 3"]),
                ({"key-heads": 1}, ["mode = block", "key-heads = 1"]),
                ({"feed-forward": "wide"}, ["feed-forward", "wide"]),
                ({"feed-forward-chunk": "-1"}, ["feed-forward-chunk", "-1"]),
                ({"mode": "blocks"}, ["mode = blocks", "forward", "block"]),
                ({"input": "file(path=grouped.safetensors)", "length": "4"},
                 ["grouped.safetensors", "as many key heads as heads, not 1 and 2"])):
            self.ground.configure("mean", **{"mode": "block", "heads": 2} | options)
            self.ground.run(expected=2, says=words)
            self.assertEqual(self.ground.records(), [])

    def test_commands_repeat_points(self):
        records = self.measured("mean", threads=2, **{"feed-forward-chunk": 20})
        for record in records.values():
            words = shlex.split(record["command"])
            self.assertIn("--feed-forward-chunk", words)
            repeated = self.ground.command(*words[1:])
            self.assertEqual(repeated.returncode, 0, repeated.stderr)
            again = json.loads(repeated.stdout)
            for field in ("key", "direction", "feed_forward", "feed_forward_chunk", "error",
                          "arithmetic_error", "threads"):
                self.assertEqual(again[field], record[field], field)
            self.assertTrue(math.isfinite(again["error"]["relative_error"][0]))


if __name__ == "__main__":
    unittest.main()

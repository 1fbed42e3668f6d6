"""What docs/measuring.md says of the four memory figures holds for every built-in variant."""

import json
import unittest

from ground import Ground

PAGE = 4096
# Stacks, and what the system adds up for each processor before it counts it.
SLACK = 256 * 1024


class Memory(unittest.TestCase):
    def test_the_figures_agree(self):
        ground = Ground(self)
        self.addCleanup(ground.close)
        listed = json.loads(ground.command("list", "--format", "json").stdout)
        names = [variant["name"] for variant in listed if variant["origin"] == "built-in"]
        ground.configure(*names, length="300 1024", heads=2, dim=16, rounds=0, causal="false true")
        ground.run()
        records = [r for r in ground.records() if r["status"] != "refused"]
        self.assertGreaterEqual(len({r["variant"] for r in records}), len(names) - 1)
        for record in records:
            with self.subTest(record["command"]):
                self.assertEqual(record["status"], "ok", record["reason"])
                self.assertEqual(record["rounds"], [])
                self.assertEqual(record["scratch_bytes"], record["scratch_declared_bytes"])
                self.assertEqual(record["heap_allocations"], 0)
                self.assertEqual(record["heap_bytes"], 0)
                known = [record[f"{what}_bytes"] for what in (
                    "input", "output", "parameter", "random", "choice", "saved", "state",
                    "layout", "scratch_declared")]
                self.assertEqual(record["predicted_bytes"], sum(known))
                if record["resident_bytes"] == 0:
                    continue  # the system does not tell
                allocated = (record["scratch_declared_bytes"] + record["output_bytes"] +
                             record["layout_bytes"])
                # Scratch of two kinds, output, log-sum-exps, and what is put together: q k v x out.
                self.assertLessEqual(abs(record["resident_bytes"] - allocated), 9 * PAGE + SLACK)


if __name__ == "__main__":
    unittest.main()

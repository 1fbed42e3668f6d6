"""A variance that was planted in a variant is found in what is reported of it."""

import json
import math
import unittest

from ground import Ground, plugin

DRAWS = 1000
SPREAD = 0.1


class Planted(unittest.TestCase):
    def test_the_variance_of_a_method(self):
        ground = Ground(self)
        self.addCleanup(ground.close)
        ground.configure(f"noisy(spread={SPREAD})", plugin=plugin("planted"), length="8", heads=8,
                         dim=4, seed="0 1", draws=DRAWS, rounds=0)
        ground.run()
        report = json.loads(
            ground.command("report", ground.results, "--format", "json").stdout)
        (row,) = [row for table in report["tables"] for row in table["rows"]
                  if row["family"] == "noisy"]
        planted = SPREAD**2 * (1 - 2 / math.pi)
        found = row["spread"]["relative_error_deviation_method"]["value"]**2
        # 16 000 draws give the variance to about 1.3 %.
        self.assertAlmostEqual(found / planted, 1, delta=0.1)


if __name__ == "__main__":
    unittest.main()

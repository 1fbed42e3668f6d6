"""The command that a record holds repeats its point."""

import json
import shlex
import unittest

from ground import Ground


class Repeat(unittest.TestCase):
    def test_the_command_of_a_record_repeats_it(self):
        ground = Ground(self)
        self.addCleanup(ground.close)
        ground.configure("local(radius=4)", length="32", causal="true", seed=5)
        ground.run()
        records = ground.records()
        self.assertEqual(len(records), 2)
        for record in records:
            words = shlex.split(record["command"])
            self.assertEqual(words[0], "subquad")
            repeated = ground.command(*words[1:])
            self.assertEqual(repeated.returncode, 0, repeated.stderr)
            again = json.loads(repeated.stdout)
            for field in ("key", "resolved", "error", "arithmetic_error", "problem", "target"):
                self.assertEqual(again[field], record[field], field)


if __name__ == "__main__":
    unittest.main()

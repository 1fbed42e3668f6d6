"""Peers: found by name beside the program, loaded only when named, and missing ones say so."""

import json
import os
import re
import shutil
import tempfile
import unittest

import numpy as np

import support

FOLDER = os.path.join(os.path.dirname(support.BINARY), "peers")
SANITIZED = os.environ["SUBQUAD_SANITIZED"] == "1"
# oneDNN has products of bf16 from AVX-512 on.
NEED_AVX512 = ("peer_onednn_bf16", "peer_onednn_primitives")
with open("/proc/cpuinfo") as cpuinfo:
    AVX512 = " avx512bw" in cpuinfo.read()


def built_peers():
    """Those whose libraries were found; a sanitizer knows nothing of what foreign ones do."""
    names = sorted(name[:-3] for name in os.listdir(FOLDER) if name.endswith(".so"))
    return ["peer_eigen"] if SANITIZED else names


def measured(*arguments):
    process = support.run("measure", "--length", 64, "--rounds", 1, "--min-time", 1e-4, *arguments)
    return process, json.loads(process.stdout) if process.stdout else None


class BuiltPeers(unittest.TestCase):

    def test_eigen_is_always_there(self):
        self.assertIn("peer_eigen", built_peers())

    def test_each_is_exact_attention(self):
        rng = np.random.default_rng(3)
        tensors = {name: rng.standard_normal((1, 2, 150, 24)).astype(np.float32)
                   for name in ("q", "k", "v")}
        with tempfile.TemporaryDirectory() as folder:
            given, result = os.path.join(folder, "in.safetensors"), os.path.join(folder, "out.safetensors")
            support.write_safetensors(given, tensors)
            for name in built_peers():
                # Rounded to 8 bits are Q, K, V and the weights of those that say so.
                tolerance = 0.02 if "bf16" in name or "primitives" in name else 1e-5
                for causal in (False, True):
                    with self.subTest(peer=name, causal=causal):
                        process = support.run("apply", name, "--input", given, "--output", result,
                                              *(["--causal"] if causal else []))
                        if process.returncode == 2 and "refuses" in process.stderr:
                            continue
                        self.assertEqual(process.returncode, 0, process.stderr)
                        out = support.read_safetensors(result)["o"]
                        seen = np.tri(150, dtype=bool) if causal else None
                        for (b, h), (q, k, v) in support.heads_of(tensors):
                            exact = support.attention(q, k, v, seen)
                            self.assertLess(support.relative_error(out[b, h], exact), tolerance)

    def test_each_keeps_the_contract(self):
        for name in built_peers():
            with self.subTest(peer=name):
                process = support.run("check", name)
                if name in NEED_AVX512 and not AVX512:
                    # All that a check can find is that every problem is refused.
                    self.assertEqual(re.findall(r"BROKEN +(\w+)", process.stdout), ["refusals"])
                    continue
                self.assertEqual(process.returncode, 0, process.stdout)

    def test_a_record_names_the_peers_build(self):
        process, record = measured("--variant", "peer_eigen")
        self.assertEqual(process.returncode, 0, process.stderr)
        self.assertEqual(record["status"], "ok")
        program, _, library = record["build"].partition("+")
        self.assertTrue(program and library, record["build"])
        self.assertEqual(measured("--variant", "dense")[1]["build"], program)

    def test_list_shows_them_with_their_library(self):
        process = support.run("list", "--format", "json")
        self.assertEqual(process.returncode, 0, process.stderr)
        entry = next(one for one in json.loads(process.stdout) if one["name"] == "peer_eigen")
        self.assertRegex(entry["library"], r"^Eigen \d+\.\d+\.\d+$")
        self.assertEqual(os.path.basename(entry["origin"]), "peer_eigen.so")


class PeersFolder(unittest.TestCase):
    """A copy of the program with a folder of peers of our own."""

    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.program = os.path.join(self.folder, "subquad")
        shutil.copy(support.BINARY, self.program)
        peers = os.path.join(self.folder, "peers")
        os.mkdir(peers)
        shutil.copy(os.path.join(FOLDER, "peer_eigen.so"), peers)
        with open(os.path.join(peers, "peer_ghost.missing"), "w") as file:
            file.write("libghost-dev\n./subquad peers --all\n")
        with open(os.path.join(peers, "peer_broken.so"), "w") as file:
            file.write("no library")
        self.addCleanup(setattr, support, "BINARY", support.BINARY)
        support.BINARY = self.program

    def test_a_missing_peer_costs_its_own_points_only(self):
        config = os.path.join(self.folder, "trial.cfg")
        with open(config, "w") as file:
            file.write("variant = dense\nvariant = peer_ghost(block=3)\nvariant = peer_eigen\n"
                       "length = 64\nrounds = 1\nmin-time = 1e-4\nfigures = no\n")
        process = support.run("run", config, "--results", self.folder)
        self.assertEqual(process.returncode, 0, process.stderr)
        with open(os.path.join(self.folder, "trial", "points.jsonl")) as file:
            records = {record["family"]: record for record in map(json.loads, file)}
        self.assertEqual({name: record["status"] for name, record in records.items()},
                         {"dense": "ok", "peer_ghost": "refused", "peer_eigen": "ok"})
        for word in ("peer_ghost", "libghost-dev", "./subquad peers --all"):
            self.assertIn(word, records["peer_ghost"]["reason"])

    def test_a_file_has_the_name_of_its_variant(self):
        shutil.copy(os.path.join(FOLDER, "peer_eigen.so"),
                    os.path.join(self.folder, "peers", "peer_other.so"))
        process, _ = measured("--variant", "peer_other")
        self.assertEqual(process.returncode, 2)
        self.assertIn("peer_other.so': registers no variant of its own name", process.stderr)

    def test_other_commands_say_what_is_missing(self):
        for arguments in (["describe", "peer_ghost"], ["check", "peer_ghost"]):
            process = support.run(*arguments)
            self.assertEqual(process.returncode, 2)
            self.assertIn("libghost-dev", process.stderr)

    def test_a_peer_is_loaded_only_when_it_is_named(self):
        self.assertEqual(measured("--variant", "dense")[1]["status"], "ok")
        self.assertEqual(measured("--variant", "peer_eigen")[1]["status"], "ok")
        process, _ = measured("--variant", "peer_broken")
        self.assertEqual(process.returncode, 2)
        self.assertIn("peer_broken.so", process.stderr)

    def test_names_of_peers_are_suggested(self):
        process = support.run("describe", "peer_ghots")
        self.assertEqual(process.returncode, 2)
        self.assertIn("did you mean 'peer_ghost'?", process.stderr)


if __name__ == "__main__":
    unittest.main()

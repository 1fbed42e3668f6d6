"""Runs the built program as a user would, and reads what it writes without its code."""

import json
import os
import struct
import subprocess

import numpy as np

BINARY = os.environ["SUBQUAD_BINARY"]
SOURCE = os.environ["SUBQUAD_SOURCE"]
DATA = os.path.join(SOURCE, "experiments", "data")

_DTYPES = {"F16": np.float16, "F32": np.float32, "F64": np.float64, "I32": np.int32}


def run(*arguments, cwd=None, timeout=300, env=None):
    """The finished process: returncode, stdout, stderr. `env` comes on top of the environment."""
    return subprocess.run([BINARY, *map(str, arguments)], cwd=cwd, timeout=timeout,
                          capture_output=True, text=True, env=os.environ | (env or {}))


def read_safetensors(path):
    with open(path, "rb") as file:
        content = file.read()
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8:8 + size])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        raw = content[8 + size + begin:8 + size + end]
        tensors[name] = np.frombuffer(raw, _DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensors


def write_safetensors(path, tensors, metadata=None):
    header, data = {}, b""
    if metadata:
        header["__metadata__"] = metadata
    for name, array in tensors.items():
        raw = np.ascontiguousarray(array).tobytes()
        dtype = next(key for key, value in _DTYPES.items() if array.dtype == value)
        header[name] = {"dtype": dtype, "shape": list(array.shape),
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def attention(q, k, v, seen=None, scale=None):
    """softmax(scale Q K^T) V of one head in double; `seen` masks pairs."""
    q, k, v = (x.astype(np.float64) for x in (q, k, v))
    scores = q @ k.T * (1 / np.sqrt(q.shape[1]) if scale is None else scale)
    if seen is not None:
        scores[~seen] = -np.inf
    scores -= scores.max(axis=1, keepdims=True)
    weights = np.exp(scores)
    return weights @ v / weights.sum(axis=1, keepdims=True)


def relative_error(approximation, exact):
    """Relative Frobenius error."""
    return np.linalg.norm(approximation - exact) / np.linalg.norm(exact)


def heads_of(tensors):
    """(q, k, v) of every sequence and head of [batch, heads, n, dim] tensors."""
    q, k, v = tensors["q"], tensors["k"], tensors["v"]
    for b in range(q.shape[0]):
        for h in range(q.shape[1]):
            yield (b, h), (q[b, h], k[b, h], v[b, h])

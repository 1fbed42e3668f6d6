"""Writes performer_lemma2.safetensors: input on which the error of attention is that of one kernel value.

A query x meets one key y, whose value is 1, and 255 times a key z whose value is 0 and whose kernel
with x has an estimate without variance: z = -x for positive and hyperbolic features, since w . (x + z)
is then 0, and z = x for sines and cosines, since w . (x - z) is. So the denominator is known but for
its 256th part, and the relative error of the output is that of the estimate of exp(x . y), times
A / (A + exp(x . y)), where A = 255 exp(x . z).
"""
import json
import pathlib
import struct

KEYS = 256
PAIRS = [((0.3, -0.2, 0.4, 0.1), (0.1, 0.3, 0.2, -0.35)),  # |x + y|^2 = 0.5925
         ((0.2, 0.1, -0.3, 0.1), (0.1, 0.2, 0.1, -0.3))]   # 0.26


def tensors():
    """Heads: first pair with z = -x, with z = x; then the second pair."""
    q, k, v = [], [], []
    for x, y in PAIRS:
        for sign in (-1, 1):
            q += x
            k += y
            k += [sign * element for element in x] * (KEYS - 1)
            v += [1] + [0] * (KEYS - 1)
    heads = 2 * len(PAIRS)
    return {"q": ([heads, 1, 4], q), "k": ([heads, KEYS, 4], k), "v": ([heads, KEYS, 1], v)}


def contents():
    header, data = {"__metadata__": {"source": "performer_lemma2.py"}}, b""
    for name, (shape, values) in tensors().items():
        begin = len(data)
        data += struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, len(data)]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


if __name__ == "__main__":
    pathlib.Path(__file__).with_suffix(".safetensors").write_bytes(contents())

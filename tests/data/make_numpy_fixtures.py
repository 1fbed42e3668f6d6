#!/usr/bin/env python3
"""Writes the .npy and .npz fixtures of tests/tensor_file_test.cpp. Run in this folder."""

import numpy as np
from numpy.lib import format as npy


def counting(dtype):
    """[2, 3, 4] with the element at linear index i equal to i - 5 (i for unsigned)."""
    first = 0 if dtype == "|u1" else -5
    return (np.arange(24).reshape(2, 3, 4) + first).astype(dtype)


def write(name, array, version):
    with open(name, "wb") as file:
        npy.write_array(file, array, version=version)


for dtype in ["<f2", "<f4", "<f8", "<i4", "<i8", "|u1"]:
    write(f"numpy_{dtype[1:]}.npy", counting(dtype), (1, 0))
write("numpy_fortran.npy", np.asfortranarray(counting("<f4")), (1, 0))
write("numpy_version2.npy", counting("<f4"), (2, 0))
write("numpy_version3.npy", counting("<f4"), (3, 0))
write("numpy_big_endian.npy", counting(">f4"), (1, 0))
write("numpy_scalar.npy", np.float32(2.5), (1, 0))

q = np.zeros((2, 64, 4), "<f4")  # compresses to a fraction of its size
np.savez("numpy_stored.npz", q=q, k=counting("<f2"))
np.savez_compressed("numpy_deflated.npz", q=q, k=counting("<f2"))

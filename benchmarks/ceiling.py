"""The C++ ceiling, built for one shape when it is first asked for, and called from Python."""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

SOURCE = Path(__file__).with_name("ceiling.cpp")
FLAGS = ("-std=c++17", "-O3", "-march=native", "-ffast-math", "-shared", "-fPIC")


def widest_vector() -> int:
    """Bytes of the processor's widest vectors, as far as they are used here."""
    try:
        return 64 if " avx512f " in Path("/proc/cpuinfo").read_text() else 32
    except OSError:
        return 32


def absent() -> str | None:
    """Why there is no ceiling on this machine, if there is none."""
    return None if shutil.which("g++") else "there is no g++"


@functools.cache
def build(N: int, D: int, dtype: str, vector_bytes: int) -> ctypes.CDLL:
    """The program for networks of this shape. It takes g++ some two seconds."""
    real = {"float64": "double", "float32": "float"}[dtype]
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "ceiling.so"
        macros = (f"-DREAL={real}", f"-DN={N}", f"-DD={D}", f"-DBYTES={vector_bytes}")
        subprocess.run(["g++", *FLAGS, *macros, str(SOURCE), "-o", str(library)], check=True)
        return ctypes.CDLL(str(library))  # once loaded, it needs its file no more


def largest_exponents(
    weights: np.ndarray,
    gains: np.ndarray,
    s: np.ndarray,
    *,
    transient: int,
    steps: int,
    threads: int,
    vector_bytes: int,
) -> np.ndarray:
    """lambda_1 of B draws at S values of s each, (B, S); contiguous arrays of one dtype."""
    B, N, D = weights.shape
    program = build(N, D, weights.dtype.name, vector_bytes)
    group, S = program.group(), s.shape[1]
    padded = np.pad(s, ((0, 0), (0, -S % group)), mode="edge")
    out = np.empty(padded.shape)

    def compute(rows: np.ndarray) -> None:
        first, last = rows[0], rows[-1] + 1
        arrays = (weights[first:last], gains[first:last], padded[first:last])
        program.exponents(
            *(_address(array) for array in arrays),
            *(ctypes.c_long(number) for number in (len(rows), padded.shape[1], transient, steps)),
            _address(out[first:last]),
        )

    shares = [rows for rows in np.array_split(np.arange(B), threads) if len(rows)]
    if len(shares) == 1:
        compute(shares[0])
    else:
        with ThreadPoolExecutor(len(shares)) as pool:  # ctypes lets go of the interpreter
            list(pool.map(compute, shares))
    return out[:, :S]


def _address(array: np.ndarray) -> Any:
    return ctypes.c_void_p(array.ctypes.data)

"""How are images read from a file? HDF5 or .npz, with images and classes to train on and to hold out.

Whatever is wrong with a file is one line, a `ConfigError` of `system.data`.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from attractor_jax.config import ConfigError, a_list

DATA_KEY = "system.data"

DATASETS = ("train/data", "train/target", "test/data", "test/target")
_HDF5, _NPZ = (".h5", ".hdf5"), (".npz",)

# Images, (n, pixels), and the class of each, (n,).
Labelled = tuple[np.ndarray, np.ndarray]


@cache
def read_images(data: str) -> tuple[str, tuple[Labelled, Labelled]]:
    """The fingerprint of a file, and what it says to train on and to hold out.

    Both come from one reading: a file that is changed meanwhile cannot lend its name to other images.
    """
    path = Path(os.path.expanduser(data))
    if "/" in data or path.suffix:
        # Not Path's own questions, which raise where the answer is no.
        if not os.path.exists(path):
            raise ConfigError(DATA_KEY, "must be the path of a file that is there", data)
        if os.path.isdir(path):
            raise ConfigError(DATA_KEY, "must be a file, not a folder", data)
    if path.suffix.lower() not in _HDF5 + _NPZ or not os.path.isfile(path):
        raise ConfigError(DATA_KEY, "must be digits, bars, bump or the path of an .h5 or .npz file", data)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(DATA_KEY, f"must be a file that can be read ({_said(error)})", data) from None
    arrays = (_read_npz if path.suffix.lower() in _NPZ else _read_hdf5)(data, content)
    train, test = (_labelled(data, half, arrays) for half in ("train", "test"))
    if train[0].shape[1] != test[0].shape[1]:
        sizes = " and ".join(str(images.shape[1]) for images, _ in (train, test))
        raise ConfigError(DATA_KEY, f"must have images of one size in train and test (they have {sizes} pixels)", data)
    return hashlib.sha256(content).hexdigest()[:8], (train, test)


def _read_hdf5(data: str, content: bytes) -> dict[str, np.ndarray]:
    try:
        import h5py
    except ImportError:
        raise ConfigError(DATA_KEY, "needs h5py for HDF5 files: pip install 'attractor_jax[data]'") from None
    with _readable(data, "an HDF5"), h5py.File(io.BytesIO(content), "r") as file:
        return _complete(data, {name: np.asarray(file[name]) for name in DATASETS if _is_dataset(file, name)})


def _is_dataset(file: Any, name: str) -> bool:
    """Groups have no shape."""
    return name in file and hasattr(file[name], "shape")


def _read_npz(data: str, content: bytes) -> dict[str, np.ndarray]:
    # NumPy would also read a lone array, and offer to unpickle anything else.
    with _readable(data, "an .npz"):
        if not zipfile.is_zipfile(io.BytesIO(content)):
            raise ValueError("it is none")
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return _complete(data, {name: file[name] for name in DATASETS if name in file})


@contextmanager
def _readable(data: str, kind: str) -> Iterator[None]:
    """Whatever the reader of a file stumbles over is one line."""
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(DATA_KEY, f"must be {kind} file that can be read ({_said(error)})", data) from None


def _said(error: Exception) -> str:
    return " ".join(str(error.strerror if isinstance(error, OSError) and error.strerror else error).split())


def _complete(data: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    missing = [name for name in DATASETS if name not in arrays]
    if missing:
        must = f"must hold {a_list(DATASETS, 'and')} (missing: {a_list(missing, 'and')})"
        raise ConfigError(DATA_KEY, must, data)
    return arrays


def _labelled(data: str, half: str, arrays: dict[str, np.ndarray]) -> Labelled:
    """The images of one half of a file, flat, and their classes, checked."""
    name = f"{half}/data"
    images, classes = arrays[name], arrays[f"{half}/target"]
    if images.dtype.kind not in "fiub":
        raise ConfigError(DATA_KEY, f"must have numbers in {name} (it has {images.dtype})", data)
    square = images.ndim == 3 and images.shape[1] == images.shape[2] > 0
    if not square and not (images.ndim == 2 and 0 < images.shape[1] == math.isqrt(images.shape[1]) ** 2):
        must = f"must have square images in {name}, n x pixels or n x side x side (its shape is {images.shape})"
        raise ConfigError(DATA_KEY, must, data)
    if np.isnan(images).any():
        raise ConfigError(DATA_KEY, f"must have no NaN in {name}", data)
    if images.size and not (images.min() >= 0 and images.max() <= 1):
        span = f"{images.min():g} to {images.max():g}"
        raise ConfigError(DATA_KEY, f"must have pixels from 0 to 1 in {name} (they go from {span})", data)
    if classes.ndim != 1 or not _are_whole(classes):
        must = f"must have one integer an image in {half}/target (it has {classes.dtype} of shape {classes.shape})"
        raise ConfigError(DATA_KEY, must, data)
    if len(classes) != len(images):
        must = f"must have as many targets as images in {half} (it has {len(classes)} and {len(images)})"
        raise ConfigError(DATA_KEY, must, data)
    return images.reshape(len(images), math.prod(images.shape[1:])), classes.astype(np.int64)


def _are_whole(numbers: np.ndarray) -> bool:
    """Integers, in whatever type: NaN, infinity and what is too large become others on the way."""
    with np.errstate(invalid="ignore"):
        return numbers.dtype.kind in "iuf" and bool((numbers.astype(np.int64) == numbers).all())

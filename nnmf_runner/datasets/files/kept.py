"""Datasets that took long to derive, kept in a folder: files of plain arrays, written whole and checked when read."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nnmf_runner.datasets.base import Dataset
from nnmf_runner.store.files import read_arrays, whole_file

log = logging.getLogger(__name__)

MOST = 20  # files in a folder, the newest ones
DIGEST = "digest"
PLAIN = ("feature_names", "class_names", "sample_names", "weights")


def keep(path: Path, dataset: Dataset) -> None:
    """Write a sparse dataset with its labels and names; one that cannot be written is named in the log."""
    X = dataset.X
    arrays: dict[str, Any] = {"data": X.data, "indices": X.indices, "indptr": X.indptr, "shape": np.array(X.shape)}
    arrays |= {"labels": np.array(dataset.labels).reshape(len(dataset.labels), X.shape[1])}
    names = json.dumps({name: getattr(dataset, name) for name in PLAIN})
    arrays["names"] = np.frombuffer(names.encode(), np.uint8)
    arrays[DIGEST] = _digest(arrays)
    try:
        with whole_file(path) as scratch, scratch.open("wb") as file:
            np.savez(file, **arrays)
        for old in sorted(path.parent.glob("*.npz"), key=lambda each: each.stat().st_mtime_ns)[:-MOST]:
            old.unlink(missing_ok=True)
    except OSError as error:
        log.warning("%s cannot be kept: %s.", path, error.strerror or error)


def recall(path: Path, name: str) -> Dataset | None:
    """The dataset that was kept, under a name; None if there is none.  A damaged file is named in the log."""
    if not path.exists():
        return None
    try:
        arrays = read_arrays(path)
        if not np.array_equal(arrays.pop(DIGEST, np.empty(0)), _digest(arrays)):
            raise ValueError("its contents are not those of its digest")
    except ValueError as error:
        log.warning("%s is damaged (%s) and is made again.", path, error)
        return None
    parts = (arrays["data"], arrays["indices"], arrays["indptr"])
    X = sparse.csr_array(parts, shape=tuple(arrays["shape"].tolist()))
    return Dataset(name, X, list(arrays["labels"]), **json.loads(arrays["names"].tobytes()))


def _digest(arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.uint8]:
    """Hash of names, types, shapes and values."""
    found = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        found.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return np.frombuffer(found.digest(), np.uint8)

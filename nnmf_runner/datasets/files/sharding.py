"""Any dataset into a folder of shards: what a file can give a piece at a time is never in the memory as a whole."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse
from tqdm import tqdm

from nnmf_runner.core.checks import InputError, check_number
from nnmf_runner.core.streams import stream
from nnmf_runner.datasets.base import Dataset, Source
from nnmf_runner.datasets.files.contents import ContentError, Contents
from nnmf_runner.datasets.files.file import File
from nnmf_runner.datasets.files.reading import existing
from nnmf_runner.datasets.files.shards import Sharded, Shards, present, write_shards
from nnmf_runner.datasets.files.slabs import read_slabs, slabs
from nnmf_runner.store.files import user_path

log = logging.getLogger(__name__)

# Bytes of a shard where nothing is said of their number.
USUAL = 2**28
STREAMED = (".npy", ".parquet")


@dataclass
class Streamed(File):
    """A file or a folder whose entries stay there until they are cut; they are checked as they are written."""

    def _contents(self) -> Contents:
        return read_slabs(self._file(), self._layout, self._references)

    def _check(self, X: Any) -> None:
        pass

    def _log_zeros(self, dataset: Dataset) -> None:
        pass

    def _dense(self, values: Any) -> Any:
        return values

    def _file(self) -> Path:
        return existing(self.path, "a file or a folder")


def shard(
    source: Source, folder: Path, seed: int = 0, sizes: Mapping[str, int] | None = None, dtype: str | None = None
) -> Shards:
    """Cut the data of a source into shards and write them, see `ends_of` and `write_shards`."""
    present(folder)  # which refuses another one before anything is read
    dataset = _opened(source, seed)
    if dataset.modes is not None:
        raise InputError(f"dataset={source.name} gives a tensor. Expected a matrix, of which shards are columns.")
    X = dataset.X.tocsc() if sparse.issparse(dataset.X) else dataset.X
    if dataset.truth is not None:
        log.info("dataset=%s: the planted factors are not kept in shards.", source.name)
    ends = ends_of(X, **sizes or {})
    cut = (X[:, start:stop] for start, stop in tqdm([*pairwise(ends)], "shards", leave=False, disable=None))
    try:
        return write_shards(
            folder,
            X.shape,
            cut,
            labels=dataset.labels,
            names=dataset.feature_names,
            class_names=dataset.class_names,
            sample_names=dataset.sample_names,
            known=dataset.known,
            pictures=dataset.pictures,
            weights=dataset.weights,
            dtype=dtype,
        )
    except ContentError as error:  # of what is read as it is cut
        raise InputError(f"dataset.path={getattr(source, 'path', '')}: {error}.") from None


def ends_of(X: Any, shards: int | None = None, columns: int | None = None) -> list[int]:
    """Where so many shards of X, shape (m, n), or shards of so many columns, begin and end.

    By default a shard takes a quarter of a gigabyte.  An `InputError` is raised if they cannot be so many or so long.
    """
    n = X.shape[1]
    if shards is not None and columns is not None:
        raise InputError(f"shards={shards} and columns={columns} are both given. Expected one of them.")
    if columns is not None:
        check_number(columns, "columns", low=1, high=n, integer=True)
        return [*range(0, n, columns), n]
    if shards is None:
        size = 12 * X.nnz if sparse.issparse(X) else 8 * X.shape[0] * n
        shards = min(n, 1 + size // USUAL)
    check_number(shards, "shards", low=1, high=n, integer=True)
    return np.linspace(0, n, shards + 1).astype(int).tolist()


def _opened(source: Source, seed: int) -> Dataset:
    """The data of a source, which stay in its files where they can be read from there a piece at a time."""
    if isinstance(source, Sharded):
        return _resharded(Shards.open(source.path))
    if type(source) is File:
        source = _streamed(source)
    return source.load(stream(seed, "data"))


def _streamed(source: File) -> File:
    """A file whose data stay there, if it and its options allow that."""
    path = user_path(source.path, "dataset.path")
    for name in ("weighting", "stop_words"):
        if getattr(source, name) is not None:
            if path.is_dir():
                raise InputError(f"dataset.{name} needs all of the data at once. Expected a file, not a folder.")
            return source
    return Streamed(**asdict(source)) if path.is_dir() or path.suffix.lower() in STREAMED else source


def _resharded(shards: Shards) -> Dataset:
    dtype, (m, _) = np.dtype(shards.dtype), shards.shape
    dense = shards.format == "dense"
    X = slabs(lambda _, i: shards.part(i), ((0, m), shards.ends), dtype) if dense else shards.whole()
    return shards.dataset(Sharded.name, X)

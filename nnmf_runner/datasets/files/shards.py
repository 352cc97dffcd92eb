"""Data in shards of their columns: a folder of plain arrays, which are mapped, written whole or not at all.

``shards.json`` says the shape, the ends of the shards, the names, and size and hash of every file.  A dense shard is
``00000.npy`` of shape (samples, features); a sparse one is the same matrix in CSR form in three files, and its zeros
take no room.  What there is for every sample, its labels first, stands in files beside it.

Nothing is trusted that is read: every file is compared with its hash, and its entries are checked besides.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nnmf_runner.core.checks import MOST, InputError, check_scaled
from nnmf_runner.core.sharded import ShardedMatrix
from nnmf_runner.datasets.base import Dataset, Labels, file_state
from nnmf_runner.datasets.files import readers
from nnmf_runner.datasets.files.bounds import MEMORY, in_units
from nnmf_runner.datasets.files.cells import printable
from nnmf_runner.datasets.files.contents import ContentError
from nnmf_runner.datasets.files.npy import map_npy, read_npy
from nnmf_runner.datasets.files.reading import absolute, existing
from nnmf_runner.datasets.files.shard_files import (
    CSR,
    DENSE,
    MATRIX,
    checked,
    dense_part,
    file_digest,
    save,
    sparse_part,
    write_part,
)
from nnmf_runner.datasets.modes import LARGEST_SIDE
from nnmf_runner.datasets.pictures import FEATURES, ORDERS, SAMPLES, Pictures
from nnmf_runner.store.files import read_json, whole_folder
from nnmf_runner.store.record import are_weights

META = "shards.json"
# What may stand beside a shard.
LABELS, KNOWN, NAMED = ".labels", ".known", ".samples"
TYPES = ("float64", "float32")
EXPECTED = "a folder that nnmf-shards has written"


@dataclass(frozen=True)
class Shards:
    """Data in a folder, of which a part at a time is read.

    Attributes
    ----------
    folder : Path
    shape : tuple of int
        Features and samples, (m, n).
    format : {"dense", "csr"}
    dtype : str
        "float64" or "float32".
    ends : tuple of int
        Shard i holds the columns from ``ends[i]`` to ``ends[i + 1]``, without the last.
    norm2 : float
        Squared Frobenius norm.
    names : list of str or None
        Of the features.
    class_names : list of list of str
        See `Dataset`.
    pictures : Pictures or None
    weights : dict or None
        See `Dataset`.
    files : dict
        Size and hash of every file by its name.
    digest : str
        Hash of all this, which is that of the data.
    """

    folder: Path
    shape: tuple[int, int]
    format: str
    dtype: str
    ends: tuple[int, ...]
    norm2: float
    names: list[str] | None
    class_names: list[list[str]]
    pictures: Pictures | None
    weights: dict[str, Any] | None
    files: dict[str, tuple[int, str]]
    digest: str

    @classmethod
    def open(cls, folder: str | Path) -> Shards:
        """Read what a folder says of its shards, all of which are there in full length; their entries are not read.

        Raises
        ------
        InputError
            If it is no such folder, or it is damaged.
        """
        path = existing(str(folder), EXPECTED)
        with _told(path):
            found = _read_meta(path, file_state(str(path / META)))
            for name, (size, _) in found.files.items():
                state = file_state(str(path / name))
                if state is None:
                    raise ContentError(f"{name} is missing")
                if state[0] != size:
                    raise ContentError(f"{name} has {state[0]} bytes, expected {size}")
        return found

    def __str__(self) -> str:
        (m, n), kind = self.shape, "sparse" if self.format == CSR else "dense"
        count = "one shard" if self.n == 1 else f"{self.n} shards"
        return f"{m} features of {n} samples, {kind} in {self.dtype}, in {count} of {in_units(self.size)} in all"

    @property
    def n(self) -> int:
        """Number of shards."""
        return len(self.ends) - 1

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(size for size, _ in self.files.values())

    def part(self, i: int) -> Any:
        """The columns of shard i, mapped from its files: an array, or a `csc_array`, of shape (m, columns).

        All of it is read once for checks, and stays in its files.
        """
        (m, _), columns = self.shape, self._columns(i)
        with _told(self.folder):
            stems = [f"{_stem(i)}{kind}" for kind in MATRIX[self.format]]
            arrays = [self._array(stem, map_npy) for stem in stems]
            if arrays[0].dtype != self.dtype:
                raise ContentError(f"{stems[0]}.npy is of type {arrays[0].dtype}, expected {self.dtype}")
            found = dense_part(arrays[0], m, columns) if self.format == DENSE else sparse_part(arrays, m, columns)
            for _ in checked(found, self.ends[i]):
                pass
        return found

    def labels(self, i: int) -> Labels:
        """Classes of the samples of shard i, -1 where one has none, shape (levels, columns)."""
        found = self._beside(i, LABELS)
        if found is None:
            return np.empty((0, self._columns(i)), np.intp)
        with _told(self.folder):
            many = [len(names) for names in self.class_names] or [MOST] * len(found)
            if found.dtype.kind != "i" or found.shape != (len(many), self._columns(i)):
                raise ContentError(f"{_stem(i)}{LABELS}.npy is not of one integer for every level and sample")
            if any(row.min() < -1 or row.max() >= count for row, count in zip(found, many, strict=True)):
                raise ContentError(f"{_stem(i)}{LABELS}.npy has a label of no class")
        return found.astype(np.intp)

    def known(self, i: int) -> NDArray[np.bool_] | None:
        """Whether a method may see the labels of the samples of shard i, where the data say so themselves."""
        return self._vector(i, KNOWN, "b")

    def sample_names(self, i: int) -> list[str] | None:
        """Names of the samples of shard i, if they have some."""
        found = self._vector(i, NAMED, "U")
        return None if found is None else [*map(printable, found.tolist())]

    def dataset(self, name: str, X: Any, of: Sequence[int] | None = None) -> Dataset:
        """All that is known of the data, or `of` these shards, with `X` in the place of their entries."""
        of = range(self.n) if of is None else of
        with _told(self.folder):  # which do not fit each other where somebody has made them so
            labels = np.concatenate([self.labels(i) for i in of], axis=1)
            known = _joined([self.known(i) for i in of])
            samples = _joined([self.sample_names(i) for i in of])
        return Dataset(
            name,
            X,
            [*labels],
            class_names=self.class_names,
            feature_names=self.names,
            sample_names=None if samples is None else samples.tolist(),
            known=known,
            pictures=self.pictures,
            weights=self.weights,
        )

    def whole(self) -> Any:
        """The matrix of all shards: a large dense one alone stays in its file, sparse ones are put together by rows."""
        if self.format == CSR:
            return sparse.vstack([self.part(i).T for i in range(self.n)], format="csr").T.tocsr()
        if self.n == 1 and self.size >= readers.MAPPED:
            return self.part(0)
        X = np.empty(self.shape, self.dtype)
        for i, (start, stop) in enumerate(pairwise(self.ends)):
            X[:, start:stop] = self.part(i)
        return X

    def _columns(self, i: int) -> int:
        return self.ends[i + 1] - self.ends[i]

    def _vector(self, i: int, kind: str, letter: str) -> Any:
        found = self._beside(i, kind)
        if found is not None and (found.dtype.kind != letter or found.shape != (self._columns(i),)):
            with _told(self.folder):
                raise ContentError(f"{_stem(i)}{kind}.npy has not one entry of its kind for every sample")
        return found

    def _beside(self, i: int, kind: str) -> Any:
        """What stands beside shard i, None if nothing does."""
        if f"{_stem(i)}{kind}.npy" not in self.files:
            return None
        with _told(self.folder):
            return self._array(f"{_stem(i)}{kind}", read_npy)

    def _array(self, stem: str, read: Any) -> NDArray[Any]:
        """The array of a file whose content is that of its hash."""
        name = f"{stem}.npy"
        if name not in self.files:
            raise ContentError(f"{META} does not tell of {name}")
        if file_digest(self.folder / name) != self.files[name][1]:
            raise ContentError(f"{name} is damaged: its content is not that of its hash in {META}")
        return read(self.folder / name)


@dataclass(frozen=True)
class Folder:
    """A folder of shards as a `Source` that can be sent to another process; see there and `Shards`."""

    folder: str
    shape: tuple[int, int]
    ends: tuple[int, ...]
    norm2: float
    is_sparse: bool
    key: str

    @classmethod
    def of(cls, shards: Shards) -> Folder:
        """The folder of opened shards."""
        folder = str(shards.folder.absolute())
        return cls(folder, shards.shape, shards.ends, shards.norm2, shards.format == CSR, shards.digest)

    def part(self, i: int) -> Any:
        """Shard i, shape (m, columns), mapped from its files."""
        return Shards.open(self.folder).part(i)


@dataclass
class Sharded:
    """A folder of shards that `nnmf-shards` has written: data that may be larger than the memory.

    Parameters
    ----------
    path : str
        The folder; a relative one starts at the working directory.  It must not change during a run.
    seed_words : str, optional
        A YAML file of topics with some of the features' names, from which topics of the first layer start, see `File`.
    """

    name: ClassVar[str] = "shards"
    draws: ClassVar[bool] = False
    path: str = ""
    seed_words: str | None = None

    @property
    def title(self) -> str:
        """What tables call the data: the name of their folder."""
        return Path(self.path).name

    def load(self, rng: np.random.Generator) -> Dataset:
        """Put the shards together, see `Source.load`."""
        shards = Shards.open(self.path)
        said = f"its {in_units(shards.size)} do not fit into memory. Expected engine=dask, which leaves them in shards"
        too_large = InputError(f"dataset.path={self.path}: {said}.")
        if shards.size > MEMORY and (shards.n > 1 or shards.format == CSR):
            raise too_large
        try:
            return shards.dataset(self.name, shards.whole())
        except MemoryError:
            raise too_large from None

    def in_place(self) -> Dataset:
        """The same without the entries, which whoever holds a shard reads for itself."""
        shards = Shards.open(self.path)
        return shards.dataset(self.name, ShardedMatrix(Folder.of(shards)))

    def parts(self) -> Iterator[Dataset]:
        """The samples of one shard after the other, of which no two need be in the memory."""
        shards = Shards.open(self.path)
        for i in range(shards.n):
            yield shards.dataset(self.name, shards.part(i), [i])

    def portable(self) -> dict[str, Any]:
        """Options that load the same data from any working directory."""
        return asdict(self) | {"path": absolute(self.path)}

    def identity(self) -> dict[str, Any]:
        """The hash of the data: it matters what they hold, not where they are."""
        return {"path": Shards.open(self.path).digest}


def write_shards(
    folder: str | Path,
    shape: tuple[int, int],
    cut: Iterable[Any],
    *,
    labels: Sequence[Labels] = (),
    names: Sequence[str] | None = None,
    class_names: Sequence[Sequence[str]] = (),
    sample_names: Sequence[str] | None = None,
    known: NDArray[np.bool_] | None = None,
    pictures: Pictures | None = None,
    weights: dict[str, Any] | None = None,
    dtype: str | None = None,
) -> Shards:
    """Write data shard by shard, of which no more than one is in the memory, and of a mapped one a block.

    Parameters
    ----------
    folder : str or Path
        It appears when all is written.  One that is there already has to hold the same.
    shape : tuple of int
        Features and samples, (m, n).
    cut : iterable of matrix, shape (m, columns)
        All shards in order, arrays or sparse matrices, or anything of a `shape` and `dtype` from which ``[:, a:b]``
        takes an array.
    labels, names, class_names, sample_names, known, pictures, weights
        As `Dataset` has them, of all samples.
    dtype : {"float64", "float32"}, optional
        By default entries of single precision stay so, and all others become doubles.

    Raises
    ------
    InputError
        If an entry is negative or not finite, the shards are not of this shape, or there is another folder.
    """
    folder, (m, n) = Path(folder), (int(side) for side in shape)
    here = present(folder)
    beside = {LABELS: np.array(labels, np.int32).reshape(len(labels), n) if len(labels) else None, KNOWN: known}
    beside[NAMED] = None if sample_names is None else np.array(sample_names, str)
    with whole_folder(folder) as scratch:
        meta = _write_parts(scratch, (m, n), cut, beside, dtype)
        meta |= {"names": None if names is None else [*names], "class_names": [[*each] for each in class_names]}
        meta["pictures"] = None if pictures is None else asdict(pictures)
        meta |= {} if weights is None else {"weights": weights}  # so that others have the hash that they had
        digest = write_meta(scratch, meta)
        if here is not None and here.digest != digest:
            raise _other(folder)
    return Shards.open(folder)


def _write_parts(
    folder: Path, shape: tuple[int, int], cut: Iterable[Any], beside: dict[str, Any], dtype: str | None
) -> dict[str, Any]:
    """Write the files of all shards, and return what they are."""
    (m, n), ends, norms, largest = shape, [0], [], 0.0
    kinds: set[tuple[str, str]] = set()
    files: dict[str, tuple[int, str]] = {}
    for part in cut:
        i = len(ends) - 1
        ends.append(ends[-1] + part.shape[1])
        if part.shape[0] != m or ends[-1] > n:
            raise InputError(f"shard {i} has shape {part.shape}, expected parts of a matrix of shape {shape}.")
        kind = dtype or TYPES[part.dtype == np.float32]
        kinds.add((CSR if sparse.issparse(part) else DENSE, kind))
        for squares, highest in write_part(folder / _stem(i), part, ends[-2], kind):
            norms.append(squares)
            largest = max(largest, highest)
        for name, array in beside.items():
            if array is not None:
                save(f"{folder / _stem(i)}{name}.npy", array[..., ends[-2] : ends[-1]])
        del part  # before the next one is made, which `enumerate` would keep it beside
        written = sorted(folder.glob(f"{_stem(i)}.*"))
        files |= {path.name: (path.stat().st_size, file_digest(path)) for path in written}
    if ends[-1] != n or len(kinds) != 1:
        said = f"shards of {ends[-1]} columns and {len(kinds)} types"
        raise InputError(f"{said} are no matrix of shape {shape}. Expected {n} columns of one type.")
    check_scaled(np.full((1, 1), largest), "X")
    if not largest:
        raise InputError("X holds only zeros, expected at least one positive entry.")
    form, kind = kinds.pop()
    found = {"shape": shape, "format": form, "dtype": kind, "columns": ends, "norm2": math.fsum(norms)}
    return found | {"files": files}


def write_meta(folder: Path, meta: dict[str, Any]) -> str:
    """Write what a folder says of its shards, and return the hash that it is given."""
    meta["digest"] = _meta_digest(meta)
    (folder / META).write_text(json.dumps(meta, indent=1))
    return str(meta["digest"])


def present(folder: Path) -> Shards | None:
    """The shards that are there already; InputError if something else is."""
    if not folder.exists():
        return None
    try:
        return Shards.open(folder)
    except InputError:
        raise _other(folder) from None


def _other(folder: Path) -> InputError:
    return InputError(f"{folder} exists and holds something else. Expected a new folder.")


def _joined(each: Sequence[Any]) -> Any:
    """One array of those of all shards; None where not all have one."""
    return None if any(some is None for some in each) else np.concatenate(each)


def _stem(i: int) -> str:
    return f"{i:05}"


def _meta_digest(meta: dict[str, Any]) -> str:
    meta = {name: value for name, value in meta.items() if name != "digest"}
    return hashlib.sha256(json.dumps(meta, sort_keys=True).encode()).hexdigest()[:16]


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Say of which folder something is wrong."""
    try:
        yield
    except (ContentError, InputError) as error:
        said = str(error).removeprefix(f"dataset.path={folder}: ").rstrip(".")
        raise InputError(f"dataset.path={folder}: {said}.") from None
    except (OSError, ValueError) as error:
        raise InputError(
            f"dataset.path={folder} cannot be read: {getattr(error, 'strerror', None) or error}."
        ) from None


@functools.lru_cache(maxsize=4)
def _read_meta(folder: Path, state: tuple[int, int] | None) -> Shards:
    """What ``shards.json`` says, in this state of the file."""
    if state is None:
        raise ContentError(f"it holds no {META}. Expected {EXPECTED}")
    try:
        meta = read_json(folder / META)
    except ValueError as error:
        raise ContentError(f"{META} {error}") from None
    try:
        if meta["digest"] != _meta_digest(meta):
            raise ContentError(f"{META} is damaged: its content is not that of its hash")
        found = Shards(
            folder=folder,
            shape=tuple(meta["shape"]),
            format=meta["format"],
            dtype=meta["dtype"],
            ends=tuple(meta["columns"]),
            norm2=float(meta["norm2"]),
            names=meta["names"] and [*map(printable, meta["names"])],
            class_names=[[*map(printable, names)] for names in meta["class_names"]],
            pictures=None if meta["pictures"] is None else Pictures(**meta["pictures"]),
            weights=meta.get("weights"),
            files={name: (size, digest) for name, (size, digest) in meta["files"].items()},
            digest=meta["digest"],
        )
        _check_meta(found)
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, ContentError):
            raise
        raise ContentError(f"{META} is not of this format. Expected {EXPECTED}") from None
    return found


def _check_meta(found: Shards) -> None:
    """Raise a ContentError, or what else comes of it, unless all that a folder says can be so."""
    (m, n), ends = found.shape, found.ends
    good = [
        all(type(each) is int for each in (m, n, *ends)) and 0 < m <= LARGEST_SIDE,
        len(ends) > 1 and (ends[0], ends[-1]) == (0, n) and all(a < b for a, b in pairwise(ends)),
        found.format in MATRIX and found.dtype in TYPES and 0 < found.norm2 < math.inf,
        found.names is None or len(found.names) == m,
        are_weights(found.weights, m),
        all("/" not in name for name in found.files),
    ]
    if (shown := found.pictures) is not None:
        pixels = {FEATURES: m, SAMPLES: n}[shown.of]
        good += [shown.order in ORDERS, type(shown.height) is type(shown.width) is int, shown.height > 0]
        good.append(shown.height * shown.width == pixels)
    if not all(good):
        raise ContentError(f"{META} is not of this format. Expected {EXPECTED}")

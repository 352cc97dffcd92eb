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

from nnmf_runner.core.checks import InputError, check_finite, check_scaled
from nnmf_runner.core.linalg import canonical, parts
from nnmf_runner.core.sharded import ShardedMatrix
from nnmf_runner.datasets.base import Dataset, Labels, file_state
from nnmf_runner.datasets.files.bounds import MEMORY, in_units
from nnmf_runner.datasets.files.contents import ContentError
from nnmf_runner.datasets.files.npy import map_npy, read_npy
from nnmf_runner.datasets.files.reading import absolute, existing
from nnmf_runner.datasets.pictures import ORDERS, Pictures
from nnmf_runner.store.files import read_json, whole_folder

META = "shards.json"
DENSE, CSR = "dense", "csr"
# The files of a shard in either form, and what may stand beside them.
MATRIX = {DENSE: ("",), CSR: (".data", ".indices", ".indptr")}
LABELS, KNOWN, SAMPLES = ".labels", ".known", ".samples"
TYPES = ("float64", "float32")
# Entries that are read, checked and written at a time.
BLOCK = 2**22
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

    @property
    def n(self) -> int:
        """Number of shards."""
        return len(self.ends) - 1

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
            found = _dense(arrays[0], m, columns) if self.format == DENSE else _csc(arrays, m, columns)
            for _ in _checked(found, self.ends[i]):
                pass
        return found

    def labels(self, i: int) -> Labels:
        """Classes of the samples of shard i, -1 where one has none, shape (levels, columns)."""
        found = self._beside(i, LABELS)
        if found is None:
            return np.empty((0, self._columns(i)), np.intp)
        many = [len(names) for names in self.class_names] or [np.iinfo(np.intp).max] * len(found)
        with _told(self.folder):
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
        found = self._vector(i, SAMPLES, "U")
        return None if found is None else [*map(str, found)]

    def dataset(self, name: str, X: Any) -> Dataset:
        """All that is known of the data, with `X` in the place of their entries."""
        every = range(self.n)
        known = [self.known(i) for i in every]
        named = [self.sample_names(i) for i in every]
        return Dataset(
            name,
            X,
            [*np.concatenate([self.labels(i) for i in every], axis=1)],
            class_names=self.class_names,
            feature_names=self.names,
            sample_names=None if None in named else [each for some in named for each in some or []],
            known=None if known[0] is None else np.concatenate(known),  # type: ignore[arg-type]
            pictures=self.pictures,
        )

    def whole(self) -> Any:
        """The matrix of all shards: a dense one alone stays in its file; sparse ones are put together in CSR form."""
        if self.format == CSR:
            return sparse.vstack([self.part(i).T for i in range(self.n)], format="csr").T.tocsr()
        if self.n == 1:
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
        if _file_digest(self.folder / name) != self.files[name][1]:
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
        See `File`.
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
        size = sum(size for size, _ in shards.files.values())
        too_large = InputError(f"dataset.path={self.path}: its {in_units(size)} do not fit into memory.")
        if size > MEMORY and (shards.n > 1 or shards.format == CSR):
            raise too_large
        try:
            return shards.dataset(self.name, shards.whole())
        except MemoryError:
            raise too_large from None

    def in_place(self) -> Dataset:
        """The same without the entries, which whoever holds a shard reads for itself."""
        shards = Shards.open(self.path)
        return shards.dataset(self.name, ShardedMatrix(Folder.of(shards)))

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
        takes an array.  Entries of single precision stay so, all others become doubles.
    labels, names, class_names, sample_names, known, pictures
        As `Dataset` has them, of all samples.

    Raises
    ------
    InputError
        If an entry is negative or not finite, the shards are not of this shape, or there is another folder.
    """
    folder, (m, n) = Path(folder), (int(side) for side in shape)
    here = _same_or_none(folder)
    rows = {LABELS: np.array(labels, np.int32).reshape(len(labels), n) if len(labels) else None, KNOWN: known}
    rows[SAMPLES] = None if sample_names is None else np.array(sample_names, str)
    with whole_folder(folder) as scratch:
        ends, norms, kinds, largest = [0], [], set(), 0.0
        for i, part in enumerate(cut):
            ends.append(ends[-1] + part.shape[1])
            if part.shape[0] != m or ends[-1] > n:
                raise InputError(f"shard {i} has shape {part.shape}, expected parts of a matrix of shape {(m, n)}.")
            kinds.add((CSR if sparse.issparse(part) else DENSE, _type_of(part)))
            for squares, highest in _write_part(scratch / _stem(i), part, ends[-2]):
                norms.append(squares)
                largest = max(largest, highest)
            for kind, array in rows.items():
                if array is not None:
                    _save(scratch / f"{_stem(i)}{kind}.npy", array[..., ends[-2] : ends[-1]])
        if ends[-1] != n or len(kinds) != 1:
            said = f"shards of {ends[-1]} columns and {len(kinds)} types"
            raise InputError(f"{said} are no matrix of shape {(m, n)}. Expected {n} columns of one type.")
        check_scaled(np.full((1, 1), largest), "X")
        if not largest:
            raise InputError("X holds only zeros, expected at least one positive entry.")
        (form, dtype) = kinds.pop()
        meta = {"shape": [m, n], "format": form, "dtype": dtype, "columns": ends, "norm2": math.fsum(norms)}
        meta |= {"names": None if names is None else [*names], "class_names": [[*each] for each in class_names]}
        meta["pictures"] = None if pictures is None else asdict(pictures)
        written = sorted(path for path in scratch.iterdir() if path.suffix == ".npy")
        meta["files"] = {path.name: [path.stat().st_size, _file_digest(path)] for path in written}
        meta["digest"] = _meta_digest(meta)
        if here is not None and here.digest != meta["digest"]:
            raise InputError(f"{folder} exists and holds other data. Expected a new folder.")
        (scratch / META).write_text(json.dumps(meta, indent=1))
    return Shards.open(folder)


def _same_or_none(folder: Path) -> Shards | None:
    """The shards that are there already; InputError if something else is."""
    if not folder.exists():
        return None
    try:
        return Shards.open(folder)
    except InputError:
        raise InputError(f"{folder} exists and holds other data. Expected a new folder.") from None


def _stem(i: int) -> str:
    return f"{i:05}"


def _type_of(part: Any) -> str:
    return TYPES[part.dtype == np.float32]


def _write_part(stem: Path, part: Any, first: int) -> Iterator[tuple[float, float]]:
    """Write the files of a shard; give sum of squares and largest entry of its blocks."""
    if sparse.issparse(part):
        rows = sparse.csr_array(part.T.tocsr(), dtype=_type_of(part))
        rows = canonical(rows)
        if not rows.data.all():
            rows = rows.copy()
            rows.eliminate_zeros()
        yield from _checked(rows.T, first)
        for kind, array in zip(MATRIX[CSR], (rows.data, rows.indices, rows.indptr), strict=True):
            _save(stem.with_name(f"{stem.name}{kind}.npy"), array)
        return
    m, columns = part.shape
    with stem.with_name(f"{stem.name}.npy").open("wb") as file:
        _write_header(file, np.dtype(_type_of(part)), (columns, m))
        for block in parts(columns, max(1, BLOCK // m)):
            values = np.asarray(part[:, block], dtype=_type_of(part))
            yield from _checked(values, first + block.start)
            file.write(_bytes(values.T))


def _checked(X: Any, first: int) -> Iterator[tuple[float, float]]:
    """Check entries block by block, of columns that begin with `first`; give sum of squares and the largest of each."""
    told = f"X, samples {first} to {first + X.shape[1] - 1},"
    if sparse.issparse(X):
        blocks: Iterable[Any] = (X.data[block][None] for block in parts(X.nnz, BLOCK))
    else:
        blocks = (X[:, block] for block in parts(X.shape[1], max(1, BLOCK // X.shape[0])))
    for values in blocks:
        values = check_finite(values, told)
        lowest = values.min()
        if lowest < 0:
            raise InputError(f"{told} has a negative entry, {lowest:g}. Expected nonnegative numbers in shards.")
        squares = np.asarray(values, np.float64).ravel("K")
        yield float(squares @ squares), float(values.max())


def _dense(rows: NDArray[Any], m: int, columns: int) -> NDArray[Any]:
    if rows.shape != (columns, m):
        raise ContentError(f"a shard has shape {rows.shape}, expected {(columns, m)}")
    return rows.T


def _csc(arrays: Sequence[NDArray[Any]], m: int, columns: int) -> Any:
    """A matrix by its parts, whose every index has been checked before compiled code follows it."""
    data, indices, indptr = arrays
    if indices.dtype.kind != "i" or indptr.dtype.kind != "i" or indptr.shape != (columns + 1,):
        raise ContentError("a shard has indices that are no integers or not of its shape")
    if data.ndim != 1 or data.shape != indices.shape or (indptr[0], indptr[-1]) != (0, data.size):
        raise ContentError("a shard has indices of another number than entries")
    if (indptr[1:] < indptr[:-1]).any() or (data.size and not 0 <= indices.min() <= indices.max() < m):
        raise ContentError(f"a shard has indices out of range, expected 0 to {m - 1}")
    found = sparse.csc_array((data, indices, indptr), shape=(m, columns))
    if not found.has_canonical_format:
        raise ContentError("a shard has indices that are not sorted")
    return found


def _write_header(file: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _save(path: Path, array: NDArray[Any]) -> None:
    """Write an array; unlike `numpy.save`, an error says that the disk is full."""
    with path.open("wb") as file:
        _write_header(file, array.dtype, array.shape)
        file.write(_bytes(array))


def _bytes(array: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _meta_digest(meta: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(meta, sort_keys=True).encode()).hexdigest()[:16]


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Say of which folder something is wrong."""
    try:
        yield
    except (ContentError, InputError) as error:
        raise InputError(f"dataset.path={folder}: {str(error).rstrip('.')}.") from None
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
        digest = meta.pop("digest")
        if digest != _meta_digest(meta):
            raise ContentError(f"{META} is damaged: its content is not that of its hash")
        found = Shards(
            folder=folder,
            shape=tuple(meta["shape"]),
            format=meta["format"],
            dtype=meta["dtype"],
            ends=tuple(meta["columns"]),
            norm2=float(meta["norm2"]),
            names=meta["names"],
            class_names=meta["class_names"],
            pictures=None if meta["pictures"] is None else Pictures(**meta["pictures"]),
            files={name: (size, digest) for name, (size, digest) in meta["files"].items()},
            digest=digest,
        )
        _check_meta(found)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, ContentError):
            raise
        raise ContentError(f"{META} is not of this format. Expected {EXPECTED}") from None
    return found


def _check_meta(found: Shards) -> None:
    """Raise a ContentError, or what else comes of it, unless all that a folder says can be so."""
    (m, n), ends = found.shape, found.ends
    good = [
        all(type(each) is int for each in (m, n, *ends)) and m > 0,
        len(ends) > 1 and (ends[0], ends[-1]) == (0, n) and all(a < b for a, b in pairwise(ends)),
        found.format in MATRIX and found.dtype in TYPES and 0 < found.norm2 < math.inf,
        found.names is None or (len(found.names) == m and _are_texts(found.names)),
        all(map(_are_texts, found.class_names)),
        all("/" not in name for name in found.files),
    ]
    if (shown := found.pictures) is not None:
        good.append(shown.order in ORDERS and shown.height * shown.width == (n if shown.of == "samples" else m))
    if not all(good):
        raise ContentError(f"{META} is not of this format. Expected {EXPECTED}")


def _are_texts(names: Any) -> bool:
    return isinstance(names, list) and all(isinstance(name, str) for name in names)

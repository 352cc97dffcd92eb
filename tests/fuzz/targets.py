"""What is fuzzed: every reader of files, records, saved models, and command lines."""

from __future__ import annotations

import contextlib
import functools
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas
from scipy import sparse

import nnmf_runner
from nnmf_runner import cli
from nnmf_runner.config import composition, schema
from nnmf_runner.config.help import options_of
from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.base import read_mask
from nnmf_runner.datasets.files.file import File
from nnmf_runner.datasets.files.shard_files import file_digest
from nnmf_runner.datasets.files.shards import META, Sharded, write_meta, write_shards
from nnmf_runner.store.record import (
    FACTORS,
    HISTORY,
    NAMES,
    RECORD,
    read_factors,
    read_history,
    read_names,
    read_record,
    write_record,
)
from tests.datasets.files.test_readers import WRITERS
from tests.fixtures.records import make_record
from tests.fixtures.tables import lines_of

# From a state of what is random and an empty folder; an assertion fails, or what should not be raised is.
Target = Callable[[np.random.Generator, Path], None]
# Numbers that stand in bytes where sizes, offsets and types do.
TELLING = (0, 1, 127, 128, 254, 255)
# Parts of values that a shell, YAML, Hydra or a number may stumble over.
WORDS = (
    *("0", "-1", "1e999", "nan", "10**30", "9" * 400, "null", "true", "a", "x" * 5000, "é", "\ud800", "\u202e"),
    *("''", '"', "[", "]", "{", "}", "${", "$", "=", ":", ",", "~", "~x", "/", "..", "\\", "%", " ", "*", "@", "#"),
    *("\0", "\n", "!!python"),
)


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """Bytes of which some are changed, left out, put in or doubled, or the end is missing."""
    found = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(len(found) + 1))
        end = at + int(rng.integers(1, 9))
        match rng.integers(6):
            case 0:
                del found[at:end]
            case 1:
                found[at:at] = rng.bytes(end - at)
            case 2:
                found[at:at] = found[at:end]
            case 3 if rng.random() < 0.2:
                del found[at:]
            case _:
                found[at : at + 1] = bytes([rng.choice(TELLING) if rng.random() < 0.5 else rng.integers(256)])
    return bytes(found)


def only(call: Callable[[], object], *kinds: type[Exception]) -> None:
    """Call what may refuse with one of these errors, of one line."""
    try:
        call()
    except kinds as error:
        if isinstance(error, InputError) and "\n" in str(error):
            raise AssertionError(f"more than a line: {str(error)!r}") from error


def write_parquet(path: Path, X: np.ndarray) -> None:
    pandas.DataFrame(X, columns=[*"abcd"]).assign(label=[*"xyzxyz"]).to_parquet(path)


def write_h5ad(path: Path, X: np.ndarray) -> None:
    import anndata

    obs = pandas.DataFrame({"label": pandas.Categorical([*"xyzxyz"])}, index=[*"abcdef"])
    anndata.AnnData(sparse.csr_matrix(X), obs).write_h5ad(path)


def save_as(form: str) -> Callable[[Path, np.ndarray], None]:
    return lambda path, X: sparse.save_npz(path, sparse.coo_array(X).asformat(form))


def tensor_of(X: np.ndarray) -> np.ndarray:
    return X.reshape(2, 3, 4)


def write_coordinates(path: Path, X: np.ndarray) -> None:
    places = np.nonzero(tensor_of(X))
    np.savez(path, coords=places, data=tensor_of(X)[places], shape=(2, 3, 4))


TENSORS: dict[str, Callable[[Path, np.ndarray], None]] = {
    "tensor.npy": lambda path, X: np.save(path, tensor_of(X)),
    "tensor.npz": write_coordinates,
    "tensor.tns": lambda path, X: path.write_text(lines_of(tensor_of(X))),
    "tensor.tns.gz": lambda path, X: path.write_bytes(gzip.compress(lines_of(tensor_of(X)).encode())),
}
FORMS = {f"{form}.npz": save_as(form) for form in ("bsr", "dia")}
FILES = WRITERS | FORMS | TENSORS | {"a.parquet": write_parquet, "a.h5ad": write_h5ad}


@functools.cache
def written(name: str, folder: Path) -> bytes:
    """A good file of this name."""
    rng = np.random.default_rng(0)
    FILES[name](folder / name, np.round(rng.random((6, 4)) * (rng.random((6, 4)) < 0.5), 3) + np.eye(6, 4))
    return (folder / name).read_bytes()


def reader(name: str) -> Target:
    """A file is loaded, or refused in one line."""

    def target(rng: np.random.Generator, folder: Path) -> None:
        path = folder / name
        path.write_bytes(mutated(written(name, folder.parent), rng))
        only(lambda: File(path=str(path)).load(np.random.default_rng(0)), InputError)

    return target


def mask(rng: np.random.Generator, folder: Path) -> None:
    """A mask is read, or refused in one line."""
    np.save(folder / "mask.npy", np.eye(3, dtype=bool))
    (folder / "mask.npy").write_bytes(mutated((folder / "mask.npy").read_bytes(), rng))
    only(lambda: read_mask(str(folder / "mask.npy")), InputError)


def record(rng: np.random.Generator, folder: Path) -> None:
    """The files of a run are read, or refused with a reason."""
    run = folder / "run"
    weights = {"options": {"idf": True}, "idf": [1.0, 1.5, 2.0]}
    names = {"features": [*"abc"], "classes": {"0": [*"xy"]}, "weights": weights}
    arrays, history = {"A0": np.eye(3), "S0": np.eye(3)}, {"iteration": [0, 1], "cost": [0.5, 0.1]}
    write_record(run, make_record(), arrays, history, names=names)
    readers = {RECORD: lambda: read_record(run / RECORD), FACTORS: lambda: read_factors(run)}
    readers |= {HISTORY: lambda: read_history(run), NAMES: lambda: read_names(run, 3)}
    for name, read in readers.items():
        (run / name).write_bytes(mutated((run / name).read_bytes(), rng))
        only(read, ValueError)


@functools.cache
def model() -> nnmf_runner.HierarchicalNMF:
    """A small fitted estimator."""
    return nnmf_runner.HierarchicalNMF(layers=(3, 2), max_iter=3, random_state=0).fit(np.eye(6, 4) + 0.1)


def saved_model(rng: np.random.Generator, folder: Path) -> None:
    """A model is loaded and gives codes of the right shape, or is refused in one line."""
    model().save(folder / "model")
    files = sorted((folder / "model").iterdir())
    path = files[rng.integers(len(files))]
    path.write_bytes(mutated(path.read_bytes(), rng))
    only(lambda: nnmf_runner.load(folder / "model"), InputError)


def shards_of(form: Callable[[np.ndarray], object]) -> Target:
    """A folder of shards is read, or refused in one line, whether its hashes tell of the damage or not."""

    def target(rng: np.random.Generator, folder: Path) -> None:
        X, labels = np.eye(4, 6) + np.eye(4, 6, 2), np.arange(6) % 2
        cut = [form(X[:, :2]), form(X[:, 2:])]
        path = folder / "shards"
        write_shards(path, X.shape, cut, labels=[labels], class_names=[["a", "b"]], names=[*"abcd"])
        files = sorted(path.iterdir())
        damaged = files[rng.integers(len(files))]
        damaged.write_bytes(mutated(damaged.read_bytes(), rng))
        if rng.random() < 0.7 and damaged.name != META:
            meta = json.loads((path / META).read_text())
            meta["files"][damaged.name] = [damaged.stat().st_size, file_digest(damaged)]
            write_meta(path, meta)
        elif damaged.name == META:
            with contextlib.suppress(ValueError, AttributeError):
                write_meta(path, json.loads(damaged.read_text()))
        only(lambda: Sharded(str(path)).load(rng).fingerprint(), InputError)

    return target


def value_of(rng: np.random.Generator) -> str:
    """A value of an option, sensible or not."""
    parts = [str(rng.choice(WORDS)) if rng.random() < 0.7 else str(rng.integers(100)) for _ in range(rng.integers(4))]
    text = "".join(parts)
    return text if rng.random() < 0.8 else f"[{text}]"


def command_line(rng: np.random.Generator, folder: Path) -> None:
    """A command line is read, or the command refuses it in one line."""
    composition.register_schema()
    keys = [*schema.RunConfig.__dataclass_fields__, "method.pooling", "dataset.path", "optimizer.step"]
    arguments = []
    for _ in range(rng.integers(1, 4)):
        if rng.random() < 0.3:
            group = rng.choice([*schema.GROUPS])
            arguments.append(f"{group}={rng.choice([*options_of(str(group))])}")
        else:
            arguments.append(f"{rng.choice(['', '', '', '+', '++', '~'])}{rng.choice(keys)}={value_of(rng)}")
    if rng.random() < 0.3:
        arguments.insert(0, "-m")
    with contextlib.redirect_stderr(io.StringIO()) as said:
        status = cli._guarded(lambda: int(composition.read(arguments) is None), "nnmf-run")
    lines = said.getvalue().splitlines()
    assert (status, len(lines)) in ((cli.OK, 0), (cli.BAD_INPUT, 1)), (arguments, lines)


TARGETS: dict[str, Target] = {
    **{f"file {name}": reader(name) for name in FILES},
    "mask": mask,
    "record": record,
    "model": saved_model,
    "shards dense": shards_of(np.asarray),
    "shards sparse": shards_of(sparse.csr_array),
    "command line": command_line,
}


def is_slow(name: str) -> bool:
    """Whether a target starts a process each time."""
    return name.lower().endswith((".mat", ".h5ad", ".parquet"))

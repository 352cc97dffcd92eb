"""From the command line of `nnmf-shards` to the data that it cuts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nnmf_runner.config.arguments import Parser
from nnmf_runner.config.cells import resolve
from nnmf_runner.config.composition import expanded
from nnmf_runner.config.engine import compose, register_schema
from nnmf_runner.config.values import quoted
from nnmf_runner.core.checks import InputError, check_choice
from nnmf_runner.datasets import Source
from nnmf_runner.datasets.files.shards import META, TYPES
from nnmf_runner.store.files import user_path

# What begins like an option; a path that does is written with ./ before it.
_OPTION = re.compile(r"[~+]*[\w.]+=")
_SIZES = ("shards", "columns")


@dataclass(frozen=True)
class Cut:
    """Data, and the folder of shards that they go to."""

    source: Source
    folder: Path
    seed: int
    sizes: dict[str, int]
    dtype: str | None
    called: str  # what the command line calls the path of the data

    @contextmanager
    def named(self) -> Iterator[None]:
        """Name the path of the data in errors as the command line does."""
        try:
            yield
        except InputError as error:
            raise InputError(str(error).replace("dataset.path", self.called)) from None


def read_cut(arguments: Sequence[str]) -> Cut:
    """Read the command line of `nnmf-shards`; an `InputError` says what of it is not acceptable."""
    parser = Parser(
        "nnmf-shards",
        "Cut data into shards of samples: a folder of plain arrays, for data larger than the memory, which\n"
        "nnmf-run reads as dataset=shards dataset.path=FOLDER. It appears when all of it is written.\n\n"
        "example: nnmf-shards counts.zarr shards/counts columns=10000 'dataset.labels=[labels.csv]'\n"
        "         nnmf-shards dataset=text dataset.path=posts shards/posts shards=4",
    )
    parser.usage = "nnmf-shards SOURCE FOLDER [shards=N | columns=N] [dataset.name=value ...]"
    add = parser.add_argument
    source = "a file that dataset=file reads, a zarr array, a folder of .parquet files or of shards; or dataset=NAME"
    add("source", metavar="SOURCE", nargs="?", help=source)
    add("folder", metavar="FOLDER", nargs="?", help="a new folder for the shards")
    counts = "how many shards, or how many samples in each; by default one takes 256 MB"
    add("sizes", metavar="shards=N, columns=N", nargs="*", help=counts)
    types = "type of the stored numbers; by default that of the data where it is one of these, else float64"
    add("dtype", metavar="dtype=float32|float64", nargs="*", help=types)
    data = "options of the data, see nnmf-run --help dataset=file; seed=N of data that are drawn"
    add("options", metavar="dataset.name=value", nargs="*", help=data)
    known = parser.parse_args(arguments)
    words = [word for word in (known.source, known.folder, *known.sizes, *known.dtype, *known.options) if word]
    paths = [word for word in words if not _OPTION.match(word)]
    options = [word for word in words if _OPTION.match(word)]
    own = {name: _only(options, name) for name in (*_SIZES, "dtype")}
    options = [word for word in options if word.partition("=")[0] not in own]
    for word in options:
        if not re.match(r"[~+]*(dataset[.=]|seed=)", word):
            raise InputError(f"{word} is no option of data. Expected shards, columns, dtype, seed or those of dataset.")
    named = any(word.startswith("dataset=") for word in options)
    expected = ["FOLDER"] if named else ["SOURCE", "FOLDER"]
    if len(paths) != len(expected):
        parser.error(f"paths are given: {', '.join(paths) or 'none'}. Expected {' and '.join(expected)}")
    if not named:
        options = [*_as_dataset(paths[0]), *options]
    register_schema()
    config = resolve(compose(expanded(options)))
    sizes = {name: _number(text, name) for name in _SIZES if (text := own[name]) is not None}
    dtype = None if own["dtype"] is None else check_choice(own["dtype"], TYPES, "dtype")
    called = "dataset.path" if named else "SOURCE"
    return Cut(config.dataset, user_path(paths[-1], "FOLDER"), config.seed, sizes, dtype, called)


def _as_dataset(source: str) -> list[str]:
    """The options of a dataset from a path."""
    is_shards = (user_path(source, "SOURCE") / META).is_file()
    return [f"dataset={'shards' if is_shards else 'file'}", f"dataset.path={quoted(source)}"]


def _only(options: Sequence[str], name: str) -> str | None:
    """The value of an option that is given once; None without it."""
    given = [word.partition("=")[2] for word in options if word.startswith(f"{name}=")]
    if len(given) > 1:
        raise InputError(f"{name} is given more than once. Expected one value.")
    return given[0] if given else None


def _number(text: str, name: str) -> int:
    """A whole number from a text."""
    if not re.fullmatch(r"\d{1,12}", text):
        raise InputError(f"{name}={text} is not valid. Expected a whole number.")
    return int(text)

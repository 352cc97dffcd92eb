"""One run, one record: a folder with what was asked, what came of it, and the factors."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nnmf_runner.core.checks import InputError
from nnmf_runner.methods import METHODS
from nnmf_runner.store.files import FACTORS, read_arrays, read_json, whole_folder

# Goes up when a field changes its meaning; a record of another version is not read.
SCHEMA_VERSION = 4

RECORD, HISTORY = "record.json", "history.csv"

# Status of a run.  Only the first two give numbers that a table may average.
DONE, MAX_ITER, DIVERGED, FAILED, INTERRUPTED = "done", "max_iter", "diverged", "failed", "interrupted"
TIMED_OUT = "timed_out"
COUNTED = (DONE, MAX_ITER)
STATUSES = [*COUNTED, DIVERGED, FAILED, INTERRUPTED, TIMED_OUT]

# What a record says of a topic: its top words and their shares of it, the words that set it apart, the topics below
# with their shares of it, and the topic above that it has the largest share of (None for those of the last layer).
TOPIC = {"words", "weights", "distinctive", "children", "child_weights", "parent"}

# Names for the share of labels that a method is given: none, some, all.
REGIMES = ["unsupervised", "semisupervised", "supervised"]


class OutdatedRecord(ValueError):
    """A record of an earlier version of this program."""


def folder_name(identity: dict[str, Any]) -> str:
    """Name of the folder of a run: a hash of what determines its result."""
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def run_folder(experiment: Path, identity: dict[str, Any]) -> Path:
    """Folder of a run within that of its experiment.

    It stands below the first two digits of its name, so that of 100,000 runs no folder holds more than a few hundred:
    file systems shared by a cluster grow slow in long folders, and lock them whole.
    """
    name = folder_name(identity)
    return experiment / name[:2] / name


def experiment_folder(run: Path) -> Path:
    """Folder of the experiment of a run, from that of the run: the inverse of `run_folder`."""
    return run.parent.parent


def write_record(
    folder: Path,
    record: dict[str, Any],
    factors: dict[str, Any] | None = None,
    history: dict[str, list[Any]] | None = None,
) -> None:
    """Write a run's folder whole or not at all, in place of an earlier one: `RECORD`, `FACTORS` and `HISTORY`."""
    with whole_folder(folder) as scratch:
        if factors is not None:
            np.savez(scratch / FACTORS, **factors)
        if history is not None:
            write_history(scratch, history)
        (scratch / RECORD).write_text(json.dumps(record, indent=1, allow_nan=False) + "\n")


def write_history(folder: Path, history: dict[str, list[Any]]) -> None:
    """Write columns of equal length as `HISTORY`."""
    with (folder / HISTORY).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(history)
        writer.writerows(zip(*history.values(), strict=True))


def read_record(path: Path) -> dict[str, Any]:
    """Read and check one `RECORD` file.

    Raises
    ------
    InputError
        If it is a record of a later version of this program.
    ValueError
        If it is not a record of this version, with the reason.
    """
    record = read_json(path)
    if not isinstance(record, dict) or "schema" not in record:
        raise ValueError("is not a record: it has no schema version")
    _refuse_newer(path, record)
    if record["schema"] != SCHEMA_VERSION:
        raise OutdatedRecord(
            f"has schema version {record['schema']}, which this program no longer reads; the command that made it, "
            f"given again, makes a record of version {SCHEMA_VERSION}"
        )
    for name, is_right in _FORM.items():
        value: Any = record
        for key in name.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if value is None and name in _OPTIONAL:
            continue
        if value is None:
            raise ValueError(f"is incomplete: it has no {name}")
        if not is_right(value):
            raise ValueError(f"is damaged: {name}={value!r} is not what a record holds there")
    return record


def _refuse_newer(path: Path, record: dict[str, Any]) -> None:
    """Stop at a record that this version of the program may misread or overwrite."""
    version = record.get("schema")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise InputError(
            f"{path} has schema version {version}, but this program reads versions up to {SCHEMA_VERSION}. "
            "Use the version of nnmf-runner that wrote it, or another output folder."
        )


def read_run(folder: Path) -> dict[str, Any]:
    """Read the record of a run from the folder that `run_folder` gives it, as `read_record` does.

    A record of another run, which somebody has put there, is a ValueError, too.
    """
    record = read_record(folder / RECORD)
    if folder_name(record["config"]) != folder.name:
        raise ValueError("is damaged: it is the record of another run")
    return record


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_numbers(value: Any) -> bool:
    """Whether it maps names to numbers, or to None where a number does not exist."""
    return isinstance(value, dict) and all(entry is None or _is_number(entry) for entry in value.values())


def _is_topics(value: Any) -> bool:
    """Whether it holds for every layer its topics, each with what the tree shows."""
    return isinstance(value, list) and all(
        isinstance(layer, list) and all(isinstance(topic, dict) and topic.keys() >= TOPIC for topic in layer)
        for layer in value
    )


# What tables and figures rely on, by its dotted name in a record.
_FORM: dict[str, Callable[[Any], bool]] = {
    "config.seed": lambda value: isinstance(value, int),
    "config.dataset.name": lambda value: isinstance(value, str),
    "config.method.name": lambda value: value in METHODS,
    "config.layers": lambda value: isinstance(value, list) and all(isinstance(rank, int) for rank in value),
    "status": lambda value: value in STATUSES,
    "regime": lambda value: value in REGIMES,
    "experiment": lambda value: isinstance(value, str),
    "published": lambda value: isinstance(value, str),
    "metrics": _is_numbers,
    "layers": lambda value: isinstance(value, list) and all(_is_numbers(layer) and "floor" in layer for layer in value),
    "topics": _is_topics,
    "dataset": lambda value: isinstance(value, dict),
    "dataset.classes": lambda value: isinstance(value, list) and all(isinstance(count, int) for count in value),
    "tree_agreement": _is_number,
}
# Absent where the run failed, the features have no names, or no tree is planted.
_OPTIONAL = {"published", "topics", "dataset", "dataset.classes", "tree_agreement"}


def read_factors(folder: Path) -> dict[str, np.ndarray]:
    """Arrays of a run's folder by the names of `nnmf_runner.methods.fit.named_arrays`, see `read_arrays`."""
    return read_arrays(folder / FACTORS)


def read_history(folder: Path) -> dict[str, np.ndarray]:
    """Columns of a run's history, or a ValueError with the reason."""
    try:
        with (folder / HISTORY).open(newline="") as file:
            header, *rows = list(csv.reader(file))
        columns = np.array(rows, dtype=float).reshape(len(rows), len(header)).T
    except (OSError, ValueError) as error:
        raise ValueError(f"{HISTORY} cannot be read: {error}") from None
    return dict(zip(header, columns, strict=True))


def find_records(folder: Path) -> list[Path]:
    """Paths of all records at or below a folder, sorted; hidden folders are unfinished and passed over.

    A folder that cannot be read is an OSError: its records would be missing without a word.
    """
    found = []
    for root, names, files in os.walk(folder, onerror=_unless_gone):
        names[:] = sorted(name for name in names if not name.startswith("."))
        if RECORD in files:
            found.append(Path(root) / RECORD)
    return found


def _unless_gone(error: OSError) -> None:
    """Pass over a folder that a run has just put another in place of."""
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        raise error

"""One run, one record: a folder with what was asked, what came of it, and the factors."""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.monitor import Stop
from nnmf_runner.store.files import FACTORS, digest, read_arrays, read_json, whole_folder
from nnmf_runner.store.form import (
    COUNTED,
    DIVERGED,
    DONE,
    FAILED,
    INTERRUPTED,
    MAX_ITER,
    REGIMES,
    STATUSES,
    STRONGEST,
    TIMED_OUT,
    TOPIC,
    check_form,
)

__all__ = [  # of its form, for who reads records
    "COUNTED",
    "DIVERGED",
    "DONE",
    "FAILED",
    "INTERRUPTED",
    "MAX_ITER",
    "REGIMES",
    "STATUSES",
    "STRONGEST",
    "TIMED_OUT",
    "TOPIC",
]

# Goes up when a field changes its meaning; a record of another version is not read.
SCHEMA_VERSION = 4

log = logging.getLogger(__name__)

RECORD, HISTORY = "record.json", "history.csv"
# Names of the features, classes and samples of the data, where there are some, and how counts of the features were
# weighted: new data are matched and weighted by them.
NAMES = "names.json"
_NO_NAMES: dict[str, Any] = {"features": None, "classes": {}, "samples": None, "weights": None}
# Samples whose names are kept with a run, and characters of all of `NAMES`.
MOST_SAMPLES, MOST_CHARACTERS = 20_000, 2**24
# Folder within that of runs, or of one, for what is made of them.
REPORT = "report"
# Within it: the names of its files, a line each.
CONTENTS = "contents.txt"
# Folder within that of a run whose start no option makes again: the factors that it began with.
START = "start"


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


def ending(record: Mapping[str, Any]) -> str:
    """How a run ended: its status, or that the line search stopped it, after which it is done too."""
    by_search = record["status"] == DONE and record.get("stop") == Stop.LINE_SEARCH
    return "stopped by the line search" if by_search else str(record["status"])


def iterations_text(record: Mapping[str, Any]) -> str:
    """How many iterations a run took, see `fits_text`."""
    return f"{record.get('n_iter')} iterations{fits_text(record.get('fits'), len(record['config']['layers']))}"


def fits_text(fits: float | None, layers: int) -> str:
    """In how many fits iterations were done, each of which has the limit `max_iter` to itself; empty for one."""
    return f" in {fits:.0f} {'layers' if fits == layers else 'fits'}" if fits and fits > 1 else ""


def experiment_folder(run: Path) -> Path:
    """Folder of the experiment of a run, from that of the run: the inverse of `run_folder`."""
    return run.parent.parent


def write_record(
    folder: Path,
    record: dict[str, Any],
    factors: dict[str, Any] | None = None,
    history: dict[str, list[Any]] | None = None,
    start: Sequence[np.ndarray] | None = None,
    names: dict[str, Any] | None = None,
) -> None:
    """Write a run's folder whole or not at all, in place of an earlier one.

    It holds `RECORD`, `FACTORS` and `HISTORY`, the factors of a `start` below `START`, and `NAMES`.
    """
    with whole_folder(folder) as scratch:
        if factors is not None:
            np.savez(scratch / FACTORS, **factors)
        if history is not None:
            write_history(scratch, history)
        if start is not None:
            (scratch / START).mkdir()
            np.savez(scratch / START / FACTORS, **{f"A{i}": A for i, A in enumerate(start)})  # type: ignore[arg-type]
        if names:
            _write_names(scratch / NAMES, folder, names)
        (scratch / RECORD).write_text(json.dumps(record, indent=1, allow_nan=False) + "\n")


def _write_names(path: Path, folder: Path, names: dict[str, Any]) -> None:
    """Write what there is of names; what is too long is left out, and the log says so."""
    found = {name: names[name] for name in names if names[name] != _NO_NAMES[name]}
    if len(text := json.dumps(found)) > MOST_CHARACTERS:
        log.warning("%s: names of more than %d characters are not kept with the run.", folder, MOST_CHARACTERS)
    elif found:
        path.write_text(text + "\n")


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
    check_form(record)
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


def read_numbers(folder: Path) -> dict[str, Any] | None:
    """The record of a run that some version of the code has finished; None where there is none, or a damaged one.

    One of a later version of this program is an InputError.
    """
    try:
        record = read_run(folder)
    except InputError:
        raise
    except ValueError:
        return None
    return record if record["status"] in COUNTED else None


def factors_digest(folder: Path) -> str | None:
    """A hash of the factors of a run; None if they cannot be read."""
    try:
        return digest([*read_factors(folder).values()])
    except ValueError:
        return None


def read_factors(folder: Path) -> dict[str, np.ndarray]:
    """Arrays of a run's folder by the names of `nnmf_runner.methods.fit.named_arrays`, see `read_arrays`."""
    return read_arrays(folder / FACTORS)


def read_names(folder: Path, n_features: int) -> dict[str, Any]:
    """What a run keeps of its data in `NAMES`; a ValueError says why it is damaged.

    ``features`` and ``samples`` are lists of names, or None; ``classes`` are such lists by the layer that they are
    predicted from.  ``weights`` say how counts were weighted, if they were: ``options``, and ``idf`` with a number for
    every feature, or None.  What is beyond `MOST_SAMPLES` or `MOST_CHARACTERS` is missing.
    """
    if not (folder / NAMES).exists():
        return dict(_NO_NAMES)
    try:
        found = read_json(folder / NAMES)
    except ValueError as error:
        raise ValueError(f"{NAMES} {error}") from None
    found = _NO_NAMES | found if isinstance(found, dict) else {}
    if found.keys() != _NO_NAMES.keys() or not isinstance(found["classes"], dict):
        raise ValueError(f"{NAMES} is damaged")
    features, samples, weights = found["features"], found["samples"], found["weights"]
    if not all(map(are_names, [features, samples, *found["classes"].values()])) or not are_weights(weights, n_features):
        raise ValueError(f"{NAMES} is damaged")
    if features is not None and len(features) != n_features:
        raise ValueError(f"{NAMES} is damaged: it has {len(features)} names of {n_features} features")
    return found


def are_names(found: Any) -> bool:
    """Whether something is a list of names, or None."""
    return found is None or (isinstance(found, list) and all(isinstance(name, str) for name in found))


def are_weights(found: Any, n_features: int) -> bool:
    """Whether something has the form of weights in `NAMES`."""
    if found is None:
        return True
    if not isinstance(found, dict) or found.keys() != {"options", "idf"} or not isinstance(found["options"], dict):
        return False
    idf = found["idf"]
    return idf is None or (isinstance(idf, list) and len(idf) == n_features and all(map(_is_weight, idf)))


def _is_weight(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < math.inf


def read_history(folder: Path) -> dict[str, np.ndarray]:
    """Columns of a run's history, or a ValueError with the reason."""
    try:
        with (folder / HISTORY).open(newline="") as file:
            header, *rows = list(csv.reader(file))
        columns = np.array(rows, dtype=float).reshape(len(rows), len(header)).T
    except (OSError, ValueError, csv.Error) as error:
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

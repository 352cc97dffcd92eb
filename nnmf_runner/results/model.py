"""Fitted models as folders: what was asked in JSON, the factors in an npz file.  Runs are read as models too."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.files import FACTORS, read_arrays, whole_folder
from nnmf_runner.core.monitor import History, Stop
from nnmf_runner.methods import Fit
from nnmf_runner.methods.base import fit_from_arrays, named_arrays
from nnmf_runner.results.provenance import versions
from nnmf_runner.results.record import HISTORY, RECORD, read_history, read_record, write_history

MODEL = "model.json"
# Goes up when a field changes its meaning; a model of another version is not read.
MODEL_SCHEMA = 1


@dataclass(frozen=True)
class SavedModel:
    """A fitted model without its code.

    Attributes
    ----------
    estimator : str or None
        Name of its class; None for a run, whose method says it.
    parameters : dict
        Parameters by name, objects as ``{"name": ..., "options": {...}}``.
    method : dict
        The method that was fitted, in the same form.
    classes : dict or None
        Class labels as ``{"dtype": ..., "values": [...]}``, where there were any.
    n_features : int
    feature_names : list of str or None
    fit : Fit
    """

    estimator: str | None
    parameters: dict[str, Any]
    method: dict[str, Any]
    classes: dict[str, Any] | None
    n_features: int
    feature_names: list[str] | None
    fit: Fit


def write_model(folder: Path, model: SavedModel) -> None:
    """Write a model's folder whole or not at all, in place of an earlier model.

    Raises
    ------
    InputError
        If something else stands there, or a parameter is no JSON.
    OSError
        If the folder cannot be written.
    """
    if folder.exists() and not _may_be_replaced(folder):
        raise InputError(f"path={folder} exists and is not a saved model. Expected a new folder.")
    fit = model.fit
    description = {
        "schema": MODEL_SCHEMA,
        "estimator": model.estimator,
        "parameters": model.parameters,
        "method": model.method,
        "classes": model.classes,
        "n_features": model.n_features,
        "feature_names": model.feature_names,
        "stop": fit.stop.value,
        "n_iter": len(fit.history) - 1,
        "versions": versions(),
    }
    try:
        text = json.dumps(description, indent=1, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"A parameter of {model.estimator} cannot be saved: {error}.") from None
    with whole_folder(folder) as scratch:
        np.savez(scratch / FACTORS, **named_arrays(fit))
        write_history(scratch, fit.history.columns())
        (scratch / MODEL).write_text(text + "\n")


def _may_be_replaced(folder: Path) -> bool:
    """Whether a folder holds a saved model, or nothing: what else it may hold would be lost."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else None
    return names is not None and (not names or (MODEL in names and names <= {MODEL, FACTORS, HISTORY}))


def read_model(folder: Path) -> SavedModel:
    """Read the folder of a saved model or of a run.

    Raises
    ------
    ValueError
        If it is neither or damaged, with the reason.
    """
    if (folder / MODEL).exists():
        return _saved(folder)
    if (folder / RECORD).exists():
        try:
            return _run(folder)
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"{RECORD} is damaged: {type(error).__name__} {error}") from None
    raise ValueError(f"it holds neither {MODEL} nor {RECORD}" if folder.is_dir() else "there is no such folder")


def _saved(folder: Path) -> SavedModel:
    try:
        description = json.loads((folder / MODEL).read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{MODEL} cannot be read: {error}") from None
    if not isinstance(description, dict) or description.get("schema") != MODEL_SCHEMA:
        version = description.get("schema") if isinstance(description, dict) else None
        raise ValueError(f"{MODEL} has schema version {version}, expected {MODEL_SCHEMA}")
    for name, is_right in _FORM.items():
        if not is_right(description.get(name)):
            raise ValueError(f"{MODEL} is damaged: {name}={description.get(name)!r} is not what a model holds there")
    return SavedModel(
        *(description[name] for name in ("estimator", "parameters", "method")),
        *(description[name] for name in ("classes", "n_features", "feature_names")),
        _read_fit(folder, description["stop"]),
    )


def _run(folder: Path) -> SavedModel:
    """A run as the model that would have been fitted with its configuration."""
    record = read_record(folder / RECORD)
    config = record["config"]
    if record.get("stop") is None:
        raise ValueError(f"it is of a run that has no factors: its status is {record['status']}")
    if not (folder / FACTORS).exists():
        raise ValueError(f"it holds no {FACTORS}")
    fit = _read_fit(folder, record["stop"])
    parts = {group: _part(config[group]) for group in ("method", "cost", "optimizer", "init") if group in config}
    method, supervision = parts.pop("method"), config.get("supervision", {})
    parameters = {
        **parts,
        **method["options"],
        **config.get("regularisation", {}),
        **{f"label_{name}": supervision[name] for name in ("loss", "weight") if name in supervision},
        **{name: supervision[name] for name in ("learn_map",) if name in supervision},
        **{name: config[name] for name in ("layers", "tol", "max_iter") if name in config},
        "random_state": config["seed"],
    }
    if "digest" in parameters.get("init", {}).get("options", {}):  # the start was saved factors, and where is not known
        del parameters["init"]
    classes = None if fit.B is None else {"dtype": "int64", "values": list(range(len(fit.B)))}
    return SavedModel(None, parameters, method, classes, len(fit.A[0]), None, fit)


def _part(described: Any) -> dict[str, Any]:
    """From the form of a record to that of a model."""
    if not isinstance(described, dict):
        raise ValueError(f"{RECORD} is damaged: {described!r} is no part of a configuration")
    options = {key: value for key, value in described.items() if key != "name"}
    return {"name": described.get("name"), "options": options}


def _read_fit(folder: Path, stop: Any) -> Fit:
    columns = read_history(folder)
    expected = History().columns()
    if list(columns) != list(expected):
        raise ValueError(f"{HISTORY} has columns {', '.join(columns)}, expected {', '.join(expected)}")
    exact = {name: columns[name].astype(int).tolist() for name in ("layer", "iteration")}
    rest = {name: column.tolist() for name, column in columns.items() if name not in exact}
    try:
        return fit_from_arrays(read_arrays(folder / FACTORS), History(**exact, **rest), Stop(stop))
    except ValueError as error:
        raise ValueError(str(error) if FACTORS in str(error) else f"{FACTORS} is damaged: {error}") from None


def _is_part(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == {"name", "options"}
        and isinstance(value["name"], str)
        and isinstance(value["options"], dict)
    )


def _is_classes(value: Any) -> bool:
    return value is None or (isinstance(value, dict) and set(value) == {"dtype", "values"})


def _is_names(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(name, str) for name in value))


# What a model holds, by its name.
_FORM: dict[str, Callable[[Any], bool]] = {
    "estimator": lambda value: isinstance(value, str),
    "parameters": lambda value: isinstance(value, dict),
    "method": _is_part,
    "classes": _is_classes,
    "n_features": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "feature_names": _is_names,
    "stop": lambda value: value in [stop.value for stop in Stop],
}

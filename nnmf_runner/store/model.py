"""Fitted models as folders: what was asked in JSON, the factors in an npz file.  Runs are read as models too."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.linalg import Matrix
from nnmf_runner.core.monitor import History, Stop
from nnmf_runner.methods import Fit
from nnmf_runner.methods.fit import fit_from_arrays, named_arrays
from nnmf_runner.methods.supervision import PARAMETERS
from nnmf_runner.store.files import FACTORS, read_arrays, whole_folder
from nnmf_runner.store.provenance import versions
from nnmf_runner.store.record import HISTORY, RECORD, read_history, read_record, write_history

MODEL = "model.json"
# Goes up when a field changes its meaning; a model of another version is not read.
MODEL_SCHEMA = 2
# Before the number of a level among arrays: its label map, where the fit itself has none for it.
_LABEL_MAP = "label_maps/"


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
    classes : dict or list of dict or None
        Class labels as ``{"dtype": ..., "values": [...]}``, where there were any; a list where y had columns.
    label_layers : list of int or None
        The layer that every level of labels is predicted from; None for a level of which no label was known.
    label_maps : list of ndarray of shape (c_j, k_l) or None
        The label map of every level.
    n_features : int
    feature_names : list of str or None
    fit : Fit
    """

    estimator: str | None
    parameters: dict[str, Any]
    method: dict[str, Any]
    classes: dict[str, Any] | list[dict[str, Any]] | None
    label_layers: list[int | None]
    label_maps: list[Matrix | None]
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
        "label_layers": model.label_layers,
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
        np.savez(scratch / FACTORS, **named_arrays(fit), **_own_maps(model))
        write_history(scratch, fit.history.columns())
        (scratch / MODEL).write_text(text + "\n")


def _own_maps(model: SavedModel) -> dict[str, Matrix]:
    """The label maps that the fit does not hold, by the names that they are saved under."""
    levels = enumerate(zip(model.label_layers, model.label_maps, strict=True))
    held = model.fit.maps
    return {
        f"{_LABEL_MAP}{level}": B
        for level, (layer, B) in levels
        if layer is not None and B is not None and B is not held.get(layer)
    }


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
    label_layers = description["label_layers"]
    names = [f"{_LABEL_MAP}{level}" for level, layer in enumerate(label_layers) if layer is not None]
    fit, own = _read_fit(folder, description["stop"], names)
    return SavedModel(
        *(description[name] for name in ("estimator", "parameters", "method", "classes")),
        label_layers,
        _label_maps(fit, label_layers, own),
        *(description[name] for name in ("n_features", "feature_names")),
        fit,
    )


def _label_maps(fit: Fit, label_layers: list[int | None], own: Mapping[str, Matrix]) -> list[Matrix | None]:
    """The map of every level from those of the fit and those beside it."""
    found: list[Matrix | None] = []
    for level, layer in enumerate(label_layers):
        B = None if layer is None else own.get(f"{_LABEL_MAP}{level}", fit.maps.get(layer))
        if layer is not None and layer >= len(fit.A):
            raise ValueError(f"label_layers[{level}]={layer} is no layer of {len(fit.A)}")
        if layer is not None and (B is None or B.ndim != 2 or B.shape[1] != fit.A[layer].shape[1]):
            shape = "none" if B is None else f"one of shape {B.shape}"
            raise ValueError(
                f"level {level} of the labels needs a map of {fit.A[layer].shape[1]} topics, it has {shape}"
            )
        found.append(B)
    return found


def _run(folder: Path) -> SavedModel:
    """A run as the model that would have been fitted with its configuration."""
    record = read_record(folder / RECORD)
    config = record["config"]
    if record.get("stop") is None:
        raise ValueError(f"it is of a run that has no factors: its status is {record['status']}")
    if not (folder / FACTORS).exists():
        raise ValueError(f"it holds no {FACTORS}")
    fit, _ = _read_fit(folder, record["stop"])
    parts = {group: _part(config[group]) for group in ("method", "cost", "optimizer", "init") if group in config}
    method, supervision = parts.pop("method"), config.get("supervision", {})
    parameters = {
        **parts,
        **method["options"],
        **config.get("regularisation", {}),
        **{PARAMETERS[name]: value for name, value in supervision.items()},
        **{name: config[name] for name in ("layers", "normalise", "tol", "max_iter")},
        "allow_growing_ranks": sorted(config["layers"], reverse=True) != config["layers"],
        "random_state": config["seed"],
    }
    if "digest" in parameters["init"]["options"]:  # of saved factors; the record tells where they were read
        parameters["init"] = {"name": parameters["init"]["name"], "options": {"path": record["start"]}}
    layers, maps = list(fit.maps), list(fit.maps.values())
    if layers:  # its classes are one level for each of these layers, whichever levels the data had
        parameters["label_levels"] = [layers.index(i) if i in layers else None for i in range(len(fit.A))]
    classes = [{"dtype": "int64", "values": list(range(len(B)))} for B in maps]
    of_run = classes if len(classes) > 1 else next(iter(classes), None)
    return SavedModel(None, parameters, method, of_run, layers, maps, len(fit.A[0]), None, fit)


def _part(described: Any) -> dict[str, Any]:
    """From the form of a record to that of a model."""
    if not isinstance(described, dict):
        raise ValueError(f"{RECORD} is damaged: {described!r} is no part of a configuration")
    options = {key: value for key, value in described.items() if key != "name"}
    return {"name": described.get("name"), "options": options}


def _read_fit(folder: Path, stop: Any, others: Sequence[str] = ()) -> tuple[Fit, dict[str, Matrix]]:
    """The fit of a folder, and those of some `others` of its arrays that are there."""
    columns = read_history(folder)
    expected = History().columns()
    if list(columns) != list(expected):
        raise ValueError(f"{HISTORY} has columns {', '.join(columns)}, expected {', '.join(expected)}")
    exact = {name: columns[name].astype(int).tolist() for name in ("layer", "iteration")}
    rest = {name: column.tolist() for name, column in columns.items() if name not in exact}
    try:
        arrays = read_arrays(folder / FACTORS)
        beside = {name: arrays.pop(name) for name in others if name in arrays}
        return fit_from_arrays(arrays, History(**exact, **rest), Stop(stop)), beside
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
    if isinstance(value, list):
        return bool(value) and all(isinstance(level, dict) and _is_classes(level) for level in value)
    return value is None or (isinstance(value, dict) and set(value) == {"dtype", "values"})


def _are_layers(value: Any) -> bool:
    return isinstance(value, list) and all(layer is None or (type(layer) is int and layer >= 0) for layer in value)


def _is_names(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(name, str) for name in value))


# What a model holds, by its name.
_FORM: dict[str, Callable[[Any], bool]] = {
    "estimator": lambda value: isinstance(value, str),
    "parameters": lambda value: isinstance(value, dict),
    "method": _is_part,
    "classes": _is_classes,
    "label_layers": _are_layers,
    "n_features": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "feature_names": _is_names,
    "stop": lambda value: value in [stop.value for stop in Stop],
}

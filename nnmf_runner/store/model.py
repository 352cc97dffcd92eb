"""Fitted models as folders: what was asked in JSON, the factors in an npz file.  Runs are read as models too."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nnmf_runner.core.checks import InputError, check_choice
from nnmf_runner.core.costs import COSTS
from nnmf_runner.core.label_costs import majority
from nnmf_runner.core.linalg import DTYPES, Matrix, in_order
from nnmf_runner.core.monitor import History, Stop
from nnmf_runner.core.optimizers import OPTIMIZERS
from nnmf_runner.methods import METHODS, Fit, Method
from nnmf_runner.methods.fit import fit_from_arrays, named_arrays
from nnmf_runner.methods.supervision import PARAMETERS
from nnmf_runner.methods.target import known_labels
from nnmf_runner.store.files import FACTORS, read_arrays, read_json, whole_folder
from nnmf_runner.store.provenance import versions
from nnmf_runner.store.record import (
    HISTORY,
    NAMES,
    RECORD,
    START,
    are_names,
    are_weights,
    read_history,
    read_names,
    read_record,
    write_history,
)
from nnmf_runner.store.start import INITIALISATIONS, Saved

MODEL = "model.json"
# Goes up when a field changes its meaning; a model of another version is not read.
MODEL_SCHEMA = 2
# Before the number of a level among arrays: its label map, where the fit itself has none for it.
_LABEL_MAP = "label_maps/"
# Parameters that are mappings.
_MAPPINGS = ("seed_words",)
# What may be an object in a model, described as ``{"name": ..., "options": {...}}``.
_REGISTRIES: dict[str, Mapping[str, type]] = {
    "method": METHODS,
    "cost": COSTS,
    "optimizer": OPTIMIZERS,
    "init": INITIALISATIONS,
}


@dataclass(frozen=True)
class SavedModel:
    """A fitted model.

    Attributes
    ----------
    estimator : str or None
        Name of its class; None for a run, whose method says it.
    parameters : dict
        Parameters by name.
    method : Method
        The method that was fitted.
    fit : Fit
    classes : ndarray, list of ndarray or None
        Class labels, where there were any; a list where y had columns.
    label_layers : list of int or None
        The layer that every level of labels is predicted from; None for a level of which no label was known.
    label_maps : list of ndarray of shape (c_j, k_l) or None
        The label map of every level.
    majorities : list of int or None
        The class of every level that samples without any code are predicted to be of, as an index.
    feature_names : ndarray of str, shape (n_features,), or None
    weights : dict or None
        How counts of the features were weighted, see `nnmf_runner.store.record.read_names`.
    """

    estimator: str | None
    parameters: dict[str, Any]
    method: Method
    fit: Fit
    classes: NDArray[Any] | list[NDArray[Any]] | None = None
    label_layers: Sequence[int | None] = ()
    label_maps: Sequence[Matrix | None] = ()
    majorities: Sequence[int | None] = ()
    feature_names: NDArray[Any] | None = None
    weights: dict[str, Any] | None = None


def write_model(folder: Path, model: SavedModel) -> None:
    """Write a model's folder whole or not at all, in place of an earlier model.

    Raises
    ------
    InputError
        If something else stands there, or a parameter is no JSON.
    """
    if folder.exists() and not _may_be_replaced(folder):
        raise InputError(f"path={folder} exists and is not a saved model. Expected a new folder.")
    fit, names = model.fit, model.feature_names
    description = {
        "schema": MODEL_SCHEMA,
        "estimator": model.estimator,
        "parameters": {name: _parameter_description(name, value) for name, value in model.parameters.items()},
        "method": _part_description(model.method),
        "classes": _classes_description(model.classes),
        "label_layers": model.label_layers,
        "majorities": model.majorities,
        "n_features": model.method.n_features(fit),
        "feature_names": None if names is None else names.tolist(),
        "weights": model.weights,
        "stop": fit.stop.value,
        "n_iter": fit.history.n_iter,
        "versions": versions(),
    }
    try:
        text = json.dumps(description, indent=1, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"A parameter of {model.estimator} cannot be saved: {error}.") from None
    arrays: dict[str, Any] = named_arrays(fit) | _own_maps(model)
    with whole_folder(folder) as scratch:
        np.savez(scratch / FACTORS, **arrays)
        write_history(scratch, fit.history.columns())
        (scratch / MODEL).write_text(text + "\n")


def _may_be_replaced(folder: Path) -> bool:
    """Whether a folder holds a saved model, or nothing: what else it may hold would be lost."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else None
    return names is not None and (not names or (MODEL in names and names <= {MODEL, FACTORS, HISTORY}))


def _parameter_description(name: str, value: Any) -> Any:
    """A parameter as JSON: numbers, names, sequences of them, or an object by its name and options."""
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _parameter_description(name, entry) for key, entry in value.items()}
    if isinstance(value, Sequence):
        return [_parameter_description(name, entry) for entry in value]
    if type(value) in _REGISTRIES.get(name, {}).values():
        return _part_description(value)
    raise InputError(
        f"{name} is of type {type(value).__name__}, which cannot be saved. Expected numbers, names or an object of "
        f"nnmf_runner; set_params({name}=...) changes it without another fit."
    )


def _part_description(part: Any) -> dict[str, Any]:
    return {"name": part.name, "options": dataclasses.asdict(part)}


def _classes_description(classes: Any) -> Any:
    """Class labels as JSON, a list where they are of several levels."""
    if classes is None or isinstance(classes, list):
        return classes and [_classes_description(level) for level in classes]
    return {"dtype": str(classes.dtype), "values": classes.tolist()}


def _own_maps(model: SavedModel) -> dict[str, Matrix]:
    """The label maps that the fit does not hold, by the names that they are saved under."""
    levels = enumerate(zip(model.label_layers, model.label_maps, strict=True))
    held = model.fit.maps
    return {
        f"{_LABEL_MAP}{level}": B
        for level, (layer, B) in levels
        if layer is not None and B is not None and B is not held.get(layer)
    }


def read_model(folder: Path) -> SavedModel:
    """Read the folder of a saved model or of a run; a ValueError says why if it is neither, or damaged."""
    try:
        name = next((name for name in (MODEL, RECORD) if (folder / name).exists()), None)
        if name is None:
            raise ValueError(f"it holds neither {MODEL} nor {RECORD}" if folder.is_dir() else "there is no such folder")
        model = _saved(folder) if name == MODEL else _run(folder)
    except OSError as error:  # of a path that is too long, or closed to this user
        raise ValueError(f"it cannot be read: {error.strerror or error}") from None
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
        raise ValueError(f"{name} is damaged: {type(error).__name__} {error}") from None
    _try_out(model.method, model.fit)
    return model


def _saved(folder: Path) -> SavedModel:
    description = _description(folder)
    layers, names, n = (description[name] for name in ("label_layers", "feature_names", "n_features"))
    method = _part("method", description["method"])
    own = [f"{_LABEL_MAP}{level}" for level, layer in enumerate(layers) if layer is not None]
    fit, beside = _read_fit(folder, description["stop"], own)
    if n != (found := method.n_features(fit)):
        raise InputError(f"it has factors of {found} features, expected {n}")
    if names is not None and len(names) != n:
        raise InputError(f"there are {len(names)} feature names for {n} features")
    if not are_weights(weights := description.get("weights"), n):
        raise InputError(f"its weights do not fit {n} features")
    maps = _label_maps(fit, layers, beside)
    classes = _classes(description["classes"], fit, maps)
    parameters = {name: _parameter(name, value) for name, value in description["parameters"].items()}
    feature_names = None if names is None else np.array(names, dtype=object)
    given = description.get("majorities")
    most = _majorities(fit, layers, maps) if given is None else _checked_majorities(given, maps)
    about = (classes, layers, maps, most, feature_names, weights)
    return SavedModel(description["estimator"], parameters, method, fit, *about)


def _description(folder: Path) -> dict[str, Any]:
    """The JSON of a saved model, in the form that a model has."""
    try:
        found = read_json(folder / MODEL)
    except ValueError as error:
        raise ValueError(f"{MODEL} {error}") from None
    version = found.get("schema") if isinstance(found, dict) else None
    if version != MODEL_SCHEMA:
        raise ValueError(f"{MODEL} has schema version {version}, expected {MODEL_SCHEMA}")
    for name, is_right in _FORM.items():
        if not is_right(found.get(name)):
            raise ValueError(f"{MODEL} is damaged: {name}={found.get(name)!r} is not what a model holds there")
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
    given = {group: dict(config[group]) for group in _REGISTRIES if group in config}
    if given["init"].pop("digest", None):  # of saved factors; the record tells where they were read
        given["init"].pop("layers", None)
        given["init"]["path"] = record["start"]
    if "consensus" in config:  # whose start is beside it
        given["init"] = {"name": Saved.name, "path": str(folder / START)}
    parts = {group: _part(group, {"name": own.pop("name"), "options": own}) for group, own in given.items()}
    method, layers = parts.pop("method"), list(fit.maps)
    parameters = {
        **parts,
        **given["method"],
        **config.get("regularisation", {}),
        **{PARAMETERS[name]: value for name, value in config.get("supervision", {}).items()},
        **{name: config[name] for name in ("layers", "normalise", "tol", "max_iter")},
        "allow_growing_ranks": sorted(config["layers"], reverse=True) != config["layers"],
        "random_state": config["seed"],
        "fixed": config.get("fixed", []),
        "dtype": config.get("dtype", DTYPES[0]),
        "seed_words": dict(config["seed_words"]) if "seed_words" in config else None,
    }
    if layers:  # its classes are one level for each of these layers, whichever levels the data had
        parameters["label_levels"] = [layers.index(i) if i in layers else None for i in range(len(fit.A))]
    parameters = {name: _parameter(name, value) for name, value in parameters.items()}
    kept, maps = read_names(folder, method.n_features(fit)), list(fit.maps.values())
    if kept["samples"] is not None and len(kept["samples"]) != (n := fit.S[0].shape[1]):
        raise ValueError(f"{NAMES} is damaged: it has {len(kept['samples'])} names of {n} samples")
    classes = [_named_classes(kept["classes"].get(str(layer)), B) for layer, B in fit.maps.items()]
    of_run = classes if len(classes) > 1 else next(iter(classes), None)
    names = None if kept["features"] is None else np.array(kept["features"], dtype=object)
    about = (of_run, layers, maps, _majorities(fit, layers, maps), names, kept["weights"])
    return SavedModel(None, parameters, method, fit, *about)


def _named_classes(names: list[str] | None, B: Matrix) -> NDArray[Any]:
    """The classes that a label map predicts: their names, as integers where all are, or else their indices."""
    if names is None or len(names) != len(B):
        return np.arange(len(B))
    try:
        numbers = np.array([int(name) for name in names])
    except (ValueError, OverflowError):
        return np.array(names)
    return numbers if numbers.dtype != object and [*map(str, numbers)] == names else np.array(names)


def _read_fit(folder: Path, stop: Any, others: Sequence[str] = ()) -> tuple[Fit, dict[str, Matrix]]:
    """The fit of a folder, and those of some `others` of its arrays that are there."""
    columns = read_history(folder)
    expected = History().columns()
    if list(columns) != list(expected):
        raise ValueError(f"{HISTORY} has columns {', '.join(columns)}, expected {', '.join(expected)}")
    exact = {name: columns[name].astype(int).tolist() for name in ("layer", "iteration")}
    rest = {name: column.tolist() for name, column in columns.items() if name not in exact}
    try:
        arrays = {name: in_order(array) for name, array in read_arrays(folder / FACTORS).items()}
        beside = {name: arrays.pop(name) for name in others if name in arrays}
        return fit_from_arrays(arrays, History(**exact, **rest), Stop(stop)), beside
    except ValueError as error:
        raise ValueError(str(error) if FACTORS in str(error) else f"{FACTORS} is damaged: {error}") from None


def _parameter(name: str, description: Any) -> Any:
    """The parameter of a `_parameter_description`."""
    if isinstance(description, list):
        return tuple(description)
    return _part(name, description) if isinstance(description, dict) and name not in _MAPPINGS else description


def _part(name: str, description: Mapping[str, Any]) -> Any:
    """An object of a registry by its name and options."""
    registry: Mapping[str, Any] = _REGISTRIES.get(name, {})
    kind = registry[check_choice(description.get("name"), registry, name)]
    legal = [option.name for option in dataclasses.fields(kind)]
    options = description.get("options")
    if not isinstance(options, dict):
        raise InputError(f"{name}={description} is not valid. Expected a name and options.")
    return kind(**{check_choice(option, legal, f"option of {name}"): value for option, value in options.items()})


def _try_out(method: Method, fit: Fit) -> None:
    """Refuse factors and parameters with which one sample cannot be encoded."""
    signed = () if method.sign_free else (*fit.A, *fit.S, *fit.parameters.values())
    if any((array < 0).any() for array in signed):
        raise InputError(f"a factor has negative entries, which method={method.name} cannot have")
    try:
        shapes = [codes.shape for codes in method.transform(fit, _one_sample(method, fit))]
        topics = [method.topics(fit, level).shape for level in range(len(fit.A))]
    except (IndexError, KeyError, TypeError, ValueError, np.linalg.LinAlgError) as error:
        raise InputError(f"its arrays do not fit method={method.name}: {type(error).__name__} {error}") from None
    if shapes != [(len(S), 1) for S in fit.S] or topics != [(len(fit.A[0]), len(S)) for S in fit.S]:
        raise InputError(f"its arrays do not fit method={method.name}: topics of shapes {topics}, codes of {shapes}")


def _one_sample(method: Method, fit: Fit) -> Any:
    """Data of one sample, shape (m, 1); of a tensor with one entry, since it may have more than any memory holds."""
    m = method.n_features(fit)
    return sparse.csc_array(([1.0], ([0], [0])), shape=(m, 1)) if method.tensors else np.ones((m, 1))


def _label_maps(fit: Fit, label_layers: list[int | None], own: Mapping[str, Matrix]) -> list[Matrix | None]:
    """The map of every level from those of the fit and those beside it."""
    found: list[Matrix | None] = []
    for level, layer in enumerate(label_layers):
        if layer is None:
            found.append(None)
            continue
        if layer >= len(fit.A):
            raise ValueError(f"label_layers[{level}]={layer} is no layer of {len(fit.A)}")
        B, rank = own.get(f"{_LABEL_MAP}{level}", fit.maps.get(layer)), fit.A[layer].shape[1]
        if B is None or B.ndim != 2 or B.shape[1] != rank:
            shape = "none" if B is None else f"one of shape {B.shape}"
            raise ValueError(f"level {level} of the labels needs a map of {rank} topics, it has {shape}")
        found.append(B)
    return found


def _majorities(fit: Fit, layers: Sequence[int | None], maps: Sequence[Matrix | None]) -> list[int | None]:
    """The most frequent of the classes that the maps predict for the samples of the fit, where no labels are kept."""
    levels = zip(layers, maps, strict=True)
    return [None if i is None or B is None else majority(np.argmax(B @ fit.S[i], axis=0)) for i, B in levels]


def _checked_majorities(given: list[int | None], maps: Sequence[Matrix | None]) -> list[int | None]:
    legal = [[None] if B is None else range(len(B)) for B in maps]
    if len(given) != len(legal) or any(most not in of_level for most, of_level in zip(given, legal, strict=True)):
        counts = [0 if B is None else len(B) for B in maps]
        raise InputError(f"majorities={given} do not fit label maps of {counts} classes")
    return given


def _classes(description: Any, fit: Fit, maps: Sequence[Matrix | None]) -> NDArray[Any] | list[NDArray[Any]] | None:
    """The class labels of a `_classes_description`, for the label map of every level."""
    levels = description if isinstance(description, list) else [description] if description else []
    if len(levels) != len(maps) or (fit.maps and not levels):
        raise InputError(
            f"there are classes of {len(levels)} levels, but label maps of {max(len(maps), len(fit.maps))}"
        )
    classes = [_classes_of_level(*level) for level in zip(levels, maps, strict=True)]
    return classes if isinstance(description, list) else next(iter(classes), None)


def _classes_of_level(described: Mapping[str, Any], B: Matrix | None) -> NDArray[Any]:
    try:
        classes = np.array(described["values"], dtype=described["dtype"])
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"classes={described} are no class labels") from None
    known_labels(np.atleast_1d(classes), "classes")
    if B is None and len(classes):
        raise InputError(f"there are {len(classes)} classes, but no label map")
    if B is not None and len(classes) != len(B):
        raise InputError(f"there are {len(classes)} classes, but their label map has {len(B)} rows")
    return classes


def _is_classes(value: Any) -> bool:
    levels = value if isinstance(value, list) and value else [value]
    return value is None or all(isinstance(level, dict) and set(level) == {"dtype", "values"} for level in levels)


def _are_indices(value: Any) -> bool:
    return isinstance(value, list) and all(index is None or (type(index) is int and index >= 0) for index in value)


# What a model holds, by its name.
_FORM: dict[str, Callable[[Any], bool]] = {
    "estimator": lambda value: isinstance(value, str),
    "parameters": lambda value: isinstance(value, dict),
    "method": lambda value: isinstance(value, dict),
    "classes": _is_classes,
    "label_layers": _are_indices,
    "majorities": lambda value: value is None or _are_indices(value),  # models saved before had none
    "n_features": lambda value: type(value) is int,
    "feature_names": are_names,
    "stop": lambda value: value in [stop.value for stop in Stop],
}

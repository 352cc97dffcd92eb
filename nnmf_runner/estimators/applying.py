"""A fitted model applied to new data: codes, predicted labels and errors of every sample, as CSV."""

from __future__ import annotations

import csv
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.label_costs import classify
from nnmf_runner.core.linalg import Matrix, zero_columns
from nnmf_runner.core.streams import stream
from nnmf_runner.datasets import DATASETS, Dataset, Source
from nnmf_runner.datasets.files.shards import Sharded
from nnmf_runner.datasets.text.words import Words
from nnmf_runner.datasets.vocabulary import Vocabulary
from nnmf_runner.datasets.weighting import Weights
from nnmf_runner.estimators import load
from nnmf_runner.estimators.factorisation import vocabulary_of
from nnmf_runner.metrics.scoring import in_words
from nnmf_runner.report.codes import codes_frame
from nnmf_runner.report.data import attempt, load_data
from nnmf_runner.report.topics import Topics
from nnmf_runner.store.files import whole_folder
from nnmf_runner.store.model import MODEL
from nnmf_runner.store.record import RECORD, read_record
from nnmf_runner.task import notes_after_checks

log = logging.getLogger(__name__)

# Entries of the data that are compared with their approximation at a time.
ENTRIES = 2**22
# Features that an error names.
NAMED = 3
# Classes that the summary counts, and the columns of predicted ones.
CLASSES, CLASS = 10, re.compile(r"class(, level \d+)?")
# What to do about new data that are no counts.
WEIGHED = "The run weighs them itself; load(RUN).transform takes data that are weighted already."


@dataclass(frozen=True)
class Applied:
    """A fitted estimator, and what is known of the data that it was fitted to.

    Attributes
    ----------
    folder : Path
    estimator : Factorisation
    feature_names : list of str or None
    class_names : list of list of str
        Of every level of labels.
    topics : list of list of dict or None
        As in a record.
    vocabulary : Vocabulary or None
        How counts were weighted, where the data are such weights.
    """

    folder: Path
    estimator: Any
    feature_names: list[str] | None
    class_names: list[list[str]]
    topics: Topics | None
    vocabulary: Vocabulary | None


@dataclass(frozen=True)
class Written:
    """What came of new data, in a few lines, and the files that have all of it."""

    summary: str
    paths: list[Path]


def apply(folder: Path, source: Source, seed: int, output: Path) -> Written:
    """Write what a run or a saved model makes of new data into a new folder.

    ``codes.csv`` has the codes of every layer, as `report.export` has them of the data of the fit, ``errors.csv`` the
    relative error of every sample at every layer, and ``labels.csv``, of a model with labels, the predicted class of
    every level with the scores of all classes.  A sample without any code has scores of zero and the class that most
    labelled samples of the fit had; one that is all zeros itself, as a text without any known word, has no class and no
    relative error, and these cells are empty.

    Where the fit was to weights of counts, as of words in texts, the new data are texts or counts, and get weights by
    what the run keeps of its own.  Words that the fit does not know are not counted; the log says how many they are.

    Raises
    ------
    InputError
        If the folder is no fitted model, the data are not acceptable or have other features, or `output` exists.
    OSError
        If the folder cannot be written; nothing is left of it then.
    """
    if output.exists():
        raise InputError(f"output={output} exists. Expected a new folder.")
    with notes_after_checks(), whole_folder(output) as scratch:
        applied, first, told = read_applied(folder), 0, []
        for dataset in _parts(_raw(source, applied), seed):
            frames = applied_frames(applied, dataset, of_texts=isinstance(source, Words))
            for name, frame in frames.items():
                if not dataset.sample_names:
                    frame["sample"] += first
                with (scratch / f"{name}.csv").open("a", encoding="utf-8", newline="") as file:
                    frame.to_csv(file, index=False, header=not first, quoting=csv.QUOTE_NONNUMERIC)
            told.append(of_summary(frames))
            first += dataset.X.shape[1]
    if (applied.feature_names is None) != (dataset.feature_names is None):
        lacks = "the fit has" if applied.feature_names is None else "the new data have"
        log.info("Features are matched by number: %s no names.", lacks)
    return Written(summary(pd.concat(told)), [output / f"{name}.csv" for name in frames])


def of_summary(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The columns that a summary is of: errors and predicted classes."""
    labels = frames.get("labels", pd.DataFrame())
    return frames["errors"].drop(columns="sample").join(labels[[name for name in labels if CLASS.fullmatch(name)]])


def summary(found: pd.DataFrame) -> str:
    """A line on the errors of every layer, and one on the predicted classes of every level of labels."""
    is_class = {name: CLASS.fullmatch(name) is not None for name in found}
    zeros = int(found[[name for name in found if not is_class[name]]].isna().all(axis=1).sum())
    lines = [f"{len(found)} sample{'s' * (len(found) != 1)}" + (f", {zeros} of them all zeros" if zeros else "")]
    for name, values in found.items() if zeros < len(found) else ():
        if not is_class[name]:
            lines.append(f"{name}: median {values.median():.4f}, largest {values.max():.4f}")
            continue
        counts = [f"{each} ({count})" for each, count in values.value_counts().items()]
        more = [f"{len(counts) - CLASSES} further classes"] if len(counts) > CLASSES else []
        lines.append(f"predicted {name}: {', '.join([*counts[:CLASSES], *more])}")
    return "\n".join(lines)


def read_applied(folder: Path) -> Applied:
    """Read a run or a saved model; an `InputError` says why the folder is neither, or cannot meet new data."""
    try:
        estimator = load(folder)
    except InputError as error:
        raise InputError(f"run{str(error).removeprefix('path')}") from None
    except NotImplementedError:
        raise InputError(f"run={folder} is of a method that cannot encode new data. Expected another one.") from None
    model = estimator._fitted
    names = None if model.feature_names is None else model.feature_names.tolist()
    classes = model.classes if isinstance(model.classes, list) else [] if model.classes is None else [model.classes]
    called = [[*map(str, of_level)] for of_level in classes]
    if (folder / MODEL).exists():
        layers = [] if names is None else range(len(model.fit.A))
        topics = [in_words(model.method.topics(model.fit, level), names or []) for level in layers] or None
    else:
        record = read_record(folder / RECORD)
        if model.weights is None and _is_weighted(record):
            raise InputError(
                f"run={folder} is of weighted counts of words and does not keep how they were weighted, as runs of "
                "earlier versions and those of very many names do not. Expected a run of this version: give its "
                "command again."
            )
        names, topics = names or _reloaded(record, folder), record.get("topics")
    return Applied(folder, estimator, names, called, topics, vocabulary_of(model))


def _reloaded(record: dict[str, Any], folder: Path) -> list[str] | None:
    """Names of the features from the data of a run that keeps none, as those of earlier versions."""
    if not record.get("topics"):  # which have names wherever the features have
        return None
    data = attempt(lambda: load_data(record), f"{folder} is applied without names of its features")
    return data.feature_names if data else None


def _is_weighted(record: dict[str, Any]) -> bool:
    """Whether the data of a run are weights that depend on the collection that a sample stands in."""
    options = record["config"]["dataset"]
    is_text = issubclass(DATASETS.get(options["name"], object), Words) and "modes" not in record["dataset"]
    return is_text or options.get("weighting") is not None


def _raw(source: Source, applied: Applied) -> Source:
    """The source of new data; where the fit is to weights of counts, that of the counts."""
    vocabulary, run = applied.vocabulary, f"run={applied.folder}"
    if isinstance(source, Words) and (vocabulary is None or vocabulary.split is None or source.recipe is None):
        raise InputError(f"dataset={source.name} is of words, and {run} is not of text. Expected other data.")
    if not isinstance(source, Weights):
        return source
    if vocabulary is not None:
        return source.as_counts(vocabulary.recipe)
    if source.recipe is not None:
        raise InputError(f"dataset.weighting weighs counts, and {run} is of data that are not weighted. Leave it out.")
    return source


def _parts(source: Source, seed: int) -> Iterator[Dataset]:
    """New data, of which as many samples are in the memory as a shard has, where they are in shards."""
    if isinstance(source, Sharded):
        yield from source.parts()
    else:
        yield source.load(stream(seed, "data"))


def applied_frames(applied: Applied, dataset: Dataset, *, of_texts: bool) -> dict[str, pd.DataFrame]:
    """The tables of `apply` by their names."""
    estimator, X = applied.estimator, _known_words(applied, dataset) if of_texts else _in_order(applied, dataset)
    if applied.vocabulary is not None:
        X = applied.vocabulary.weigh(X, "the new data: X", WEIGHED)
    columns, known, codes = estimator._encoded(_samples(X, dataset, estimator), None)
    first = {"sample": dataset.sample_names or range(X.shape[1])}
    errors = {
        f"relative error, layer {level}": sample_errors(estimator, columns, known, codes, level)
        for level in range(len(codes))
    }
    frames = {"codes": codes_frame(dataset, codes, applied.topics), "errors": pd.DataFrame(first | errors)}
    if estimator._predicts:
        frames["labels"] = pd.DataFrame(first | _predictions(applied, codes, zero_columns(columns)))
    return frames


def _samples(X: Any, dataset: Dataset, estimator: Any) -> Any:
    """The data as an estimator has them, samples first."""
    if not estimator._fitted.method.tensors:
        return X.T
    if dataset.modes is None or sparse.issparse(X):
        found = "a matrix" if dataset.modes is None else "a sparse tensor, which is not taken here"
        raise InputError(f"the new data are {found}, and the run is of tensors. Expected a dense tensor.")
    return np.moveaxis(np.reshape(X, dataset.modes.shape), -1, 0)


def _known_words(applied: Applied, dataset: Dataset) -> Any:
    """Counts of the words of the fit in new texts, shape (m, n); the log says how many are missing, and are unknown.

    Raises
    ------
    InputError
        If the texts have no word in common with those of the fit.
    """
    words, new, X = applied.feature_names or [], dataset.feature_names or [], sparse.csr_array(dataset.X)
    place = {word: i for i, word in enumerate(new)}
    rows = [i for i, word in enumerate(words) if word in place]
    if not rows:
        raise InputError(
            f"the new texts have no word in common with run={applied.folder}, which knows {len(words)}: "
            f"{_told(new, 'unknown')}. Expected texts of its kind and language."
        )
    chosen = sparse.csr_array((np.ones(len(rows)), (rows, [place[words[i]] for i in rows])), (len(words), len(new)))
    counts = sparse.csr_array(chosen @ X)
    counts.sort_indices()
    often = [new[i] for i in np.argsort(-X.sum(axis=1), kind="stable")]
    log.info(
        "The new texts have %d of %d words of the fit, %d are missing; %s and not counted. %d of %d texts have none.",
        len(rows),
        len(words),
        len(words) - len(rows),
        _told(_without(often, words), "unknown"),
        np.count_nonzero(counts.sum(axis=0) == 0),
        X.shape[1],
    )
    return counts


def _in_order(applied: Applied, dataset: Dataset) -> Any:
    """New data with rows in the order that the features of a fit have, where both have names.

    Raises
    ------
    InputError
        If features are missing or unknown, or have a name twice.
    """
    names, new, folder = applied.feature_names, dataset.feature_names, applied.folder
    if new == names and new is not None:
        return dataset.X
    if new is None or names is None:
        if (m := dataset.X.shape[0]) != (count := applied.estimator.n_features_in_):
            missing, unknown = max(count - m, 0), max(m - count, 0)
            raise InputError(
                f"the new data have {m} features and run={folder} has {count}: {missing} are missing, {unknown} are "
                "unknown (matched by number, since not both have names). Expected the features of the fit."
            )
        return dataset.X
    missing, unknown = _without(names, new), _without(new, names)
    if missing or unknown:
        raise InputError(
            f"the new data have other features than run={folder}: {_told(missing, 'missing')}, "
            f"{_told(unknown, 'unknown')}. Expected the features of the fit, in any order."
        )
    place = {name: i for i, name in enumerate(new)}
    if len(place) < max(len(new), len(names)):
        raise InputError(
            "some features have the same name, and stand in another order than in the fit. Expected different names, "
            "or the order of the fit."
        )
    return dataset.X[[place[name] for name in names]]


def _without(names: Sequence[str], others: Sequence[str]) -> list[str]:
    known = set(others)
    return [name for name in names if name not in known]


def _told(names: Sequence[str], are: str) -> str:
    """How many features are missing or unknown, and the first of them."""
    shown = ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
    return f"{len(names)} {'is' if len(names) == 1 else 'are'} {are}" + (f" ({shown})" if names else "")


def sample_errors(
    estimator: Any, X: Any, known: NDArray[np.bool_] | None, codes: Sequence[Matrix], level: int
) -> NDArray[np.float64]:
    """``||x - approximation|| / ||x||`` of every sample x over its known entries; NaN for a sample of zeros."""
    method, fit = estimator._fitted.method, estimator._fitted.fit
    (m, n), found = X.shape, []
    for start in range(0, n, step := max(1, ENTRIES // m)):
        part = slice(start, start + step)
        data = X[:, part].toarray() if sparse.issparse(X) else X[:, part]
        residual = data - method.approximation(fit, [S[:, part] for S in codes], level).dense().astype(np.float64)
        if known is not None:
            residual[~known[:, part]] = 0.0
        distance, length = (np.linalg.norm(each.astype(np.float64), axis=0) for each in (residual, data))
        found.append(np.divide(distance, length, out=np.full_like(length, np.nan), where=length > 0))
    return np.concatenate(found)


def _predictions(applied: Applied, codes: Sequence[Matrix], zeros: NDArray[np.bool_]) -> dict[str, Any]:
    """The predicted class of every level of labels, None for samples of zeros, and the scores of its classes."""
    model, columns = applied.estimator._fitted, {}
    levels = zip(applied.class_names, model.label_layers, model.label_maps, model.majorities, strict=True)
    for level, (names, layer, B, most) in enumerate(levels):
        if layer is None or B is None or most is None:  # no label of it was known
            continue
        suffix = "" if len(model.label_layers) == 1 else f", level {level}"
        predicted = np.array(names, object)[classify(B, codes[layer], most)]
        predicted[zeros] = None
        columns[f"class{suffix}"] = predicted
        columns |= {f"score of {name}{suffix}": row for name, row in zip(names, B @ codes[layer], strict=True)}
    return columns

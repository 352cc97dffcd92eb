"""A run or a saved model as CSV: its topics, its codes, and the tree of its topics, with names where there are some."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.linalg import Matrix
from nnmf_runner.datasets import Dataset
from nnmf_runner.datasets.modes import Modes
from nnmf_runner.metrics.scoring import in_words, tree_shares
from nnmf_runner.report.codes import codes_frame, heading_of
from nnmf_runner.report.data import attempt, load_data
from nnmf_runner.report.topics import Topics
from nnmf_runner.store.files import whole_folder
from nnmf_runner.store.model import MODEL, SavedModel, read_model
from nnmf_runner.store.record import RECORD, read_names, read_record


@dataclass(frozen=True)
class Exported:
    """A fitted model with what is known of its data; without these, no more than the names that the model keeps."""

    folder: Path
    model: SavedModel
    dataset: Dataset | None
    topics: Topics | None
    sample_names: list[str] | None = None

    def headings(self, level: int) -> list[str]:
        """What the topics of a layer are called."""
        rank = self.model.fit.A[level].shape[1]
        return [heading_of(self.topics, level, j) for j in range(rank)]


def export(folder: Path, output: Path, wanted: Sequence[str] = ()) -> list[Path]:
    """Write tables of a run or a saved model into a new folder, by default all that there are; return their paths.

    ``topics.csv`` has a row for every feature, of methods for tensors for every entry of a mode, and ``codes.csv`` for
    every sample; both have a column for every topic of every layer.  Without pooling the columns of a layer in one,
    times those in the other, are the approximation of the data.  ``tree.csv`` has a row for every link, with the share
    of the topic above that the topic below has.  Where names are not known, or the data of a run cannot be had any
    more, which the log says, features and samples are numbered from zero.

    Raises
    ------
    InputError
        If the folder is neither that of a run with factors nor a saved model, a tree is wanted and there is none, or
        `output` exists.
    OSError
        If a file cannot be written; none is, if one table cannot be made.
    """
    if output.exists():
        raise InputError(f"output={output} exists. Expected a new folder.")
    exported = read_exported(folder)
    frames = {name: TABLES[name](exported) for name in wanted or TABLES}
    if "tree" in wanted and frames["tree"].empty:
        raise InputError(f"run={folder} has no tree: no topic of it is made of others. Expected --topics or --codes.")
    written = {f"{name}.csv": frame for name, frame in frames.items() if not frame.empty}
    with whole_folder(output) as scratch:
        for name, frame in written.items():
            text = frame.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC)
            (scratch / name).write_text(text, encoding="utf-8")
    return [output / name for name in written]


def read_exported(folder: Path) -> Exported:
    """Read a run or a saved model; an `InputError` says why the folder is neither."""
    model, record = read_fitted(folder)
    if record is not None:
        lacks = f"{folder} is exported with no more of its data than the names that it keeps"
        data = attempt(lambda: load_data(record), lacks)
        kept = None if data else read_names(folder, model.method.n_features(model.fit))["samples"]
        return Exported(folder, model, data, record.get("topics"), kept)
    names, method = model.feature_names, model.method
    layers = range(len(model.fit.A))
    topics = None if names is None else [in_words(method.topics(model.fit, level), names.tolist()) for level in layers]
    return Exported(folder, model, None, topics)


def read_fitted(folder: Path) -> tuple[SavedModel, dict[str, Any] | None]:
    """Read a saved model, or a run as one with its record; an `InputError` says why the folder is neither."""
    try:
        return read_model(folder), None if (folder / MODEL).exists() else read_record(folder / RECORD)
    except ValueError as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise InputError(f"run={folder} is neither a run nor a saved model: {reason}.") from None


def _topics(exported: Exported) -> pd.DataFrame:
    """The weights of the features in every topic."""
    method, fit = exported.model.method, exported.model.fit
    columns: dict[str, Any] = {}
    for level in range(len(fit.A)):
        modes = method.mode_topics(fit, level)[:-1]
        if not columns:
            columns = _entries(modes, exported) if modes else {"feature": features_of(exported)}
        topics = np.vstack(modes) if modes else method.topics(fit, level)
        columns |= dict(zip(exported.headings(level), topics.T, strict=True))
    return pd.DataFrame(columns)


def features_of(exported: Exported) -> Sequence[Any]:
    """Names of the features, those of fibres of a tensor from the entries that they are of, or their indices."""
    m, dataset = len(exported.model.fit.A[0]), exported.dataset
    modes = dataset.modes if dataset else None
    if modes and any(modes.entries[:-1]):
        places = zip(*np.unravel_index(np.arange(m), modes.shape[:-1]), strict=True)
        return [" | ".join(_entry(modes, mode, i) for mode, i in enumerate(place)) for place in places]
    names = dataset.feature_names if dataset else exported.model.feature_names
    return range(m) if names is None else [*names]


def _entries(topics: Sequence[Matrix], exported: Exported) -> dict[str, list[str]]:
    """The mode of every row of topics below each other, and the entry of it."""
    known = exported.dataset.modes if exported.dataset else None
    modes = known or Modes.of([*map(len, topics), 0], len(topics))
    rows = [(mode, i) for mode, own in enumerate(topics) for i in range(len(own))]
    return {"mode": [modes.names[mode] for mode, _ in rows], "feature": [_entry(modes, *row) for row in rows]}


def _entry(modes: Modes, mode: int, i: int) -> str:
    """Name of an entry of a mode, or its index."""
    names = modes.entries[mode]
    return str(i) if names is None else names[i]


def _codes(exported: Exported) -> pd.DataFrame:
    """The codes of every sample."""
    return codes_frame(exported.dataset, exported.model.fit.S, exported.topics, exported.sample_names)


def _tree(exported: Exported) -> pd.DataFrame:
    """The links between topics of neighbouring layers."""
    return pd.DataFrame(_links(exported), columns=["topic above", "topic below", "share"])


def _links(exported: Exported) -> Iterator[tuple[str, str, float]]:
    for level, shares in enumerate(tree_shares(exported.model.method, exported.model.fit)):
        if shares is not None:
            below, above = exported.headings(level), exported.headings(level + 1)
            yield from ((above[j], below[i], shares[i, j]) for j, i in np.argwhere(shares.T > 0))


TABLES: dict[str, Callable[[Exported], pd.DataFrame]] = {"topics": _topics, "codes": _codes, "tree": _tree}

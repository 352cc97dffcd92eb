"""The codes of a run as a table, where its samples have names."""

from __future__ import annotations

import csv
from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nnmf_runner.datasets import Dataset
from nnmf_runner.report.data import attempt, load_data
from nnmf_runner.report.topics import Topics, in_modes, told
from nnmf_runner.report.variants import Shown
from nnmf_runner.store.record import read_factors

# Of the heading of a topic.
WORDS = 3


def codes_table(run: Shown) -> str | None:
    """The table of `codes_frame` as CSV, in which all text is quoted; None where samples have no names.

    Where the data or the factors cannot be read any more, the log says so.
    """
    if not run.record.get("dataset", {}).get("sample_names"):  # which tells without loading the data
        return None

    def table() -> str:
        factors = read_factors(run.folder)
        codes = [factors[f"S{level}"] for level in range(len(run.record["config"]["layers"]))]
        frame = codes_frame(load_data(run.record), codes, run.record.get("topics"))
        return frame.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC)

    return attempt(table, f"{run.folder} has no table of codes")


def codes_frame(dataset: Dataset, codes: list[NDArray[np.floating]], topics: Topics | None) -> pd.DataFrame:
    """One row for every sample: its name, its class at every level, empty where it has no label, and all codes.

    Parameters
    ----------
    dataset : Dataset
        Its samples have names.
    codes : list of ndarray of shape (k_l, n)
    topics : list of list of dict, optional
        From the record.  Topic j of layer l is called ``l.j``, here as in trees of topics, with its first words, of a
        tensor those of every mode.
    """
    columns = {"sample": dataset.sample_names, **dict(_classes(dataset))}
    for level, S in enumerate(codes):
        for j, row in enumerate(S):
            parts = in_modes(topics[level][j]) if topics else []
            words = " | ".join(part.heading + " ".join(told(part.words[:WORDS])) for part in parts)
            columns[f"{level}.{j} {words}".rstrip()] = row
    return pd.DataFrame(columns)


def _classes(dataset: Dataset) -> Iterator[tuple[str, list[str]]]:
    """Headings and columns of classes: their names, or their indices where they have none."""
    for level, labels in enumerate(dataset.labels):
        names = dataset.class_names[level] if dataset.class_names else [str(c) for c in range(labels.max() + 1)]
        heading = "class" if len(dataset.labels) == 1 else f"class, level {level}"
        yield heading, [names[c] if c >= 0 else "" for c in labels]

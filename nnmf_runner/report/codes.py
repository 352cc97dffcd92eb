"""The codes of a run as a table."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nnmf_runner.datasets import Dataset
from nnmf_runner.report.data import attempt, load_data
from nnmf_runner.report.topics import Topics, in_modes, told
from nnmf_runner.report.variants import Shown
from nnmf_runner.store.record import read_factors

log = logging.getLogger(__name__)

# Of the heading of a topic.
WORDS = 3
# Tables of more samples are written on request alone.
MOST_SAMPLES = 10_000


def codes_table(run: Shown) -> str | None:
    """The table of `codes_frame` as CSV, in which all text is quoted; None where samples have no names.

    Where there are more than `MOST_SAMPLES`, or the data or the factors cannot be read any more, the log says so.
    """
    about = run.record.get("dataset", {})
    if not about.get("sample_names"):  # which tells without loading the data
        return None
    if (samples := about["n_samples"]) > MOST_SAMPLES:
        log.info("%s: codes of %s samples are not written; nnmf-export --codes does.", run.folder, f"{samples:,}")
        return None

    def table() -> str:
        factors = read_factors(run.folder)
        codes = [factors[f"S{level}"] for level in range(len(run.record["config"]["layers"]))]
        frame = codes_frame(load_data(run.record), codes, run.record.get("topics"))
        return frame.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC)

    return attempt(table, f"{run.folder} has no table of codes")


def codes_frame(
    dataset: Dataset | None,
    codes: Sequence[NDArray[np.floating]],
    topics: Topics | None,
    sample_names: Sequence[str] | None = None,
) -> pd.DataFrame:
    """One row for every sample: its name, its class at every level, empty where it has no label, and all codes.

    Parameters
    ----------
    dataset : Dataset, optional
        Without names of samples these are numbered from zero.
    codes : list of ndarray of shape (k_l, n)
    topics : list of list of dict, optional
        From the record.  Topic j of layer l is called ``l.j``, here as in trees of topics, with its first words, of a
        tensor those of every mode.
    sample_names : list of str, optional
        Where there is no dataset.
    """
    names = dataset.sample_names if dataset else sample_names
    columns: dict[str, Any] = {"sample": names or range(codes[0].shape[1])}
    columns |= dict(_classes(dataset)) if dataset else {}
    for level, S in enumerate(codes):
        columns |= {heading_of(topics, level, j): row for j, row in enumerate(S + 0.0)}  # without a minus at zero
    return pd.DataFrame(columns)


def heading_of(topics: Topics | None, level: int, j: int) -> str:
    """What a topic is called at the head of a column, see `codes_frame`."""
    parts = in_modes(topics[level][j]) if topics else []
    words = " | ".join(part.heading + " ".join(told(part.words[:WORDS])) for part in parts)
    return f"{level}.{j} {words}".rstrip()


def _classes(dataset: Dataset) -> Iterator[tuple[str, list[str]]]:
    """Headings and columns of classes: their names, or their indices where they have none."""
    for level, labels in enumerate(dataset.labels):
        names = dataset.class_names[level] if dataset.class_names else [str(c) for c in range(labels.max() + 1)]
        heading = "class" if len(dataset.labels) == 1 else f"class, level {level}"
        yield heading, [names[c] if c >= 0 else "" for c in labels]

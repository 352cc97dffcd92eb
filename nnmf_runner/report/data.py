"""The data of a run, which no record holds."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from nnmf_runner.core.streams import stream
from nnmf_runner.datasets import DATASETS, Dataset

log = logging.getLogger(__name__)


T = TypeVar("T")
# What reading or drawing a run raises whose files are damaged in a way that no check of their form has met.
DAMAGE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def attempt(make: Callable[[], T], lacks: str | None) -> T | None:
    """What `make` returns; None, with a line in the log that begins with `lacks`, where a run does not allow it.

    Where `lacks` is None, there is no such line.
    """
    try:
        return make()
    except DAMAGE as error:
        kind = "" if isinstance(error, ValueError) else f"its files are damaged, {type(error).__name__} "
        if lacks is not None:
            log.warning("%s: %s%s.", lacks, kind, " ".join(str(error).split()).rstrip("."))
        return None


def data_title(record: dict[str, Any]) -> str:
    """What tables and figures call the data of a run: its file where it has one, or else the name of the dataset."""
    title = str(record.get("dataset", {}).get("title", record["config"]["dataset"]["name"]))
    return title.replace(", ", ",")  # after which names of data say what tells them apart


def trial_of(record: dict[str, Any]) -> str:
    """Which of the trials of a configuration a run is, or is the consensus of."""
    config = record["config"]
    first, count = config["seed"], config.get("consensus", 1)
    return f"seeds {first} to {first + count - 1}" if count > 1 else f"seed {first}"


def load_data(record: dict[str, Any]) -> Dataset:
    """Load the data of a run again; ValueError says why they cannot be had."""
    if "resample" in record["config"]:
        raise ValueError("the run saw a part of its data alone")
    options = dict(record["config"]["dataset"])
    source = DATASETS[options.pop("name")]
    seed = record["config"].get("data_seed", record["config"]["seed"])
    dataset = source(**record["dataset"].get("options", options)).load(stream(seed, "data"))
    if dataset.fingerprint() != record["dataset"]["fingerprint"]:
        raise ValueError("the data are not those of the run any more")
    return dataset

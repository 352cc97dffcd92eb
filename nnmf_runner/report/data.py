"""The data of a run, which no record holds."""

from __future__ import annotations

from typing import Any

from nnmf_runner.core.streams import stream
from nnmf_runner.datasets import DATASETS, Dataset


def data_title(record: dict[str, Any]) -> str:
    """What tables and figures call the data of a run: its file where it has one, or else the name of the dataset."""
    return record.get("dataset", {}).get("title", record["config"]["dataset"]["name"])


def load_data(record: dict[str, Any]) -> Dataset:
    """Load the data of a run again; ValueError says why they cannot be had."""
    options = dict(record["config"]["dataset"])
    source = DATASETS[options.pop("name")]
    dataset = source(**record["dataset"].get("options", options)).load(stream(record["config"]["seed"], "data"))
    if dataset.fingerprint() != record["dataset"]["fingerprint"]:
        raise ValueError("the data are not those of the run any more")
    return dataset

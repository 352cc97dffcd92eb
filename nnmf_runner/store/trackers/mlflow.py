"""MLflow, by its client alone: nothing is set for the whole process but how MLflow is to behave."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from nnmf_runner.store.files import user_path
from nnmf_runner.store.record import COUNTED, HISTORY, RECORD
from nnmf_runner.store.trackers.base import RECORD_COPY, Kept, Tracked, Tracker, check_place

_KEY = "nnmf.run"
# What MLflow takes at once, and of a parameter.
_METRICS, _PARAMETERS, _LETTERS = 1000, 100, 6000
# Where nobody has said otherwise, it tells its makers nothing, keeps runs in a folder, of which new versions have to
# be asked, and does not wait minutes for a server that is not there.
_BEHAVIOUR = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_FILE_STORE": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
}
# They have no place for figures and records of their own.
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")


@dataclass
class MLflow(Tracker):
    """MLflow: options, metrics by layer and iteration, figures and the record of every run.

    Needs ``pip install 'nnmf-runner[mlflow]'``.  Every experiment is one of MLflow's, by its `name`.

    Parameters
    ----------
    uri : str, optional
        Where MLflow keeps runs: a folder, or a server such as ``http://host:5000``; by default the folder ``mlruns``
        in `output`.
    figures : bool
        Whether the figures of every run are drawn, as PNG among its artifacts; that may take longer than a fit of
        small data.
    """

    name: ClassVar[str] = "mlflow"
    package: ClassVar[str | None] = "mlflow"
    uri: str | None = None
    figures: bool = True

    def __post_init__(self) -> None:
        check_place(self.uri, "tracking.uri")

    def open(self, experiment: Path) -> Kept:
        """Find MLflow's experiment of this name, or make it."""
        for name, value in _BEHAVIOUR.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient  # which sets a level of its own

        for name in ("urllib3", "mlflow"):  # which tell of every attempt, and of every folder that is not theirs
            logging.getLogger(name).setLevel(logging.ERROR)
        uri = self._uri(experiment.parent)
        in_database = uri.partition(":")[0].partition("+")[0] in _DATABASES
        if in_database:  # which would be tried for minutes where it cannot be opened
            from mlflow.store.db import utils

            utils.MAX_RETRY_COUNT = 2
        client = MlflowClient(uri)
        if (found := client.get_experiment_by_name(experiment.name)) is not None:
            return _Runs(client, found.experiment_id, self.figures)
        place = (experiment.parent / "mlartifacts").resolve().as_uri() if in_database else None
        return _Runs(client, client.create_experiment(experiment.name, place), self.figures)

    def _uri(self, output: Path) -> str:
        if self.uri is not None and ("://" in self.uri or self.uri == "databricks"):
            return self.uri
        folder = output / "mlruns" if self.uri is None else user_path(self.uri, "tracking.uri")
        return folder.resolve().as_uri()


class _Runs:
    """MLflow's runs of an experiment, by the keys of those that they tell of."""

    def __init__(self, client: Any, experiment: str, figures: bool) -> None:
        self.client, self.experiment, self.figures = client, experiment, figures
        self.known: dict[str, Any] = {}
        token = None
        while token is None or token:
            found = client.search_runs([experiment], page_token=token)
            self.known |= {run.data.tags[_KEY]: run.info for run in found if _KEY in run.data.tags}
            token = found.token or ""

    def has(self, run: Tracked) -> bool:
        return run.key in self.known and self.known[run.key].status != "RUNNING"

    def add(self, run: Tracked) -> None:
        """Send everything; the run of MLflow ends last, by which one that is whole is told."""
        if run.key in self.known:
            self.client.delete_run(self.known.pop(run.key).run_id)
        began, ended = _times(run.record)
        tags = {_KEY: run.key, "nnmf.folder": str(run.folder)}
        to = self.client.create_run(self.experiment, began, tags, run.title).info.run_id
        self._send_numbers(to, run, ended)
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(run.folder / RECORD, Path(folder, RECORD_COPY))
            if (history := run.folder / HISTORY).exists():
                shutil.copy(history, folder)
            if self.figures:
                Path(folder, "figures").mkdir()
                run.draw(Path(folder, "figures"))
            self.client.log_artifacts(to, folder)
        self.client.set_terminated(to, "FINISHED" if run.record["status"] in COUNTED else "FAILED", ended)
        self.known[run.key] = self.client.get_run(to).info

    def _send_numbers(self, to: str, run: Tracked, ended: int) -> None:
        from mlflow.entities import Metric, Param

        params = [Param(name, value[:_LETTERS]) for name, value in run.options.items()]
        metrics = [Metric(name, value, ended, 0) for name, value in run.metrics.items()]
        for name, values in run.history.items():
            metrics += [Metric(name, float(value), ended, step) for step, value in enumerate(values)]
        for first in range(0, len(params), _PARAMETERS):
            self.client.log_batch(to, params=params[first : first + _PARAMETERS])
        for first in range(0, len(metrics), _METRICS):
            self.client.log_batch(to, metrics=metrics[first : first + _METRICS])


def _times(record: dict[str, Any]) -> tuple[int, int]:
    """When a run began and ended, in milliseconds since 1970, as far as its record tells."""
    ended = int(1000 * datetime.fromisoformat(record["finished"]).timestamp())
    return ended - int(1000 * (record["metrics"].get("seconds") or 0.0)), ended

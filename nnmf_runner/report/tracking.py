"""Tell a tracker of runs: what its options, metrics, history and figures are, all from the record."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from nnmf_runner.config.messages import first_line
from nnmf_runner.config.schema import RunConfig
from nnmf_runner.core.checks import InputError
from nnmf_runner.metrics.registry import METRICS
from nnmf_runner.report.data import trial_of
from nnmf_runner.report.variants import Shown, flat
from nnmf_runner.store.record import INTERRUPTED, RECORD, read_history, read_record, run_folder
from nnmf_runner.store.trackers import Tracked
from nnmf_runner.store.trackers.base import Kept

log = logging.getLogger(__name__)

# Of a history: they say which iteration a row is of.
_PLACES = ("layer", "iteration")


class Tracking:
    """Tells the tracker of a configuration of its runs, as each job ends: a listener to jobs.

    The records are whole by then.  A tracker that fails is told no more, and is told of what is missing when the same
    command is given again; a run that it has been told of is never told of twice.
    """

    def __init__(self) -> None:
        self._kept: dict[Path, Kept | None] = {}

    def awaits(self, config: RunConfig) -> None:
        """Open the tracker; an `InputError` says why that cannot be done."""
        if config.folder not in self._kept:
            try:
                self._kept[config.folder] = config.tracking.open(config.folder)
            except Exception as error:
                raise InputError(f"tracking={config.tracking.name} cannot be used: {first_line(error)}") from error

    def begins(self, number: int, overrides: Sequence[str], config: RunConfig) -> None:
        """Wait for its end."""

    def ends(self, number: int, config: RunConfig, result: float | Exception) -> None:
        """Tell of the runs of a job that it has not been told of."""
        for seed in config.runs:
            run = _tracked(run_folder(config.folder, config.identity(seed)))
            kept = self._kept[config.folder]
            if run is None or kept is None:
                continue
            try:
                if not kept.has(run):
                    kept.add(run)
            except Exception as error:
                self._kept[config.folder] = None
                log.warning(
                    "tracking=%s has failed and is told no more: %s. The records are whole; the same command again "
                    "tells it of what it lacks.",
                    config.tracking.name,
                    first_line(error).rstrip("."),
                )


def _tracked(folder: Path) -> Tracked | None:
    """What is told of a run; None if it has no record, or one that says that it is to be repeated."""
    try:
        record = read_record(folder / RECORD)
    except ValueError:
        return None
    if record["status"] == INTERRUPTED:
        return None
    config = record["config"]
    title = f"{config['method']['name']} {'-'.join(map(str, config['layers']))} {trial_of(record)}"
    options = {name: str(value) for name, value in flat(config).items()}
    return Tracked(folder, record, title, options, _metrics(record), _history(folder), _drawer(folder, record))


def _metrics(record: dict[str, Any]) -> dict[str, float]:
    """All metrics that are numbers: of the run, and of every layer."""
    of_run = {name: metric.of_run(record) for name, metric in METRICS.items()}
    of_layers = {
        f"layer{index}/{name}": layer.get(name) for index, layer in enumerate(record["layers"]) for name in METRICS
    }
    return {name: float(value) for name, value in (of_run | of_layers).items() if isinstance(value, (int, float))}


def _history(folder: Path) -> dict[str, Iterable[float]]:
    """The columns of the history, a value for each iteration; none of a run that has none."""
    try:
        columns = read_history(folder)
    except ValueError:
        return {}
    return {f"fit/{name}": values.tolist() for name, values in columns.items() if name not in _PLACES}


def _drawer(folder: Path, record: dict[str, Any]) -> Any:
    """What draws a run; of one without numbers there is nothing to draw."""
    if not record["layers"]:
        return lambda into: []
    return functools.partial(_draw, Shown(record["config"]["method"]["name"], folder, record))


def _draw(run: Shown, into: Path) -> list[Path]:
    from nnmf_runner.report.figures.draw import draw_run  # which takes a second to load

    return draw_run(run, into)

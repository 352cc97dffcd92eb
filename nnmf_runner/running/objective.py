"""The objective of a configuration: one number, from the records of its trials."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from nnmf_runner.config.schema import RunConfig
from nnmf_runner.core.checks import InputError, check_choice
from nnmf_runner.metrics.registry import METRICS, Metric
from nnmf_runner.store.record import RECORD, read_numbers, read_record, run_folder

# What the objective is where nobody has said it.
USUAL = "relative_error"


class FailedRunError(Exception):
    """A configuration has no objective: not all of its trials have ended with numbers."""


class NoObjectiveError(InputError):
    """The runs have ended with numbers, of which the objective is none."""


def metric_of(config: RunConfig) -> Metric:
    """The metric that is the objective; an `InputError` if there is none of this name, at the layer or in such runs."""
    metric = METRICS[USUAL if config.objective is None else check_choice(config.objective, METRICS, "objective")]
    if config.objective_layer is not None and metric.of_layer is None:
        raise InputError(
            f"objective_layer={config.objective_layer} is not valid: objective={metric.name} is of the whole run. "
            "Expected objective_layer=null."
        )
    if metric.needs is not None and not getattr(config, metric.needs):
        raise InputError(
            f"objective={metric.name} is not measured with {metric.needs}=0. Expected a larger {metric.needs}, or "
            "another objective."
        )
    return metric


def described(config: RunConfig) -> str:
    """What the objective is called."""
    layer = "" if config.objective_layer is None else f" at layer {config.objective_layer}"
    return f"{metric_of(config).name}{layer}"


def objective(config: RunConfig) -> float:
    """The mean of the objective over the trials of a configuration, from their records.

    Raises
    ------
    FailedRunError
        If not all of them have ended with numbers.
    NoObjectiveError
        If they have no such number; the message names those that they have.
    """
    records = [_read(config, seed) for seed in config.seeds]
    metric = metric_of(config)
    values = [_value(metric, config.objective_layer, record) for record in records]
    if any(value is None for value in values):
        have = [m.name for m in METRICS.values() if _value(m, config.objective_layer, records[0]) is not None]
        raise NoObjectiveError(
            f"objective={described(config)} is not measured in these runs. Expected one of: {', '.join(have)}."
        )
    return fmean(value for value in values if value is not None)


def _read(config: RunConfig, seed: int) -> dict[str, Any]:
    folder = run_folder(config.folder, config.identity(seed))
    if (record := read_numbers(folder)) is not None:
        return record
    try:
        failed = read_record(folder / RECORD)
    except ValueError:
        failed = {"status": "missing", "message": None}
    raise FailedRunError(f"{failed['status']}: {folder} {failed['message'] or ''}".rstrip())


def _value(metric: Metric, layer: int | None, record: dict[str, Any]) -> float | None:
    return metric.of_run(record) if layer is None else record["layers"][layer].get(metric.name)

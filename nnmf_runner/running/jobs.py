"""The jobs of a sweep: how runs are shared out, how Hydra's launcher gets them, and what each job does."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import groupby
from typing import Any
from urllib.parse import quote, unquote

from nnmf_runner.config.cells import compose_cells
from nnmf_runner.config.composition import Sweep, begin_job
from nnmf_runner.config.engine import launch
from nnmf_runner.core.checks import InputError
from nnmf_runner.running.interrupt import StopFile, stopped_by
from nnmf_runner.running.pool import Task, run_tasks
from nnmf_runner.running.run import quiet
from nnmf_runner.running.work import Run, stop_path
from nnmf_runner.store.provenance import THREAD_VARIABLES, asked_threads


def make_jobs(runs: Sequence[Run]) -> list[list[str]]:
    """Share runs out among jobs, as the override list of each.

    A job composes its first configuration from its overrides as Hydra's jobs do, and finds those of the others in the
    value of `cells`.  To it a configuration with `consensus` is the consensus alone: after trials, every job tries to
    make it, and the one that ends last finds all of them.
    """
    jobs = []
    for some in map(_with_consensus, _chunks(runs)):
        first, *others = [_overrides(neighbours) for neighbours in _neighbours(some)]
        cells = ",".join("[" + ",".join(f"'{quote(each, safe=_SAFE)}'" for each in other) + "]" for other in others)
        jobs.append(first + ([f"cells=[{cells}]"] if cells else []))
    return jobs


# Characters that stay readable in a quoted override; the others would need escaping in two grammars.
_SAFE = " =[],:/+.-"


def _chunks(runs: Sequence[Run]) -> Iterator[list[Run]]:
    """Runs that share a job: as many as `runs_per_job` says, or the trials of one configuration."""
    size = runs[0].cell.config.runs_per_job
    if size is None:
        yield from (list(some) for _, some in groupby(runs, key=lambda run: id(run.cell)))
    else:
        yield from (list(runs[i : i + size]) for i in range(0, len(runs), size))


def _with_consensus(runs: Sequence[Run]) -> list[Run]:
    """Runs and the consensus of every configuration among them that wants one, which stands where its trials do."""
    cells = {id(run.cell): run.cell for run in runs if run.cell.config.consensus and run.seed is not None}
    return [*runs, *(Run(replace(cell, overrides=[*cell.overrides, "force=false"]), None) for cell in cells.values())]


def _neighbours(runs: Sequence[Run]) -> Iterator[list[Run]]:
    """Runs of one configuration whose seeds follow each other, taken together."""
    some = [runs[0]]
    for run in runs[1:]:
        before = some[-1].seed
        if run.cell is not some[-1].cell or run.seed is None or before is None or run.seed != before + 1:
            yield some
            some = []
        some.append(run)
    yield some


def _overrides(neighbours: Sequence[Run]) -> list[str]:
    """Return the overrides that compose runs of neighbouring seeds, or a consensus."""
    cell, seed = neighbours[0].cell, neighbours[0].seed
    values: dict[str, Any] = {"seed": seed, "trials": len(neighbours)}
    if seed is None:
        values = {"seed": cell.config.seed, "trials": cell.config.trials}
    if cell.config.consensus:
        values |= {"consensus": str(seed is None).lower(), "data_seed": cell.config.data_seed}
    if cell.config.workers is None:  # each job has a core of its own
        values["workers"] = 1
    kept = [override for override in cell.overrides if override.partition("=")[0] not in values]
    return kept + [f"{name}={value}" for name, value in values.items()]


def launch_jobs(sweep: Sweep, name: str, jobs: Sequence[list[str]]) -> list[Exception]:
    """Hand jobs to the sweep's launcher, and return the errors of those that failed."""
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))  # of BLAS, beside those of a fit
    os.environ.setdefault("SUBMITIT_LOG_LEVEL", "ERROR")  # else it tells often that Slurm keeps no accounts
    return launch(sweep.fixed, name, jobs, run_job)


def run_job(composed: Any) -> None:
    """Run the trials of one or more configurations: a launcher calls this in one of its processes.

    The records tell what came of them.

    Raises
    ------
    InputError
        If BLAS was started with more than one thread.
    OSError
        If a record cannot be written.
    """
    name, first = begin_job(composed)
    if (found := asked_threads()) != 1:
        raise InputError(f"The job was started with {found} threads of BLAS. Expected {THREAD_VARIABLES[0]}=1.")
    others = [[unquote(override) for override in overrides] for overrides in first.cells]
    configs = [first, *(cell.config for cell in compose_cells(others))]
    trials: list[Task] = [
        (config, config.seed + i) for config in configs for i in range(config.trials) if not config.consensus
    ]
    consensus: list[Task] = [(config, None) for config in configs if config.consensus]
    # Ctrl-C and the like have reached the launcher, too, which asks all jobs to stop.
    with suppress(KeyboardInterrupt), quiet(), stopped_by(StopFile(stop_path(first.folder, name))):
        for tasks in filter(None, (trials, consensus)):
            deque(run_tasks(tasks, first.workers or 1), maxlen=0)

"""A sweep whose configurations a sweeper of Hydra's chooses by the objective of those before: a search.

The study of the search is kept in a database, and the runs in their records: the same command again goes on where the
one before has ended or been killed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnmf_runner.config.cells import Cell, compose_cells
from nnmf_runner.config.composition import Sweep
from nnmf_runner.config.engine import search
from nnmf_runner.config.messages import first_line
from nnmf_runner.config.sweepers import BASIC_SWEEPER
from nnmf_runner.core.checks import InputError
from nnmf_runner.methods import METHODS
from nnmf_runner.running.launch import read_cells, run_sweep
from nnmf_runner.running.listeners import Best, Jobs, Listener, result_of
from nnmf_runner.running.objective import FailedRunError, NoObjectiveError, described, metric_of
from nnmf_runner.store.claims import claimed
from nnmf_runner.store.files import folder_for, without_passwords
from nnmf_runner.store.plan import SWEEP_FOLDER
from nnmf_runner.store.provenance import code
from nnmf_runner.store.record import run_folder
from nnmf_runner.store.status import Status
from nnmf_runner.task import check_sweep

log = logging.getLogger(__name__)

# What of a study says which search its trials are of.
_SEARCH = "nnmf.search"


@dataclass(frozen=True)
class Found:
    """What a search has come to: how far its runs are, and the best configuration with its objective."""

    status: Status
    best: tuple[float, Cell] | None

    def best_line(self, sweep: Sweep) -> str | None:
        """One line that names the best and where it is; None if there is none."""
        if self.best is None:
            return None
        value, cell = self.best
        folder = run_folder(cell.config.folder, cell.config.identity(cell.config.seed))
        return f"best: {described(cell.config)} {value:.6g} with {sweep.searched(cell.overrides)} ({folder})"


def run_asked(sweep: Sweep, listeners: Sequence[Listener] = ()) -> Found:
    """Run a sweep or a search, and tell listeners of its jobs; of a sweep the best is found if an objective is set.

    Raises
    ------
    InputError, OSError
        As `run_sweep` and `run_search` do, the former also if the objective is not measured in the runs.
    """
    if sweep.sweeper != BASIC_SWEEPER:
        return run_search(sweep, Jobs(listeners))
    best = Best()
    status = run_sweep(sweep, jobs=Jobs([*listeners, best] if sweep.objective else listeners))
    if best.error is not None:
        raise best.error
    return Found(status, best.found)


def run_search(sweep: Sweep, jobs: Jobs) -> Found:
    """Run the trials of a search that are missing.

    Raises
    ------
    InputError, OSError
        As `run_sweep` does; the former also if another process is at this search.
    """
    cells = read_cells(sweep)
    for cell in cells:
        metric_of(cell.config)
    check_sweep(cell.config for cell in cells)
    jobs.awaits(cells)
    study = Study(sweep, cells[0])
    with claimed(study.place / study.name) as ours:
        if not ours:
            raise InputError(
                f"hydra/sweeper={sweep.sweeper}: another process is at this search. Expected one: workers=N and "
                "hydra.sweeper.n_jobs=N share the runs of a search out."
            )
        return study.run(jobs)


class Study:
    """The study of a search, and what tells it from others."""

    def __init__(self, sweep: Sweep, first: Cell) -> None:
        self.sweep, self.config, self.options = sweep, first.config, sweep.settings
        self.place = self.config.folder / SWEEP_FOLDER
        self.storage = self.options["storage"] or f"sqlite:///{self.place / 'searches.db'}"
        better = {"lower": "minimize", "higher": "maximize"}[metric_of(self.config).better]
        direction = self.options["direction"] or better
        # Its trials say nothing of another search, nor of what another version of the code computes.
        told = [sorted(sweep.over), self.config.computed, self.config.trials, described(self.config), direction]
        told += [sorted(map(code, METHODS)), *(self.options[name] for name in ("sampler", "storage", "study_name"))]
        self.name = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]
        self.about = {
            "storage": self.storage,
            "study_name": self.options["study_name"] or self.name,
            "direction": direction,
        }
        self.fixed = [each for each in sweep.space if each not in sweep.over]
        self.status = Status(folders=[self.config.folder])  # of trials that have failed

    def run(self, jobs: Jobs) -> Found:
        """Let the sweeper choose as many trials as are missing, and run them; return what all of them came to."""
        self.jobs = jobs
        study = self._open()
        if earlier := _complete(study):  # of which none is run again unless its record is gone
            self._run_cells(list(map(self._overrides, earlier)), jobs)
        if (missing := self.options["n_trials"] - len(earlier)) > 0:
            self._search(missing, len(study.trials))
        if not (complete := _complete(study)):
            return Found(self.status, None)
        standing = [[*self._overrides(trial), "force=false"] for trial in complete]
        status = self._run_cells(standing, Jobs())
        for name in ("failed", "missing", "running"):
            getattr(status, name).extend(getattr(self.status, name))
        [best] = compose_cells([self._overrides(study.best_trial)])
        return Found(status, (study.best_value, best))

    def _search(self, missing: int, before: int) -> None:
        sampler, failing = dict(self.options["sampler"]), self.options["max_failure_rate"]
        if sampler.get("seed") is not None:  # with which it would begin with the trials that there are
            sampler["seed"] += before
        settings = {"n_trials": missing, "sampler": sampler, "params": None, **self.about}
        settings["max_failure_rate"] = 0.0 if self.config.fail_fast else failing
        try:
            search(self.sweep.fixed, self.sweep.space, settings, self._run)
        except InputError:
            raise
        except (FailedRunError, ValueError) as error:  # too many have failed, or all, as Optuna says
            if self.status.complete:
                raise InputError(f"hydra/sweeper={self.sweep.sweeper} cannot go on: {first_line(error)}") from error
            log.warning("hydra/sweeper=%s ends: %s", self.sweep.sweeper, error)

    def _run(self, batch: list[list[str]]) -> Sequence[float | Exception]:
        """Run trials, and return the objective of each, or why it has none."""
        status = self._run_cells(batch, self.jobs)
        self.status.add(dataclasses.replace(status, folders=[]))
        cells = [*compose_cells(batch)]
        results = [result_of(cell.config) for cell in cells]
        for cell, result in zip(cells, results, strict=True):
            if isinstance(result, NoObjectiveError):
                raise result
            if not isinstance(result, Exception):  # which the sweeper tells
                log.info("%s: %s %.6g", self.sweep.searched(cell.overrides), described(cell.config), result)
        return results

    def _run_cells(self, batch: Sequence[list[str]], jobs: Jobs) -> Status:
        """Run configurations that are not done."""
        sweep = dataclasses.replace(self.sweep, size=len(batch), cells=compose_cells(batch))
        return run_sweep(sweep, jobs=jobs, opening=False)

    def _overrides(self, trial: Any) -> list[str]:
        """The overrides that compose a trial, in this command."""
        return [*self.fixed, *(f"{key}={value}" for key, value in trial.params.items())]

    def _open(self) -> Any:
        """The study, in which trials that were at work when their process was killed are the next."""
        os.environ.setdefault("SQLALCHEMY_SILENCE_UBER_WARNING", "1")  # that an old release is an old release
        logging.getLogger("alembic").setLevel(logging.WARNING)
        try:
            import optuna

            optuna.logging.set_verbosity(logging.WARNING)
            with folder_for(Path(self.storage.removeprefix("sqlite:///"))):
                study = optuna.create_study(**self.about, load_if_exists=True)
        except OSError:
            raise
        except Exception as error:  # of Optuna, of SQLAlchemy, or of the module of a database
            raise InputError(
                f"hydra/sweeper={self.sweep.sweeper} cannot open its study in {without_passwords(self.storage)}: "
                f"{first_line(error)}"
            ) from error
        if study.trials and study.user_attrs.get(_SEARCH) != self.name:
            raise InputError(
                f"hydra.sweeper.study_name={self.about['study_name']} has trials of another search, or of another "
                "version of the code. Expected another name, or null for one of its own."
            )
        study.set_user_attr(_SEARCH, self.name)
        with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
            for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
                study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
                study.enqueue_trial(trial.params)
        return study


def _complete(study: Any) -> list[Any]:
    """The trials of a study that have a number."""
    return [trial for trial in study.trials if trial.state.name == "COMPLETE"]

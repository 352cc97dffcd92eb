"""All trials of one configuration."""

from __future__ import annotations

import dataclasses
import sys
import threading
import time
from contextlib import nullcontext

from tqdm import tqdm

from nnmf_runner.config.schema import RunConfig
from nnmf_runner.running.interrupt import stopped_by
from nnmf_runner.running.pool import run_tasks
from nnmf_runner.running.run import Outcome, quiet, summary
from nnmf_runner.store.claims import clear_left, is_held
from nnmf_runner.store.record import run_folder

# By the seed of a trial; None for the consensus of all of them.
Outcomes = dict[int | None, Outcome | None]


def run_trials(config: RunConfig) -> Outcomes:
    """Run every trial of a configuration, and return what came of each by its seed; raises as `run_tasks` does.

    Nothing (None) came of a trial where another process is at the run, where the one that was at it has been killed,
    or where all was stopped before.
    """
    seeds = range(config.seed, config.seed + config.trials)
    workers = min(config.processes, len(seeds))
    hidden = workers == 1 or not sys.stderr.isatty()
    clear_left(config.folder)
    outcomes: Outcomes = dict.fromkeys(seeds)
    with (
        nullcontext() if hidden else quiet(),  # what several processes say would break the bar
        stopped_by(threading.Event()),
        tqdm(total=len(seeds), unit="trial", disable=hidden, leave=False) as bar,
    ):
        for (_, seed), outcome in run_tasks([(config, seed) for seed in seeds], workers, alone=True):
            outcomes[seed] = outcome
            if outcome and not hidden:
                bar.write(summary(config, seed, outcome.record), sys.stderr)
            bar.update()
    return outcomes


def run_and_wait(config: RunConfig) -> Outcomes:
    """Run every trial as `run_trials` does, wait for those that another process is at, then run their consensus."""
    outcomes = run_trials(config)
    for seed in config.seeds:
        alone = dataclasses.replace(config, seed=seed, trials=1, consensus=False, force=False)
        while outcomes[seed] is None and is_held(run_folder(config.folder, config.identity(seed))):
            time.sleep(1.0)
            outcomes |= run_trials(alone)
    return outcomes | (_run_consensus(config) if config.consensus else {})


def _run_consensus(config: RunConfig) -> Outcomes:
    """Run the consensus of the trials, and wait if another process is at it."""
    folder = run_folder(config.folder, config.identity(None))
    while True:
        with stopped_by(threading.Event()):
            (_, outcome), *_ = run_tasks([(config, None)], 1, alone=True)
        if outcome is not None or not is_held(folder):
            return {None: outcome}
        time.sleep(1.0)

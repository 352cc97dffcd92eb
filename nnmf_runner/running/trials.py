"""All trials of a configuration: one after the other, or shared by processes that may be killed."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from tqdm import tqdm

from nnmf_runner.config.schema import RunConfig
from nnmf_runner.running.interrupt import StopFlag, end_with, interruptible, is_stopped, obey, stop_all, stopped_by
from nnmf_runner.running.run import Outcome, run_one
from nnmf_runner.running.run import log as runs_log
from nnmf_runner.store.claims import is_held, was_left
from nnmf_runner.store.record import run_folder

Outcomes = dict[int, Outcome | None]


def run_trials(config: RunConfig, *, alone: bool = True) -> Outcomes:
    """Run every trial of a configuration, in several processes if it says so; none after an interrupted one.

    Parameters
    ----------
    config : RunConfig
    alone : bool
        Whether they are all that is asked for, and none of a sweep: then each has a progress bar, and data that do not
        fit are an error.

    Returns
    -------
    dict of int to Outcome or None
        By the seed; None where another process is at the run, where the one that was at it has been killed, or where
        all was stopped before.

    Raises
    ------
    InputError, OSError
        See `run_one`.
    KeyboardInterrupt
        If several processes were at work and the user has told them to stop.
    """
    seeds = range(config.seed, config.seed + config.trials)
    workers = min(config.workers or os.cpu_count() or 1, config.trials)
    with stopped_by(threading.Event()):
        if workers > 1:
            return _run_in_workers(config, seeds, workers, alone)
        outcomes: Outcomes = dict.fromkeys(seeds)
        for seed in seeds:
            outcomes[seed] = outcome = run_one(config, seed, bar=alone, refuse=alone)
            if outcome and outcome.interrupted:
                break
        return outcomes


def run_and_wait(config: RunConfig) -> Outcomes:
    """Run every trial as `run_trials` does, and wait for those that another process is at.

    Raises
    ------
    InputError, OSError
        See `run_one`.
    KeyboardInterrupt
        If the user has told them to stop.
    """
    outcomes = run_trials(config)
    for seed in outcomes:
        alone = dataclasses.replace(config, seed=seed, trials=1, force=False)
        while outcomes[seed] is None and is_held(run_folder(config.folder, config.identity(seed))):
            time.sleep(1.0)
            outcomes |= run_trials(alone)
    if any(outcome and outcome.interrupted for outcome in outcomes.values()) and not config.fail_fast:
        raise KeyboardInterrupt
    return outcomes


def _run_in_workers(
    config: RunConfig, seeds: Sequence[int], workers: int, alone: bool, *, may_stall: bool = True
) -> Outcomes:
    """Trials from a pool of processes.

    The pool ends as a whole when one of them is killed.  The runs that were in flight are lost then; those that had
    not begun go to a new pool, though only once if none had begun.
    """
    futures = _submit(config, seeds, workers, alone)
    executor, flag = _pool(workers)
    hidden = not (alone and sys.stderr.isatty())
    with interruptible() as interrupted, tqdm(total=len(seeds), disable=hidden, leave=False) as bar:
        while not all(future.done() for future in futures.values()):
            wait(futures.values(), timeout=0.05)
            bar.update(sum(future.done() for future in futures.values()) - bar.n)
            if interrupted.is_set() or is_stopped():
                flag.set()
    if interrupted.is_set():
        raise KeyboardInterrupt
    if flag.is_set():  # maybe by a worker whose run failed, with fail_fast
        _pool.cache_clear()
        stop_all()
    broken = [seed for seed, future in futures.items() if isinstance(future.exception(), BrokenProcessPool)]
    outcomes: Outcomes = {seed: None if seed in broken else future.result() for seed, future in futures.items()}
    if broken:
        _pool.cache_clear()
        executor.shutdown()  # its processes are gone after it
        again = [seed for seed in broken if not was_left(run_folder(config.folder, config.identity(seed)))]
        stalls = len(again) == len(seeds)
        if again and (may_stall or not stalls):
            outcomes |= _run_in_workers(config, again, workers, alone, may_stall=may_stall and not stalls)
    return outcomes


def _submit(config: RunConfig, seeds: Sequence[int], workers: int, alone: bool) -> dict[int, Future[Outcome | None]]:
    # What is started here inherits that Ctrl-C is ignored: the parent alone decides when to stop.
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        executor = _pool(workers)[0]
        return {seed: executor.submit(run_one, config, seed, refuse=alone) for seed in seeds}
    except BrokenProcessPool:  # one was killed while it had nothing to do
        _pool.cache_clear()
        return _submit(config, seeds, workers, alone)
    finally:
        signal.signal(signal.SIGINT, previous)


@functools.cache
def _pool(workers: int) -> tuple[ProcessPoolExecutor, StopFlag]:
    """Worker processes, and what stops them; they outlive a configuration, since starting them costs a fit."""
    context = get_context("spawn")
    flag = StopFlag(context)
    return ProcessPoolExecutor(workers, context, _start_worker, (flag, runs_log.getEffectiveLevel(), os.getpid())), flag


def _start_worker(flag: StopFlag, level: int, parent: int) -> None:
    obey(flag)
    end_with(parent)
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stderr)

"""One run, from top to bottom: load the data, hide labels, fit, score, record."""

from __future__ import annotations

import logging
import math
import os
import shutil
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from nnmf_runner.config.messages import as_options
from nnmf_runner.config.schema import RunConfig
from nnmf_runner.core.checks import InputError
from nnmf_runner.core.linalg import Matrix
from nnmf_runner.core.monitor import Progress, Stop
from nnmf_runner.core.threads import threaded
from nnmf_runner.datasets import Dataset, Source
from nnmf_runner.datasets.modes import Modes
from nnmf_runner.methods import Fit
from nnmf_runner.methods.fit import named_arrays
from nnmf_runner.metrics.scoring import describe_strongest, describe_topics, planted_tree, run_metrics, score
from nnmf_runner.running.consensus import Trials
from nnmf_runner.running.distributed import checkpoint, shared_out
from nnmf_runner.running.interrupt import interruptible, is_stopped, stop_all
from nnmf_runner.store import record as records
from nnmf_runner.store.claims import claimed, is_held
from nnmf_runner.store.files import user_path
from nnmf_runner.store.provenance import code, commit, described_code, provenance, same_code, this_code
from nnmf_runner.store.start import Saved
from nnmf_runner.task import Material, prepare

log = logging.getLogger(__name__)

STATUS = {
    Stop.CONVERGED: records.DONE,
    Stop.PRECISION: records.DONE,
    Stop.LINE_SEARCH: records.DONE,
    Stop.MAX_ITER: records.MAX_ITER,
    Stop.DIVERGED: records.DIVERGED,
    Stop.INTERRUPTED: records.INTERRUPTED,
}
# What a record says of why a fit ended, where the status does not.
MESSAGES = {Stop.DIVERGED: "the cost is not finite, or a factor grows without bound; the numbers are of the fit before"}


@dataclass(frozen=True)
class Outcome:
    """A run that is over: where it is recorded, and the record."""

    folder: Path
    record: dict[str, Any]


def run_one(config: RunConfig, seed: int | None, *, bar: bool = False, refuse: bool = True) -> Outcome | None:
    """Run one trial and write its record, or find it done by this version of the code.

    Of no seed it is the consensus of all trials, which is done if it is of the trials as they are now.

    Returns None if another process is at this run, if all has been stopped, or for a consensus of trials that have not
    all ended with numbers.

    Parameters
    ----------
    bar : bool
        Whether to show progress where standard error is a terminal.
    refuse : bool
        Whether data that cannot be had or do not fit are an error of the caller's; otherwise the run has failed.

    Raises
    ------
    InputError
        If the data cannot be had or do not fit the configuration; nothing is written then.
    OSError
        If the record cannot be written.
    """
    folder = records.run_folder(config.folder, config.identity(seed))
    trials = Trials.of(config) if seed is None else None
    if is_stopped() or (seed is None and trials is None):
        return None
    if not config.force and (earlier := records.read_numbers(folder)):
        if _stands(earlier, trials):
            log.info("%s is done already (force=true runs it again).", folder)
            return Outcome(folder, earlier)
        if same_code(earlier):
            log.info("%s is the consensus of other trials: run again.", folder)
        else:
            was, this = described_code(earlier), this_code(earlier)
            log.info("%s is of another version of the code (%s, this is %s): run again.", folder, was, this)
    if is_held(folder):
        log.info("%s: another process is at it.", folder)
        return None
    try:
        material: Material | Exception = prepare(config, config.seed if seed is None else seed)
    except Exception as error:
        if refuse and isinstance(error, InputError):
            raise
        material = error
    with claimed(folder) as ours:
        if not ours:
            return None
        done = None if config.force else records.read_numbers(folder)
        if done and _stands(done, trials):  # by another process, a moment ago
            return Outcome(folder, done)
        return _run_claimed(config, seed, folder, material, trials, bar=bar, refuse=refuse)


def _stands(record: dict[str, Any], trials: Trials | None) -> bool:
    """Whether the record of a run is what would be made now, of a consensus from these trials."""
    members = (record.get("consensus") or {}).get("members")
    return same_code(record) and (trials is None or trials.members == members)


def _run_claimed(
    config: RunConfig,
    seed: int | None,
    folder: Path,
    material: Material | Exception,
    trials: Trials | None,
    *,
    bar: bool,
    refuse: bool,
) -> Outcome:
    """Fit, score and record a run whose data are there; or record why they are not."""
    factors = history = start = None
    with ExitStack() as shared:
        try:
            if isinstance(material, Exception):
                raise material
            material = shared.enter_context(shared_out(config, material, folder))
            found = trials.consensus() if trials else None
            start = found.factors if found else None
            fit, outcome = fit_and_score(config, seed, material, bar, start)
            factors, history = named_arrays(fit), fit.history.columns()
            if trials and found:
                outcome["consensus"] = trials.described(found, material.dataset)
        except Exception as error:
            if refuse and isinstance(error, InputError):
                raise
            outcome = _failure(error)
        head = {name: outcome.pop(name) for name in ("status", "stop", "message")}
        record = {
            "schema": records.SCHEMA_VERSION,
            "experiment": config.name,
            "regime": config.regime if isinstance(material, Exception) else material.regime,
            **head,
            "code": code(config.method.name),
            "commit": commit(),
            "published": config.published if seed is not None else None,
            "start": os.path.abspath(user_path(config.init.path, "path")) if isinstance(config.init, Saved) else None,
            "config": config.identity(seed),
            **outcome,
            "dataset": {"title": getattr(config.dataset, "title", config.dataset.name), **outcome.get("dataset", {})},
            "threads": config.threads,
            "engine": config.engine.described(config.threads),
            **provenance(),
        }
        names = None if isinstance(material, Exception) else _names(material)
        records.write_record(folder, record, factors, history, start, names)
    if record["status"] in records.COUNTED:
        shutil.rmtree(checkpoint(folder), ignore_errors=True)
    log.info("%s", summary(config, seed, record))
    name = _name(config, seed, record)
    if idle := idle_topics(record["layers"]):
        log.info("%s: %s", name, idle)
    if held := poor_prediction(record["layers"]):
        log.warning("%s (%s)", held, name)
    if config.fail_fast and record["status"] not in (*records.COUNTED, records.INTERRUPTED):
        stop_all()
    return Outcome(folder, record)


def _failure(error: Exception) -> dict[str, Any]:
    """What the record of a run holds that raised an error."""
    lines = traceback.format_exception(error)
    message = as_options(str(error)) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
    failed = {"status": records.FAILED, "stop": None, "message": message, "traceback": "".join(lines)}
    return failed | {"metrics": {}, "layers": []}


def fit_and_score(
    config: RunConfig, seed: int | None, material: Material, bar: bool, start: Sequence[Matrix] | None = None
) -> tuple[Fit, dict[str, Any]]:
    """The fit, and what the record of the run holds of it."""
    dataset = material.dataset
    started = time.perf_counter()
    limit = math.inf if config.time_limit is None else started + config.time_limit
    with threaded(config.threads), interruptible() as interrupted, progress_bar(config, seed, bar) as show:

        def progress(*state: Any) -> bool:
            show(*state)
            return interrupted.is_set() or is_stopped() or time.perf_counter() > limit

        fit = material.task.fit(config.seed if seed is None else seed, progress, start)
        by_time = fit.stop is Stop.INTERRUPTED and not interrupted.is_set() and not is_stopped()
    seconds = time.perf_counter() - started
    layers = score(config, material, fit)
    return fit, {
        "status": records.TIMED_OUT if by_time else STATUS[fit.stop],
        "stop": fit.stop.value,
        "message": f"stopped after time_limit={config.time_limit:g} seconds" if by_time else MESSAGES.get(fit.stop),
        "layers": layers,
        "metrics": run_metrics(layers, seconds=seconds),
        "n_iter": fit.history.n_iter,
        "fits": fit.history.fits,
        "projected_gradient": fit.history.at_end,
        "dataset": _described(dataset) | _source(config.dataset),
        "topics": describe_topics(config, dataset, fit),
        "strongest": describe_strongest(config, dataset, fit),
        "tree_agreement": planted_tree(config.method, dataset, fit),
    }


def _described(dataset: Dataset) -> dict[str, Any]:
    """What a record says of the data."""
    features, samples = dataset.X.shape
    shape = {"name": dataset.name, "n_features": features, "n_samples": samples}
    named = {"sample_names": True} if dataset.sample_names else {}  # which reports show
    told = {"classes": dataset.classes, "pictures": dataset.pictures is not None}
    modes = {} if dataset.modes is None else {"modes": _modes(dataset.modes)}
    return {**shape, **named, **told, **modes, "fingerprint": dataset.fingerprint()}


def _names(material: Material) -> dict[str, Any]:
    """What is kept of the data to meet new data, see `records.read_names`."""
    dataset, classes, samples = material.dataset, material.dataset.class_names, material.dataset.sample_names
    if samples and len(samples) > (most := records.MOST_SAMPLES):
        log.info("Names of %s samples are not kept with a run; up to %s are.", f"{len(samples):,}", f"{most:,}")
        samples = None
    return {
        "features": dataset.feature_names,
        "classes": {layer: classes[level] for layer, level in material.task.levels.items()} if classes else {},
        "samples": samples,
        "weights": dataset.weights,
    }


def _modes(modes: Modes) -> dict[str, Any]:
    """Names and sizes of the modes of a tensor, that of the samples last, and which have names of their entries."""
    named = [entries is not None for entries in modes.entries]
    return {"names": [*modes.names], "shape": [*modes.shape], "named": named}


def _source(source: Source) -> dict[str, Any]:
    """Options that load the data again from any working directory, where the identity of the run does not hold them."""
    return {"options": source.portable()} if hasattr(source, "portable") else {}


def summary(config: RunConfig, seed: int | None, record: dict[str, Any]) -> str:
    """One line on a finished run."""
    name = _name(config, seed, record)
    if not record["layers"]:
        return f"{name}: {record['status']} ({record['message']})"
    error = record["metrics"]["relative_error"]
    return f"{name}: {records.ending(record)} after {records.iterations_text(record)}, relative error {error:.4f}"


def _name(config: RunConfig, seed: int | None, record: dict[str, Any]) -> str:
    return f"{config.method.name} {'-'.join(map(str, config.layers))} {record['regime']} {_trial(config, seed)}"


def _trial(config: RunConfig, seed: int | None) -> str:
    return f"consensus of {config.trials} trials" if seed is None else f"seed {seed}"


def poor_prediction(layers: Sequence[dict[str, Any]]) -> str | None:
    """One line on layers that predict the entries held out worse than nothing at all; None where there are none."""
    poor = [
        f"{each['heldout_error']:.4f} at layer {each['layer']}" for each in layers if (each["heldout_error"] or 0) > 1
    ]
    if not poor:
        return None
    return f"Held-out error {' and '.join(poor)} is above 1: the fit predicts hidden entries worse than zeros do."


def idle_topics(layers: Sequence[dict[str, Any]]) -> str | None:
    """One line on topics that no topic above is made of, or that are empty; None where all take part."""
    lines = []
    for layer in [each for each in layers if each["unlinked_topics"]]:
        are, have = ("is", "has") if layer["unlinked_topics"] == 1 else ("are", "have")
        link = "" if layer is layers[-1] else f" or {have} no link to the layer above"
        lines.append(f"Layer {layer['layer']}: {layer['unlinked_topics']} of {layer['rank']} topics {are} empty{link}.")
    return " ".join(lines) or None


@contextmanager
def quiet() -> Iterator[None]:
    """Say nothing of single runs, of which a sweep has many."""
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(level)


@contextmanager
def progress_bar(config: RunConfig, seed: int | None, wanted: bool) -> Iterator[Progress]:
    """A bar with iteration and cost where standard error is a terminal, and nothing elsewhere."""
    name = f"{config.method.name} {'-'.join(map(str, config.layers))} {_trial(config, seed)}"
    ends = f"ends at tol={config.tol:g} or max_iter={config.max_iter}"
    with tqdm(desc=name, unit="it", disable=not (wanted and sys.stderr.isatty()), leave=False) as bar:

        def show(iteration: int, cost: float) -> None:
            bar.set_postfix_str(f"cost {cost:.6f}, iteration {iteration}, {ends}", refresh=False)
            bar.update()

        yield show

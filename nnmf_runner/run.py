"""One run, from top to bottom: load the data, hide labels, fit, score, record."""

from __future__ import annotations

import logging
import math
import os
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from tqdm import tqdm

from nnmf_runner.config import RunConfig
from nnmf_runner.core.checks import InputError, filled, split_missing
from nnmf_runner.core.monitor import Progress, Stop, StoppingRule
from nnmf_runner.core.streams import stream
from nnmf_runner.datasets import Dataset, Source
from nnmf_runner.datasets.base import Loader, read_mask
from nnmf_runner.interrupt import interruptible, is_stopped, stop_all
from nnmf_runner.methods import Fit, Plan, Problem, check_layers, label_unit, normalised
from nnmf_runner.methods.base import named_arrays
from nnmf_runner.metrics.classification import accuracy
from nnmf_runner.metrics.clustering import agreement
from nnmf_runner.metrics.errors import eckart_young_floors, relative_error
from nnmf_runner.metrics.recovery import topic_recovery, tree_agreement
from nnmf_runner.metrics.topics import (
    distinctive_features,
    feature_shares,
    npmi_coherence,
    top_features,
    topic_diversity,
    tree_weights,
)
from nnmf_runner.results import record as records
from nnmf_runner.results.claims import claimed, is_held
from nnmf_runner.results.provenance import code, commit, provenance, same_code

log = logging.getLogger(__name__)

STATUS = {
    Stop.CONVERGED: records.DONE,
    Stop.LINE_SEARCH: records.DONE,
    Stop.MAX_ITER: records.MAX_ITER,
    Stop.DIVERGED: records.DIVERGED,
    Stop.INTERRUPTED: records.INTERRUPTED,
}


# Metrics of the last layer that stand for the run.
LAST_LAYER = (
    "relative_error",
    "heldout_error",
    "accuracy",
    "accuracy_unknown",
    "accuracy_fit",
    "npmi",
    "diversity",
)
_loader = Loader()
# Of every topic, where features have names.
TOP_WORDS = 10


@dataclass(frozen=True)
class Outcome:
    """A run that is over: where it is recorded, and the record."""

    folder: Path
    record: dict[str, Any]

    @property
    def interrupted(self) -> bool:
        """Whether the user ended it."""
        return self.record["status"] == records.INTERRUPTED


def run_one(config: RunConfig, seed: int, *, bar: bool = False, refuse: bool = True) -> Outcome | None:
    """Run one trial and write its record, or find it done by this version of the code.

    Parameters
    ----------
    config : RunConfig
    seed : int
    bar : bool
        Whether to show progress where standard error is a terminal.
    refuse : bool
        Whether data that cannot be had or do not fit are an error of the caller's; otherwise the run has failed.

    Returns
    -------
    Outcome or None
        None if another process is at this run, or if all has been stopped.

    Raises
    ------
    InputError
        If the data cannot be had or do not fit the configuration; nothing is written then.
    OSError
        If the record cannot be written.
    """
    folder = records.run_folder(config.folder, config.identity(seed))
    if is_stopped():
        return None
    if not config.force and (done := _done_before(folder)):
        log.info("%s is done already (force=true runs it again).", folder)
        return Outcome(folder, done)
    if is_held(folder):
        log.info("%s: another process is at it.", folder)
        return None
    material = error = None
    try:
        material = prepare(config, seed)
    except Exception as caught:
        if refuse and isinstance(caught, InputError):
            raise
        error = caught
    with claimed(folder) as ours:
        if not ours:
            return None
        if not config.force and (done := _done_before(folder)):  # by another process, a moment ago
            return Outcome(folder, done)
        return _run_claimed(config, seed, folder, material, error, bar=bar, refuse=refuse)


def _run_claimed(
    config: RunConfig,
    seed: int,
    folder: Path,
    material: Material | None,
    error: Exception | None,
    *,
    bar: bool,
    refuse: bool,
) -> Outcome:
    """Fit, score and record a run whose data are there; or record why they are not."""
    outcome: dict[str, Any] = {}
    factors = history = None
    if material is not None:
        try:
            fit, outcome = fit_and_score(config, seed, material, bar)
            factors, history = named_arrays(fit), fit.history.columns()
        except Exception as caught:
            if refuse and isinstance(caught, InputError):
                raise
            error = caught
    if error is not None:
        outcome = _failure(error)
    head = {name: outcome.pop(name) for name in ("status", "stop", "message")}
    record = {
        "schema": records.SCHEMA_VERSION,
        "experiment": config.name,
        "regime": config.regime,
        **head,
        "code": code(),
        "commit": commit(),
        "config": config.identity(seed),
        "reported": config.reported_values(),
        "reported_on": config.reported_on,
        **outcome,
        "dataset": {"title": getattr(config.dataset, "title", config.dataset.name), **outcome.get("dataset", {})},
        **provenance(),
    }
    records.write_record(folder, record, factors, history)
    log.info("%s", summary(config, seed, record))
    if config.fail_fast and record["status"] not in (*records.COUNTED, records.INTERRUPTED):
        stop_all()
    return Outcome(folder, record)


def _failure(error: Exception) -> dict[str, Any]:
    """What the record of a run holds that raised an error."""
    lines = traceback.format_exception(error)
    message = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
    failed = {"status": records.FAILED, "stop": None, "message": message, "traceback": "".join(lines)}
    return failed | {"metrics": {}, "layers": []}


@dataclass(frozen=True)
class Material:
    """What a fit starts from: the data, what a method sees of them, and the columns whose label it is given."""

    dataset: Dataset
    entries: Entries
    known: NDArray[np.bool_]


def prepare(config: RunConfig, seed: int) -> Material:
    """Load the data, hold entries out and draw the known labels.

    Raises
    ------
    InputError
        If the data cannot be had or do not fit the configuration.
    """
    dataset = _loader.load(config.dataset, config.identity(seed)["dataset"], seed)
    entries = visible_entries(config, dataset, stream(seed, "holdout"))
    check_data(config, dataset, entries)
    return Material(dataset, entries, known_labels(config, dataset, stream(seed, "labels")))


def fit_and_score(config: RunConfig, seed: int, material: Material, bar: bool) -> tuple[Fit, dict[str, Any]]:
    """The fit, and what the record of the run holds of it."""
    dataset, entries, known = material.dataset, material.entries, material.known
    started = time.perf_counter()
    limit = math.inf if config.time_limit is None else started + config.time_limit
    with interruptible() as interrupted, progress_bar(config, seed, bar) as show:

        def progress(*state: Any) -> bool:
            show(*state)
            return interrupted.is_set() or is_stopped() or time.perf_counter() > limit

        fit = fit_factors(config, dataset, entries, known, seed, progress)
        by_time = fit.stop is Stop.INTERRUPTED and not interrupted.is_set() and not is_stopped()
    seconds = time.perf_counter() - started
    layers = score(config, dataset, entries, known, fit)
    last = {name: layers[-1][name] for name in LAST_LAYER}
    return fit, {
        "status": records.TIMED_OUT if by_time else STATUS[fit.stop],
        "stop": fit.stop.value,
        "message": f"stopped after time_limit={config.time_limit:g} seconds" if by_time else None,
        "layers": layers,
        "metrics": {**last, "seconds": seconds},
        "n_iter": len(fit.history) - 1,
        "dataset": _described(dataset) | _source(config.dataset),
        "topics": describe_topics(config, dataset, fit),
        "tree_agreement": _tree(dataset, fit),
    }


@dataclass(frozen=True)
class Entries:
    """The data as a method sees them, and what it does not see.

    Attributes
    ----------
    X : ndarray or sparse matrix of shape (m, n)
        Zero where an entry is missing or held out.
    mask : ndarray of bool, shape (m, n), or None
        True where an entry is seen; None where all are.
    heldout : ndarray of shape (m, n) or None
        The data where they are held out, NaN elsewhere.
    """

    X: Any
    mask: NDArray[np.bool_] | None = None
    heldout: NDArray[Any] | None = None


def visible_entries(config: RunConfig, dataset: Dataset, rng: np.random.Generator) -> Entries:
    """Tell missing entries apart and hold out the share of the known ones that the configuration asks for.

    Raises
    ------
    InputError
        If the data are not acceptable, or the mask does not fit them.
    """
    X, mask = split_missing(dataset.X, "X", None if config.mask is None else read_mask(config.mask))
    if not config.holdout:
        return Entries(X, mask)
    if sparse.issparse(X):
        raise InputError(f"holdout={config.holdout:g} needs dense data, dataset={dataset.name} is sparse.")
    known = np.ones(X.shape, bool) if mask is None else mask
    hidden = np.zeros(X.shape, bool)
    at = np.flatnonzero(known)
    hidden.flat[rng.choice(at, round(config.holdout * len(at)), replace=False)] = True
    if not X[hidden].any():
        raise InputError(
            f"holdout={config.holdout:g} hides {hidden.sum()} of {len(at)} entries, none of them positive, so there is "
            "no error to measure on them. Expected a larger share."
        )
    return Entries(*split_missing(np.where(hidden, 0.0, X), "X", known & ~hidden), np.where(hidden, X, np.nan))


def check_data(config: RunConfig, dataset: Dataset, entries: Entries) -> None:
    """Refuse ranks and label fractions that the data do not allow, and data that the method cannot take.

    Raises
    ------
    InputError
    """
    config.method.check_data(entries.X, entries.mask, config.cost)
    check_layers(config.layers, dataset.X.shape, allow_growing=config.allow_growing_ranks)
    config.init.check(dataset.X.shape[0], config.layers, signed=config.method.sign_free)
    level, given = label_level(config, dataset), f"label_fraction={config.label_fraction:g}"
    if config.label_fraction and level is None:
        raise InputError(f"{given} asks for labels, but dataset={dataset.name} has none. Expected label_fraction=0.")
    for name in ("label_level", "score_level"):
        chosen = getattr(config, name)
        if chosen is not None and chosen >= len(dataset.labels):
            raise InputError(
                f"{name}={chosen} does not exist. Expected at most {len(dataset.labels) - 1}: "
                f"dataset={dataset.name} has {len(dataset.labels)} levels of labels."
            )
    if config.label_fraction and level is not None and len(np.unique(dataset.labels[level])) < 2:
        raise InputError(f"{given} asks for labels, but all samples of dataset={dataset.name} are of one class.")


def check_sweep(configs: Iterable[RunConfig]) -> None:
    """Refuse a sweep of which any configuration does not fit its data, before the first of them runs.

    Raises
    ------
    InputError
    """
    loaded: dict[str, tuple[Dataset, Entries]] = {}
    for config in configs:
        key = repr((config.dataset, config.mask, config.holdout))
        if key not in loaded:
            dataset = _loader.load(config.dataset, config.identity(config.seed)["dataset"], config.seed)
            loaded[key] = dataset, visible_entries(config, dataset, stream(config.seed, "holdout"))
        check_data(config, *loaded[key])


def label_level(config: RunConfig, dataset: Dataset) -> int | None:
    """The level of the labels that a run is trained on, and scored on unless it says otherwise; None without labels."""
    return dataset.level(config.layers[-1]) if config.label_level is None else config.label_level


def known_labels(config: RunConfig, dataset: Dataset, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Columns whose label the method is given, shape (n,)."""
    level = label_level(config, dataset)
    if level is None:
        return np.zeros(dataset.X.shape[1], bool)
    if config.lists_known and dataset.known is not None:
        return dataset.known
    return draw_known(dataset.labels[level], config.label_fraction, rng)


def draw_known(labels: NDArray[np.intp], fraction: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw `fraction` of the columns, the same share of every class but at least one column each.

    Parameters
    ----------
    labels : ndarray of shape (n,)
    fraction : float
    rng : Generator
        One state draws nested sets for rising fractions.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    if fraction == 0.0:
        return np.zeros(len(labels), bool)
    # The j-th of n columns of a class stands at (j + 1/2) / n; the lowest are taken, whichever class they are of.
    known, place = np.zeros(len(labels), bool), np.empty(len(labels))
    for c in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == c))
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
        known[members[0]] = True
    known[np.argsort(place, kind="stable")[: round(fraction * len(labels))]] = True
    return known


def fit_factors(
    config: RunConfig,
    dataset: Dataset,
    entries: Entries,
    known: NDArray[np.bool_],
    seed: int,
    progress: Progress | None = None,
) -> Fit:
    """Fit the method of a configuration to data of which the `known` labels may be seen."""
    labels = None
    if known.any() and config.supervision.weight:
        classes = dataset.labels[label_level(config, dataset)]
        unit = label_unit(filled(entries.X, entries.mask), config.layers[-1])
        labels = config.supervision.labels(np.where(known, classes, -1), int(classes.max()) + 1, unit)
    start = config.init.start(filled(entries.X, entries.mask), config.layers, stream(seed, "init"))
    rule = StoppingRule(config.tol, config.max_iter, progress)
    plan = Plan(start, rule, config.optimizer, stream(seed, "fit"))
    problem = Problem(entries.X, labels, config.cost, entries.mask, config.regularisation)
    fit = config.method.fit(problem, plan)
    return normalised(fit) if config.normalise else fit


def score(
    config: RunConfig, dataset: Dataset, entries: Entries, known: NDArray[np.bool_], fit: Fit
) -> list[dict[str, Any]]:
    """Metrics of every layer, from the factors alone; no floor is known where entries are missing."""
    level = label_level(config, dataset) if config.score_level is None else config.score_level
    floors = [None] * len(config.layers) if entries.mask is not None else eckart_young_floors(entries.X, config.layers)
    held = None if entries.heldout is None else np.isfinite(entries.heldout)
    rows = []
    for i, (rank, S) in enumerate(zip(config.layers, fit.S, strict=True)):
        row: dict[str, Any] = {"layer": i, "rank": rank, "floor": floors[i]}
        product = (fit.A[0], config.method.decode(fit.A, fit.S, i))
        row["relative_error"] = relative_error(entries.X, *product, entries.mask)
        row["heldout_error"] = None if held is None else relative_error(entries.heldout, *product, held)
        row |= {"accuracy": None, "accuracy_unknown": None, "accuracy_fit": None}
        if level is not None:
            right = accuracy(S, dataset.labels[level], known)
            row |= {"accuracy": right.all, "accuracy_unknown": right.unknown, "accuracy_fit": right.fit}
            row |= asdict(agreement(S.argmax(axis=0), dataset.labels[dataset.level(rank)]))
        row["topic_cosine"] = _topic_cosine(config, dataset, fit, i)
        row |= _word_quality(config, dataset, fit, i)
        row |= {f"reported_{name}": value for name, value in config.reported_values(i).items()}
        rows.append(row)
    return rows


def _topic_cosine(config: RunConfig, dataset: Dataset, fit: Fit, level: int) -> float | None:
    """Mean cosine of the planted topics with those of a layer; None where none are planted."""
    return topic_recovery(config.method.topics(fit.A, level), dataset.truth.A) if dataset.truth else None


def _word_quality(config: RunConfig, dataset: Dataset, fit: Fit, level: int) -> dict[str, float | None]:
    """Coherence and diversity of the top words of a level's topics; None without names."""
    if dataset.feature_names is None:
        return {"npmi": None, "diversity": None}
    top = top_features(config.method.topics(fit.A, level), TOP_WORDS)
    coherence = npmi_coherence(dataset.X, top)
    known = coherence[np.isfinite(coherence)]
    return {"npmi": float(known.mean()) if len(known) else None, "diversity": topic_diversity(top)}


def describe_topics(config: RunConfig, dataset: Dataset, fit: Fit) -> list[list[dict[str, Any]]] | None:
    """The topics of every layer as a record holds them, see `records.TOPIC`; None where features have no names."""
    if dataset.feature_names is None:
        return None
    names, described = dataset.feature_names, []
    below: NDArray[Any] | None = None
    for level, factor in enumerate(fit.A):
        topics = config.method.topics(fit.A, level)
        shares, distinctive = feature_shares(topics), distinctive_features(topics, TOP_WORDS)
        layer: list[dict[str, Any]] = []
        for j, top in enumerate(top_features(topics, TOP_WORDS)):
            top = top[top >= 0]
            topic = {"words": [names[i] for i in top], "weights": shares[top, j].tolist()}
            topic["distinctive"] = [names[i] for i in distinctive[j] if i >= 0]
            layer.append(topic | {"children": [], "child_weights": [], "parent": None})
        # With pooling the rows of a factor are no longer the topics below: there is no tree.
        if below is not None and len(factor) == below.shape[1]:
            _link(described[-1], layer, tree_weights(below, factor))
        described.append(layer)
        below = topics
    return described


def _link(below: list[dict[str, Any]], above: list[dict[str, Any]], shares: NDArray[Any]) -> None:
    """Tell topics of their children, largest share first, and of the parent that they have the largest share of."""
    for j, topic in enumerate(above):
        order = [i for i in np.argsort(-shares[:, j], kind="stable") if shares[i, j] > 0]
        topic |= {"children": [int(i) for i in order], "child_weights": shares[order, j].tolist()}
    for i, topic in enumerate(below):
        topic["parent"] = int(shares[i].argmax()) if shares[i].any() else None


def _tree(dataset: Dataset, fit: Fit) -> float | None:
    """Share of topics found below their planted parent."""
    return tree_agreement(fit.A, dataset.truth.A) if dataset.truth else None


def _described(dataset: Dataset) -> dict[str, Any]:
    """What a record says of the data."""
    features, samples = dataset.X.shape
    classes = [len(np.unique(labels)) for labels in dataset.labels]
    shape = {"name": dataset.name, "n_features": features, "n_samples": samples}
    return {**shape, "classes": classes, "fingerprint": dataset.fingerprint()}


def _source(source: Source) -> dict[str, Any]:
    """Options that load the data again from any working directory, where the identity of the run does not hold them."""
    if not hasattr(source, "identity"):
        return {}
    options = asdict(source)  # type: ignore[call-overload]
    paths = {name: options[name] for name in ("path", "cache") if options.get(name)}
    return {"options": options | {name: os.path.abspath(os.path.expanduser(path)) for name, path in paths.items()}}


def _done_before(folder: Path) -> dict[str, Any] | None:
    """The record of a run that this very code has finished."""
    path = folder / records.RECORD
    if not path.exists():
        return None
    try:
        record = records.read_record(path)
    except InputError:
        raise
    except ValueError:
        return None
    return record if record["status"] in records.COUNTED and same_code(record) else None


def summary(config: RunConfig, seed: int, record: dict[str, Any]) -> str:
    """One line on a finished run."""
    name = f"{config.method.name} {'-'.join(map(str, config.layers))} {config.regime} seed {seed}"
    if not record["layers"]:
        return f"{name}: {record['status']} ({record['message']})"
    error = record["metrics"]["relative_error"]
    return f"{name}: {record['status']} after {record['n_iter']} iterations, relative error {error:.4f}"


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
def progress_bar(config: RunConfig, seed: int, wanted: bool) -> Iterator[Progress]:
    """A bar with iteration and cost where standard error is a terminal, and nothing elsewhere."""
    name = f"{config.method.name} {'-'.join(map(str, config.layers))} seed {seed}"
    with tqdm(desc=name, unit="it", disable=not (wanted and sys.stderr.isatty()), leave=False) as bar:

        def show(iteration: int, cost: float) -> None:
            bar.set_postfix_str(f"cost {cost:.6f}", refresh=False)
            bar.update()

        yield show

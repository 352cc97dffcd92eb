"""The one door into a fit, from the command line and from the estimators.

A model, data and known labels make a `Task`, which checks that they fit each other and assembles problem and plan.
"""

from __future__ import annotations

import functools
import logging
import logging.handlers
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnmf_runner.config.schema import Model, RunConfig
from nnmf_runner.core.checks import InputError, check_number, filled
from nnmf_runner.core.init import seeded
from nnmf_runner.core.linalg import Mask, Matrix
from nnmf_runner.core.monitor import Progress, StoppingRule, rounding_of
from nnmf_runner.core.streams import stream
from nnmf_runner.core.threads import threaded
from nnmf_runner.datasets import Dataset
from nnmf_runner.datasets.base import Loader
from nnmf_runner.datasets.files.bounds import MEMORY, in_units
from nnmf_runner.datasets.resample import LeftOut
from nnmf_runner.datasets.seed_words import seed_features
from nnmf_runner.datasets.visible import Entries, draw_known, visible_entries
from nnmf_runner.methods import Fit, Plan, Problem
from nnmf_runner.methods.fit import in_precision
from nnmf_runner.methods.supervision import with_all_classes
from nnmf_runner.store.provenance import blas_threads
from nnmf_runner.store.record import REGIMES
from nnmf_runner.store.start import PLACES


class _OneBlasThread:
    """While any block of it lasts, BLAS has one thread, if threadpoolctl is there to tell it so.

    Its own threads would wait for each other at every product of a fit, which costs most where the cores are busy.
    Blocks in several threads of the caller's may overlap in any way: the last of them gives the setting back.
    """

    def __init__(self) -> None:
        self._lock, self._blocks, self._limits = threading.Lock(), 0, ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            self._blocks += 1
            if self._blocks == 1 and blas_threads() > 1 and (controller := _blas()) is not None:
                self._limits.enter_context(controller.limit(limits=1))

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._blocks -= 1
            if not self._blocks:
                self._limits.close()


_one_blas_thread = _OneBlasThread()


@functools.cache
def _blas() -> Any:
    """What limits the threads of BLAS; None without threadpoolctl."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    return ThreadpoolController().select(user_api="blas")


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Let the estimators and `nnls` use `n` threads in this block; elsewhere they use one.

    Results are the same, bit for bit, for every number of threads.  Small data, of fewer than some thousand samples,
    are computed no sooner with more of them.

    Parameters
    ----------
    n : int
        At most as many as there are cores to spare.  In the block, BLAS has one thread, if threadpoolctl is installed.

    Raises
    ------
    InputError
        If `n` is not a positive integer.

    Examples
    --------
    >>> import numpy as np
    >>> import nnmf_runner
    >>> X = np.random.default_rng(0).random((30, 8))
    >>> with nnmf_runner.threads(2):
    ...     model = nnmf_runner.HierarchicalNMF(layers=(3,), random_state=0).fit(X)
    >>> model.stop_
    'converged'
    """
    with threaded(check_number(n, "threads", low=1, integer=True)), _one_blas_thread:
        yield


@dataclass(frozen=True)
class Task:
    """What is to be fitted.

    Attributes
    ----------
    model : Model
    X : ndarray or sparse matrix of shape (m, n)
        The data in the precision of the model, zero where an entry is missing; samples are columns.
    mask : ndarray of bool, shape (m, n), or None
        True where an entry is known; None where all are.
    labels : sequence of ndarray of int, shape (n,)
        The class of every sample by level, -1 where it is not known.
    counts : sequence of float
        Number of classes of every level; infinite where no label of the level is known.
    last_level : int, optional
        The level that the last layer learns; by default that with as many classes as its rank, or nearly.
    modes : tuple of int, optional
        Sizes of the modes of a tensor, that of the samples last, whose unfolding X is.
    seeds : sequence of ndarray of int
        Features that the first topics begin with more of, see `nnmf_runner.core.init.seeded`.

    Raises
    ------
    InputError
        If the data do not fit the model.
    """

    model: Model
    X: Any
    mask: Mask | None = None
    labels: Sequence[NDArray[np.intp]] = ()
    counts: Sequence[float] = ()
    last_level: int | None = None
    modes: tuple[int, ...] | None = None
    seeds: Sequence[NDArray[np.intp]] = ()

    def __post_init__(self) -> None:
        model, method = self.model, self.model.method
        method.check_data(self.X, self.mask, model.cost, self.shape)
        method.check_ranks(model.layers, self.shape)
        _check_memory(method.n_rows(self.shape), model.layers[0], model.dtype)
        model.init.check(method.n_rows(self.shape), model.layers, signed=method.sign_free)
        for layer in model.fixed:
            if layer not in model.init.brings():
                raise InputError(
                    f"fixed={model.fixed} holds the factor of layer {layer} as it is given, but {model.init.called()} "
                    f"gives none. Expected init=PATH: {PLACES}, A{layer} among them."
                )
        if self.seeds and {0, 1} & {*model.fixed}:  # seeding sorts the topics of the first layer
            raise InputError(
                f"fixed={model.fixed} and seed words contradict each other: one leaves the topics of the first layer "
                "as they are given, the other changes them. Expected one of them."
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the modes of a tensor, or the shape of X."""
        return self.modes or self.X.shape

    @functools.cached_property
    def levels(self) -> dict[int, int]:
        """The level of labels that supervises a layer, by the layer; empty without labels.

        Raises
        ------
        InputError
            If a level was asked for that the labels do not have.
        """
        if not self.labels:
            return {}
        labelled = [int((classes >= 0).sum()) for classes in self.labels]
        model, lower = self.model, self.model.method.supervises_layers
        return model.supervision.assign(model.layers, self.counts, lower, self.last_level, labelled)

    def problem(self, X: Any) -> Problem:
        """What the method is given; X is the data with missing entries filled in, by which labels are weighed."""
        model = self.model
        shares = functools.partial(model.method.floor_shares, X, shape=self.shape)
        labels = model.supervision.by_layer(self.levels, self.labels, self.counts, model.layers, shares, model.dtype)
        of_last = labels.pop(len(model.layers) - 1, None)
        return Problem(self.X, of_last, model.cost, self.mask, model.regularisation, labels, self.shape)

    def plan(self, X: Any, seed: int, progress: Progress | None = None, start: Sequence[Matrix] | None = None) -> Plan:
        """How the problem is to be solved; X is the data with missing entries filled in, by which the start is made."""
        model = self.model
        if start is None:
            start = model.method.start(model.init, X, model.layers, stream(seed, "init"), self.shape)
            start = seeded(start, self.seeds) if self.seeds else start
        start = [factor.astype(model.dtype, copy=False) for factor in start]
        rule = StoppingRule(model.tol, model.max_iter, progress, rounding_of(model.dtype))
        return Plan(start, rule, model.optimizer, stream(seed, "fit"), model.fixed)

    def fit(self, seed: int, progress: Progress | None = None, start: Sequence[Matrix] | None = None) -> Fit:
        """Fit the model, if a start is given from there; the seed fixes what is random about the start and the fit."""
        X = filled(self.X, self.mask)
        with _one_blas_thread:
            plan = self.plan(X, seed, progress, start)
            fit = self.model.method.solve(self.problem(X), plan, normalise=self.model.normalise)
        return in_precision(with_all_classes(fit, self.levels, self.labels, self.counts), self.model.dtype)


# Arrays of the shape of the first factor that a fit takes at least, itself included.
ARRAYS = 4


def _check_memory(rows: int, rank: int, dtype: str) -> None:
    """Refuse data, tall sparse ones, of which a first factor does not fit into memory beside what updates it."""
    if (needed := ARRAYS * np.dtype(dtype).itemsize * rows * rank) > MEMORY:
        raise InputError(
            f"X has {rows} features (of a tensor: fibres), for which a factor of rank {rank} and what updates it take "
            f"at least {in_units(needed)} of memory, of {in_units(MEMORY)} that there are. Expected fewer features, or "
            "method=ncpd for a tensor."
        )


_loader = Loader()


@dataclass(frozen=True)
class Material:
    """The data of a run: all of them, the entries that the method sees, the samples whose labels it sees, its task.

    Of a part of the data these are that part, and `left_out` is what a fold of bi-cross-validation hides.
    """

    dataset: Dataset
    entries: Entries
    known: NDArray[np.bool_]
    task: Task
    left_out: LeftOut | None = None

    @property
    def regime(self) -> str:
        """That of the configuration; semisupervised also where the data themselves do not label every sample."""
        _, some, every = REGIMES
        config: Any = self.task.model
        partly = any((self.task.labels[level] < 0).any() for level in self.task.levels.values())
        return some if config.regime == every and partly else config.regime


@contextmanager
def notes_after_checks() -> Iterator[None]:
    """Keep what datasets say of themselves until the data are known to fit the model: an error stands alone.

    Of several around each other, the outermost counts.
    """
    logger, held = logging.getLogger("nnmf_runner.datasets"), logging.handlers.BufferingHandler(sys.maxsize)
    if any(isinstance(handler, logging.handlers.BufferingHandler) for handler in logger.handlers):
        yield
        return
    logger.addHandler(held)
    logger.propagate = False
    refused = False
    try:
        yield
    except InputError:
        refused = True
        raise
    finally:
        logger.removeHandler(held)
        logger.propagate = True
        for record in [] if refused else held.buffer:
            logger.handle(record)


@notes_after_checks()
def prepare(config: RunConfig, seed: int) -> Material:
    """Load the data, hold entries out and draw the known labels for the trial with this seed.

    Raises
    ------
    InputError
        If the data cannot be had or do not fit the configuration.
    """
    seed = config.seed_of_data(seed)
    return _material(config, seed, *_load(config, seed))


@notes_after_checks()
def check_sweep(configs: Iterable[RunConfig]) -> None:
    """Raise an `InputError` if any configuration of a sweep does not fit its data, before the first of them runs."""
    loaded: dict[str, tuple[Dataset, Entries]] = {}
    for config in configs:
        seen = config.engine.shares_data, config.mask, config.holdout, config.method.sign_free, config.dtype
        key = repr((config.dataset, *seen))
        if key not in loaded:
            loaded[key] = _load(config, config.seed_of_data(config.seed))
        _material(config, config.seed_of_data(config.seed), *loaded[key])


def _load(config: RunConfig, seed: int) -> tuple[Dataset, Entries]:
    if config.engine.shares_data and hasattr(config.dataset, "in_place"):
        dataset = config.dataset.in_place()
        return dataset, Entries(dataset.X)
    dataset = _loader.load(config.dataset, config.computed["dataset"], seed)
    path = getattr(config.dataset, "path", None)
    options = {"signed": config.method.sign_free, "name": f"X of dataset.path={path}" if path else "X"}
    rng = stream(seed, "holdout")
    return dataset, visible_entries(dataset, config.mask, config.holdout, rng, **options, dtype=config.dtype)


def _material(config: RunConfig, seed: int, dataset: Dataset, entries: Entries) -> Material:
    _check_labels(config, dataset)
    part = config.resample.part(dataset, entries, stream(seed, "resample"))
    dataset, entries = part.dataset, part.entries
    known = known_labels(config, dataset, stream(seed, "labels"))
    labels = [np.where(known, classes, -1) for classes in dataset.labels] if config.learns_labels else []
    modes = None if dataset.modes is None else dataset.modes.shape
    seeds = _seeds(config, dataset)
    task = Task(config, entries.X, entries.mask, labels, dataset.counts, config.label_level, modes, seeds)
    asks = f"label_fraction={config.label_fraction:g} asks for labels, but"
    for level in task.levels.values():
        if not dataset.classes[level]:
            raise InputError(f"{asks} no sample of dataset={dataset.name} has a label at level {level}.")
        if dataset.classes[level] < 2:
            raise InputError(f"{asks} all labels of dataset={dataset.name} are of one class at level {level}.")
        if (task.labels[level] < 0).all():
            raise InputError(
                f"{asks} none of the samples that it gives of dataset={dataset.name} has one at level {level}. "
                "Expected other levels, or more samples with labels."
            )
    return Material(dataset, entries, known, task, part.left_out)


def _seeds(config: RunConfig, dataset: Dataset) -> list[NDArray[np.intp]]:
    """The features that the topics of a configuration are to begin with; none without seed words."""
    if config.seed_words is None:
        return []
    option = f"dataset.seed_words={config.dataset.seed_words}"
    if dataset.words is None:
        lacks = f"is for data with words, but dataset={dataset.name} has no names of its features"
        raise InputError(f"{option} {lacks}. Expected dataset.names, or dataset.seed_words=null.")
    return seed_features(config.seed_words, dataset.words, config.layers[0], option)


def _check_labels(config: RunConfig, dataset: Dataset) -> None:
    """Refuse options that ask for labels which the data do not have."""
    levels, count = config.supervision.levels, len(dataset.labels)
    asked = {name: getattr(config, name) for name in ("label_level", "eval_label_level")}
    for given, instead in [] if any(dataset.classes) else config.asked_labels:
        raise InputError(f"{given} asks for labels, but dataset={dataset.name} has none. Expected {instead}.")
    if isinstance(levels, list):
        config.supervision.assign(config.layers, dataset.classes, config.method.supervises_layers)
    for name, level in asked.items():
        if level is not None and level >= count:
            there_are = f"dataset={dataset.name} has {count} levels of labels"
            raise InputError(f"{name}={level} does not exist. Expected at most {count - 1}: {there_are}.")
        if level is not None and not dataset.classes[level]:
            raise InputError(f"{name}={level} asks for labels, but no sample of dataset={dataset.name} has one there.")


def known_labels(config: RunConfig, dataset: Dataset, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Samples whose labels the method is given, of those that have any, shape (n,).

    A list of `supervision.levels` does not change them: runs that differ in it meet the same labels.
    """
    level = _last_level(config, dataset)
    if level is None:
        return np.zeros(dataset.X.shape[1], bool)
    finest = _finest_labels(dataset.labels)
    if config.lists_known and dataset.known is not None:
        return dataset.known & (finest >= 0)
    return draw_known(dataset.labels[level], config.label_fraction, rng, finest)


def _finest_labels(levels: Sequence[NDArray[np.intp]]) -> NDArray[np.intp]:
    """The finest label that every sample has, the classes of every level counted on; -1 where it has none."""
    finest = levels[0]
    for coarser in levels[1:]:
        finest = np.where((finest < 0) & (coarser >= 0), coarser + finest.max() + 1, finest)
    return finest


def _last_level(config: RunConfig, dataset: Dataset) -> int | None:
    """The level of the last layer, by whose classes the known labels are drawn; None without labels."""
    return dataset.level(config.layers[-1]) if config.label_level is None else config.label_level


def scored_levels(config: RunConfig, material: Material) -> list[int | None]:
    """The level of the labels that every layer is scored on; None without labels.

    Where `eval_label_level` does not say it, that is the level which supervises the layer, or the nearest to its rank.
    """
    dataset = material.dataset
    if not any(dataset.classes) or config.eval_label_level is not None:
        return [config.eval_label_level] * len(config.layers)
    nearest = [*map(dataset.level, config.layers[:-1]), _last_level(config, dataset)]
    return [material.task.levels.get(layer, level) for layer, level in enumerate(nearest)]

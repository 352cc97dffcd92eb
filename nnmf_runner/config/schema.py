"""The schema of a run: every option, its type, its default."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from nnmf_runner.config.engines import ENGINES
from nnmf_runner.config.published import published_names
from nnmf_runner.core.checks import InputError, check_choice, check_fixed, check_flag, check_number
from nnmf_runner.core.consensus import check_held
from nnmf_runner.core.costs import COSTS
from nnmf_runner.core.linalg import DTYPES
from nnmf_runner.core.monitor import StoppingRule
from nnmf_runner.core.optimizers import OPTIMIZERS
from nnmf_runner.core.regularisation import Regularisation
from nnmf_runner.datasets import DATASETS
from nnmf_runner.datasets.base import SIDES, TEXT_OR_LIST, mask_digest
from nnmf_runner.datasets.resample import RESAMPLES, Whole
from nnmf_runner.datasets.seed_words import read_seed_words
from nnmf_runner.methods import METHODS, Supervision, check_layers
from nnmf_runner.store.files import user_path
from nnmf_runner.store.record import REGIMES, SCHEMA_VERSION
from nnmf_runner.store.start import INITIALISATIONS
from nnmf_runner.store.trackers import TRACKERS

# Every group of options and the registry that its parts come from.
GROUPS: dict[str, dict[str, type]] = {
    "dataset": DATASETS,
    "method": METHODS,
    "cost": COSTS,
    "optimizer": OPTIMIZERS,
    "init": INITIALISATIONS,
    "resample": RESAMPLES,
    "engine": ENGINES,
    "tracking": TRACKERS,
}
# More trials than anybody waits for, which are all listed before the first of them runs.
MOST_TRIALS = 10**6
# OmegaConf's mark of a value that has to be given.
MISSING: Any = "???"


@dataclass
class Model:
    """The model: how the data are factored, in a run as in an estimator.

    Parameters
    ----------
    method
        How the factors are fitted.
    cost
        What the fit minimises.
    optimizer
        Algorithm that updates all factors together, for gradient-based methods.
    init
        How the factors are initialised; ``init=PATH`` takes those of a run, of a saved model or of a ``.npz`` file.
    supervision : Supervision
        How known labels enter the cost.
    regularisation : Regularisation
        Penalties on the factors.
    layers : list of int, int or str
        Rank of every layer, starting from the data; ``9-4-2`` means ``[9, 4, 2]``.
    fixed : list of int
        Layers, counted from 0, whose factors stay as `init=PATH` gives them, bit for bit.  The others, and the codes,
        are fitted to them.
    allow_growing_ranks : bool
        Whether a layer may have more topics than the layer below.
    normalise : bool
        Whether the columns of every A are scaled to unit length after the fit, with the codes rescaled to match.
    tol : float
        Relative projected gradient, at least 0, at which a fit has converged, see `StoppingRule`.
    max_iter : int
        Maximum number of iterations of a fit, at least 0.
    dtype : {"float64", "float32"}
        Precision of the data, factors, codes and their products: single precision takes half the memory and gives
        errors that agree to four digits.  Small systems and sums of squares are computed in double precision.

    Raises
    ------
    InputError
        If a value is not acceptable, or the method does not have what is asked for.
    """

    method: Any = MISSING
    cost: Any = MISSING
    optimizer: Any = MISSING
    init: Any = MISSING
    supervision: Supervision = field(default_factory=Supervision)
    regularisation: Regularisation = field(default_factory=Regularisation)
    layers: Any = "9-4-2"
    fixed: list[int] = field(default_factory=list)
    allow_growing_ranks: bool = False
    normalise: bool = False
    tol: float = StoppingRule.tol
    max_iter: int = StoppingRule.max_iter
    dtype: str = DTYPES[0]

    def __post_init__(self) -> None:
        for name in ("allow_growing_ranks", "normalise"):
            check_flag(getattr(self, name), name)
        self.layers = check_layers(self.layers, allow_growing=self.allow_growing_ranks)
        self.fixed = check_fixed(self.fixed, len(self.layers))
        check_number(self.tol, "tol", low=0.0)
        check_number(self.max_iter, "max_iter", low=0, integer=True)
        check_choice(self.dtype, DTYPES, "dtype")
        given = (self.cost, self.supervision, len(self.layers), self.regularisation)
        options = {"normalise": self.normalise, "init": self.init, "optimizer": self.optimizer, "fixed": self.fixed}
        self.method.check(*given, **options, dtype=self.dtype)


@dataclass
class Computed(Model):
    """What a run computes: its model, its data, and the labels and entries that the method sees.

    Parameters
    ----------
    dataset
        The data, with their labels.
    label_fraction : float
        Share of the labels, from 0 to 1, that the method is given, drawn within every class from the samples that have
        a label.
        Where the data list the labelled samples themselves (``dataset.known``), any share above zero gives
        exactly those.
    label_level : int, optional
        Level of the labels that the last layer learns, counted from 0, the finest; by default the one whose number of
        classes is nearest its rank.
    eval_label_level : int, optional
        Level of the labels that the codes of every layer are scored on, counted from 0, the finest; by default the one
        that the layer learns.
    holdout : float
        Share of the known entries of the data, from 0 to below 1, that are hidden from the method; the record has the
        error on them.
    resample
        Part of the data that the method is given, as `nnmf-rank` compares fits on several.
    mask : str, optional
        A ``.npy`` file of booleans of the shape of the data, false where an entry is missing.  So is any NaN.
    seed : int
        Fixes the data's noise, the known labels, the entries held out, the parts of the data and the initial factors,
        each from a stream of its own.
    data_seed : int, optional
        Fixes the data's noise, the known labels, the entries held out and the parts of the data in place of `seed`, so
        that trials differ in their start and fit alone.
    engine
        What carries out a fit: this process, or several that share the data, whose sums differ by rounding.
    """

    dataset: Any = MISSING
    label_fraction: float = 0.0
    label_level: int | None = None
    eval_label_level: int | None = None
    holdout: float = 0.0
    resample: Any = MISSING
    mask: str | None = None
    seed: int = 0
    data_seed: int | None = None
    engine: Any = MISSING

    def __post_init__(self) -> None:
        super().__post_init__()
        self.mask = None if self.mask is None else str(user_path(self.mask, "mask"))
        check_number(self.label_fraction, "label_fraction", low=0.0, high=1.0)
        check_number(self.holdout, "holdout", low=0.0, high=1.0, open_high=True)
        check_number(self.seed, "seed", low=0, high=math.inf, integer=True)
        _check_integers(self, 0, "label_level", "eval_label_level")
        for given, instead in self.asked_labels if self.resamples else []:
            raise InputError(
                f"{given} asks for labels, which resample={self.resample.name} leaves out. Expected {instead}."
            )
        if self.resamples and getattr(self.dataset, "seed_words", None) is not None:
            raise InputError(
                f"dataset.seed_words={self.dataset.seed_words} names features, of which resample={self.resample.name} "
                "may leave some out. Expected dataset.seed_words=null."
            )
        if self.data_seed is not None:
            check_number(self.data_seed, "data_seed", low=0, high=math.inf, integer=True)
        if self.label_level is not None and isinstance(self.supervision.levels, list):
            raise InputError(
                f"label_level={self.label_level} and supervision.levels={self.supervision.levels} both name the level "
                "of the last layer. Expected one of them."
            )

    @functools.cached_property
    def seed_words(self) -> dict[str, list[str]] | None:
        """Words that topics are to begin with, by the topics' names; None where the dataset has no such option set."""
        path = getattr(self.dataset, "seed_words", None)
        return None if path is None else read_seed_words(path)

    @property
    def asked_labels(self) -> list[tuple[str, str]]:
        """Options that data without labels cannot honour, each with the value that asks for none."""
        levels = {"label_level": self.label_level, "eval_label_level": self.eval_label_level}
        found = [(f"{name}={level}", f"{name}=null") for name, level in levels.items() if level is not None]
        if self.label_fraction:
            found.append((f"label_fraction={self.label_fraction:g}", "label_fraction=0"))
        if isinstance(self.supervision.levels, list):
            found.append((f"supervision.levels={self.supervision.levels}", "supervision.levels=auto"))
        return found

    @property
    def resamples(self) -> bool:
        """Whether the method is given a part of the data."""
        return not isinstance(self.resample, Whole)

    @property
    def lists_known(self) -> bool:
        """Whether the data say which labels may be seen, so that none are drawn."""
        return self.label_fraction > 0.0 and getattr(self.dataset, "known", None) is not None

    @property
    def learns_labels(self) -> bool:
        """Whether labels count in the fit; where their weight is zero, they only serve to score it."""
        return self.label_fraction > 0.0 and self.supervision.weight > 0.0

    @property
    def regime(self) -> str:
        """Name of the share of the labels that the fit knows, where the data label every sample."""
        none, some, every = REGIMES
        if not self.learns_labels:
            return none
        return every if self.label_fraction == 1.0 and not self.lists_known else some

    @functools.cached_property
    def computed(self) -> dict[str, Any]:
        """The fields of `Computed` but for those that make no difference here, as JSON."""
        found = {each.name: _described(getattr(self, each.name)) for each in dataclasses.fields(Computed)}
        found["mask"] = None if self.mask is None else mask_digest(self.mask)
        if self.seed_words is not None:  # a list, since their order counts
            found["seed_words"] = [[topic, words] for topic, words in self.seed_words.items()]
        without = {"optimizer": not self.method.uses_optimizer, "supervision": self.label_fraction == 0.0}
        without |= {"resample": not self.resamples}
        without |= {"label_fraction": self.lists_known, "allow_growing_ranks": True}  # of which the ranks tell
        without |= {"fixed": not self.fixed, "dtype": self.dtype == DTYPES[0]}  # as records say it that are older
        without |= {"engine": not self.engine.shares_data}
        without |= {"data_seed": True}  # which `identity` adds where it tells trials apart
        return {name: value for name, value in found.items() if not without.get(name)}

    @property
    def draws_data(self) -> bool:
        """Whether anything about the data is random: the data, or which labels, entries or parts of them are seen."""
        labels = 0.0 < self.label_fraction < 1.0 and not self.lists_known
        return labels or self.holdout > 0.0 or self.resamples or getattr(self.dataset, "draws", True)

    def seed_of_data(self, seed: int) -> int:
        """The seed of what is random about the data of the trial with this seed."""
        return seed if self.data_seed is None else self.data_seed

    def identity(self, seed: int) -> dict[str, Any]:
        """What determines the result of the trial with this seed."""
        of_data = self.seed_of_data(seed)
        own = {"data_seed": of_data} if of_data != seed and self.draws_data else {}
        return {"schema": SCHEMA_VERSION, **self.computed, "seed": seed, **own}


def parts() -> list[tuple[str, type]]:
    """Every class of options, after the name that they stand below; empty for those of a run itself."""
    below = [(group, part) for group, registry in GROUPS.items() for part in registry.values()]
    return [("", RunConfig), *below, ("supervision", Supervision), ("regularisation", Regularisation)]


def option_types(key: str) -> list[Any]:
    """The types of an option by its full name, of every part that has it; with `TEXT_OR_LIST`, text as well."""
    owner, _, name = key.rpartition(".")
    found = [part for below, part in parts() if below == owner and name in fields_of(part)]
    own = [each for part in found for each in dataclasses.fields(part) if each.name == name]
    return [types_of(part)[name] for part in found] + [str for each in own if each.metadata == TEXT_OR_LIST]


def is_of_sides(key: str) -> bool:
    """Whether an option by its full name is the sides of a picture."""
    owner, _, name = key.rpartition(".")
    own = [each for below, part in parts() if below == owner for each in dataclasses.fields(part) if each.name == name]
    return any(each.metadata == SIDES for each in own)


def fields_of(part: type) -> list[str]:
    """Names of the fields of a dataclass."""
    return [each.name for each in dataclasses.fields(part)]


@functools.cache
def types_of(part: type) -> dict[str, Any]:
    """The types of the fields of a dataclass, by name."""
    return get_type_hints(part)


def _check_integers(part: Any, low: int, *names: str) -> None:
    """Refuse options that are neither null, which OmegaConf refuses where it means nothing, nor integers from `low`."""
    for name in names:
        if getattr(part, name) is not None:
            check_number(getattr(part, name), name, low=low, integer=True)


def _check_folder(output: str, name: str) -> str:
    """Return the path that `output` stands for; raise an `InputError` unless it and `name` are folders of their own.

    A path that ends in no name, such as ``.``, ``..``, ``/`` or ``~``, is a folder that is there for other things.
    """
    path = user_path(output, "output")
    last = os.path.basename(os.path.normpath(output)) if output else ""
    if last in ("", ".", "..") or output.rstrip("/") in (last if last.startswith("~") else "", str(Path.home())):
        raise InputError(
            f"output={output} is not valid. Expected a folder with a name of its own, such as outputs or ~/outputs."
        )
    if not re.fullmatch(r"[\w-][\w.-]*", name):
        raise InputError(f"name={name} is not valid. Expected letters, digits, '-', '_' and '.': a folder name.")
    above = next(parent for parent in (path, *path.parents) if parent.exists())
    if not above.is_dir():
        raise InputError(f"output={output} is not valid: {above} is a file. Expected a folder.")
    return str(path)


def _described(part: Any) -> Any:
    """A value as JSON, a part by its name and options; one that knows better what determines a result says so."""
    if not dataclasses.is_dataclass(part):
        return list(part) if isinstance(part, tuple) else part
    name = {"name": part.name} if hasattr(part, "name") else {}
    return {**name, **(part.identity() if hasattr(part, "identity") else dataclasses.asdict(part))}  # type: ignore[arg-type]


@dataclass
class Execution:
    """How a run is carried out, and where its record goes: nothing that changes the result.

    Parameters
    ----------
    trials : int
        Number of runs, at least 1, that differ in their seed: `seed`, `seed` + 1 and so on.
    consensus : bool
        Whether the topics that the trials have in common are the start of one more fit, whose record tells how stable
        each topic is and how many trials put it below the same topic.  The trials have the data of the first of them.
    workers : int, optional
        Number of processes that share the runs; None for as many as there are cores for, or cores for their `threads`.
    threads : int
        Threads of a fit, which share its work; its result is the same with any number of them.  A fit of small data
        is no sooner with more than one.
    name : str
        Folder below `output` for the records, of letters, digits, ``-``, ``_`` and ``.``; also the experiment's name in
        tables.
    output : str
        Folder below which everything is written, with a name of its own; ``~`` stands for the home folder, as in every
        path.
    force : bool
        Whether to repeat runs that this version of the code has already finished.
    fail_fast : bool
        Whether to stop everything when a run has failed.
    time_limit : float, optional
        Seconds after which a fit is stopped at the end of its iteration, and its run counts as failed.
    runs_per_job : int, optional
        Number of runs that share a job on a cluster; None for the trials of one configuration.
    cells : list
        Override lists of further configurations that a job runs; written by a sweep, not by hand.
    published : str, optional
        Published values that tables print beside these: a file of `conf/experiment/published`.
    objective : str, optional
        Metric, by its name in records, that sweepers optimise, that callbacks are told and by which the best of a sweep
        is named: the mean over the trials.  By default `relative_error`, where one is needed.
    objective_layer : int, optional
        Layer, counted from 0, of which the objective is; by default the value that stands for the whole run.
    tracking
        Where runs are told of as well, beside their records.
    """

    trials: int = 1
    consensus: bool = False
    workers: int | None = 1
    threads: int = 1
    name: str = "runs"
    output: str = "outputs"
    force: bool = False
    fail_fast: bool = False
    time_limit: float | None = None
    runs_per_job: int | None = None
    cells: list[Any] = field(default_factory=list)
    published: str | None = None
    objective: str | None = None
    objective_layer: int | None = None
    tracking: Any = MISSING

    def __post_init__(self) -> None:
        _check_integers(self, 1, "threads", "workers", "runs_per_job")
        check_number(self.trials, "trials", low=1, high=MOST_TRIALS, integer=True)
        if self.time_limit is not None:
            check_number(self.time_limit, "time_limit", low=0.0, open_low=True)
        self.output = _check_folder(self.output, self.name)
        if self.published is not None:
            check_choice(self.published, published_names(), "published")
        _check_integers(self, 0, "objective_layer")

    @property
    def processes(self) -> int:
        """Number of processes that share the runs."""
        return self.workers or max(1, (os.cpu_count() or 1) // self.threads)

    @property
    def folder(self) -> Path:
        """Where the records of this experiment go."""
        return Path(self.output) / self.name


@dataclass
class RunConfig(Execution, Computed):
    """A run, or `trials` of them that differ in their seed: what is computed, and how it is carried out."""

    def __post_init__(self) -> None:
        Computed.__post_init__(self)
        Execution.__post_init__(self)
        check_flag(self.consensus, "consensus")
        self.engine.check(self)
        self.tracking.check()
        if self.objective_layer is not None and self.objective_layer >= len(self.layers):
            raise InputError(
                f"objective_layer={self.objective_layer} is none of the {len(self.layers)} layers of a run. "
                f"Expected an integer in [0, {len(self.layers) - 1}]."
            )
        if self.consensus:
            if self.trials < 2:
                raise InputError(f"consensus=true needs several trials, but trials={self.trials}. Expected at least 2.")
            self.method.check_start("consensus=true")
            check_held(self.fixed)
            self.data_seed = self.seed_of_data(self.seed)

    @property
    def seeds(self) -> range:
        """The seeds of the trials."""
        return range(self.seed, self.seed + self.trials)

    @property
    def runs(self) -> list[int | None]:
        """The seeds of all runs: those of the trials, and None for their consensus if there is to be one."""
        return [*self.seeds, *([None] if self.consensus else [])]

    def identity(self, seed: int | None) -> dict[str, Any]:
        """What determines the result of the trial with this seed; None stands for the consensus of all trials."""
        return super().identity(self.seed) | {"consensus": self.trials} if seed is None else super().identity(seed)

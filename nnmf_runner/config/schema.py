"""The schema of a run: every option, its type, its default."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from nnmf_runner.core.checks import InputError, check_number
from nnmf_runner.core.costs import COSTS
from nnmf_runner.core.monitor import StoppingRule
from nnmf_runner.core.optimizers import OPTIMIZERS
from nnmf_runner.core.regularisation import Regularisation
from nnmf_runner.datasets import DATASETS
from nnmf_runner.datasets.base import read_mask
from nnmf_runner.methods import METHODS, Supervision, check_layers
from nnmf_runner.store.files import digest
from nnmf_runner.store.record import REGIMES, SCHEMA_VERSION
from nnmf_runner.store.start import INITIALISATIONS

# Every group of `conf/` and the registry that its options come from.
GROUPS: dict[str, dict[str, type]] = {
    "dataset": DATASETS,
    "method": METHODS,
    "cost": COSTS,
    "optimizer": OPTIMIZERS,
    "init": INITIALISATIONS,
}


@dataclass
class RunConfig:
    """One run, or `trials` of them that differ in their seed.

    Parameters
    ----------
    dataset
        The data, with their labels.
    method
        How the factors are fitted.
    cost
        What the fit makes small.
    optimizer
        What updates all factors together, in the methods that have a gradient of them all.
    init
        Where the factors begin.
    supervision : Supervision
        How known labels enter the cost.
    regularisation : Regularisation
        Penalties on the factors.
    layers : list of int, int or str
        Ranks from the data up; ``9-4-2`` means ``[9, 4, 2]``.
    label_fraction : float
        Share of the labels that the method is given, drawn within every class.  Where the data list the known ones
        themselves (``dataset.known``), any share above zero gives exactly those.
    label_level : int, optional
        Which level of the labels to use; by default that with as many classes as the last rank, or nearly.
    score_level : int, optional
        Which level of the labels the codes of every layer are scored on; by default the one in use.
    allow_growing_ranks : bool
        Whether a layer may have more topics than the one below it.
    holdout : float
        Share of the known entries of the data that are hidden from the method; the record has the error on them.
    mask : str, optional
        A ``.npy`` file of booleans of the shape of the data, false where an entry is missing.  So is any NaN.
    normalise : bool
        Whether columns of every A are scaled to unit length after the fit, which the codes make up for.
    seed : int
        Fixes the data's noise, the known labels, the entries held out and the initial factors, each from a stream of
        its own.
    trials : int
        Number of seeds, from `seed` on.
    workers : int, optional
        Processes that share the trials; None for one a core, or for one where a launcher shares out the jobs.
    threads : int
        BLAS threads of every process.
    tol : float
        Bound on the projected gradient of the relative error at which a fit has converged, see `StoppingRule`.
    max_iter : int
        Iterations after which a fit ends anyway.
    name : str
        Folder below `output` for the records, also the experiment's name in tables.
    output : str
        Folder below which everything is written.
    force : bool
        Run again what this version of the code has done already.
    fail_fast : bool
        Stop everything when a run has failed.
    time_limit : float, optional
        Seconds after which a fit is stopped at the end of its iteration, and its run counts as failed.
    runs_per_job : int, optional
        Runs of a sweep that share a job of the launcher; None for the trials of one configuration.
    batch : list
        Override lists of further configurations that a job runs; written by a sweep, not by hand.
    reported : list
        Published values to print beside: mappings with ``regime``, ``layers``, ``method`` and metrics, and with
        ``layer`` where they are not those of the last one.
    reported_on : str, optional
        Name of the data that they are of, where the experiment can run on others.
    """

    dataset: Any = MISSING
    method: Any = MISSING
    cost: Any = MISSING
    optimizer: Any = MISSING
    init: Any = MISSING
    supervision: Supervision = field(default_factory=Supervision)
    regularisation: Regularisation = field(default_factory=Regularisation)
    layers: Any = "9-4-2"
    label_fraction: float = 0.0
    label_level: int | None = None
    score_level: int | None = None
    allow_growing_ranks: bool = False
    holdout: float = 0.0
    mask: str | None = None
    normalise: bool = False
    seed: int = 0
    trials: int = 1
    workers: int | None = 1
    tol: float = StoppingRule.tol
    max_iter: int = StoppingRule.max_iter
    name: str = "runs"
    output: str = "outputs"
    force: bool = False
    threads: int = 1
    fail_fast: bool = False
    time_limit: float | None = None
    runs_per_job: int | None = None
    batch: list[Any] = field(default_factory=list)
    reported: list[Any] = field(default_factory=list)
    reported_on: str | None = None

    def __post_init__(self) -> None:
        self.layers = check_layers(self.layers, allow_growing=self.allow_growing_ranks)
        check_number(self.label_fraction, "label_fraction", low=0.0, high=1.0)
        check_number(self.holdout, "holdout", low=0.0, high=1.0, open_high=True)
        check_number(self.seed, "seed", low=0, integer=True)
        check_number(self.trials, "trials", low=1, integer=True)
        check_number(self.tol, "tol", low=0.0)
        check_number(self.max_iter, "max_iter", low=0, integer=True)
        check_number(self.threads, "threads", low=1, integer=True)
        for name, low in (("workers", 1), ("runs_per_job", 1), ("label_level", 0), ("score_level", 0)):
            if getattr(self, name) is not None:
                check_number(getattr(self, name), name, low=low, integer=True)
        if self.label_level is not None and isinstance(self.supervision.levels, list):
            raise InputError(
                f"label_level={self.label_level} and supervision.levels={self.supervision.levels} both name the level "
                "of the last layer. Expected one of them."
            )
        if self.time_limit is not None:
            check_number(self.time_limit, "time_limit", low=0.0, open_low=True)
        if not re.fullmatch(r"[\w-][\w.-]*", self.name):
            raise InputError(
                f"name={self.name} is not valid. Expected letters, digits, '-', '_' and '.': a folder name."
            )
        for i, entry in enumerate(self.reported):
            if not isinstance(entry, dict):
                raise InputError(
                    f"reported[{i}]={entry} is not valid. Expected a mapping with regime, layers and method."
                )
        self.method.check(self.cost, self.supervision, len(self.layers), self.regularisation, normalise=self.normalise)

    @property
    def folder(self) -> Path:
        """Where the records of this experiment go."""
        return Path(self.output) / self.name

    @property
    def lists_known(self) -> bool:
        """Whether the data say which labels may be seen, so that none are drawn."""
        return self.label_fraction > 0.0 and getattr(self.dataset, "known", None) is not None

    @property
    def regime(self) -> str:
        """Name of the share of labels that the fit knows: none where they have no weight and only serve to score it."""
        none, some, every = REGIMES
        if not self.supervision.weight:
            return none
        if self.lists_known:
            return some
        return {0.0: none, 1.0: every}.get(self.label_fraction, some)

    def identity(self, seed: int) -> dict[str, Any]:
        """What determines the result of the trial with this seed, and nothing else."""
        identity = {
            "schema": SCHEMA_VERSION,
            **{group: _described(getattr(self, group)) for group in GROUPS},
            "layers": list(self.layers),
            "label_fraction": None if self.lists_known else self.label_fraction,
            "label_level": self.label_level,
            "supervision": dataclasses.asdict(self.supervision),
            "regularisation": dataclasses.asdict(self.regularisation),
            "holdout": self.holdout,
            "mask": None if self.mask is None else digest([read_mask(self.mask)]),
            "normalise": self.normalise,
            "tol": self.tol,
            "max_iter": self.max_iter,
            "seed": seed,
        }
        if not self.method.uses_optimizer:
            del identity["optimizer"]
        if self.label_fraction == 0.0:
            del identity["supervision"]
        if self.score_level is not None:
            identity["score_level"] = self.score_level
        return identity

    def reported_values(self, layer: int | None = None) -> dict[str, float]:
        """Published metrics of a layer of this cell, by default the last; empty if there are none."""
        cell = {"regime": self.regime, "layers": "-".join(map(str, self.layers)), "method": self.method.name}
        last = len(self.layers) - 1
        for entry in self.reported:
            is_here = all(str(entry.get(key)) == value for key, value in cell.items())
            if is_here and entry.get("layer", last) == (last if layer is None else layer):
                return {key: float(value) for key, value in entry.items() if key not in (*cell, "layer")}
        return {}


def _described(part: Any) -> dict[str, Any]:
    """Name and options of a part; one that knows better what determines its result says so itself."""
    return {"name": part.name, **(part.identity() if hasattr(part, "identity") else dataclasses.asdict(part))}

"""The schema of a run: every option, its type, its default; and messages of one line for what does not fit."""

from __future__ import annotations

import copy
import dataclasses
import difflib
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import get_args_parser
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nnmf_runner.core.checks import InputError, check_number
from nnmf_runner.core.costs import COSTS
from nnmf_runner.core.files import digest
from nnmf_runner.core.init import INITIALISATIONS, Saved
from nnmf_runner.core.monitor import StoppingRule
from nnmf_runner.core.optimizers import OPTIMIZERS
from nnmf_runner.core.regularisation import Regularisation
from nnmf_runner.datasets import DATASETS
from nnmf_runner.datasets.base import read_mask
from nnmf_runner.launchers import BASIC, unknown_launcher
from nnmf_runner.methods import METHODS, Supervision, check_layers
from nnmf_runner.results.record import REGIMES, SCHEMA_VERSION

# Every group of `conf/` and the registry that its options come from.
GROUPS: dict[str, dict[str, type]] = {
    "dataset": DATASETS,
    "method": METHODS,
    "cost": COSTS,
    "optimizer": OPTIMIZERS,
    "init": INITIALISATIONS,
}
# Options whose value is a path.
PATHS = ("dataset.path", "init.path", "mask", "output")


@dataclass
class RunConfig:
    """One run, or `trials` of them that differ in their seed.

    Parameters
    ----------
    dataset, method, cost, optimizer, init
        One object a group, see `GROUPS`.
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
    tol, max_iter
        The stopping rule, see `StoppingRule`.
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


def register_schema() -> None:
    """Make the schema known to Hydra: `RunConfig`, and one node for every option of every group."""
    store = ConfigStore.instance()
    store.store(name="schema", node=RunConfig)
    for group, registry in GROUPS.items():
        for name, part in registry.items():
            store.store(group=f"{group}/schema", name=name, node=part)


def conf_dir() -> str:
    """Absolute folder of the configuration files: in the installed package, or in the repository."""
    package = Path(__file__).resolve().parent
    installed = package / "conf"
    return str(installed if installed.is_dir() else package.parent / "conf")


@contextmanager
def hydra_ready() -> Iterator[None]:
    """Hydra on this program's configuration files; inside a job it is so already."""
    _keep_presets()
    if GlobalHydra.instance().is_initialized():
        yield
    else:
        with initialize_config_dir(conf_dir(), version_base="1.3"):
            yield


def _keep_presets() -> None:
    """Hydra warns of a launcher's preset in `conf/` that it has the name of the plugin's own, which it replaces."""
    warnings.filterwarnings("ignore", message=r"\s*'hydra/launcher/\w+' is validated against ConfigStore schema")


_keep_presets()  # in the worker processes of a launcher, too, which compose before they call anything here


def resolve(config: DictConfig) -> RunConfig:
    """Turn a composed configuration into a checked `RunConfig`.

    Raises
    ------
    InputError
        If a value or a combination of values is not acceptable.
    """
    _refuse_unknown_keys(config, "", [f.name for f in dataclasses.fields(RunConfig)])
    for group in GROUPS:
        if OmegaConf.get_type(config, group) is None:
            raise InputError(_no_option(group))
        fields = [f.name for f in dataclasses.fields(OmegaConf.get_type(config, group))]
        _refuse_unknown_keys(config[group], f"{group}.", fields)
    try:
        return OmegaConf.to_object(config)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise InputError(_first_line(error)) from None


def expanded(arguments: Sequence[str]) -> list[str]:
    """Write ``init=path/to/run`` out as ``init=saved init.path=path/to/run``, and quote paths that Hydra cannot read.

    A value that is not an option of the group `init` is a path if it is a folder or holds a path separator.

    Raises
    ------
    InputError
        If a sweep over paths has other options among them, which have no `path`.
    """
    return [full for argument in arguments for full in _written_out(_with_quotes(argument))]


def _written_out(argument: str) -> list[str]:
    value = argument.removeprefix("init=")
    values = [value] if Path(value).is_dir() else value.split(",")
    paths = [each for each in values if _is_path(each)]
    if value == argument or not paths:
        return [argument]
    if len(paths) < len(values):
        raise InputError(f"{argument} mixes folders with other options. Expected either, in sweeps of their own.")
    return [f"init={Saved.name}", f"init.path={_quoted(paths)}"]


def _with_quotes(argument: str) -> str:
    """A path of spaces, brackets, letters of other alphabets and the like as Hydra reads it; anything else as it is."""
    key, _, value = argument.partition("=")
    if key not in PATHS or re.fullmatch(r"[\w./-]*", value, re.ASCII):
        return argument
    exists = os.path.exists(value)
    try:
        OverridesParser.create().parse_overrides([argument])
    except OverrideParseException:
        pass
    else:
        if not exists:  # quoted already, or a sweep
            return argument
    return f"{key}={_quoted([value] if exists else value.split(','))}"


def _quoted(paths: Sequence[str]) -> str:
    return ",".join("'" + path.replace("'", r"\'") + "'" for path in paths)


def _is_path(value: str) -> bool:
    return bool(value) and value not in INITIALISATIONS and (os.sep in value or Path(value).is_dir())


@dataclass(frozen=True)
class Cell:
    """One configuration of a sweep, and the overrides that compose it."""

    overrides: list[str]
    config: RunConfig


@dataclass(frozen=True)
class Sweep:
    """What a command line asks for that has several configurations.

    Attributes
    ----------
    fixed : list of str
        Overrides that all cells share, those of Hydra's own options among them.
    launcher : str
        The option of `hydra/launcher`.
    target : str
        The class that the launcher's configuration names.
    threads : int
        BLAS threads of every process.
    cells : iterator of Cell
    """

    fixed: list[str]
    launcher: str
    target: str
    threads: int
    cells: Iterator[Cell]


def read_sweep(arguments: list[str]) -> Sweep | None:
    """The sweep that a command line asks for; None if it asks for a single run or for help.

    All of it is composed before any of it runs, which finds what is wrong in the last configuration before the first
    one has run.

    Raises
    ------
    InputError, HydraException
        Also while the cells are iterated over.
    """
    known = get_args_parser().parse_args(arguments)
    if known.cfg or known.info or known.help or known.hydra_help or known.shell_completion:
        return None
    given = OverridesParser.create().parse_overrides(known.overrides)
    for override in given:
        if override.key_or_group in GROUPS and override.value() is None:
            raise InputError(_no_option(override.key_or_group))
    # Composing takes a tenth of a second: not for what cannot be a sweep.
    if not known.multirun and not any(override.key_or_group.startswith(("experiment", "hydra")) for override in given):
        return None
    fixed = [str(override.input_line) for override in given if not override.is_sweep_override()]
    with hydra_ready():
        composed = compose("config", fixed, return_hydra_config=True)
    hydra = composed.hydra
    launcher = hydra.runtime.choices["hydra/launcher"]
    if not (known.multirun or hydra.mode == RunMode.MULTIRUN):
        if launcher != BASIC:
            raise InputError(f"hydra/launcher={launcher} is for sweeps, and this is a single run. Add -m to sweep.")
        return None
    params = [f"{key}={value}" for key, value in (hydra.sweeper.params or {}).items()]
    overrides = OverridesParser.create().parse_overrides([*params, *known.overrides])
    for override in overrides:
        if override.is_sweep_override() and override.is_hydra_override():
            raise InputError(f"{override.input_line} cannot be swept over. Expected one value for the whole sweep.")
        if override.is_discrete_sweep() and not list(override.sweep_string_iterator()):
            raise InputError(f"{override.input_line} has no values. Expected at least one to sweep over.")
    [jobs] = BasicSweeper.split_arguments([each for each in overrides if not each.is_hydra_override()], None)
    return Sweep(fixed, launcher, str(hydra.launcher.get("_target_")), composed.threads, compose_cells(jobs))


def compose_cells(jobs: Iterable[list[str]]) -> Iterator[Cell]:
    """Compose and check configurations from their overrides.

    Composing reads a dozen files, so it is done once for all that choose the same parts and differ in values alone.

    Raises
    ------
    InputError, HydraException
    """
    composed: dict[tuple[str, ...], DictConfig] = {}
    for job in jobs:
        overrides = OverridesParser.create().parse_overrides(job)
        values = [override for override in overrides if _is_value(override)]
        parts = tuple(line for line, override in zip(job, overrides, strict=True) if not _is_value(override))
        if parts not in composed:
            with hydra_ready():
                composed[parts] = compose("config", list(parts))
        config = copy.deepcopy(composed[parts])
        ConfigLoaderImpl._apply_overrides_to_config(values, config)
        yield Cell(job, resolve(config))


def _is_value(override: Override) -> bool:
    """Whether an override sets a value, and neither chooses a part nor adds or removes a key."""
    key = override.key_or_group
    is_part = key in GROUPS or key == "experiment" or "/" in key or override.package is not None
    return override.type is OverrideType.CHANGE and not is_part


def _no_option(group: str) -> str:
    return f"{group} has to be chosen. Expected one of: {', '.join(sorted(GROUPS[group]))}."


def _refuse_unknown_keys(config: DictConfig, prefix: str, legal: list[str]) -> None:
    for key in config:
        if key not in legal:
            raise InputError(_unknown_key(f"{prefix}{key}"))


def explain(error: Exception) -> str:
    """Say in one line what Hydra or OmegaConf refused: the name, what was expected and what came."""
    if isinstance(error, MissingConfigException):
        return _unknown_option(error)
    if isinstance(error, OverrideParseException):
        return f"{error.override} cannot be read. Expected name=value, such as method=neural or 'layers=[9,4,2]'."
    message = str(error)
    if match := re.match(r"Could not (?:override|append to config|delete from config)\W+([\w./]+)", message):
        return _unknown_key(match.group(1))
    if match := re.match(r"Ambiguous value for argument '(.*)'", message):
        what = f"{match.group(1)} is several values, and this is a single run."
        return f"{what} Add -m to sweep; a list has brackets, such as 'layers=[9,4,2]'."
    if match := re.match(r"Error merging override (\S+)", message):
        reason = _first_line(error.__cause__ or error).rstrip(".")
        if "is not a ListConfig" in reason:
            key, _, value = match.group(1).partition("=")
            return f"{match.group(1)} is not valid. Expected a list, such as '{key}=[{value}]'."
        return f"{match.group(1)} is not valid. {reason}."
    return _first_line(error)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _unknown_option(error: MissingConfigException) -> str:
    """Name the group, the options it has and the nearest of them."""
    group, _, value = str(error.missing_cfg_file).rpartition("/")
    if group == "hydra/launcher":
        return unknown_launcher(value)
    options = sorted(set(error.options or []))
    near = difflib.get_close_matches(value, options, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"{group}={value} is not known. Expected one of: {', '.join(options)}.{hint}"


def _unknown_key(key: str) -> str:
    """Name the nearest legal key, or the parts of the configuration that do have one of this name."""
    owners, group = _owners_of(key), key.partition(".")[0]
    if group == "hydra":
        return f"{key} is not an option. `--cfg hydra` in place of -m lists those of Hydra and of the chosen launcher."
    if owners:
        return f"{key} is not an option of the chosen {group}. It is one of: {', '.join(owners)}."
    near = difflib.get_close_matches(key, _legal_keys(), n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    here = [legal for legal in _legal_keys() if legal.startswith(f"{group}.")] if "." in key else []
    top = [f.name for f in dataclasses.fields(RunConfig)]
    return f"{key} is not an option. Expected one of: {', '.join(here or top)}.{hint}"


def _owners_of(key: str) -> list[str]:
    group, _, name = key.partition(".")
    registry = GROUPS.get(group, {})
    return [f"{group}={option}" for option, part in registry.items() if name in _fields(part)]


def _fields(part: type) -> list[str]:
    return [f.name for f in dataclasses.fields(part)]


def _legal_keys() -> list[str]:
    nested = [
        f"{group}.{name}" for group, registry in GROUPS.items() for part in registry.values() for name in _fields(part)
    ]
    parts = {"supervision": Supervision, "regularisation": Regularisation}
    options = [f"{part}.{name}" for part, of in parts.items() for name in _fields(of)]
    return [*_fields(RunConfig), "experiment", *sorted(set(nested)), *options]

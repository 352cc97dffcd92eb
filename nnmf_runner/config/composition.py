"""From a command line to checked configurations, composed by Hydra."""

from __future__ import annotations

import copy
import dataclasses
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import get_args_parser
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nnmf_runner.config.launchers import BASIC
from nnmf_runner.config.messages import first_line, no_option, refuse_unknown_keys
from nnmf_runner.config.published import conf_dir
from nnmf_runner.config.schema import GROUPS, RunConfig
from nnmf_runner.core.checks import InputError
from nnmf_runner.store.start import INITIALISATIONS, Saved

# Options whose value is a path.
PATHS = ("dataset.path", "init.path", "mask", "output")


def register_schema() -> None:
    """Make the schema known to Hydra: `RunConfig`, and one node for every option of every group."""
    store = ConfigStore.instance()
    store.store(name="schema", node=RunConfig)
    for group, registry in GROUPS.items():
        for name, part in registry.items():
            store.store(group=f"{group}/schema", name=name, node=part)


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
    refuse_unknown_keys(config, "", [f.name for f in dataclasses.fields(RunConfig)])
    for group in GROUPS:
        if OmegaConf.get_type(config, group) is None:
            raise InputError(no_option(group))
        fields = [f.name for f in dataclasses.fields(OmegaConf.get_type(config, group))]
        refuse_unknown_keys(config[group], f"{group}.", fields)
    try:
        return OmegaConf.to_object(config)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise InputError(first_line(error)) from None


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
            raise InputError(no_option(override.key_or_group))
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

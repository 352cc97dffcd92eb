"""Hydra, which composes configurations and has launchers for jobs; the rest of the package does not know it.

Two things have no public counterpart: `Callbacks`, without which no `HydraContext` can be made for a launcher or a
sweeper, and nobody told of a job; and the object behind `GlobalHydra`, since `hydra.compose` composes for single runs
alone.
"""

from __future__ import annotations

import functools
import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout, suppress
from dataclasses import dataclass
from typing import Any

import hydra
from hydra._internal.callbacks import Callbacks
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus, configure_log
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from nnmf_runner.config.closed import LAUNCHER, SAMPLER, SWEEPER, refuse_changes, refuse_closed
from nnmf_runner.config.launchers import check_launcher
from nnmf_runner.config.messages import explain, first_line, refuse_numbers_as_flags, refuse_unnamed
from nnmf_runner.config.published import conf_dir
from nnmf_runner.config.schema import GROUPS, RunConfig
from nnmf_runner.config.sweepers import PRESETS, check_sampler, check_sweeper
from nnmf_runner.core.checks import InputError
from nnmf_runner.methods import METHODS
from nnmf_runner.store.files import user_path


def register_schema() -> None:
    """Make the schema known to Hydra: `RunConfig`, and every part under its group and name.

    A method brings its default cost and start, the first that it names of each, where none is asked for.
    """
    _store("schema", RunConfig)
    for group, registry in GROUPS.items():
        for name, part in registry.items():
            _store(f"{'method/alone' if group == 'method' else group}/{name}", part)
    for name, method in METHODS.items():
        defaults = [f"alone/{name}@_here_", {"override /cost@_global_.cost": method.costs[0]}]
        defaults += [{"override /init@_global_.init": method.inits[0]}] if method.inits else []
        _store(f"method/{name}", {"defaults": defaults})
    Plugins.instance()  # which brings the sweepers' own, with a list of defaults, which no file in `conf/` may have
    for name, preset in PRESETS.items():
        _store(f"hydra/sweeper/{name}", preset)


def _store(path: str, part: type | dict[str, Any]) -> None:
    """Make a part known to Hydra, unless it is: to convert them all takes a quarter of the time of reading options."""
    store = ConfigStore.instance()
    *groups, name = path.split("/")
    known = functools.reduce(lambda folder, group: folder.get(group, {}), groups, store.repo).get(f"{name}.yaml")
    if known is not None:
        found = OmegaConf.to_container(known.node) if isinstance(part, dict) else OmegaConf.get_type(known.node)
        if found == part:
            return
    store.store(name=name, node=part, group="/".join(groups) or None)


@contextmanager
def hydra_ready() -> Iterator[None]:
    """Initialise Hydra with the configuration files of this package, unless a job has done so already."""
    _keep_presets()
    ready = GlobalHydra.instance().is_initialized()
    with nullcontext() if ready else hydra.initialize_config_dir(conf_dir(), job_name="nnmf-run", version_base="1.3"):
        yield


def _keep_presets() -> None:
    """Silence the warning that a launcher's preset in `conf/` takes the place of the plugin's own of the same name."""
    warnings.filterwarnings("ignore", message=r"\s*'hydra/launcher/\w+' is validated against ConfigStore schema")


# In the worker processes of a launcher, too, which compose before they call anything here.
_keep_presets()
# Whenever Hydra composes, it copies its sources, and with them the store, which lends copies of its parts alone.
ConfigStore.__deepcopy__ = lambda self, memo: self  # type: ignore[attr-defined]
# `conf/` names the folder of an option by it, so that none is ever called ``~``.
OmegaConf.register_new_resolver("folder", lambda path: str(user_path(path, "output")), replace=True)


class TooManyDigitsError(InputError):
    """An integer has more digits than Python converts."""


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn what Hydra and OmegaConf raise into an `InputError` of one line."""
    try:
        yield
    except (HydraException, OmegaConfBaseException, OverflowError) as error:
        raise InputError(explain(error)) from None


@functools.lru_cache(maxsize=10_000)
def _parse_one(override: str) -> Override:
    """Parse an override; those of a sweep have the same few hundred over and over."""
    return OverridesParser.create().parse_overrides([override])[0]


@plain_errors()
def parse(overrides: Sequence[str]) -> list[Override]:
    """Parse overrides; an `InputError` is also raised at what must not be set, and at a number that is to be a flag."""
    try:
        parsed = list(map(_parse_one, overrides))
    except ValueError:  # of Python, at an integer of more digits than it converts
        name, most = max(overrides, key=len).partition("=")[0], sys.get_int_max_str_digits()
        raise TooManyDigitsError(f"{name} has an integer of too many digits. Expected at most {most}.") from None
    refuse_closed(parsed)
    refuse_numbers_as_flags(parsed)
    return parsed


@plain_errors()
def compose(overrides: Sequence[str], *, with_hydra: bool = False) -> DictConfig:
    """Compose a configuration, on demand with Hydra's own below the key `hydra`, which then is as this program has it.

    Without, nothing comes of Hydra's own.
    """
    refuse_unnamed(parse(overrides))
    with hydra_ready():
        try:
            composed = hydra.compose("config", list(overrides), return_hydra_config=with_hydra)
        except HydraException:
            _refuse_without_optimizer(overrides)
            raise
    if with_hydra:
        choices = composed.hydra.runtime.choices
        checks = {LAUNCHER: check_launcher, SWEEPER: check_sweeper, SAMPLER: check_sampler}
        chosen = tuple(f"{group}={check(choices[group])}" for group, check in checks.items() if group in choices)
        refuse_changes(composed.hydra, _own(chosen), overrides)
    return composed


def _refuse_without_optimizer(overrides: Sequence[str]) -> None:
    """Raise an `InputError` at an option of an optimizer for a method that has none; it is no advice to choose another.

    Such options cannot be composed: the optimizer of a method that has none is the default.
    """
    if refused := next((each for each in overrides if each.startswith("optimizer.")), None):
        others = [each for each in overrides if not each.startswith("optimizer.")]
        method: Any = OmegaConf.get_type(hydra.compose("config", others), "method")
        if method is not None and not method.uses_optimizer:
            raise InputError(
                f"{refused} means nothing to method={method.name}, which is fitted by updates of its own. Expected it "
                "to be left out, or method=neural."
            )


@functools.cache
def _own(chosen: tuple[str, ...]) -> DictConfig:
    """Hydra's section as this program defines it for a launcher, a sweeper and its sampler."""
    with hydra_ready():
        return hydra.compose("config", [*chosen], return_hydra_config=True).hydra


def set_values(config: DictConfig, overrides: Sequence[Override], job: Sequence[str]) -> DictConfig:
    """Set values in a composed configuration and return it; `job` are all overrides that are to compose it."""
    try:
        for override in overrides:
            OmegaConf.update(config, override.key_or_group, override.value())
    except (OmegaConfBaseException, OverflowError):
        return compose(job)  # which says what is wrong with it
    return config


@contextmanager
def _composed(overrides: Sequence[str], mode: RunMode) -> Iterator[tuple[DictConfig, HydraContext]]:
    """A configuration with Hydra's section, and what composes those of jobs from it while the block lasts."""
    with hydra_ready():
        engine = GlobalHydra.instance().hydra
        assert engine is not None
        config = engine.compose_config("config", [*overrides], run_mode=mode)
        yield config, HydraContext(config_loader=engine.config_loader, callbacks=Callbacks())


def launch(
    fixed: Sequence[str], name: str, jobs: Sequence[list[str]], task: Callable[[DictConfig], None]
) -> list[Exception]:
    """Hand jobs to the launcher that the fixed overrides name, and return the errors of those that failed.

    All jobs have the fixed overrides, those of Hydra's own options among them, and one name; `compose` has accepted
    them with Hydra's section.  The task is called with the composed configuration of a job, in whatever process.
    """
    with _composed([*fixed, f"hydra.job.name={name}"], RunMode.MULTIRUN) as (config, context):
        configure_log(config.hydra.hydra_logging, config.hydra.verbose)
        launcher = Plugins.instance().instantiate_launcher(hydra_context=context, task_function=task, config=config)
        returned = launcher.launch(jobs, initial_job_idx=0)
    # `return_value` would print the overrides of a job that failed, and raise.
    return [job._return_value for job in returned if job.status is JobStatus.FAILED]


@dataclass(frozen=True)
class _Result:
    """What came of a job, to a sweeper."""

    result: float | Exception

    @property
    def return_value(self) -> float:
        """The objective; raises why there is none."""
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


class _Launcher:
    """A launcher to a sweeper: what runs the jobs is none of Hydra's."""

    def __init__(self, run: Callable[[list[list[str]]], Sequence[float | Exception]]) -> None:
        self.run = run

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[_Result]:
        return [_Result(result) for result in self.run([[*each] for each in job_overrides])]


def search(
    fixed: Sequence[str],
    space: Sequence[str],
    settings: Mapping[str, Any],
    run: Callable[[list[list[str]]], Sequence[float | Exception]],
) -> None:
    """Let the sweeper that the fixed overrides name choose jobs, until it has had enough of them.

    Parameters
    ----------
    fixed : sequence of str
        Overrides that `compose` has accepted with Hydra's section.
    space : sequence of str
        Overrides that all jobs are made of, one for a key, those that are searched over as they were given.
    settings : mapping
        Options of the sweeper in place of its own.
    run : callable
        Runs jobs, each a list of overrides, and returns the objective of each, or why there is none.
    """
    with _composed(fixed, RunMode.MULTIRUN) as (config, context):
        configure_log(config.hydra.hydra_logging, config.hydra.verbose)
        OmegaConf.set_readonly(config.hydra, False)
        config.hydra.sweeper.update(settings)
        plugins = Plugins.instance()
        sweeper: Any = plugins.instantiate_sweeper(hydra_context=context, task_function=_never, config=config)
        sweeper.sweeper.launcher = _Launcher(run)
        sweeper.sweep([*space])


def _never(config: DictConfig) -> None:
    """What a launcher would call that is never asked to."""


class JobCallbacks:
    """Hydra's callbacks, told of a single run or of a sweep and its jobs, in the process that was started.

    Parameters
    ----------
    fixed : sequence of str
        Overrides that all jobs share, which `compose` has accepted with Hydra's section.
    multirun : bool
    """

    def __init__(self, fixed: Sequence[str], *, multirun: bool) -> None:
        self._kind = "multirun" if multirun else "run"
        self._mode = RunMode.MULTIRUN if multirun else RunMode.RUN
        self._fixed = fixed
        with _composed(fixed, self._mode) as (config, _):
            self._config, self._callbacks = config, Callbacks(config)
        self._jobs: dict[int, DictConfig] = {}

    def __enter__(self) -> JobCallbacks:
        self._tell(f"on_{self._kind}_start", self._config, config_name="config")
        return self

    def __exit__(self, *error: object) -> None:
        self._tell(f"on_{self._kind}_end", self._config, config_name="config")

    def awaits(self, config: RunConfig) -> None:
        """Take any job."""

    def begins(self, number: int, overrides: Sequence[str], config: RunConfig) -> None:
        """Tell that a job begins: a configuration, with all of its trials."""
        job = self._config
        if self._mode is RunMode.MULTIRUN:
            with _composed(self._fixed, self._mode) as (_, context):
                job = context.config_loader.load_sweep_config(self._config, [*overrides])
        OmegaConf.set_readonly(job.hydra, False)
        with open_dict(job):
            job.hydra.job.num, job.hydra.job.id = number, f"{job.hydra.job.name}_{number}"
            job.hydra.runtime.output_dir = os.path.abspath(config.folder)
        self._jobs[number] = job
        self._tell("on_job_start", job, task_function=_never)

    def ends(self, number: int, config: RunConfig, result: float | Exception) -> None:
        """Tell that a job has ended, with its objective or why it has none."""
        job = self._jobs.pop(number)
        returned = JobReturn(
            overrides=list(job.hydra.overrides.task),
            cfg=OmegaConf.masked_copy(job, [str(key) for key in job if key != "hydra"]),
            hydra_cfg=OmegaConf.masked_copy(job, "hydra"),
            working_dir=os.getcwd(),
            task_name=job.hydra.job.name,
            status=JobStatus.FAILED if isinstance(result, Exception) else JobStatus.COMPLETED,
            _return_value=result,
        )
        self._tell("on_job_end", job, job_return=returned)

    def _tell(self, event: str, config: DictConfig, **told: Any) -> None:
        HydraConfig.instance().set_config(config)
        getattr(self._callbacks, event)(config=config, **told)


@plain_errors()
def ask_hydra(arguments: Sequence[str]) -> str:
    """Return what Hydra answers to flags of its own, such as ``--info``."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # makes Hydra raise its errors instead of printing them
    sys.argv[1:] = arguments  # which Hydra reads
    with redirect_stdout(io.StringIO()) as answer, suppress(SystemExit):
        try:
            hydra.main(version_base="1.3", config_path=conf_dir(), config_name="config")(lambda config: None)()
        except (KeyError, ValueError) as error:  # of its completion for shells
            raise InputError(f"{' '.join(arguments)} cannot be answered: {first_line(error)}.") from None
    return answer.getvalue().rstrip("\n")

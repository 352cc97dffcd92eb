"""Hydra, which composes configurations and has launchers for jobs; the rest of the package does not know it.

Two things have no public counterpart, and both serve `launch`: `Callbacks`, without which no `HydraContext` can be made
for a launcher, and the object behind `GlobalHydra`, since `hydra.compose` composes for single runs alone.
"""

from __future__ import annotations

import functools
import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout, suppress

import hydra
from hydra._internal.callbacks import Callbacks
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobStatus, configure_log
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nnmf_runner.config.closed import refuse_changes, refuse_closed
from nnmf_runner.config.launchers import check_launcher
from nnmf_runner.config.messages import explain, first_line, refuse_numbers_as_flags, refuse_unnamed
from nnmf_runner.config.published import conf_dir
from nnmf_runner.config.schema import GROUPS, RunConfig
from nnmf_runner.core.checks import InputError
from nnmf_runner.methods import METHODS
from nnmf_runner.store.files import user_path


def register_schema() -> None:
    """Make the schema known to Hydra: `RunConfig`, and every part under its group and name.

    A method brings its default cost and start, the first that it names of each, where none is asked for.
    """
    store = ConfigStore.instance()
    store.store(name="schema", node=RunConfig)
    for group, registry in GROUPS.items():
        for name, part in registry.items():
            store.store(group="method/alone" if group == "method" else group, name=name, node=part)
    for name, method in METHODS.items():
        defaults = [f"alone/{name}@_here_", {"override /cost@_global_.cost": method.costs[0]}]
        defaults += [{"override /init@_global_.init": method.inits[0]}] if method.inits else []
        store.store(group="method", name=name, node={"defaults": defaults})


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
        composed = hydra.compose("config", list(overrides), return_hydra_config=with_hydra)
    if with_hydra:
        launcher = check_launcher(composed.hydra.runtime.choices["hydra/launcher"])
        refuse_changes(composed.hydra, _own(launcher), overrides)
    return composed


@functools.cache
def _own(launcher: str) -> DictConfig:
    """Hydra's section as this program defines it for a launcher."""
    with hydra_ready():
        return hydra.compose("config", [f"hydra/launcher={launcher}"], return_hydra_config=True).hydra


def set_values(config: DictConfig, overrides: Sequence[Override], job: Sequence[str]) -> DictConfig:
    """Set values in a composed configuration and return it; `job` are all overrides that are to compose it."""
    try:
        for override in overrides:
            OmegaConf.update(config, override.key_or_group, override.value())
    except (OmegaConfBaseException, OverflowError):
        return compose(job)  # which says what is wrong with it
    return config


def launch(
    fixed: Sequence[str], name: str, jobs: Sequence[list[str]], task: Callable[[DictConfig], None]
) -> list[Exception]:
    """Hand jobs to the launcher that the fixed overrides name, and return the errors of those that failed.

    All jobs have the fixed overrides, those of Hydra's own options among them, and one name; `compose` has accepted
    them with Hydra's section.  The task is called with the composed configuration of a job, in whatever process.
    """
    with hydra_ready():
        engine = GlobalHydra.instance().hydra
        assert engine is not None
        config = engine.compose_config("config", [*fixed, f"hydra.job.name={name}"], run_mode=RunMode.MULTIRUN)
        configure_log(config.hydra.hydra_logging, config.hydra.verbose)
        context = HydraContext(config_loader=engine.config_loader, callbacks=Callbacks())
        launcher = Plugins.instance().instantiate_launcher(hydra_context=context, task_function=task, config=config)
        returned = launcher.launch(jobs, initial_job_idx=0)
    # `return_value` would print the overrides of a job that failed, and raise.
    return [job._return_value for job in returned if job.status is JobStatus.FAILED]


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

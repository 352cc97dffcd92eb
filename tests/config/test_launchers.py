"""The table of launchers and their presets."""

from __future__ import annotations

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.types import RunMode
from omegaconf import OmegaConf

from nnmf_runner.config import composition, engine, launchers
from nnmf_runner.config.launchers import LAUNCHERS, choose_launcher
from nnmf_runner.core.checks import InputError


@pytest.fixture(autouse=True)
def registered():
    composition.register_schema()


@pytest.mark.parametrize("name", [name for name, launcher in LAUNCHERS.items() if launcher.extra])
def test_a_launcher_that_is_not_installed_names_the_command_that_installs_it(command, monkeypatch, name):
    monkeypatch.setattr(launchers, "_has_module", lambda target: False)
    result = command("-m", "seed=0,1", f"hydra/launcher={name}")
    assert (result.status, result.files) == (2, [])
    assert result.err == (
        f"nnmf-run: hydra/launcher={name} needs a package that is not installed: pip install 'nnmf-runner[{name}]'\n"
    )


@pytest.mark.parametrize("name", LAUNCHERS)
def test_presets_name_their_class_and_pass_what_it_takes(name):
    """Where the plugin is installed, its launcher is made from the preset."""
    asked = composition.read_sweep(["seed=0,1", f"hydra/launcher={name}"], multirun=True)
    assert asked.launcher == name
    fixed = [*asked.fixed, "hydra.job.name=test", "threads=3"]
    with engine.hydra_ready():
        composed = GlobalHydra.instance().hydra.compose_config("config", fixed, run_mode=RunMode.MULTIRUN)
        container = OmegaConf.to_container(composed.hydra.launcher, resolve=True)
        assert container.pop("_target_") == LAUNCHERS[name].target
        if launchers._has_module(LAUNCHERS[name].target):
            choose_launcher(asked.launcher)
            assert Plugins.instance()._instantiate(composed.hydra.launcher)
    if name == "slurm":
        assert container["cpus_per_task"] == 3
        assert "OPENBLAS_NUM_THREADS=1" in container["setup"][0]
        assert container["submitit_folder"] == "outputs/runs/.sweep/test/%j"


def test_the_launcher_that_the_pool_replaces_is_refused_with_the_option_to_use():
    with pytest.raises(InputError, match=r"^hydra/launcher=joblib is not needed\. Expected workers=N instead"):
        choose_launcher("joblib")
    with pytest.raises(InputError, match=r"hydra/launcher=basis is not known\..*Did you mean 'basic'"):
        composition.read_sweep(["seed=0,1", "hydra/launcher=basis"], multirun=True)


@pytest.mark.parametrize("name", LAUNCHERS)
def test_what_may_be_set_stands_in_the_preset_with_a_value_that_may(name):
    composition.register_schema()
    composed = engine.compose([f"hydra/launcher={name}", "threads=2"], with_hydra=True)
    for option, kind in LAUNCHERS[name].options.items():
        value = OmegaConf.select(composed.hydra.launcher, option, default=...)
        kind.check(value, option)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            "n_jobs=0",
            "hydra.launcher.n_jobs is not an option of hydra/launcher=slurm that can be set. ",
        ),
        ("timeout_min=0", "hydra.launcher.timeout_min=0 is not valid. Expected an integer in [1, 1e+09]."),
        ("timeout_min=2.5", "hydra.launcher.timeout_min=2.5 is not valid. Expected an integer"),
        ("timeout_min=null", "hydra.launcher.timeout_min=null is not valid. Expected an integer"),
        (f"timeout_min={10**30}", f"hydra.launcher.timeout_min={10**30} is not valid. Expected an integer"),
        ("cpus_per_task=-1", "hydra.launcher.cpus_per_task=-1 is not valid."),
        ("array_parallelism=true", "hydra.launcher.array_parallelism=true is not valid."),
        ("mem_gb=some", "hydra.launcher.mem_gb=some is not valid."),
        (
            "partition=[a]",
            "hydra.launcher.partition=['a'] is not valid. Expected text in one line",
        ),
        ("partition='a\nb'", r"hydra.launcher.partition=a\nb is not valid. Expected text in one line"),
        ("comment=a,b", "hydra.launcher.comment=a,b cannot be swept over. Expected one value for the whole sweep."),
        ("comment", "hydra.launcher.comment cannot be read."),
    ],
)
def test_options_of_launchers_are_refused_before_a_plan_is_written(command, option, message):
    result = command("-m", "seed=0,1", "hydra/launcher=slurm", f"hydra.launcher.{option}")
    assert (result.status, result.out, result.files) == (2, "", [])
    assert result.err.startswith(f"nnmf-run: {message}")
    assert result.err.count("\n") == 1


def test_the_launcher_of_this_machine_has_no_options(command):
    result = command("-m", "seed=0,1", "hydra.launcher.n_jobs=0")
    expected = "hydra.launcher.n_jobs is not an option of hydra/launcher=basic that can be set. It has none."
    assert (result.status, result.err, result.files) == (2, f"nnmf-run: {expected}\n", [])

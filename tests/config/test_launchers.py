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
    assert (asked.launcher, asked.target) == (name, LAUNCHERS[name].target)
    fixed = [*asked.fixed, "hydra.job.name=test", "threads=3"]
    with engine.hydra_ready():
        composed = GlobalHydra.instance().hydra.compose_config("config", fixed, run_mode=RunMode.MULTIRUN)
        container = OmegaConf.to_container(composed.hydra.launcher, resolve=True)
        assert container.pop("_target_") == LAUNCHERS[name].target
        if launchers._has_module(LAUNCHERS[name].target):
            choose_launcher(asked.launcher, asked.target)
            assert Plugins.instance()._instantiate(composed.hydra.launcher)
    if name == "slurm":
        assert container["cpus_per_task"] == 3
        assert "OPENBLAS_NUM_THREADS=3" in container["setup"][0]
        assert container["submitit_folder"] == "outputs/runs/.sweep/test/%j"


def test_the_launcher_that_the_pool_replaces_is_refused_with_the_option_to_use():
    with pytest.raises(InputError, match=r"^hydra/launcher=joblib is not needed\. Expected workers=N instead"):
        choose_launcher("joblib", "anything")
    with pytest.raises(InputError, match=r"hydra/launcher=basis is not known\..*Did you mean 'basic'"):
        composition.read_sweep(["seed=0,1", "hydra/launcher=basis"], multirun=True)

"""A configuration runs no code and writes no file, whichever way it is given: planted code leaves a mark if it runs."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from nnmf_runner.config import closed, composition, engine, published
from nnmf_runner.core.checks import InputError

DOORS = [[], ["-m", "seed=0"], ["--info=all"], ["--cfg", "all"]]
# What `{folder}` stands for holds the planted code; it would write the file `{mark}`.
LINES = [
    "+hydra.callbacks.x={_target_:planted_code.run}",
    "++hydra.callbacks={x:{_target_:planted_code.run}}",
    "'+hydra.callbacks.x={_target_:numpy.load,file:{folder}/evil.npy,allow_pickle:true}'",
    "+hydra/callbacks=x",
    "+hydra.hydra_logging.handlers.x={class:planted_code.Handler}",
    "+hydra.job_logging.handlers.x={class:planted_code.Handler}",
    "+hydra.job_logging.handlers.x={class:logging.FileHandler,filename:{mark}}",
    "hydra.job_logging={version:1,handlers:{x:{class:planted_code.Handler}}}",
    "hydra/job_logging=default",
    "hydra={callbacks:{x:{_target_:planted_code.run}}}",
    "hydra.searchpath=[pkg://planted_code]",
    "hydra.searchpath=[file://{folder}] experiment=nice",
    "experiment=nice",
    "experiment=../../../../../../../../../../../{folder}/experiment/nice",
    "method=../../../../../../../../../../../{folder}/experiment/nice",
    "+experiment@hydra.callbacks=table1",
    "+method/alone@hydra.launcher=hier",
    "hydra.launcher._target_=planted_code.run",
    "hydra.sweeper._target_=planted_code.run",
    "hydra/launcher=slurm hydra.launcher.partition=${oc.create:'{_target_: planted_code.run}'}",
    "hydra/launcher=slurm hydra.launcher.partition={_target_:planted_code.run}",
    "hydra/launcher=slurm +hydra.launcher.partition._target_=planted_code.run",
    "hydra/launcher=slurm hydra.launcher.partition=${cells} cells=[{_target_:planted_code.run}]",
    "hydra/launcher=slurm hydra.launcher.setup=['touch {mark}']",
    "hydra/launcher=slurm hydra.launcher.submitit_folder={folder}/mark",
    "hydra/launcher=slurm +hydra.launcher.additional_parameters.output={mark}",
    "hydra/sweeper=optuna hydra.sweeper.custom_search_space=planted_code.run",
    "hydra/sweeper=optuna hydra.sweeper.sampler={_target_:planted_code.run}",
    "hydra/sweeper=optuna hydra.sweeper.sampler._target_=planted_code.run",
    "hydra/sweeper=optuna +hydra.sweeper.sampler.constraints_func._target_=planted_code.run",
    "hydra/sweeper=optuna hydra.sweeper.storage={_target_:planted_code.run}",
    "hydra/sweeper=optuna hydra.sweeper.storage=sqlite:///{mark}",
    "hydra/callbacks=log_job_return hydra.callbacks.log_job_return._target_=planted_code.run",
    "hydra/callbacks=log_job_return +hydra.callbacks.log_job_return.x={_target_:planted_code.run}",
    "hydra/callbacks=../callbacks",
    "~hydra.launcher",
    "hydra.job.env_set={LD_PRELOAD:x}",
    "hydra.sweep.dir={folder}/mark",
    "hydra.run.dir={folder}/mark",
    "hydra.output_subdir=mark",
    "--experimental-rerun={folder}/evil.pickle",
    "-- --experimental-rerun={folder}/evil.pickle",
    "-- --config-dir={folder} experiment=nice",
    "--config-dir={folder}",
    "--config-path={folder}",
    "--config-name=planted",
]
# The same in an experiment of one's own, as what stands in its file below `hydra`.
FILES = {
    "callbacks": {"callbacks": {"x": {"_target_": "planted_code.run"}}},
    "handler": {"hydra_logging": {"handlers": {"x": {"class": "planted_code.Handler"}}}},
    "file": {"job_logging": {"handlers": {"x": {"class": "logging.FileHandler", "filename": "mark"}}}},
    "launcher": {"launcher": {"_target_": "planted_code.run"}},
    "nested": {"launcher": {"partition": {"_target_": "planted_code.run"}}},
    "sweeper": {"sweeper": {"_target_": "planted_code.run"}},
    "options": {
        "callbacks": {"x": {"_target_": "hydra.experimental.callbacks.LogJobReturnCallback", "y": {"_target_": "x.y"}}}
    },
    "folder": {"sweep": {"dir": "mark"}},
    "variables": {"job": {"env_set": {"LD_PRELOAD": "x"}}},
    "overrides": {"overrides": {"hydra": ["+hydra.job_logging.handlers.x={class:planted_code.Handler}"]}},
    "choices": {
        "callbacks": {"x": {"_target_": "planted_code.run"}},
        "runtime": {"choices": {"hydra/launcher": "ray"}},
    },
    "searchpath": {"searchpath": ["pkg://planted_code"]},
    "params": {"sweeper": {"params": {"+hydra.callbacks.x": "{_target_:planted_code.run}"}}},
}


class Evil:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.fixture
def folder(tmp_path_factory, monkeypatch):
    """A folder that holds what would write the file `mark` in it."""
    folder = tmp_path_factory.mktemp("planted")
    mark = folder / "mark"
    touch = f"from pathlib import Path\nPath({str(mark)!r}).touch()\nfrom logging import NullHandler as Handler\n"
    (folder / "planted_code.py").write_text(f"{touch}def run(*given, **named): pass\n")
    for name in ("evil.pickle", "evil.npy"):
        (folder / name).write_bytes(pickle.dumps(Evil(mark)))
    (folder / "experiment").mkdir()
    (folder / "experiment/nice.yaml").write_text("# @package _global_\nname: nice\n")
    monkeypatch.syspath_prepend(folder)
    return folder


@pytest.fixture
def own_experiments(tmp_path_factory, monkeypatch):
    """A copy of the configuration that is the program's, to put experiments into."""
    conf = Path(shutil.copytree(published.conf_dir(), tmp_path_factory.mktemp("copy") / "conf"))
    for module in (published, engine, closed):
        monkeypatch.setattr(module, "conf_dir", lambda: str(conf))
    return conf / "experiment"


def is_refused(result, folder):
    assert (result.status, result.out, result.files) == (2, "", [])
    assert result.err.startswith("nnmf-run: ")
    assert result.err.count("\n") == 1
    assert not (folder / "mark").exists()


@pytest.mark.slow
@pytest.mark.parametrize("door", DOORS, ids=" ".join)
@pytest.mark.parametrize("line", LINES)
def test_planted_code_does_not_run(command, folder, line, door):
    given = line.replace("{folder}", str(folder)).replace("{mark}", str(folder / "mark"))
    is_refused(command(*door, *given.split(" ")), folder)


@pytest.mark.slow
@pytest.mark.parametrize("door", [[], ["-m", "seed=0"], ["--cfg", "all"]], ids=" ".join)
@pytest.mark.parametrize("name", FILES)
def test_nor_does_it_in_an_experiment_of_ones_own(command, folder, own_experiments, name, door):
    content = OmegaConf.to_yaml(OmegaConf.create({"hydra": {"mode": "MULTIRUN", **FILES[name]}}))
    (own_experiments / "mine.yaml").write_text(f"# @package _global_\n{content}")
    is_refused(command(*door, "experiment=mine", "max_iter=1"), folder)


@pytest.mark.filterwarnings("ignore:provider=")
def test_it_would_run_if_nothing_were_closed(command, folder, monkeypatch):
    monkeypatch.setattr(engine, "refuse_closed", lambda *given: None)
    command("hydra.searchpath=[pkg://planted_code]", "max_iter=1")
    assert (folder / "mark").exists()


def test_experiments_of_ones_own_choose_launchers_and_their_options(own_experiments):
    (own_experiments / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n- override /hydra/launcher: slurm\nhydra:\n  mode: MULTIRUN\n"
        "  sweeper: {params: {seed: '0,1'}}\n  launcher: {partition: main, timeout_min: 5}\n"
    )
    sweep = composition.read(["experiment=mine", "hydra.launcher.mem_gb=4", "hydra.verbose=true"])
    assert (sweep.launcher, sweep.size) == ("slurm", 2)
    with pytest.raises(
        InputError, match=r"^hydra\.launcher\.ray\.remote\.num_cpus is not an option of hydra/launcher=s"
    ):
        composition.read(["experiment=mine", "+hydra.launcher.ray.remote.num_cpus=1"])


def test_a_folder_conf_where_the_program_is_started_counts_for_nothing(command, folder, tmp_path):
    shutil.copytree(folder / "experiment", tmp_path / "conf/experiment")
    result = command("experiment=nice")
    assert result.status == 2
    assert result.err.startswith("nnmf-run: experiment=nice is not known. Expected one of: ranks, regimes, ")


def test_the_further_configurations_of_a_job_are_closed_as_well():
    composition.register_schema()
    with pytest.raises(InputError, match=r"^hydra\.callbacks\.x cannot be set"):
        list(composition.compose_cells([["seed=0"], ["+hydra.callbacks.x={_target_:planted_code.run}"]]))


@pytest.mark.parametrize("line", ["query=bash --config-dir=x ", "query=bash experiment=../x seed="])
def test_a_shell_completes_nothing_from_elsewhere(command, monkeypatch, line):
    asked, *words = line.split(" ")
    monkeypatch.setenv("COMP_LINE", " ".join(["nnmf-run", *words]))
    result = command("-sc", asked)
    assert "Traceback" not in result.err
    assert result.status == (2 if "experiment" in line else 0)


@pytest.mark.parametrize("asked", ["q", "query=tcsh", "seed=1", "query=bash install=bash"])
def test_a_shell_asks_for_one_thing_that_there_is(command, asked):
    result = command("-sc", *asked.split())
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith(f"nnmf-run: -sc {asked} is not known. Expected one of: query=bash, ")

"""What may be chosen and set of sweepers and callbacks: what the program honours, and nothing else."""

from __future__ import annotations

import pytest

from nnmf_runner.config import composition, sweepers
from nnmf_runner.core.checks import InputError

OPTUNA = ("hydra/sweeper=optuna", "layers=9,9-4")


def read(*arguments):
    return composition.read(["-m", *arguments])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["seed=0,1", "hydra/sweeper=ax"], r"hydra/sweeper=ax is not known\. Expected one of: basic, optuna\."),
        (["seed=0,1", "hydra.sweeper.n_trials=3"], r"n_trials is not an option of hydra/sweeper=basic .* It has none"),
        (
            ["seed=0,1", "hydra/callbacks=mine"],
            r"hydra/callbacks=mine is not known\. Expected one of: log_job_return\.",
        ),
        (["seed=0,1", "hydra/callbacks=[log_job_return,mine]"], r"hydra/callbacks=mine is not known"),
        (
            ["+hydra.callbacks.x={_target_:hydra.experimental.callbacks.PickleJobInfoCallback}"],
            r"hydra\.callbacks\.x cannot be set to .*Expected a callback of this program: hydra/callbacks=log_job_r",
        ),
        (["+hydra.callbacks.x._target_=os.system"], r"hydra\.callbacks\.x\._target_ cannot be set to os\.system"),
        (
            ["+hydra.callbacks.x={_target_:hydra.experimental.callbacks.LogJobReturnCallback,_args_:[1]}"],
            r"hydra\.callbacks\.x cannot be set",
        ),
    ],
)
def test_what_the_program_cannot_honour_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        read(*arguments)


def test_a_sweeper_that_is_not_installed_names_the_command_that_installs_it(command, monkeypatch):
    absent = sweepers.Sweeper("hydra_plugins.no_such_sweeper.module", extra="optuna")
    monkeypatch.setitem(sweepers.SWEEPERS, "optuna", absent)
    result = command("-m", *OPTUNA)
    assert (result.status, result.files) == (2, [])
    assert result.err == (
        "nnmf-run: hydra/sweeper=optuna needs a package that is not installed: pip install 'nnmf-runner[optuna]'\n"
    )


@pytest.fixture
def optuna():
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="hydra-optuna-sweeper is not installed")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("hydra.sweeper.custom_search_space=os.system", r"is not an option of hydra/sweeper=optuna that can be set"),
        ("hydra.sweeper.sampler._target_=os.system", r"is not an option of hydra/sweeper=optuna that can be set"),
        ("hydra.sweeper._target_=os.system", r"is not an option of hydra/sweeper=optuna that can be set"),
        ("hydra.sweeper.storage=sqlite:////etc/passwd", r"storage=.* Expected sqlite:///FILE\.db"),
        ("hydra.sweeper.storage={_target_:os.system}", r"storage=.* Expected text in one line"),
        ("hydra.sweeper.direction=[minimize,maximize]", r"direction=.* Expected one of: maximize, minimize"),
        ("hydra.sweeper.n_trials=0", r"n_trials=0 is not valid\. Expected an integer in \[1,"),
        ("hydra.sweeper.max_failure_rate=2", r"max_failure_rate=2 is not valid\. Expected a number in \[0, 1\]"),
        ("hydra/sweeper/sampler=grid", r"sampler=grid is not needed\. Expected hydra/sweeper=basic"),
        ("hydra/sweeper/sampler=gird", r"sampler=gird is not known\. Expected one of: cmaes, nsgaii, random, tpe"),
        ("hydra.sweeper.sampler.sigma0=1", r"sigma0 is not an option of hydra/sweeper=optuna that can be set"),
        ("hydra.sweeper.storage=postgres://me:secret@host/x", r"storage=postgres://host/x is not valid"),
        ("workers=1,2", r"workers=1,2 cannot be searched over"),
        ("tol=interval(1,0)", r"tol=interval\(1,0\) is not valid\. Expected its low end first"),
        ("max_iter=range(9,2,-2)", r"max_iter=range\(9,2,-2\) is not valid\. Expected its low end first"),
        ("tol=tag(log,interval(0,1))", r"is not valid\. Expected ends above 0"),
        ("tol=tag(lin,interval(0,1))", r"has the tag lin\. Expected none, or 'log' of an interval"),
        ("max_iter=tag(log,choice(1,2))", r"has the tag log\. Expected none, or 'log' of an interval"),
        ("max_iter=interval(1.0,9.0)", r"max_iter=1\.0 is not valid\. Expected an integer"),
    ],
)
def test_what_cannot_be_set_of_a_search_is_refused_before_it_begins(optuna, argument, message):
    with pytest.raises(InputError, match=message):
        [*read(*OPTUNA, argument).cells]


def test_a_search_needs_something_to_search_over(optuna):
    with pytest.raises(InputError, match=r"hydra/sweeper=optuna has nothing to search over"):
        read("hydra/sweeper=optuna", "layers=9")
    with pytest.raises(InputError, match=r"hydra/sweeper=optuna is for sweeps, and this is a single run\. Add -m"):
        composition.read(["hydra/sweeper=optuna"])
    with pytest.raises(InputError, match=r"tol=interval\(0,1\) is not a list of values"):
        read("tol=interval(0,1)")


def test_every_value_and_both_ends_of_an_interval_are_composed_before_anything_runs(optuna):
    asked = read(*OPTUNA, "max_iter=choice(2,3,4)", "tol=tag(log,interval(1e-6,1e-2))", "holdout=0.5")
    found = [(cell.config.layers, cell.config.max_iter, cell.config.tol) for cell in asked.cells]
    first = ((9,), 2, 1e-6)
    changed = [((9, 4), 2, 1e-6), ((9,), 3, 1e-6), ((9,), 4, 1e-6), ((9,), 2, 1e-2)]
    assert [(tuple(layers), *others) for layers, *others in found] == [first, *changed]
    assert asked.searched(["holdout=0.5", "layers=9", "tol=1"]) == "layers=9 tol=1"


@pytest.mark.parametrize(
    "arguments",
    [
        ["hydra/callbacks=log_job_return"],
        ["+hydra.callbacks.mine._target_=hydra.experimental.callbacks.LogJobReturnCallback"],
    ],
)
def test_a_callback_of_the_program_is_taken_by_its_name_and_by_its_class(arguments):
    assert read("seed=0,1", *arguments).callbacks
    assert composition.read_callbacks(arguments) is not None
    assert composition.read_callbacks(["seed=1"]) is None

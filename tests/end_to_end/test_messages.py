"""Messages speak the language of the door: parameters in Python, options on the command line."""

from __future__ import annotations

import ast
import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

import nnmf_runner
from nnmf_runner import DeepNMF, HierarchicalNMF, NeuralNMF, SemiNMF, SparseCodingNMF, UnfoldedNMF
from nnmf_runner.config.messages import as_options
from nnmf_runner.core.checks import InputError
from nnmf_runner.core.costs import COSTS, Energy
from nnmf_runner.core.init import NNDSVD, Greedy
from nnmf_runner.core.optimizers import OPTIMIZERS
from nnmf_runner.core.regularisation import Regularisation
from nnmf_runner.methods import METHODS
from nnmf_runner.methods.supervision import PARAMETERS
from nnmf_runner.running.run import run_one
from nnmf_runner.store.start import INITIALISATIONS, Saved

PACKAGE = Path(nnmf_runner.__file__).parent
OPTION = r"(?<![\w.])(method|cost|optimizer|init|supervision|regularisation|dataset)\.\w+"
# What a Python user must not read, and what a user of the command line must not.
OF_OPTIONS = re.compile(rf"{OPTION}|\bmethod=|\bnull\b|=(true|false)\b|holdout")
PARTS = [*METHODS.values(), *COSTS.values(), *OPTIMIZERS.values(), *INITIALISATIONS.values(), Regularisation]
NAMES = "|".join(sorted({field.name for part in PARTS for field in dataclasses.fields(part)} | {*PARAMETERS.values()}))
OF_PARAMETERS = re.compile(rf"(?<![\w.])({NAMES})(\[\d+\])?=|\b(None|True|False)\b|\w+NMF\b")

# The same mistake through both doors, as a command line and as an estimator.
BOTH = {
    "method=hier method.solver=als": lambda: HierarchicalNMF(solver="als"),
    "method=hier cost=kl": lambda: HierarchicalNMF(cost="kl"),
    "method=hier cost=energy": lambda: HierarchicalNMF(cost="energy"),
    "method=hier supervision.loss=cross_entropy": lambda: HierarchicalNMF(label_loss="cross_entropy"),
    "method=hier supervision.loss=kl": lambda: HierarchicalNMF(label_loss="kl"),
    "method=deep method.pooling=median": lambda: DeepNMF(pooling="median"),
    "method=deep method.exponent=0": lambda: DeepNMF(exponent=0.0),
    "method=deep method.activation=power regularisation.l2_A=1 regularisation.l2_S=1": lambda: DeepNMF(
        activation="power", l2_A=1.0, l2_S=1.0
    ),
    "method=semi method.pretrain=-1": lambda: SemiNMF(pretrain=-1),
    "method=unfolded method.beta=3 layers=9": lambda: UnfoldedNMF(beta=3.0),
    "method=unfolded layers=9-4": lambda: UnfoldedNMF((9, 4)),
    "method=sparse_coding method.penalty=[1,-1,1]": lambda: SparseCodingNMF(penalty=[1.0, -1.0, 1.0]),
    "method=sparse_coding method.penalty=[1,1]": lambda: SparseCodingNMF(penalty=[1.0, 1.0]),
    "method=sparse_coding method.learn_penalty=true cost=energy": lambda: SparseCodingNMF(
        learn_penalty=True, cost="energy"
    ),
    "regularisation.l1_A=-1": lambda: NeuralNMF(l1_A=-1.0),
    "regularisation.l1_A=1": lambda: NeuralNMF(l1_A=1.0),
    "regularisation.l1_A=1 regularisation.l1_S=1 cost=energy": lambda: NeuralNMF(l1_A=1.0, l1_S=1.0, cost="energy"),
    "supervision.loss=kl": lambda: NeuralNMF(label_loss="kl"),
    "supervision.weight=-1": lambda: NeuralNMF(label_weight=-1.0),
    "supervision.levels=most": lambda: NeuralNMF(label_levels="most"),
    "supervision.levels=[null,null,null]": lambda: NeuralNMF(label_levels=[None, None, None]),
    "supervision.levels=[0,null]": lambda: NeuralNMF(label_levels=[0, None]),
    "supervision.levels=[0,-1,0]": lambda: NeuralNMF(label_levels=[0, -1, 0]),
    "cost=energy cost.weights=[-1]": lambda: NeuralNMF(cost=Energy([-1.0])),
    "cost=energy cost.weights=[1,1]": lambda: NeuralNMF(cost=Energy([1.0, 1.0])),
    "cost=energy cost.weights=[0,0,0]": lambda: NeuralNMF(cost=Energy([0.0, 0.0, 0.0])),
    "init=nndsvd init.fill=full": lambda: NeuralNMF(init=NNDSVD("full")),
    "init=greedy init.sweeps=0": lambda: NeuralNMF(init=Greedy(0)),
    "init=saved": lambda: NeuralNMF(init=Saved()),
    "init=saved init.path=/no/where": lambda: NeuralNMF(init=Saved("/no/where")),
    "optimizer=gd optimizer.step=-1": lambda: NeuralNMF(optimizer=OPTIMIZERS["gd"](-1.0)),
    "optimizer=adam optimizer.beta1=2": lambda: NeuralNMF(optimizer=OPTIMIZERS["adam"](beta1=2.0)),
    "layers=[9,12]": lambda: NeuralNMF((9, 12)),
    "layers=9-0": lambda: NeuralNMF((9, 0)),
}


def python_message(make, X, y=None):
    with pytest.raises(InputError) as caught:
        make().fit(X, y)
    return str(caught.value)


@pytest.mark.parametrize("make", BOTH.values(), ids=BOTH)
def test_python_users_read_parameters(make, toy):
    message = python_message(make, toy.X.T)
    assert not OF_OPTIONS.search(message), message


@pytest.mark.slow
@pytest.mark.parametrize("line", [line for line in BOTH if not line.startswith("init=saved")])
def test_users_of_the_command_line_read_options(configure, line):
    with pytest.raises(InputError) as caught:
        configure(*line.split())
    message = as_options(str(caught.value))
    assert not OF_PARAMETERS.search(message), message


@pytest.mark.slow
@pytest.mark.parametrize("line", BOTH)
def test_the_program_says_its_messages_in_options(command, line):
    result = command(*line.split())
    assert result.status == 2
    assert not OF_PARAMETERS.search(result.err), result.err


@pytest.mark.parametrize("kind", [HierarchicalNMF, SemiNMF, UnfoldedNMF])
def test_missing_entries_are_refused_by_the_names_of_estimators(kind, toy):
    message = python_message(lambda: kind((9,)), np.where(toy.X.T > 3.0, np.nan, toy.X.T))
    assert message.startswith(f"{kind.__name__} with these options cannot leave out missing entries")
    assert "NeuralNMF, SparseCodingNMF, DeepNMF, HierarchicalNMF with solver=mu" in message
    assert not OF_OPTIONS.search(message), message


def literals(path):
    """The string literals of a file, parts of f-strings among them."""
    tree = ast.parse(path.read_text())
    return [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]


@pytest.mark.parametrize(
    "path",
    [*PACKAGE.glob("core/*.py"), *PACKAGE.glob("methods/*.py"), PACKAGE / "store" / "start.py"],
    ids=lambda path: f"{path.parent.name}/{path.name}",
)
def test_the_lower_rooms_know_no_options_of_the_command_line(path):
    named = [text for text in literals(path) if re.search(rf"{OPTION}|\bnull\b|=(true|false)\b", text)]
    assert named == []


def test_the_record_of_a_run_that_its_data_do_not_allow_names_options(configure, tmp_path):
    config = configure("method=hier", "holdout=0.1", f"output={tmp_path}")
    message = run_one(config, 0, refuse=False).record["message"]
    assert message.startswith("method=hier with these options cannot leave out missing entries")
    assert "method=hier with method.solver=mu" in message

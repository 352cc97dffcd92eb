"""Messages that name parameters as Python does, said in the options of the command line."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest

from nnmf_runner.config.messages import as_options
from nnmf_runner.config.schema import GROUPS
from nnmf_runner.core.regularisation import Regularisation
from nnmf_runner.methods.supervision import PARAMETERS, Supervision


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("cost=kl needs solver=mu, but solver=hals.", "cost=kl needs method.solver=mu, but method.solver=hals."),
        ("fill=x is not known.", "init.fill=x is not known."),
        ("weights[1]=-1 is not valid.", "cost.weights[1]=-1 is not valid."),
        ("penalty[0]=-1 is not valid.", "method.penalty[0]=-1 is not valid."),
        ("step=-1 is not valid.", "optimizer.step=-1 is not valid."),
        ("such as l1_A=0.1 or l2_A=0.1.", "such as regularisation.l1_A=0.1 or regularisation.l2_A=0.1."),
        ("label_weight=-1 is not valid.", "supervision.weight=-1 is not valid."),
        ("Expected label_levels=last.", "Expected supervision.levels=last."),
        ("label_levels=[None, None] supervises no", "supervision.levels=[null, null] supervises no"),
        ("a level for every layer, or None.", "a level for every layer, or null."),
        ("(set allow_growing_ranks=True to force it)", "(set allow_growing_ranks=true to force it)"),
        ("normalise=False and tol=None", "normalise=false and tol=null"),
        ("init=saved has no path. Expected path=..., a", "init=saved has no path. Expected init.path=..., a"),
    ],
)
def test_parameters_become_options_and_values_those_of_yaml(message, said):
    assert as_options(message) == said
    assert as_options(said) == said


@pytest.mark.parametrize(
    "message",
    [
        "layers[1]=12 exceeds layers[0]=9: ranks must not grow.",
        "dataset.path=a is no folder, mask=/data/step=1/beta=2.npy cannot be read.",
        "tol=nan is not valid. Expected a number in [0, 1e+60].",
        "x: 'NoneType' object, could not convert string to float: 'None'",
        "label_fraction=0.4 asks for labels",
        "workers=0 is not valid. Expected workers=1: engine.workers share every fit.",
    ],
)
def test_what_has_the_same_name_in_both_stays(message):
    assert as_options(message) == message


@pytest.mark.parametrize(
    ("group", "name"), [(g, n) for g in GROUPS if g not in ("dataset", "engine", "tracking") for n in GROUPS[g]]
)
def test_every_option_of_a_part_is_known(group, name):
    for field in dataclasses.fields(GROUPS[group][name]):
        assert as_options(f"{field.name}=1 is not valid.") == f"{group}.{field.name}=1 is not valid."


def test_no_parameter_stands_for_two_options():
    owners = Counter()
    for group in ("method", "cost", "optimizer", "init"):
        owners.update({field.name for part in GROUPS[group].values() for field in dataclasses.fields(part)})
    owners.update(field.name for field in dataclasses.fields(Regularisation))
    owners.update(PARAMETERS.values())
    assert set(owners.values()) == {1}


def test_every_field_of_supervision_is_a_parameter():
    assert {field.name for field in dataclasses.fields(Supervision)} == set(PARAMETERS)

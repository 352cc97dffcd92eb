"""Estimators made from methods: parameters and docstrings."""

from __future__ import annotations

import dataclasses

import pytest

from nnmf_runner import HierarchicalNMF
from nnmf_runner.config.numpydoc import entries, parameters, section
from nnmf_runner.estimators import ESTIMATORS
from nnmf_runner.estimators.making import estimator_of


@pytest.mark.parametrize("kind", ESTIMATORS.values())
def test_an_estimator_has_the_options_of_its_method_and_a_line_for_each_of_its_parameters(kind):
    names = [each.name for each in dataclasses.fields(kind)]
    assert {each.name for each in dataclasses.fields(kind._method)} < set(names)
    described = parameters(kind.__doc__)
    assert set(described) == set(names)
    assert all(len(entry.splitlines()) > 1 for entry in described.values())
    assert section(kind.__doc__, "Attributes")
    assert section(kind.__doc__, "References")


@pytest.mark.parametrize("kind", ESTIMATORS.values())
def test_an_estimator_describes_the_attributes_that_its_kind_has(kind):
    described = entries(kind.__doc__, "Attributes")
    assert ("topics_" in described) == kind._method.tensors
    assert ("stacked" in described["factors_"]) == kind._method.tensors
    assert "codes_" in described


def test_a_method_of_ones_own_need_not_describe_its_options():
    @dataclasses.dataclass
    class Mine(HierarchicalNMF._method):
        name = "mine"
        strength: float = 1.0

    kind = estimator_of(Mine)
    described = parameters(kind.__doc__)
    assert kind().strength == 1.0
    assert described["strength"] == "strength"
    assert described["solver"] == parameters(HierarchicalNMF.__doc__)["solver"]

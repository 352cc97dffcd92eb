"""Many configurations at once: each is what Hydra composes alone."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nnmf_runner.config import cells
from nnmf_runner.config.engine import compose, register_schema
from nnmf_runner.core.checks import InputError

register_schema()


def alone(overrides):
    """The configuration that Hydra composes from all overrides, from its files on."""
    return cells.resolve(compose(overrides))


def last(jobs):
    """The configuration of the last cell."""
    return [*cells.compose_cells(jobs)][-1].config


def outcome(make, given):
    try:
        return repr(make(given))  # of types, too: 1 is not 1.0 in the name of a run
    except InputError as error:
        return str(error)


CHOICES = ["experiment=", "method=", "cost=", "dataset=", "init=", "optimizer="]
# Values of options that change how others are composed, are converted, refused, merged, or refer to others.
VALUES = {
    "experiment=": ["table1", "tensors", "regimes_small"],
    "method=": ["hier", "deep", "neural", "neural_multilevel", "ncpd", "nonsense"],
    "cost=": ["reconstruction", "multilevel", "kl"],
    "dataset=": ["file", "planted", "toy"],
    "init=": ["random", "saved"],
    "optimizer=": ["gd", "adam"],
    "seed=": ["3", "4", "-1", "1.5", "'5'", "1_000", "many", "null", "${max_iter}", str(2**70)],
    "layers=": ["9", "[9,4]", "9-4-2", "[4,9]", "[[9],4]", "${seed}", "{a:1}", "null", "[]"],
    "tol=": ["1e-3", "0", "inf", "${supervision.weight}", "${nothing}", "???", str(10**400)],
    "label_fraction=": ["0.4", "1", "2"],
    "normalise=": ["true", "false", "5", "yes"],
    "fixed=": ["[]", "[0]", "[${seed}]"],
    "name=": ["a", "b", "'it\\'s'", '"b c"', "\\${seed}"],
    "mask=": ["null", "'a b.npy'"],
    "cells=": ["[]", "[[seed=1]]"],
    "supervision=": ["{weight:2}", "{learn_map:true}", "{weight:two}", "null", "${tol}"],
    "supervision.weight=": ["0.5", "2", "-1", "${tol}", "null"],
    "supervision.levels=": ["last", "[0,1]", "[0,null]"],
    "dataset.noise=": ["0.5", "1", "x"],
    "dataset.path=": ["x.csv", "'a, b.csv'", '"it\'s.csv"', "null"],
    "dataset.labels=": ["[größe]", "['a,b',c]", "[${name}]", "null", "[]", "[[a]]"],
    "init.path=": ["a/b", "'~/a b'"],
    "optimizer.step=": ["0.1", "a"],
    "+cost.weights=": ["[1,2,3]", "[1]"],
    "++tol=": ["0.1"],
    "~": ["mask", "tol", "init.path", "seed=3"],
    "+": ["trials=2", "nothing=1"],
}


@pytest.mark.slow
@given(st.data())
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_cells_are_what_hydra_composes_from_their_overrides(data):
    """Those before a cell leave nothing in it; what is refused is so in the same words.

    Where several things are wrong, any of them may be said first.
    """
    options = data.draw(st.lists(st.sampled_from([*VALUES]), min_size=1, max_size=3, unique=True))
    swept = [data.draw(st.lists(st.sampled_from(VALUES[each]), min_size=1, max_size=3)) for each in options]
    jobs = [[a + b for a, b in zip(options, values, strict=True)] for values in itertools.product(*swept)]
    before = []
    for job in jobs[:6]:
        expected = outcome(alone, job)
        found = outcome(last, [*before, job])
        if found != expected and not expected.startswith("RunConfig("):
            chosen = [each for each in job if each.startswith(("+", "~", *CHOICES))]
            others = [each for each in job if each not in chosen]
            refused = [outcome(alone, [*chosen, *some]) for some in ([], *([each] for each in others))]
            assert found in [each for each in refused if not each.startswith("RunConfig(")]
        else:
            assert found == expected
        if expected.startswith("RunConfig("):
            before.append(job)


@pytest.mark.slow
@pytest.mark.parametrize(
    "jobs",
    [
        [["supervision={weight:2}", "label_fraction=0.5"], ["supervision={learn_map:true}", "label_fraction=0.5"]],
        [["layers=[4]", "tol=1"], ["layers=3-2", "tol=2"], ["layers=5", "tol=3"], ["tol=3"], ["layers=[5,4]", "tol=1"]],
        [["label_fraction=0.4", "normalise=false"], ["label_fraction=1", "normalise=yes"]],
        [["method=hier", "seed=1"], ["method=neural", "seed=1"], ["method=hier", "trials=2"], ["method=hier"]],
    ],
)
def test_values_of_one_cell_do_not_stay_for_the_next(jobs):
    for cell in cells.compose_cells(jobs):
        assert repr(cell.config) == repr(alone(cell.overrides))


def test_cells_of_the_same_parts_are_composed_once(monkeypatch):
    composed = []
    monkeypatch.setattr(cells, "compose", lambda overrides: composed.append(overrides) or compose(overrides))
    jobs = [[f"method={m}", f"seed={s}", f"tol={t}"] for m in ("hier", "deep") for s in range(3) for t in (1, 2)]
    assert len({repr(cell.config) for cell in cells.compose_cells(jobs)}) == len(jobs)
    assert composed == [["method=hier"], ["method=deep"]]


def test_parts_with_the_same_values_are_one():
    """Tens of thousands of cells fit into memory."""
    jobs = [[f"dataset.noise={noise}", f"seed={seed}"] for noise in (0, 1) for seed in (1, 2, 3)]
    found = [cell.config for cell in cells.compose_cells([["dataset.noise=2", "seed=0"], *jobs])][1:]
    assert [len({id(getattr(config, part)) for config in found}) for part in ("method", "dataset")] == [1, 2]


@pytest.mark.slow
def test_what_is_refused_of_a_single_configuration_is_refused_of_the_last_of_many():
    for value in ("cells=[[seed=1]]", "layers=[[9],4]", "tol=-1", "seed=many"):
        key = value.partition("=")[0]
        first = {"cells": "cells=[]", "layers": "layers=9"}.get(key, f"{key}=1")
        assert outcome(last, [[first], [first], [value]]) == outcome(alone, [value]) != outcome(alone, [first])

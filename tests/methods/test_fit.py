"""A fit and the names of its arrays: one gives the other back, and what is no fit is refused with the reason."""

from __future__ import annotations

import numpy as np
import pytest

from nnmf_runner.core.init import Random
from nnmf_runner.core.monitor import History, Stop, StoppingRule
from nnmf_runner.core.regularisation import Regularisation
from nnmf_runner.methods import METHODS, Fit, Plan, Problem, Supervision
from nnmf_runner.methods.encoding import normalised
from nnmf_runner.methods.fit import fit_from_arrays, named_arrays, numbered
from tests.fixtures.matrices import MATRIX_METHODS


def a_fit(rng):
    """Two layers, each with a label map, and a parameter."""
    A, S = [rng.random((6, 3)), rng.random((3, 2))], [rng.random((3, 5)), rng.random((2, 5))]
    return Fit(A, S, rng.random((2, 2)), History(), Stop.CONVERGED, {"beta": np.array(1.5)}, {0: rng.random((4, 3))})


def test_arrays_have_the_names_that_files_use(rng):
    assert set(named_arrays(a_fit(rng))) == {"A0", "A1", "S0", "S1", "B", "B0", "parameters/beta"}


def test_maps_stand_by_their_layer(rng):
    fit = a_fit(rng)
    assert list(fit.maps) == [0, 1]
    assert fit.maps[1] is fit.B


@pytest.mark.parametrize("name", MATRIX_METHODS)
def test_a_fit_of_every_method_comes_back_from_its_arrays(name, toy):
    method = METHODS[name]()
    layers = (9, 4)[: method.most_layers]
    penalties = Regularisation(l2_A=0.01, l2_S=0.01) if method.regularises else Regularisation()
    problem = Problem(toy.X, Supervision().labels(toy.classes[4], 4), regularisation=penalties)
    start = Random().start(toy.X, layers, np.random.default_rng(0))
    fit = method.fit(problem, Plan(start, StoppingRule(max_iter=3)))
    for given in (fit, normalised(fit)):
        arrays = named_arrays(given)
        again = fit_from_arrays(arrays, given.history, given.stop)
        assert named_arrays(again).keys() == arrays.keys()
        assert all(again_ is array for again_, array in zip(named_arrays(again).values(), arrays.values(), strict=True))
        for ours, theirs in zip(method.transform(again, toy.X), method.transform(given, toy.X), strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"S1": None}, "it has 2 factors A and 1 codes S"),
        ({"A0": None}, "it has 0 factors A and 2 codes S"),
        ({"C": np.eye(2)}, "it has an array C, which no fit has"),
        ({"A3": np.eye(2)}, "it has an array A3, which no fit has"),
        ({"A1": np.ones((4, 2))}, r"A1 has shape \(4, 2\), which does not fit the layer below"),
        ({"A1": np.ones(3)}, r"A1 has shape \(3,\), which does not fit the layer below"),
        ({"S1": np.ones((2, 6))}, r"S1 has shape \(2, 6\), expected \(2, 5\)"),
        ({"B": np.ones((2, 3))}, r"B has shape \(2, 3\), expected one column for each of 2 topics"),
        ({"B0": np.ones((2, 2))}, r"B0 has shape \(2, 2\), expected one column for each of 3 topics"),
    ],
)
def test_arrays_that_are_no_fit_are_refused_with_the_reason(change, message, rng):
    arrays = {name: array for name, array in (named_arrays(a_fit(rng)) | change).items() if array is not None}
    with pytest.raises(ValueError, match=message):
        fit_from_arrays(arrays, History(), Stop.CONVERGED)


def test_a_factor_of_a_pooled_layer_may_have_a_multiple_of_the_rows(rng):
    arrays = named_arrays(a_fit(rng)) | {"A1": rng.random((6, 2))}
    assert fit_from_arrays(arrays, History(), Stop.CONVERGED).A[1].shape == (6, 2)


def test_numbered_arrays_end_at_the_first_that_is_absent():
    arrays = {"A1": np.ones(1), "A0": np.zeros(1), "A3": np.ones(3), "S0": np.ones(2)}
    assert [array.tolist() for array in numbered(arrays, "A")] == [[0.0], [1.0]]

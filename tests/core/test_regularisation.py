import numpy as np
import pytest

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.regularisation import NO_PENALTY, Penalty, Regularisation, factor_unit


@pytest.mark.parametrize("l1", [0.0, 0.7])
@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_penalty_and_gradient_equal_the_definition(l1, l2, rng):
    F, dF, h = rng.standard_normal((4, 5)), rng.standard_normal((4, 5)), 1e-6
    penalty = Penalty(l1, l2)
    assert penalty.value(F) == pytest.approx(l1 * np.abs(F).sum() + l2 * np.linalg.norm(F) ** 2)
    slope = (penalty.value(F + h * dF) - penalty.value(F - h * dF)) / (2 * h)
    assert np.vdot(penalty.gradient(F), dF) == pytest.approx(slope, rel=1e-7, abs=1e-9)


def test_penalty_of_one_weight_a_row(rng):
    F, l1, l2 = rng.random((4, 5)), rng.random((4, 1)), rng.random((4, 1))
    expected = sum(l1[i, 0] * F[i].sum() + l2[i, 0] * np.sum(F[i] ** 2) for i in range(4))
    assert Penalty(l1, l2).value(F) == pytest.approx(expected)
    np.testing.assert_allclose(Penalty(l1, l2).gradient(F), l1 + 2 * l2 * F)


def test_gradient_at_zero_is_that_of_a_growing_entry():
    np.testing.assert_array_equal(Penalty(0.5, 0.1).gradient(np.zeros((2, 2))), np.full((2, 2), 0.5))


def test_no_penalty_is_zero(rng):
    F = rng.random((3, 4))
    assert NO_PENALTY.value(F) == 0.0
    np.testing.assert_array_equal(NO_PENALTY.gradient(F), np.zeros((3, 4)))


def test_factor_penalties_equal_the_documented_units():
    """``l1 sum |F| / (u sqrt(size)) + l2 ||F||^2 / u^2``."""
    regularisation = Regularisation(l1_A=0.1, l2_A=0.2, l1_S=0.3, l2_S=0.4)
    on_A, on_S = regularisation.on_A((6, 4), 5.0), regularisation.on_S((4, 9), 5.0)
    assert (on_A.l1, on_A.l2) == (pytest.approx(0.1 / (5 * np.sqrt(24))), pytest.approx(0.2 / 25))
    assert (on_S.l1, on_S.l2) == (pytest.approx(0.3 / (5 * np.sqrt(36))), pytest.approx(0.4 / 25))


@pytest.mark.parametrize("factors", [2, 3, 4])
def test_unit_is_an_equal_share_of_the_norm_of_the_data(factors):
    assert factor_unit(49.0, factors) ** factors == pytest.approx(7.0)


def test_even_factor_of_unit_norm_has_the_same_penalty_at_every_size():
    """What the units are for: entries all equal and norm u give l1 and l2 themselves."""
    for shape in ((3, 4), (30, 40)):
        F = np.full(shape, 2.0 / np.sqrt(shape[0] * shape[1]))
        assert Regularisation(l1_A=0.1, l2_S=0.1).on_A(shape, 2.0).value(F) == pytest.approx(0.1)
        assert Regularisation(l2_A=0.1, l2_S=0.1).on_A(shape, 2.0).value(F) == pytest.approx(0.1)


def test_nothing_given_is_no_penalty():
    assert not Regularisation().is_active
    assert Regularisation().on_A((3, 4), 1.0) is NO_PENALTY
    assert Regularisation().on_S((3, 4), 1.0) is NO_PENALTY
    assert Regularisation(l1_A=0.1, l2_S=0.1).is_active


@pytest.mark.parametrize(
    ("options", "here", "there"),
    [
        ({"l1_A": 0.1}, "A", "S"),
        ({"l2_A": 0.1}, "A", "S"),
        ({"l1_S": 0.1}, "S", "A"),
        ({"l1_S": 1, "l2_S": 1}, "S", "A"),
    ],
)
def test_penalty_on_one_side_alone_is_refused(options, here, there):
    message = rf"Only {here} is penalised, so {there} can absorb its scale\. .*l1_{there}=0\.1 or l2_{there}=0\.1"
    with pytest.raises(InputError, match=message):
        Regularisation(**options).check()


def test_penalties_on_both_sides_or_none_are_taken():
    Regularisation().check()
    Regularisation(l1_A=0.1, l2_S=0.1).check()


@pytest.mark.parametrize("value", [-0.1, np.nan, np.inf, "0.1", True, None])
@pytest.mark.parametrize("name", ["l1_A", "l2_A", "l1_S", "l2_S"])
def test_bad_weights_are_refused_by_name(name, value):
    with pytest.raises(InputError, match=rf"^{name}={value} is not valid"):
        Regularisation(**{name: value})

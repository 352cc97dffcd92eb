"""Saved factors as a start: which folders serve, what they have to fit, and what makes them the same."""

from __future__ import annotations

import numpy as np
import pytest

from nnmf_runner.core.checks import InputError
from nnmf_runner.store.files import FACTORS
from nnmf_runner.store.start import INITIALISATIONS, Saved

LAYERS = (3, 2)


@pytest.fixture
def arrays(rng):
    """Factors for five features, with codes beside."""
    return {"A0": rng.random((5, 3)), "A1": rng.random((3, 2)), "S0": rng.random((3, 4)), "S1": rng.random((2, 4))}


@pytest.fixture
def saved(tmp_path, arrays):
    """A start by changes to what its folder holds; None takes an array away."""

    def make(**changes):
        given = {name: array for name, array in {**arrays, **changes}.items() if array is not None}
        np.savez(tmp_path / FACTORS, **given)
        return Saved(str(tmp_path))

    return make


def test_a_start_is_the_saved_factors_in_double_precision(saved, arrays, rng):
    start = saved(A0=arrays["A0"].astype(np.float32)).start(np.ones((5, 4)), LAYERS, rng)
    assert [factor.dtype for factor in start] == [np.float64] * 2
    np.testing.assert_array_equal(start[0], arrays["A0"].astype(np.float32))
    np.testing.assert_array_equal(start[1], arrays["A1"])


def test_a_relative_path_starts_at_the_working_directory_and_a_tilde_at_home(saved, tmp_path, monkeypatch):
    expected = saved().factors()
    monkeypatch.chdir(tmp_path.parent)
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    for path in (tmp_path.name, f"~/{tmp_path.name}"):
        assert all(map(np.array_equal, Saved(path).factors(), expected))


def test_the_identity_is_what_the_factors_are_and_neither_their_place_nor_the_codes(saved, arrays, tmp_path):
    same = saved().identity()
    moved = tmp_path / "moved"
    moved.mkdir()
    np.savez(moved / FACTORS, A0=arrays["A0"], A1=arrays["A1"])
    assert Saved(str(moved)).identity() == same
    assert saved(A1=arrays["A1"] + 1e-12).identity() != same


@pytest.mark.parametrize(
    ("layers", "n_features", "message"),
    [
        ((3,), 5, r"holds factors of shapes 5 x 3, 3 x 2, expected 5 x 3 for 5 features and layers=3\."),
        ((3, 2, 1), 5, "expected 5 x 3, 3 x 2, 2 x 1 for 5 features and layers=3-2-1"),
        ((3, 1), 5, "expected 5 x 3, 3 x 1"),
        ((3, 2), 6, "expected 6 x 3, 3 x 2 for 6 features"),
    ],
)
def test_factors_of_other_shapes_are_refused(saved, rng, layers, n_features, message):
    with pytest.raises(InputError, match=message):
        saved().check(n_features, layers, signed=True)
    with pytest.raises(InputError, match=message):
        saved().start(np.ones((n_features, 4)), layers, rng)


def test_negative_factors_serve_methods_of_any_sign_alone(saved, arrays):
    negative = saved(A1=-arrays["A1"])
    negative.check(5, LAYERS, signed=True)
    with pytest.raises(InputError, match=r"negative entries \(the lowest is -0\.\d+\), but the method needs"):
        negative.check(5, LAYERS, signed=False)
    saved().check(5, LAYERS, signed=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"A0": None, "A1": None}, r"factors\.npz holds no factor A0"),
        ({"A1": np.full((3, 2), np.nan)}, "A1 holds entries that are NaN"),
        ({"A1": np.full((3, 2), None)}, "Object arrays cannot be loaded"),
    ],
)
def test_a_folder_whose_factors_cannot_be_read_is_refused(saved, changes, message):
    with pytest.raises(InputError, match=rf"^init\.path=.* does not serve as a start: .*{message}"):
        saved(**changes).factors()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", r"init\.path is missing"),
        ("absent", r"init\.path=absent is no folder"),
        ("file", r"init\.path=file is no folder"),
        ("empty", r"init\.path=empty does not serve as a start: factors\.npz cannot be read: No such file"),
    ],
)
def test_what_is_no_folder_of_factors_is_refused(tmp_path, monkeypatch, path, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=message):
        Saved(path).check(5, LAYERS, signed=True)


def test_every_initialisation_is_registered_by_its_name():
    assert INITIALISATIONS["saved"] is Saved
    assert {name: kind.name for name, kind in INITIALISATIONS.items()} == {name: name for name in INITIALISATIONS}

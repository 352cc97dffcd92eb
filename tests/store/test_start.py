"""Saved factors as a start of a fit: they are what was saved, or refused with the reason."""

from __future__ import annotations

import numpy as np
import pytest

from nnmf_runner.core.checks import InputError
from nnmf_runner.store.start import INITIALISATIONS, Saved


@pytest.fixture
def factors(rng):
    return [rng.random((6, 3)), rng.random((3, 2))]


@pytest.fixture
def saved(factors, tmp_path):
    return saved_in(tmp_path / "run", factors)


def saved_in(folder, factors, **others):
    folder.mkdir()
    np.savez(folder / "factors.npz", **{f"A{i}": A for i, A in enumerate(factors)}, **others)
    return Saved(str(folder))


def test_the_start_is_what_was_saved(saved, factors, rng):
    found = saved.start(np.ones((6, 9)), (3, 2), rng)
    for ours, theirs in zip(found, factors, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    saved.check(6, (3, 2), signed=False)


def test_a_relative_path_starts_at_the_working_directory_and_a_tilde_at_home(saved, factors, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for path in ("run", "~/run"):
        assert all(map(np.array_equal, Saved(path).factors(), factors))


def test_single_precision_is_read_as_double(factors, tmp_path):
    single = saved_in(tmp_path / "single", [A.astype(np.float32) for A in factors], S0=np.ones((3, 9)))
    assert {A.dtype for A in single.factors()} == {np.dtype(np.float64)}


def test_identity_depends_on_the_factors_and_not_on_the_folder(saved, factors, tmp_path):
    assert saved_in(tmp_path / "copy", factors, S0=np.ones((3, 9))).identity() == saved.identity()
    factors[1][0, 0] += 1e-12
    assert saved_in(tmp_path / "changed", factors).identity() != saved.identity()


@pytest.mark.parametrize("layers", [(3,), (3, 3), (3, 2, 1)])
def test_other_shapes_are_refused_with_both(saved, layers, rng):
    for refused in (
        lambda: saved.check(6, layers, signed=False),
        lambda: saved.start(np.ones((6, 9)), layers, rng),
    ):
        with pytest.raises(
            InputError, match=r"^path=.* holds factors of shapes 6 x 3, 3 x 2, expected 6 x 3.*layers=3"
        ):
            refused()


def test_negative_entries_are_refused_where_factors_are_nonnegative(factors, tmp_path):
    factors[1][0, 1] = -0.5
    saved = saved_in(tmp_path / "signed", factors)
    saved.check(6, (3, 2), signed=True)
    with pytest.raises(InputError, match=r"^path=.* negative entries \(the lowest is -0\.5\)"):
        saved.check(6, (3, 2), signed=False)


def test_what_holds_no_factors_is_refused(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    for given, message in (
        (Saved(), "^init=saved has no path"),
        (Saved(str(tmp_path / "absent")), "^path=.*absent is not a folder"),
        (Saved(str(empty)), r"^path=.*empty cannot be used as initial factors: factors\.npz cannot be read"),
        (
            saved_in(tmp_path / "other", [], S0=np.ones(2)),
            r"cannot be used as initial factors: factors\.npz has no factor A0",
        ),
    ):
        with pytest.raises(InputError, match=message):
            given.factors()


def test_initialisations_are_registered_under_their_names():
    assert {name: kind.name for name, kind in INITIALISATIONS.items()} == {name: name for name in INITIALISATIONS}

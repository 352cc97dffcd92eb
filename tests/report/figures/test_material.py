"""What figures of a run show is what was saved, and rearranging factors changes no product."""

from __future__ import annotations

import numpy as np
import pytest

from nnmf_runner.datasets import Dataset
from nnmf_runner.datasets.modes import Modes
from nnmf_runner.datasets.pictures import FEATURES
from nnmf_runner.report.figures import material
from nnmf_runner.report.figures.draw import RUN_FIGURES
from nnmf_runner.report.figures.material import arranged, labelled_first, load_view, sample_order
from nnmf_runner.report.variants import Shown
from nnmf_runner.store.record import read_factors


def stack(rng, ranks=(6, 4, 2), m=7, n=8):
    A = [rng.random(shape) for shape in zip([m, *ranks[:-1]], ranks, strict=True)]
    return A, [rng.random((rank, n)) for rank in ranks]


@pytest.mark.parametrize("with_zeros", [False, True])
def test_arranging_changes_no_product_of_factors(rng, with_zeros):
    A, S = stack(rng)
    if with_zeros:
        A[0][:, 2], S[1][3] = 0.0, 0.0
    shown_A, shown_S = arranged(A, S)
    product, shown = np.eye(7), np.eye(7)
    for level in range(3):
        product, shown = product @ A[level], shown @ shown_A[level]
        np.testing.assert_allclose(shown @ shown_S[level], product @ S[level], rtol=1e-12)


def test_arranging_scales_every_topic_to_one_and_orders_by_samples(rng):
    A, _ = stack(rng)
    codes = [np.zeros((a.shape[1], 8)) for a in A]
    for S in codes:
        S[np.arange(len(S)), rng.permutation(8)[: len(S)]] = 1.0
    shown_A, shown_S = arranged(A, codes)
    for factor, S in zip(shown_A, shown_S, strict=True):
        np.testing.assert_allclose(factor.max(axis=0), 1.0)
        assert (np.diff(S.argmax(axis=1)) > 0).all()


@pytest.mark.slow
def test_of_large_data_only_pictures_are_shown(run_of, monkeypatch):
    monkeypatch.setattr(material, "LARGEST_PICTURE", 1000)
    outcome = run_of("layers=2", "max_iter=1")
    with pytest.raises(ValueError, match="87 x 90 entries are too many"):
        load_view(Shown("neural", outcome.folder, outcome.record))
    outcome = run_of("dataset=swimmer", "layers=2", "max_iter=1")
    view = load_view(Shown("neural", outcome.folder, outcome.record))
    assert (view.pixels, view.approximations) == (FEATURES, [])
    assert RUN_FIGURES["heatmaps"](None, view) is None
    assert RUN_FIGURES["images"](None, view) is not None


def test_the_pictures_are_those_of_the_saved_factors(run_of):
    outcome = run_of("label_fraction=0.4", "layers=9-4-2")
    view, factors = load_view(Shown("neural", outcome.folder, outcome.record)), read_factors(outcome.folder)
    product = factors["A0"]
    for level, picture in enumerate(view.approximations):
        product = product @ factors[f"A{level}"] if level else product
        np.testing.assert_allclose(picture, product @ factors[f"S{level}"], rtol=1e-9, atol=1e-12)
        error = np.linalg.norm(view.dataset.X - picture) / np.linalg.norm(view.dataset.X)
        assert error == pytest.approx(outcome.record["layers"][level]["relative_error"])


def test_samples_without_a_label_stand_last_in_pictures_and_others_keep_their_order():
    fine, coarse = np.array([1, -1, 0, 0, -1, 2]), np.array([-1, -1, 1, 1, 0, 0])
    assert labelled_first(Dataset("a", np.eye(6), [fine, coarse])).tolist() == [2, 3, 5, 4, 0, 1]
    for labels in ([], [np.array([2, 0, 1, 0, 2, 1])]):
        assert labelled_first(Dataset("a", np.eye(6), labels)).tolist() == list(range(6))


TENSOR = ("dataset=blocks", "dataset.sizes=[16,15,14]", "layers=4-2")


def test_of_a_tensor_the_topics_of_every_mode_are_shown_in_the_place_of_its_factors(run_of):
    outcome = run_of(*TENSOR, "method=ncpd", "method.starts=1")
    view = load_view(Shown("ncpd", outcome.folder, outcome.record))
    factors = read_factors(outcome.folder)
    assert [[F.shape for F in modes] for modes in view.mode_topics] == [[(16, k), (15, k), (14, k)] for k in (4, 2)]
    np.testing.assert_array_equal(view.mode_topics[1][2], factors["S1"].T)
    drawn = {end for end, draw in RUN_FIGURES.items() if end != "topics" and draw(None, view) is not None}
    assert drawn == {"factors", "projections"}
    sums = np.prod([F.sum(axis=0) for F in view.mode_topics[0]], axis=0)
    np.testing.assert_allclose(view.shares[0], sums / sums.sum())


def test_of_a_large_tensor_only_projections_are_shown_of_a_method_for_matrices(run_of, monkeypatch):
    outcome = run_of(*TENSOR, "method=hier")
    run = Shown("hier", outcome.folder, outcome.record)
    assert RUN_FIGURES["heatmaps"](None, load_view(run)) is not None
    monkeypatch.setattr(material, "LARGEST_PICTURE", 1000)
    view = load_view(run)
    drawn = {end for end, draw in RUN_FIGURES.items() if end != "topics" and draw(None, view) is not None}
    assert drawn == {"projections"}


def test_samples_stand_by_class_where_classes_are_mixed_and_else_as_they_are():
    fine, coarse = np.array([2, 0, -1, 2, 1, 0]), np.array([1, 0, 1, 1, -1, 0])
    assert sample_order(Dataset("a", np.eye(6), [fine, coarse])).tolist() == [1, 5, 0, 3, 2, 4]
    blocks = np.array([2, 2, 0, 0, 1, 1])
    for labels in ([], [blocks]):
        assert sample_order(Dataset("a", np.eye(6), labels)).tolist() == list(range(6))
    modes = Modes.of((2, 3, 6), 2)
    tensor = Dataset("a", np.ones((6, 6)), [fine], modes=modes)
    assert sample_order(tensor).tolist() == labelled_first(tensor).tolist()

from functools import partial

import numpy as np
import pytest
from scipy import sparse

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.costs import Reconstruction
from nnmf_runner.core.linalg import tail_shares
from nnmf_runner.core.monitor import SMALL_ERROR
from nnmf_runner.methods import METHODS, Hierarchical, Supervision, label_units


@pytest.mark.parametrize(
    ("levels", "layers", "classes", "expected"),
    [
        ("all", (9, 4, 2), [9, 4, 2], {0: 0, 1: 1, 2: 2}),
        ("all", (10, 6), [10, 6], {0: 0, 1: 1}),
        ("all", (6, 3, 2), [12, 6, 3], {0: 1, 1: 2}),  # two layers are nearest to the last level, one has its rank
        ("all", (9, 9), [9, 4, 2], {1: 0}),  # of equally near layers the last
        ("all", (20, 4), [10], {1: 0}),  # a single level supervises the last layer, however far
        ("all", (10, 4), [10], {1: 0}),
        ("last", (9, 4, 2), [9, 4, 2], {2: 2}),
        ("last", (9, 4), [9, 4, 2], {1: 1}),
        ([0, None, 1], (9, 4, 2), [9, 4, 2], {0: 0, 2: 1}),
    ],
)
def test_levels_supervise_the_layers_that_are_nearest_to_them(levels, layers, classes, expected):
    assert Supervision(levels=levels).assign(layers, classes, True) == expected


def test_the_level_that_is_named_for_the_last_layer_supervises_it():
    assert Supervision(levels="last").assign((9, 4, 2), [9, 4, 2], True, 0) == {2: 0}
    assert Supervision(levels="all").assign((9, 4, 2), [9, 4, 2], True, 0) == {2: 0, 1: 1}


def test_auto_is_all_where_there_are_labels_enough_and_last_where_the_method_has_no_more():
    layers, classes = (12, 6, 3), [12, 6, 3]
    auto, every = Supervision(), Supervision(levels="all").assign(layers, classes, True)
    assert auto.assign(layers, classes, True) == auto.assign(layers, classes, True, labelled=[48] * 3) == every
    assert auto.assign(layers, classes, True, labelled=[47] * 3) == {1: 1, 2: 2}
    assert auto.assign(layers, classes, True, labelled=[12] * 3) == {2: 2}
    assert auto.assign(layers, classes, True, labelled=[3] * 3) == {2: 2}  # the last layer, however few
    assert Supervision(levels="all").assign(layers, classes, True, labelled=[3] * 3) == every
    assert auto.assign(layers, classes, False) == {2: 2}


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ("most", r"label_levels=most is not known\. Expected one of: all, auto, last"),
        (3, r"label_levels=3 is not known"),
        ([None, None], r"label_levels=\[None, None\] supervises no layer"),
        ([0, -1], r"label_levels\[1\]=-1 is not valid"),
        ([0, 1.5], r"label_levels\[1\]=1\.5 is not valid"),
    ],
)
def test_levels_that_are_none_are_refused(levels, message):
    with pytest.raises(InputError, match=message):
        Supervision(levels=levels)


def test_levels_that_do_not_fit_are_refused():
    supervision = Supervision(levels=[0, 3])
    with pytest.raises(InputError, match=r"label_levels\[1\]=3 does not exist\. Expected at most 1"):
        supervision.assign((4, 2), [4, 2], True)
    with pytest.raises(InputError, match=r"has 2 entries, expected 3: a level of labels for every layer"):
        METHODS["neural"]().check(Reconstruction(), supervision, 3)
    for name in ("hier", "deep", "semi"):
        with pytest.raises(InputError, match=rf"method={name} learns from labels in its last layer alone"):
            METHODS[name]().check(Reconstruction(), Supervision(levels="all"), 2)


def test_labels_are_one_hot_in_known_columns():
    labels = Supervision(weight=0.5).labels(np.array([1, -1, 0, 2]), 3)
    np.testing.assert_array_equal(labels.known, [True, False, True, True])
    np.testing.assert_array_equal(labels.Y[:, labels.known], np.eye(3)[:, [1, 0, 2]])
    assert labels.weight == 0.5


@pytest.mark.parametrize(
    ("loss", "learn_map", "learns"),
    [("squared", False, False), ("squared", True, True), ("cross_entropy", False, True), ("cross_entropy", True, True)],
)
def test_cross_entropy_always_learns_its_map(loss, learn_map, learns):
    assert Supervision(loss, 1.0, learn_map).labels(np.array([0, 1]), 2).learn_map == learns


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "square"}, r"label_loss=square is not known\. .* Did you mean 'squared'\?"),
        ({"weight": -1.0}, r"label_weight=-1\.0 is not valid"),
    ],
)
def test_bad_supervision_is_refused_by_name(options, message):
    with pytest.raises(InputError, match=message):
        Supervision(**options)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_label_unit_is_the_share_of_the_data_that_no_product_of_the_rank_has(scale, toy):
    sigma = np.linalg.svd(toy.X, compute_uv=False)
    [unit] = label_units([4], partial(tail_shares, scale * toy.X))
    assert unit == pytest.approx((sigma[4:] ** 2).sum() / (sigma**2).sum(), rel=1e-10)
    ours, theirs = (label_units([4, 2], partial(tail_shares, X)) for X in (sparse.csc_array(scale * toy.X), toy.X))
    assert ours == pytest.approx(theirs, rel=1e-8)


def test_label_unit_of_data_without_noise_is_that_of_a_small_error(rng):
    exact = rng.random((20, 3)) @ rng.random((3, 15))
    assert (
        label_units([3, 30], partial(Hierarchical().floor_shares, exact, shape=exact.shape)) == [SMALL_ERROR**2] * 2
    )  # ranks may exceed the shape


def test_labels_weigh_in_the_unit_that_is_given():
    classes = np.array([0, 1, -1, 1])
    plain, weighed = Supervision(weight=0.5).labels(classes, 2), Supervision(weight=0.5).labels(classes, 2, 0.04)
    assert weighed.scale == pytest.approx(0.04 * plain.scale) == pytest.approx(0.02 / 3)

import pytest

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.costs import Reconstruction
from nnmf_runner.methods import METHODS, Supervision


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

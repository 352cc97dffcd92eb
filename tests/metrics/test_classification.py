"""Accuracies: the label map comes from the known columns alone."""

from __future__ import annotations

import numpy as np
import pytest

from nnmf_runner.metrics.classification import accuracy, predict


def reference_predictions(S, labels, known):
    """The definition as it reads: ``B = Y_known S_known^+``, argmax of ``B S``."""
    Y = np.eye(labels.max() + 1)[labels].T
    return np.argmax(Y[:, known] @ np.linalg.pinv(S[:, known]) @ S, axis=0)


@pytest.fixture
def problem(rng):
    """Noisy codes of three classes, with some of the labels known."""
    labels = rng.integers(0, 3, 60)
    S = np.maximum(np.eye(3)[:, labels] + 0.6 * rng.standard_normal((3, 60)), 0.0)
    known = np.zeros(60, bool)
    known[:25] = True
    return S, labels, known


def test_hand_worked_example():
    S = np.array([[1.0, 0.0, 2.0, 0.0], [0.0, 1.0, 0.0, 3.0]])
    labels = np.array([0, 1, 0, 0])  # the last one lies with class 1
    result = accuracy(S, labels, np.array([True, True, False, False]))
    assert (result.all, result.unknown, result.fit) == (0.75, 0.5, None)


def test_predictions_are_those_of_the_pseudoinverse(problem):
    np.testing.assert_array_equal(predict(*problem), reference_predictions(*problem))
    S, labels, known = problem
    right = reference_predictions(*problem) == labels
    result = accuracy(S, labels, known)
    assert result.all == right.mean()
    assert result.unknown == right[~known].mean()
    assert 0.4 < result.unknown < 1.0  # the example is neither trivial nor hopeless


def test_unknown_labels_do_not_leak_into_predictions(problem):
    S, labels, known = problem
    shuffled = np.where(known, labels, (labels + 1) % 3)
    np.testing.assert_array_equal(predict(S, labels, known), predict(S, shuffled, known))
    # and the example would show it: a map fitted to all labels predicts otherwise
    assert (predict(S, labels, np.ones(60, bool)) != predict(S, shuffled, np.ones(60, bool))).any()


def test_unknown_columns_are_no_zero_targets(rng):
    labels = np.repeat([0, 1], [30, 30])
    S = np.abs(np.array([[1.0], [0.2]]) * (labels == 0) + np.array([[0.8], [1.0]]) * (labels == 1))
    S += 0.2 * rng.random(S.shape)
    known = np.arange(60) % 10 == 0
    known[30:] |= np.arange(30) % 2 == 0
    np.testing.assert_array_equal(predict(S, labels, known), reference_predictions(S, labels, known))


def test_which_accuracies_exist_depends_on_what_is_known(problem):
    S, labels, _ = problem
    none, every = accuracy(S, labels, np.zeros(60, bool)), accuracy(S, labels, np.ones(60, bool))
    assert none.all is None
    assert none.unknown is None
    assert every.unknown is None
    assert every.fit is None
    # fitted to all labels in both cases: the same number under two names
    assert none.fit == every.all == (reference_predictions(S, labels, np.ones(60, bool)) == labels).mean()


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_columns_without_a_label_do_not_count(problem, rng, share):
    S, labels, known = problem
    known = (known & (share == 0.5)) | (share == 1.0)
    at = np.sort(rng.integers(0, 61, 30))
    more = np.insert(S, at, 10.0 * rng.random((3, 30)), axis=1), np.insert(labels, at, -1)
    for listed in (False, True):  # what is listed as known without having a label is not known
        assert accuracy(*more, np.insert(known, at, listed and known.any())) == accuracy(S, labels, known)


def test_without_a_label_there_is_no_accuracy(problem):
    S, labels, known = problem
    nothing = accuracy(S, np.full(60, -1), known)
    assert nothing == accuracy(S, np.where(known, -1, labels), known)  # labels of other levels were given
    assert (nothing.all, nothing.unknown, nothing.fit) == (None, None, None)
    assert accuracy(S, np.where(known, labels, -1), known).unknown is None
    assert accuracy(S, np.full(60, -1), np.zeros(60, bool)).fit is None


def test_accuracy_does_not_depend_on_the_scale_or_order_of_codes(problem):
    S, labels, known = problem
    scaled = np.array([1e-6, 1.0, 1e6])[:, None] * S
    assert accuracy(scaled, labels, known) == accuracy(S, labels, known)
    assert accuracy(S[[2, 0, 1]], labels, known) == accuracy(S, labels, known)


def test_codes_of_zeros_or_fewer_than_classes_give_numbers():
    labels = np.array([0, 1, 2, 1])
    known = np.array([True, True, True, False])
    for S in (np.zeros((2, 4)), np.ones((1, 4)), np.vstack([np.ones((2, 4)), np.zeros((1, 4))])):
        assert 0.0 <= accuracy(S, labels, known).all <= 1.0


def test_samples_without_a_code_are_of_the_most_frequent_known_class(problem):
    S, labels, known = problem
    S[:, ::2] = 0.0
    found, others = predict(S, labels, known), reference_predictions(S, labels, known)
    most = np.bincount(labels[known]).argmax()
    np.testing.assert_array_equal(found, np.where(np.arange(60) % 2 == 0, most, others))
    assert most != 0  # which would be the largest of zeros

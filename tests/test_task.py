"""The one door: a run and an estimator that is loaded from it fit the same factors, bit for bit."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy import sparse
from threadpoolctl import threadpool_info, threadpool_limits

from nnmf_runner import NeuralNMF, load
from nnmf_runner.core.checks import InputError
from nnmf_runner.core.streams import stream
from nnmf_runner.datasets import Dataset
from nnmf_runner.datasets.modes import Modes
from nnmf_runner.methods import METHODS
from nnmf_runner.running.run import run_one
from nnmf_runner.store.record import read_factors
from nnmf_runner.task import (
    Task,
    _blas,
    _OneBlasThread,
    check_sweep,
    known_labels,
    notes_after_checks,
    prepare,
    threads,
)
from tests.fixtures.matrices import MATRIX_METHODS

INITS = ("nndsvd", "nndsvd init.fill=random", "random", "greedy")
VARIANTS = {
    "neural": ["", "cost=energy", "optimizer=adam", "supervision.levels=all supervision.loss=cross_entropy"],
    "hier": ["", "method.solver=mu cost=kl", "regularisation.l1_S=0.01 regularisation.l2_A=0.01"],
    "deep": ["", "layers=3-5 allow_growing_ranks=true"],
    "semi": [""],
    "unfolded": [""],
    "sparse_coding": ["method.learn_penalty=true"],
}
CASES = [
    (method, init, options)
    for method in MATRIX_METHODS
    for init in INITS
    for options in (VARIANTS[method] if init == "random" else VARIANTS[method][:1])
]


def target_of(material, model):
    """What the run was given of the labels, a column for every level that it learnt."""
    levels = [material.task.levels[layer] for layer in sorted(material.task.levels)]
    columns = [np.where(material.known, material.dataset.labels[level], -1) for level in levels]
    return np.column_stack(columns) if len(columns) > 1 else columns[0]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "init", "options"), CASES)
@pytest.mark.parametrize("order", ["C", pytest.param("F", marks=pytest.mark.slow)])
def test_a_loaded_run_fits_its_own_factors_again(configure, tmp_path, method, init, options, order):
    layers = "9" if method == "unfolded" else "9-4"
    given = [f"method={method}", f"layers={layers}", *f"init={init}".split(), *options.split(), f"output={tmp_path}"]
    config = configure(*given, "max_iter=15", "label_fraction=0.4", "normalise=" + str(method == "hier").lower())
    outcome = run_one(config, 7)
    material, model = prepare(config, 7), load(outcome.folder)
    before = [factor.copy() for factor in (*model.factors_, *model.codes_)]
    X = np.asarray(material.dataset.X.T, order=order)
    with pytest.warns(UserWarning, match="did not converge"):
        model.fit(X, target_of(material, model))
    for old, new in zip(before, (*model.factors_, *model.codes_), strict=True):
        np.testing.assert_array_equal(new, old)


@pytest.mark.parametrize(
    "options",
    [
        ["method=neural"],
        ["method=neural", "supervision.loss=cross_entropy"],
        ["method=hier"],
        ["method=hier_mu", "supervision.loss=kl"],
        ["method=deep"],
        ["method=semi"],
        ["method=unfolded", "layers=9"],
        ["method=sparse_coding"],
    ],
    ids=" ".join,
)
def test_a_class_without_a_labelled_sample_changes_no_fit_and_is_never_predicted(configure, toy, rng, options):
    config = configure("layers=9-4", "init=random", "max_iter=25", *options)
    labels = np.where((np.arange(90) % 3 == 0) & (toy.classes[4] != 2), toy.classes[4], -1)
    fit = Task(config, toy.X, None, [labels], [4]).fit(0)
    without = Task(config, toy.X, None, [np.where(labels == 3, 2, labels)], [3]).fit(0)
    for one, other in zip([*fit.A, *fit.S, fit.B[[0, 1, 3]]], [*without.A, *without.S, without.B], strict=True):
        np.testing.assert_array_equal(one, other)
    predicted = (fit.B @ rng.random((fit.B.shape[1], 500))).argmax(axis=0)
    assert 2 not in predicted
    assert (fit.B[2] <= np.delete(fit.B, 2, axis=0)).all()  # also where all entries are negative


def test_a_start_from_saved_factors_is_found_again_by_its_path(configure, tmp_path, monkeypatch):
    first = run_one(configure("layers=4-2", "max_iter=3", f"output={tmp_path}"), 0)
    config = configure("layers=4-2", "max_iter=3", "init=saved", f"init.path={first.folder}", f"output={tmp_path}")
    model = load(run_one(config, 0).folder)
    before = model.factors_[0].copy()
    monkeypatch.chdir(tmp_path)
    with pytest.warns(UserWarning, match="did not converge"):
        model.fit(prepare(config, 0).dataset.X.T)
    np.testing.assert_array_equal(model.factors_[0], before)


@pytest.fixture
def partly(toy, rng):
    """The toy data with labels of three levels, each of which some samples do not have, and some have none at all."""
    labels = [np.where(rng.random(90) < 0.3, -1, toy.classes[classes]) for classes in (9, 4, 2)]
    for level in labels:
        level[40:44] = -1
    return Dataset("partly", toy.X, labels)


@pytest.mark.parametrize("method", MATRIX_METHODS)
def test_all_labels_of_partly_labelled_data_are_those_that_an_estimator_takes(given, tmp_path, partly, method):
    layers = "layers=9" if METHODS[method].most_layers == 1 else "layers=9-4-2"
    config = given(partly, f"method={method}", layers, "max_iter=15", "label_fraction=1", f"output={tmp_path}")
    outcome = run_one(config, 0)
    assert outcome.record["regime"] == "semisupervised"
    assert outcome.record["dataset"]["classes"] == [9, 4, 2]
    factors, model = read_factors(outcome.folder), load(outcome.folder)
    levels = [row["label_level"] for row in outcome.record["layers"]]
    learnt = [levels[layer] for layer in model.label_layers_]
    with pytest.warns(UserWarning, match="did not converge"):
        model.fit(partly.X.T, np.column_stack([partly.labels[level] for level in learnt]))
    for layer, factor in enumerate(model.factors_):
        np.testing.assert_array_equal(factor, factors[f"A{layer}"])


@pytest.mark.parametrize("fraction", [0, 0.5, 1])
def test_accuracies_of_partly_labelled_data_are_those_of_the_labelled_samples(given, tmp_path, partly, fraction):
    overrides = "method=hier", "layers=9-4-2", "max_iter=5", f"label_fraction={fraction}", f"output={tmp_path}"
    config = given(partly, *overrides, "eval_label_level=0")
    known, outcome = prepare(config, 0).known, run_one(config, 0)
    labels, factors = partly.labels[0], read_factors(outcome.folder)
    seen = labels >= 0 if fraction != 0.5 else known & (labels >= 0)
    for i, row in enumerate(outcome.record["layers"]):
        S = factors[f"S{i}"]
        right = (np.eye(9)[:, labels[seen]] @ np.linalg.pinv(S[:, seen]) @ S).argmax(axis=0) == labels
        expected = right[labels >= 0].mean(), right[(labels >= 0) & ~seen].mean() if fraction == 0.5 else None
        assert (row["accuracy"], row["accuracy_unknown"]) == (expected if fraction else (None, None))
        assert row["accuracy_fit"] == (None if fraction else expected[0])


@pytest.mark.slow
def test_every_sample_with_a_label_of_any_level_is_given_where_all_are(given, partly):
    for levels in ([0], [1, 2], [0, 1, 2]):
        dataset = Dataset("partly", partly.X, [partly.labels[level] for level in levels])
        known = prepare(given(dataset, "label_fraction=1"), 0).known
        np.testing.assert_array_equal(known, (np.array(dataset.labels) >= 0).any(axis=0))


def test_of_listed_samples_those_without_a_label_are_not_known(configure, partly):
    config = configure("dataset=file", "dataset.path=a.npz", "dataset.known=known", "label_fraction=0.1")
    dataset = Dataset("listed", partly.X, partly.labels, known=np.arange(90) < 50)
    expected = [i for i in range(50) if any(level[i] >= 0 for level in partly.labels)]
    np.testing.assert_array_equal(np.flatnonzero(known_labels(config, dataset, stream(0, "labels"))), expected)


def test_data_with_all_labels_are_supervised_as_they_were(given, toy, partly):
    full = Dataset("full", toy.X, [toy.classes[9], toy.classes[4]])
    regimes = [prepare(given(full, f"label_fraction={share}"), 0).regime for share in (0, 0.5, 1)]
    assert regimes == ["unsupervised", "semisupervised", "supervised"]
    assert prepare(given(partly), 0).regime == "unsupervised"


FINE, NO_LABEL, ONE = np.arange(20) // 5, np.full(20, -1), np.where(np.arange(20) < 9, 0, -1)
FEW = np.where(np.arange(20) < 3, np.arange(20), -1)


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        ([NO_LABEL], ["label_fraction=0.5"], "label_fraction=0.5 asks for labels, but dataset=given has none."),
        ([NO_LABEL], ["eval_label_level=0"], "eval_label_level=0 asks for labels, but dataset=given has none."),
        (
            [ONE],
            ["label_fraction=1"],
            "label_fraction=1 asks for labels, but all labels of dataset=given are of one class at level 0.",
        ),
        ([FINE, NO_LABEL], ["label_level=1"], "label_level=1 asks for labels, but no sample of dataset=given has one"),
        ([NO_LABEL, FINE], ["eval_label_level=0"], "eval_label_level=0 asks for labels, but no sample of dataset"),
        (
            [NO_LABEL, FINE],
            ["label_fraction=1", "supervision.levels=[0,1]"],
            "label_fraction=1 asks for labels, but no sample of dataset=given has a label at level 0.",
        ),
        (
            [FEW, FINE // 2],
            ["label_fraction=0.1", "supervision.levels=[0,1]"],
            "label_fraction=0.1 asks for labels, but none of the samples that it gives of dataset=given has one at",
        ),
    ],
)
def test_levels_without_labels_or_with_one_class_are_refused(given, rng, labels, options, message):
    config = given(Dataset("given", rng.random((9, 20)), labels), "layers=4-2", *options)
    with pytest.raises(InputError) as refused:
        prepare(config, 0)
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


def test_a_level_without_labels_is_not_chosen(given, rng):
    dataset = Dataset("given", rng.random((9, 20)), [NO_LABEL, FINE, NO_LABEL])
    assert prepare(given(dataset, "layers=4-2", "label_fraction=1"), 0).task.levels == {1: 1}


@pytest.mark.parametrize("methods", [("semi", "neural"), ("neural", "semi"), ("sparse_coding", "semi")])
def test_negative_data_are_refused_in_a_sweep_with_a_method_that_does_not_take_them(configure, tmp_path, methods):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).standard_normal((9, 8)))
    given = ["dataset=file", f"dataset.path={tmp_path}/a.npy", "layers=3"]
    configs = {method: configure(*given, f"method={method}") for method in methods}
    with pytest.raises(InputError, match=rf"^X of dataset\.path={tmp_path}/a\.npy has to be nonnegative"):
        check_sweep(configs.values())
    check_sweep([configs["semi"], configure(*given, "method=sparse_coding", "method.free=true")])


@pytest.mark.parametrize("check", [lambda config: prepare(config, 0), lambda config: check_sweep([config])])
def test_what_data_say_of_themselves_stands_before_no_error(configure, tmp_path, caplog, check):
    caplog.set_level("INFO")
    X = np.eye(4, 6)[:, None] * np.ones((5, 1))  # which has entries that are all zeros
    for name, data in (("bad", -X), ("large", 2 * X), ("good", X)):
        np.save(tmp_path / f"{name}.npy", data)
    given = ["dataset=file", "method=ncpd"]
    for name, layers in (("bad", "3-2"), ("large", "99")):
        with pytest.raises(InputError):
            check(configure(*given, f"dataset.path={tmp_path / name}.npy", f"layers={layers}"))
        assert not caplog.records
    check(configure(*given, f"dataset.path={tmp_path}/good.npy", "layers=3-2"))
    assert [record.message.split(" of ")[0] for record in caplog.records] == [
        "dataset=file: mode 0",
        "dataset=file: all zeros are 2",  # of 6 entries of mode 2
    ]


def test_what_data_say_of_themselves_is_said_once_all_checks_are_passed(configure, tmp_path, caplog):
    caplog.set_level("INFO")
    X = np.eye(4, 6) + np.ones((4, 1)) * (np.arange(6) < 5)  # a feature is all zeros
    np.save(tmp_path / "X.npy", X)
    config = configure("dataset=file", f"dataset.path={tmp_path}/X.npy", "layers=2")
    with notes_after_checks():
        prepare(config, 0)
        check_sweep([config])
        assert not caplog.records
    assert len(caplog.records) == 1


def test_factors_that_do_not_fit_into_memory_are_refused(given):
    fibres = 2**60
    X = sparse.csc_array(([1.0, 2.0], np.array([fibres - 1, 0]), [0, 1, 2]), shape=(fibres, 2))
    tensor = Dataset("tall", X, modes=Modes.of((2**30, 2**30, 2), 2))
    for method in ("hier", "neural", "semi", "sparse_coding"):
        with pytest.raises(InputError, match=rf"^X has {fibres} features .* a factor of rank 2 .* TB") as caught:
            prepare(given(tensor, f"method={method}", "layers=2"), 0)
        assert "\n" not in str(caught.value)


def test_a_task_knows_the_modes_of_a_tensor(configure):
    task = prepare(configure("dataset=blocks", "dataset.sizes=[14,15,16]", "layers=4-2"), 0).task
    assert task.shape == (14, 15, 16)
    assert prepare(configure("layers=4-2"), 0).task.shape == (87, 90)


@pytest.mark.parametrize("n", [0, -1, 1.5, True, "2", None])
def test_threads_are_a_positive_integer(n):
    with pytest.raises(InputError, match=r"^threads=.* is not valid\. Expected an integer"), threads(n):
        pass


def blas_threads():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_blas_has_one_thread_while_a_fit_lasts_and_its_own_again_after_the_last():
    seen, model = [], NeuralNMF(layers=(2,), max_iter=3)._model()
    task = Task(model, np.random.default_rng(0).random((9, 8)))

    def watch(iteration, cost):
        seen.append(blas_threads())

    with threadpool_limits(2, "blas"):
        before = blas_threads()
        task.fit(0, watch)
        assert blas_threads() == before
        with threads(2):
            task.fit(0, watch)
            seen.append(blas_threads())
        with pytest.raises(ZeroDivisionError):
            task.fit(0, lambda iteration, cost: 1 / 0)
        assert blas_threads() == before
    assert before == {2}
    assert {frozenset(found) for found in seen} == {frozenset({1})}


def test_blas_keeps_one_thread_until_the_last_of_several_fits_is_over():
    fits = _OneBlasThread()
    with threadpool_limits(2, "blas"):
        fits.__enter__()
        with fits:
            assert blas_threads() == {1}
        assert blas_threads() == {1}
        fits.__exit__()
        assert blas_threads() == {2}


def test_fits_need_no_threadpoolctl(monkeypatch):
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    assert _blas.__wrapped__() is None
    monkeypatch.setattr("nnmf_runner.task._blas", lambda: None)
    with threadpool_limits(2, "blas"), threads(2):
        assert blas_threads() == {2}

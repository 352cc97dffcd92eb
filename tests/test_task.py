"""The one door: a run and an estimator that is loaded from it fit the same factors, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from nnmf_runner import load
from nnmf_runner.core.checks import InputError
from nnmf_runner.methods import METHODS
from nnmf_runner.running.run import run_one
from nnmf_runner.task import Task, check_sweep, prepare

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
    for method in METHODS
    for init in INITS
    for options in (VARIANTS[method] if init == "random" else VARIANTS[method][:1])
]


def target_of(material, model):
    """What the run was given of the labels, a column for every level that it learnt."""
    levels = [material.task.levels[layer] for layer in sorted(material.task.levels)]
    columns = [np.where(material.known, material.dataset.labels[level], -1) for level in levels]
    return np.column_stack(columns) if len(columns) > 1 else columns[0]


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


@pytest.mark.parametrize("methods", [("semi", "neural"), ("neural", "semi"), ("sparse_coding", "semi")])
def test_negative_data_are_refused_in_a_sweep_with_a_method_that_does_not_take_them(configure, tmp_path, methods):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).standard_normal((9, 8)))
    given = ["dataset=file", f"dataset.path={tmp_path}/a.npy", "layers=3"]
    configs = {method: configure(*given, f"method={method}") for method in methods}
    with pytest.raises(InputError, match=rf"^X of dataset\.path={tmp_path}/a\.npy has to be nonnegative"):
        check_sweep(configs.values())
    check_sweep([configs["semi"], configure(*given, "method=sparse_coding", "method.free=true")])

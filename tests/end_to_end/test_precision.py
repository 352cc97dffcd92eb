"""Fits in single precision beside the same in double precision."""

import json
import re
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

import nnmf_runner
from nnmf_runner import HierarchicalNMF, NeuralNMF
from nnmf_runner.core.checks import InputError
from nnmf_runner.estimators import ESTIMATORS
from nnmf_runner.methods import METHODS
from nnmf_runner.methods.fit import in_precision, named_arrays
from nnmf_runner.metrics.errors import relative_error
from nnmf_runner.task import prepare
from tests.benchmarks.texts import zipf_text

DTYPES = ("float64", "float32")
SINGLE = {kind._method.name: kind for kind in ESTIMATORS.values() if "float32" in kind._method.dtypes}
PENALTIES = {"l1_A": 0.1, "l2_A": 0.1, "l1_S": 0.1, "l2_S": 0.1}
# Every method with each of its costs, solvers and kinds of layers, and every optimizer.  Where the cost has many kinks,
# the last bit of the data decides where a fit ends, in double precision too: such fits are compared on their way.
ON_THE_WAY = {"optimizer": "spg", "max_iter": 20}
CASES = [
    ("neural", {}),
    ("neural", {"cost": "reconstruction", **ON_THE_WAY}),
    ("neural", {"cost": "energy", **ON_THE_WAY}),
    ("neural", {"cost": "kl", **ON_THE_WAY}),
    ("neural", PENALTIES | ON_THE_WAY),
    ("neural", {"normalise": True}),
    ("neural", {"optimizer": "spg"}),
    ("neural", {"optimizer": "gd", "max_iter": 50}),
    ("neural", {"optimizer": "adam", "max_iter": 50}),
    ("neural", {"optimizer": "sgd", "max_iter": 10}),
    ("hier", {}),
    ("hier", {"solver": "anls"}),
    ("hier", {"solver": "mu", "max_iter": 300}),
    ("hier", {"solver": "mu", "cost": "kl", "max_iter": 100}),
    ("hier", PENALTIES),
    ("deep", {}),
    ("deep", {"cost": "kl", "max_iter": 50}),
    ("deep", {"pooling": "max", "max_iter": 50}),
    ("deep", {"pooling": "mean", "activation": "power", "max_iter": 50}),
    ("deep", {"activation": "log1p", "max_iter": 50}),
    ("deep", PENALTIES),
    ("semi", {}),
    ("semi", {"nonnegative": True, "max_iter": 100}),
    ("sparse_coding", {"penalty": 0.0, "cost": "multilevel"}),
    ("sparse_coding", {"penalty": 0.1, **ON_THE_WAY}),
    ("sparse_coding", {"free": True, "learn_penalty": True, **ON_THE_WAY}),
]


def fitted(kind, X, y=None, *, mask=None, **options):
    """The estimator in double and in single precision."""
    ours = {"layers": (9, 4, 2), "random_state": 0, **options}
    return [kind(dtype=dtype, **ours).fit(X, y, mask=mask) for dtype in DTYPES]


def errors(model, X, mask=None):
    """Relative errors of all layers, in double precision."""
    fit = in_precision(model._fit, "float64")
    layers = range(len(fit.A))
    return [relative_error(X.T, model._fitted.method.approximation(fit, fit.S, layer), mask) for layer in layers]


def assert_alike(double, single, X, mask=None):
    np.testing.assert_allclose(errors(single, X, mask), errors(double, X, mask), rtol=0, atol=1e-4)
    assert {array.dtype.name for array in named_arrays(double._fit).values()} == {"float64"}
    own = {name: array for name, array in named_arrays(single._fit).items() if array.ndim}
    assert {array.dtype.name for array in own.values()} == {"float32"}
    shown = [*single.factors_, *single.codes_, single.components_, *(B for B in single.label_maps_ if B is not None)]
    assert {array.dtype.name for array in shown} == {"float32"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*did not converge")
@pytest.mark.parametrize(("method", "options"), CASES, ids=str)
def test_errors_of_all_layers_agree_with_those_of_double_precision(toy, method, options):
    X, part = toy.X.T, toy.X.T[:20]
    double, single = fitted(SINGLE[method], X, **options)
    assert_alike(double, single, X)
    codes = single.transform(part)
    assert codes.dtype == single.inverse_transform(codes).dtype == np.float32
    np.testing.assert_allclose(single.score(part), double.score(part), rtol=0, atol=1e-4)


@pytest.mark.filterwarnings("ignore:.*did not converge")
@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("neural", {}),
        ("neural", {"label_loss": "cross_entropy", **ON_THE_WAY}),
        ("hier", {}),
        ("hier", {"solver": "mu", "label_loss": "kl", "max_iter": 100}),
        ("deep", {"label_loss": "kl", "max_iter": 50}),
        ("semi", {"max_iter": 200}),
        ("sparse_coding", {"penalty": 0.1, **ON_THE_WAY}),
    ],
    ids=str,
)
def test_labels_are_learnt_as_in_double_precision(toy, method, options):
    X, y = toy.X.T, np.column_stack([toy.classes[k] for k in (9, 4, 2)])
    y[::2] = -1
    double, single = fitted(SINGLE[method], X, y, **options)
    assert_alike(double, single, X)
    assert np.mean(single.predict(X) == double.predict(X)) > 0.98


@pytest.mark.filterwarnings("ignore:.*did not converge")
@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("neural", {}),
        ("neural", {"cost": "kl", **ON_THE_WAY}),
        ("hier", {"solver": "mu", "max_iter": 100}),
        ("deep", {"max_iter": 100}),
        ("deep", {"cost": "kl", "max_iter": 50}),
        ("sparse_coding", {"penalty": 0.0, "cost": "multilevel"}),
    ],
    ids=str,
)
def test_missing_entries_are_left_out_as_in_double_precision(toy, method, options):
    X, mask = toy.X.T, np.random.default_rng(1).random(toy.X.T.shape) > 0.1
    double, single = fitted(SINGLE[method], X, mask=mask, **options)
    assert_alike(double, single, X, mask.T)
    np.testing.assert_allclose(single.score(X, mask=mask), double.score(X, mask=mask), rtol=0, atol=1e-4)


@pytest.mark.filterwarnings("ignore:.*did not converge")
@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("neural", {}),
        ("hier", {}),
        ("hier", {"solver": "mu", "max_iter": 50}),
        ("deep", {"max_iter": 50}),
        ("semi", {}),
    ],
    ids=str,
)
def test_sparse_text_is_fitted_as_in_double_precision(method, options):
    X = zipf_text(1500, 900, 8).T.tocsr()
    double, single = fitted(SINGLE[method], X, layers=(8, 3), **options)
    assert_alike(double, single, X)


@pytest.mark.parametrize("init", ["random", "nndsvd", "greedy"])
@pytest.mark.parametrize("form", ["small", "wide", "sparse"])
def test_starts_are_those_of_double_precision(toy, init, form):
    rng = np.random.default_rng(0)
    wide = rng.random((60, 5)) @ rng.random((5, 20_000)) + 0.1 * rng.random((60, 20_000))
    X = {"small": toy.X.T, "wide": wide.T, "sparse": zipf_text(1500, 900, 8).T.tocsr()}[form]
    double, single = (model.factors_ for model in fitted(HierarchicalNMF, X, layers=(5, 3), init=init, max_iter=0))
    for ours, theirs in zip(single, double, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*did not converge")
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("neural", {"optimizer": "spg"}),
        ("hier", {}),
        ("hier", {"solver": "anls"}),
        ("hier", {"solver": "mu"}),
        ("deep", {}),
        ("semi", {}),
        ("sparse_coding", {"optimizer": "spg"}),
    ],
    ids=str,
)
def test_a_fit_takes_half_the_memory(method, options, form):
    """Nothing of the size of the data, of the codes or of the first factor is there in double precision."""
    rng = np.random.default_rng(0)
    X = rng.random((60_000, 30)) * (rng.random((60_000, 30)) < 0.3)
    peaks = []
    for dtype in DTYPES:
        given = form(X.astype(dtype))
        tracemalloc.start()
        model = SINGLE[method](layers=(6, 3), dtype=dtype, max_iter=2, init="random", random_state=0, **options)
        model.fit(given).transform(given)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    double, single = peaks
    assert single <= 0.62 * double


@pytest.mark.parametrize("solver", ["hals", "anls"])
def test_a_fit_that_asks_for_more_than_the_precision_ends_at_it(toy, solver):
    double, single = fitted(HierarchicalNMF, toy.X.T, layers=(4,), solver=solver, tol=1e-9, max_iter=3000)
    assert (double.stop_, single.stop_) == ("converged", "precision")
    assert single.n_iter_ < double.n_iter_
    measure = single.history_["projected_gradient"] * 2 * np.sqrt(single.history_["cost"])
    assert measure[-1] <= 16 * np.finfo(np.float32).eps < measure[:-1].min()


def test_gradients_optimisers_end_where_rounding_hides_a_lower_cost(toy):
    for optimizer in ("lbfgs", "spg"):
        double, single = fitted(NeuralNMF, toy.X.T, layers=(4,), optimizer=optimizer, tol=1e-9, max_iter=3000)
        assert single.stop_ == "line_search"
        np.testing.assert_allclose(errors(single, toy.X.T), errors(double, toy.X.T), atol=1e-6)


def test_given_factors_stay_as_they_are_in_single_precision(toy):
    A = np.random.default_rng(0).random((toy.X.shape[0], 4))
    for kind in (NeuralNMF, HierarchicalNMF):
        model = kind(layers=(4, 2), init=[A, None], fixed=[0], dtype="float32").fit(toy.X.T)
        assert np.array_equal(model.factors_[0], A.astype(np.float32))


@pytest.mark.parametrize("method", sorted(set(METHODS) - set(SINGLE)))
def test_methods_without_single_precision_refuse_it(method):
    estimator = ESTIMATORS[METHODS[method].estimator]()
    assert "dtype" not in estimator.get_params()
    with pytest.raises(InputError, match=rf"^method={method} has no dtype=float32\. Expected float64\.$"):
        replace(estimator._model(), dtype="float32")


@pytest.mark.parametrize("value", ["float16", "single", "float", 32, None, np.float32])
def test_other_precisions_are_refused(toy, value):
    with pytest.raises(InputError, match=r"^dtype=.* is not known\. Expected one of: float32, float64\."):
        HierarchicalNMF(dtype=value).fit(toy.X.T)


@pytest.mark.parametrize("scale", [1e-60, 1e-14, 1e14, 1e40])
def test_data_beyond_the_range_of_single_precision_are_refused(toy, scale):
    scaled = toy.X.T / toy.X.max() * scale
    with pytest.raises(
        InputError, match=rf"X has {re.escape(f'{scale:g}')} as its largest entry.* in dtype=float32\. .*1e-12, 1e\+12"
    ):
        HierarchicalNMF(dtype="float32").fit(scaled)
    HierarchicalNMF(max_iter=2).fit(scaled)


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e6, 1e12])
@pytest.mark.parametrize("method", sorted(SINGLE))
@pytest.mark.filterwarnings("ignore:.*did not converge")
def test_the_scale_of_the_data_does_not_matter(toy, method, scale):
    X = toy.X.T / toy.X.max()
    model = SINGLE[method](layers=(9, 4), dtype="float32", random_state=0, max_iter=20)
    plain, scaled = (model.fit(data).history_["cost"] for data in (X, scale * X))
    assert abs(len(plain) - len(scaled)) <= 1  # of every layer, rounding decides when it has arrived
    assert scaled[-1] == pytest.approx(plain[-1], rel=1e-3)
    np.testing.assert_allclose(scaled[:20], plain[:20], rtol=1e-3)


@pytest.mark.parametrize("method", ["neural", "hier"])
def test_a_run_is_told_kept_and_fitted_again_in_its_precision(command, toy, tmp_path, method):
    np.save(tmp_path / "X.npy", toy.X.T)
    options = ["dataset=file", f"dataset.path={tmp_path / 'X.npy'}", f"method={method}", "layers=4-2", "max_iter=20"]
    folders = {}
    for dtype in DTYPES:
        done = command(*options, f"dtype={dtype}", f"name={dtype}")
        assert done.status == 0, done.err
        [record] = (tmp_path / "outputs" / dtype).rglob("record.json")
        folders[dtype] = record.parent
    configs = {dtype: json.loads((folder / "record.json").read_text())["config"] for dtype, folder in folders.items()}
    assert configs["float32"] == configs["float64"] | {"dtype": "float32"}
    assert "dtype" not in configs["float64"]  # whose identity is that of records from before there was a choice
    loaded = nnmf_runner.load(folders["float32"])
    assert loaded.get_params()["dtype"] == "float32"
    assert loaded.transform(toy.X.T).dtype == np.float32
    kept = dict(np.load(folders["float32"] / "factors.npz"))
    assert {array.dtype.name for array in kept.values()} == {"float32"}
    again = type(loaded)(**loaded.get_params()).fit(toy.X.T)
    for layer, factor in enumerate(again.factors_):
        assert np.array_equal(factor, kept[f"A{layer}"])
    assert nnmf_runner.load(folders["float64"]).get_params()["dtype"] == "float64"


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_large_file_of_single_precision_is_mapped_and_fitted_in_either(configure, toy, tmp_path, monkeypatch, dtype):
    np.save(tmp_path / "X.npy", toy.X.T.astype(np.float32))
    monkeypatch.setattr("nnmf_runner.datasets.files.readers.MAPPED", 0)
    config = configure("dataset=file", f"dataset.path={tmp_path / 'X.npy'}", "layers=4", "max_iter=5", f"dtype={dtype}")
    X = prepare(config, 0).task.X
    base = X
    while base.base is not None and not isinstance(base, np.memmap):
        base = base.base
    assert (X.dtype.name, isinstance(base, np.memmap)) == (dtype, dtype == "float32")
    np.testing.assert_array_equal(X, toy.X.astype(np.float32))


def test_a_saved_model_works_in_its_precision(toy, tmp_path):
    model = HierarchicalNMF(layers=(4, 2), dtype="float32", random_state=0).fit(toy.X.T)
    model.save(tmp_path / "model")
    loaded = nnmf_runner.load(tmp_path / "model")
    assert np.array_equal(loaded.transform(toy.X.T), model.transform(toy.X.T))
    assert loaded.transform(toy.X.T).dtype == np.float32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("dtype=float16", "dtype=float16 is not known. Expected one of: float32, float64. Did you mean 'float64'?"),
        ("dtype=null", "dtype"),
        ("method=ncpd cost=multilevel dataset=planted_cp dtype=float32", "method=ncpd has no dtype=float32. Expected"),
        ("method=unfolded layers=4 dtype=float32", "method=unfolded has no dtype=float32. Expected float64."),
    ],
)
def test_the_command_line_refuses_other_precisions_in_one_line(command, options, message):
    refused = command(*options.split())
    assert refused.status == 2
    assert message in refused.err
    assert len(refused.err.splitlines()) == 1
    assert not refused.files


def test_nnls_is_in_double_precision_whatever_it_is_given(rng):
    A, X = rng.random((9, 3)).astype(np.float32), rng.random((9, 5)).astype(np.float32)
    found = nnmf_runner.nnls(A, X)
    assert found.S.dtype == np.float64
    assert np.array_equal(found.S, nnmf_runner.nnls(A.astype(float), X.astype(float)).S)

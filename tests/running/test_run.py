"""One run: labels drawn, scores recomputed from what was saved, statuses, finding what is done."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest

from nnmf_runner import NeuralNMF
from nnmf_runner import task as material
from nnmf_runner.core import optimizers
from nnmf_runner.core.checks import InputError
from nnmf_runner.core.monitor import History, Stop
from nnmf_runner.core.streams import stream
from nnmf_runner.datasets import Dataset
from nnmf_runner.methods import METHODS, Fit
from nnmf_runner.methods.hier import Hierarchical
from nnmf_runner.methods.neural import Neural
from nnmf_runner.report.data import load_data
from nnmf_runner.running import run
from nnmf_runner.running.run import run_one
from nnmf_runner.running.trials import run_trials
from nnmf_runner.store.record import read_factors, read_history
from nnmf_runner.task import Task


def test_all_methods_meet_the_same_data_labels_and_start(configure, monkeypatch):
    seen = {}

    def fit(self, problem, plan):
        seen.setdefault("X", []).append(problem.X)
        seen.setdefault("known", []).append(problem.labels.known)
        seen.setdefault("start", []).append(plan.start[0])
        raise KeyboardInterrupt

    for method in ("hier", "deep", "neural"):
        config = configure(f"method={method}", "label_fraction=0.4")
        monkeypatch.setattr(type(config.method), "fit", fit)
        with pytest.raises(KeyboardInterrupt):
            run_one(config, 5)
    for arrays in seen.values():
        np.testing.assert_array_equal(arrays[0], arrays[1])
        np.testing.assert_array_equal(arrays[0], arrays[2])


def test_noise_labels_and_start_have_streams_of_their_own(configure):
    quiet, noisy = configure("dataset.noise=0", "label_fraction=0.4"), configure("label_fraction=0.4")
    known = [material.known_labels(c, c.dataset.load(stream(2, "data")), stream(2, "labels")) for c in (quiet, noisy)]
    np.testing.assert_array_equal(*known)
    draws = [tuple(stream(2, name).random(3)) for name in ("data", "labels", "init", "fit")]
    assert len(set(draws)) == 4


@pytest.fixture
def short(configure, tmp_path):
    """A short run by its overrides."""

    def make(*overrides, seed=0):
        return run_one(configure(f"output={tmp_path}", "max_iter=20", *overrides), seed)

    return make


def plain_accuracy(S, labels, known):
    Y = np.eye(labels.max() + 1)[labels].T
    return np.argmax(Y[:, known] @ np.linalg.pinv(S[:, known]) @ S, axis=0) == labels


@pytest.mark.slow
@pytest.mark.parametrize("method", ["hier", "deep", "neural", "semi"])
@pytest.mark.parametrize("fraction", [0, 0.4, 1])
def test_recorded_metrics_are_those_of_the_saved_factors(short, configure, method, fraction):
    outcome = short(f"method={method}", f"label_fraction={fraction}", seed=3)
    record, factors = outcome.record, read_factors(outcome.folder)
    config = configure(f"label_fraction={fraction}")
    dataset = config.dataset.load(stream(3, "data"))
    known = material.known_labels(config, dataset, stream(3, "labels"))
    sigma = np.linalg.svd(dataset.X, compute_uv=False) ** 2
    product = np.eye(87)
    A, codes = ([factors[f"{kind}{i}"] for i in range(3)] for kind in "AS")
    if fraction and METHODS[method].bends_codes:
        codes = METHODS[method]().transform(Fit(A, codes, None, History(), Stop.MAX_ITER), dataset.X)
    for i, (row, rank) in enumerate(zip(record["layers"], (9, 4, 2), strict=True)):
        product = product @ factors[f"A{i}"]
        error = np.linalg.norm(dataset.X - product @ factors[f"S{i}"]) / np.linalg.norm(dataset.X)
        assert row["relative_error"] == pytest.approx(error, rel=1e-9)
        assert row["floor"] == pytest.approx(np.sqrt(sigma[rank:].sum() / sigma.sum()), rel=1e-9)
        assert row["relative_error"] >= row["floor"] * (1 - 1e-12)
        right = plain_accuracy(codes[i], dataset.labels[i], known if fraction else np.ones(90, bool))
        expected = [right.mean() if fraction else None, right[~known].mean() if fraction == 0.4 else None]
        assert [row["accuracy"], row["accuracy_unknown"]] == expected
        assert row["accuracy_fit"] == (None if fraction else right.mean())
    assert ("B" in factors) == bool(fraction)
    supervises = METHODS[method].supervises_layers and bool(fraction)
    assert ["B0" in factors, "B1" in factors] == [supervises, supervises]
    assert record["metrics"]["relative_error"] == record["layers"][-1]["relative_error"]
    nonnegative = [name for name in factors if name[0] == "S" or (name[0] == "A" and not METHODS[method]().sign_free)]
    assert all((factors[name] >= 0).all() for name in nonnegative)


@pytest.mark.parametrize("method", [name for name, method in METHODS.items() if method.most_layers == 1])
@pytest.mark.parametrize("fraction", [0, 0.4, 1])
def test_a_method_of_one_rank_is_run_and_recorded(short, method, fraction):
    outcome = short(f"method={method}", f"label_fraction={fraction}", "layers=9")
    factors, [row] = read_factors(outcome.folder), outcome.record["layers"]
    assert factors["A0"].shape == (87, 9)
    assert factors["S0"].shape == (9, 90)
    assert ("B" in factors) == bool(fraction)
    assert row["floor"] * (1 - 1e-12) <= row["relative_error"] < 1


def test_a_record_holds_all_that_was_agreed(short):
    outcome = short("label_fraction=0.4", "method=hier")
    record = json.loads((outcome.folder / "record.json").read_text())
    assert record == json.loads(json.dumps(outcome.record))
    for key in (
        "schema",
        "status",
        "metrics",
        "layers",
        "peak_memory_mb",
        "versions",
        "commit",
        "threads",
        "blas_threads",
        "host",
    ):
        assert key in record
    assert record["config"]["seed"] == 0
    assert record["metrics"]["seconds"] > 0
    assert {"done", "max_iter"} & {record["status"]}
    history = read_history(outcome.folder)
    assert {"cost", "projected_gradient", "seconds"} <= history.keys()
    assert len(history["cost"]) == record["n_iter"] + record["fits"]


def test_a_record_tells_the_modes_of_a_tensor_and_no_others(short):
    assert "modes" not in short().record["dataset"]
    data = short("dataset=blocks", "dataset.sizes=[14,15,16]", "layers=4-2").record["dataset"]
    assert data["modes"] == {"names": ["mode 0", "mode 1", "mode 2"], "shape": [14, 15, 16], "named": [False] * 3}
    assert (data["n_features"], data["n_samples"]) == (14 * 15, 16)


def test_a_sparse_tensor_is_fitted_as_its_matrix_of_fibres(short):
    given = ["layers=4-2", "init=random"]
    outcome = short("dataset=planted_cp", "dataset.branching=[2,2]", "dataset.density=0.3", *given)
    dataset = load_data(outcome.record)
    assert dataset.X.format == "csc"
    assert read_factors(outcome.folder)["A0"].shape == (24 * 32, 4)


def test_the_status_says_how_a_run_ended(short):
    assert short("max_iter=2").record["status"] == "max_iter"
    assert short("max_iter=2000", "layers=9").record["status"] == "done"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["method=hier", "layers=9-4"], "max_iter after 10 iterations in 2 layers, relative"),
        (["method=semi", "layers=9"], "max_iter after 10 iterations in 2 fits, relative"),  # the first pretrains
        (["method=neural", "layers=9-4"], "max_iter after 5 iterations, relative"),
    ],
)
def test_iterations_beside_the_limit_are_told_by_the_fits_that_have_it_to_themselves(short, caplog, options, told):
    caplog.set_level(logging.INFO)
    record = short(*options, "tol=0", "max_iter=5").record
    assert told in caplog.text
    assert record["n_iter"] == 5 * record["fits"]


def test_a_diverged_run_keeps_finite_factors_and_its_status(short, monkeypatch):
    monkeypatch.setattr(optimizers, "FARTHEST", 1e9)  # no step that may be asked for leads as far as it is
    outcome = short("optimizer=gd", "optimizer.step=1e60", "force=true")
    assert outcome.record["status"] == "diverged"
    assert all(np.isfinite(factor).all() for factor in read_factors(outcome.folder).values())


def test_the_summary_tells_a_line_search_that_gave_up_from_convergence(short, caplog):
    caplog.set_level(logging.INFO)
    stopped = short("method=neural", "layers=9-4-2", "tol=0", "max_iter=1000").record
    assert (stopped["status"], stopped["stop"]) == ("done", "line_search")
    assert f"seed 0: stopped by the line search after {stopped['n_iter']} iterations, relative" in caplog.text
    assert "done" not in caplog.text
    caplog.clear()
    assert short("max_iter=2000", "layers=9").record["stop"] == "converged"
    assert "seed 0: done after" in caplog.text


def test_a_fit_that_predicts_hidden_entries_worse_than_zeros_is_warned_of(configure, tmp_path, monkeypatch, caplog):
    rng = np.random.default_rng(0)
    X = rng.exponential(size=(30, 20)) * (rng.random((30, 20)) < 0.15)
    monkeypatch.setattr(type(configure().dataset), "load", lambda self, rng: Dataset("noise", X))
    config = configure("layers=[12,2]", "holdout=0.3", "max_iter=200", f"output={tmp_path}")
    with run.quiet():  # as in a sweep
        over, under = run_one(config, 0).record["layers"]
    assert over["heldout_error"] > 1.0 > over["relative_error"]
    [line] = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert line.startswith(f"Held-out error {over['heldout_error']:.4f} at layer 0")
    assert ("at layer 1" in line) == (under["heldout_error"] > 1.0)
    assert "is above 1: the fit predicts hidden entries worse than zeros do" in line
    assert "neural 12-2 unsupervised seed 0" in line


@pytest.mark.parametrize("options", [[], ["holdout=0.2"]])
def test_a_fit_that_predicts_is_not_warned_of(short, caplog, options):
    error = short("layers=9", *options).record["metrics"]["heldout_error"]
    assert (error is not None and error < 1.0) == bool(options)
    assert "Held-out" not in caplog.text


NAMED = "hier 9-4 unsupervised seed 0: "


def test_topics_without_a_link_are_logged_once_after_the_summary(short, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    fit = Hierarchical.fit

    def unlink(self, problem, plan):
        found = fit(self, problem, plan)
        found.A[1][[0, 4]] = 0.0
        return found

    monkeypatch.setattr(Hierarchical, "fit", unlink)
    outcome = short("method=hier", "layers=9-4")
    assert [layer["unlinked_topics"] for layer in outcome.record["layers"]] == [2, 0]
    summary, line = (record.getMessage() for record in caplog.records)
    assert summary.startswith(NAMED)
    assert line == f"{NAMED}Layer 0: 2 of 9 topics are empty or have no link to the layer above."


def test_a_failed_run_is_recorded_and_the_next_trial_runs(configure, tmp_path, monkeypatch):
    fit, calls = Hierarchical.fit, []

    def fail_first(self, problem, plan):
        calls.append(1)
        if len(calls) == 1:
            raise ZeroDivisionError("by zero")
        return fit(self, problem, plan)

    monkeypatch.setattr(Hierarchical, "fit", fail_first)
    outcomes = run_trials(configure("method=hier", "max_iter=2", "trials=2", f"output={tmp_path}"))
    outcomes = list(outcomes.values())
    assert [outcome.record["status"] for outcome in outcomes] == ["failed", "max_iter"]
    assert outcomes[0].record["message"] == "ZeroDivisionError: by zero"
    assert [path.name for path in outcomes[0].folder.iterdir()] == ["record.json"]


def test_a_done_run_is_found_again_and_not_repeated(short, monkeypatch):
    first = short(seed=1)
    monkeypatch.setattr(run, "same_code", lambda record: True)
    monkeypatch.setattr(Task, "fit", lambda *args: pytest.fail("was run again"))
    again = short("name=runs", "workers=2", seed=1)
    assert again.folder == first.folder
    assert again.record == json.loads(json.dumps(first.record))


@pytest.mark.slow
@pytest.mark.parametrize("reason", ["force", "code", "interrupted", "damaged", "outdated"])
def test_a_run_is_repeated_in_its_folder_where_it_is_not_done_by_this_code(short, monkeypatch, reason):
    first = short()
    path = first.folder / "record.json"
    left = {
        "code": json.dumps({**first.record, "code": "neural-" + "0" * 16}),
        "interrupted": json.dumps({**first.record, "status": "interrupted"}),
        "damaged": "{",
        "outdated": json.dumps({**first.record, "schema": first.record["schema"] - 1}),
    }
    path.write_text(left.get(reason, path.read_text()))
    fitted, fit = [], Task.fit
    monkeypatch.setattr(Task, "fit", lambda *args: fitted.append(1) or fit(*args))
    again = short(*(["force=true"] if reason == "force" else []))
    assert (again.folder, fitted) == (first.folder, [1])
    changing = {"finished", "metrics", "peak_memory_mb"}
    kept = [{key: value for key, value in each.items() if key not in changing} for each in (first.record, again.record)]
    assert kept[0] == kept[1] == {key: json.loads(path.read_text())[key] for key in kept[0]}


@pytest.mark.parametrize("change", [["tol=1e-3"], ["seed=1"]])
def test_another_run_leaves_the_folder_of_the_first_alone(short, change):
    first = short()
    before = (first.folder / "record.json").read_bytes()
    other = short(*change, seed=int(change == ["seed=1"]))
    assert other.folder != first.folder
    assert (first.folder / "record.json").read_bytes() == before


def test_trials_are_seeds_from_the_first_on(configure, tmp_path):
    outcomes = run_trials(configure("trials=3", "seed=4", "max_iter=2", f"output={tmp_path}"))
    assert [outcome.record["config"]["seed"] for outcome in outcomes.values()] == [4, 5, 6]
    assert len(list(tmp_path.glob("runs/*/*/record.json"))) == 3
    assert len({outcome.record["dataset"]["fingerprint"] for outcome in outcomes.values()}) == 3


def test_the_same_seed_gives_the_same_numbers(short):
    one, two = short("init=random", "force=true"), None
    before = read_factors(one.folder)
    two = short("init=random", "force=true")
    assert all(np.array_equal(before[name], factor) for name, factor in read_factors(two.folder).items())


def test_labels_asked_of_data_that_have_none_are_refused(given):
    bare = Dataset("bare", np.ones((20, 30)))
    with pytest.raises(InputError, match=r"label_fraction=0\.4.*dataset=bare has none"):
        material.prepare(given(bare, "label_fraction=0.4", "layers=3"), 0)
    material.prepare(given(bare, "layers=3"), 0)


@pytest.mark.parametrize(
    ("X", "named"),
    [
        (-np.ones((9, 9)), "X"),
        (np.full((9, 9), np.nan), "X"),
        (np.zeros((9, 9)), "X"),
        (np.ones((3, 9)), r"layers\[0\]=9"),
    ],
)
def test_data_that_no_method_can_factor_are_refused(given, X, named):
    with pytest.raises(InputError, match=named):
        material.prepare(given(Dataset("bad", X), "layers=9-4"), 0)


def test_a_run_on_bare_data_has_no_accuracies(given, tmp_path):
    bare = Dataset("bare", np.random.default_rng(0).random((20, 30)))
    metrics = run_one(given(bare, "layers=3", "max_iter=2", f"output={tmp_path}"), 0).record["metrics"]
    assert [metrics[name] for name in ("accuracy", "accuracy_unknown", "accuracy_fit")] == [None] * 3


@pytest.mark.parametrize("init", ["random", "nndsvd", "greedy"])
def test_growing_ranks_run_from_every_start_where_they_are_asked_for(short, init):
    outcome = short("layers=[4,9]", "allow_growing_ranks=true", f"init={init}")
    assert outcome.record["status"] in ("done", "max_iter")


@pytest.fixture
def ran(configure, tmp_path):
    """Record and factors of a short run by its overrides."""

    def make(*overrides):
        outcome = run_one(configure("layers=9-4", "max_iter=20", f"output={tmp_path}", *overrides), seed=0)
        return outcome.record, read_factors(outcome.folder)

    return make


@pytest.mark.parametrize("method", ["hier", "deep", "neural", "semi", "sparse_coding"])
def test_labels_without_weight_score_the_fit_that_does_without_them(ran, method):
    alone, plain = ran(f"method={method}")
    scored, factors = ran(f"method={method}", "label_fraction=0.4", "supervision.weight=0")
    assert factors.keys() == plain.keys()
    for name, factor in factors.items():
        np.testing.assert_array_equal(factor, plain[name])
    assert (alone["regime"], scored["regime"]) == ("unsupervised", "unsupervised")
    assert alone["metrics"]["accuracy_unknown"] is None
    assert scored["metrics"]["accuracy_fit"] is None
    assert all(0.0 <= layer["accuracy_unknown"] <= 1.0 for layer in scored["layers"])


def test_codes_are_scored_on_another_level_than_they_are_trained_on(ran, configure):
    options = ["method=hier", "label_fraction=0.4", "label_level=1"]
    themes, factors = ran(*options)
    groups, same = ran(*options, "eval_label_level=0")
    for name, factor in factors.items():
        np.testing.assert_array_equal(factor, same[name])
    config = configure(*options, "layers=9-4")
    dataset = config.dataset.load(stream(0, "data"))
    known = material.known_labels(config, dataset, stream(0, "labels"))
    for record, level in ((themes, 1), (groups, 0)):
        for i, layer in enumerate(record["layers"]):
            S, Y = factors[f"S{i}"], np.eye(9)[dataset.labels[level]].T
            B = Y[:, known] @ np.linalg.pinv(S[:, known])
            right = (B @ S).argmax(axis=0) == dataset.labels[level]
            assert layer["accuracy_unknown"] == pytest.approx(right[~known].mean())
    assert groups["layers"][1]["accuracy_unknown"] < themes["layers"][1]["accuracy_unknown"]  # 4 topics for 9 classes


def test_labels_weigh_in_units_of_the_squared_floor(configure, tmp_path, monkeypatch):
    weights, fit = [], Neural.fit

    def watched(self, problem, plan):
        weights.append(problem.labels.weight)
        return fit(self, problem, plan)

    monkeypatch.setattr(Neural, "fit", watched)
    config = configure("layers=[9,4]", "label_fraction=0.4", "max_iter=2", f"output={tmp_path}")
    floor = run_one(config, 0).record["layers"][-1]["floor"]
    data = config.dataset.load(stream(0, "data"))
    NeuralNMF(layers=(9, 4), max_iter=2).fit(data.X.T, data.labels[1])
    assert weights == pytest.approx([config.supervision.weight * floor**2] * 2, rel=1e-9)


def test_levels_that_supervise_nothing_change_neither_the_scores_nor_the_folder(short, configure):
    one, other = short("supervision.levels=auto"), configure("supervision.levels=[2,1,0]")
    assert configure("supervision.levels=auto").identity(0) == other.identity(0)
    material_ = material.prepare(other, 0)
    assert material.scored_levels(other, material_) == [row["label_level"] for row in one.record["layers"]]


@pytest.mark.slow
def test_known_labels_do_not_depend_on_the_levels_that_supervise(configure):
    drawn = [
        material.prepare(configure("label_fraction=0.2", f"supervision.levels={levels}"), 3).known
        for levels in ("auto", "last", "[2,1,0]", "[0,null,null]")
    ]
    for known in drawn[1:]:
        np.testing.assert_array_equal(known, drawn[0])

"""Figures: drawn from saved factors, of the runs that stand for an experiment, without changing a product."""

from __future__ import annotations

import itertools
import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import rgb_to_hsv, to_rgb
from matplotlib.figure import Figure

from nnmf_runner.report.collect import representatives
from nnmf_runner.report.figures import all as figure
from nnmf_runner.report.looks import looks_of
from nnmf_runner.report.table import rows_of, summarise
from nnmf_runner.report.variants import Shown, method_of
from nnmf_runner.store.record import read_factors


def stack(rng, ranks=(6, 4, 2), m=7, n=8):
    A = [rng.random(shape) for shape in zip([m, *ranks[:-1]], ranks, strict=True)]
    return A, [rng.random((rank, n)) for rank in ranks]


@pytest.mark.parametrize("with_zeros", [False, True])
def test_arranging_changes_no_product_of_factors(rng, with_zeros):
    A, S = stack(rng)
    if with_zeros:
        A[0][:, 2], S[1][3] = 0.0, 0.0
    shown_A, shown_S = figure.arranged(A, S)
    product, shown = np.eye(7), np.eye(7)
    for level in range(3):
        product, shown = product @ A[level], shown @ shown_A[level]
        np.testing.assert_allclose(shown @ shown_S[level], product @ S[level], rtol=1e-12)


def test_arranging_scales_every_topic_to_one_and_orders_by_samples(rng):
    A, _ = stack(rng)
    codes = [np.zeros((a.shape[1], 8)) for a in A]
    for S in codes:
        S[np.arange(len(S)), rng.permutation(8)[: len(S)]] = 1.0
    shown_A, shown_S = figure.arranged(A, codes)
    for factor, S in zip(shown_A, shown_S, strict=True):
        np.testing.assert_allclose(factor.max(axis=0), 1.0)
        assert (np.diff(S.argmax(axis=1)) > 0).all()


def test_the_pictures_are_those_of_the_saved_factors(run_of):
    outcome = run_of("label_fraction=0.4", "layers=9-4-2")
    view, factors = figure.load_view(outcome.folder, outcome.record), read_factors(outcome.folder)
    product = factors["A0"]
    for level, picture in enumerate(view.approximations):
        product = product @ factors[f"A{level}"] if level else product
        np.testing.assert_allclose(picture, product @ factors[f"S{level}"], rtol=1e-9, atol=1e-12)
        error = np.linalg.norm(view.dataset.X - picture) / np.linalg.norm(view.dataset.X)
        assert error == pytest.approx(outcome.record["layers"][level]["relative_error"])


def test_one_colour_scale_a_row_and_marked_boundaries(run_of):
    outcome = run_of("label_fraction=0.4", "layers=9-4-2")
    drawn = figure.heatmaps(figure.load_view(outcome.folder, outcome.record))
    assert len(drawn.subfigs) == 3
    for row, count in zip(drawn.subfigs, (4, 3, 3), strict=True):
        images = [ax.images[0] for ax in row.axes if ax.images]
        assert len(images) == count
        assert len({image.get_clim() for image in images}) == 1
    data = drawn.subfigs[0].axes[0]
    assert len(data.lines) == 8 + 8  # between nine blocks of features and of samples


def test_factors_with_signs_get_a_scale_that_diverges_about_zero(run_of):
    outcome = run_of("method=semi", "label_fraction=0.4", "layers=9-4-2")
    pictures, factors, codes = figure.heatmaps(figure.load_view(outcome.folder, outcome.record)).subfigs
    low, high = factors.axes[0].images[0].get_clim()
    assert low == -high < 0
    assert factors.axes[0].images[0].get_cmap() != codes.axes[0].images[0].get_cmap()
    assert codes.axes[0].images[0].get_clim()[0] == pictures.axes[0].images[0].get_clim()[0] == 0


def test_several_methods_are_compared_by_mean_excess_and_floor(record_of, records_of):
    runs = [
        record_of(method, layers, seed, error=error + 0.02 * seed, regime=regime)
        for method, error in (("hier", 0.4), ("neural", 0.3))
        for layers in ((9,), (9, 4))
        for regime in ("unsupervised", "semisupervised")
        for seed in (0, 1)
    ]
    drawn = figure.comparison(summarise(rows_of(records_of(*runs).items())))
    errors, excess, _ = [drawn.axes[i : i + 2] for i in (0, 2, 4)]
    assert [ax.get_title() for ax in errors] == ["unsupervised", "semisupervised"]
    for ax, above in zip(errors, excess, strict=True):
        hier, neural = (container.lines[0].get_ydata(orig=False) for container in ax.containers)
        np.testing.assert_allclose(hier, 0.41)  # the mean of the two seeds
        np.testing.assert_allclose(neural, 0.31)
        floors = [segment[0][1] for segment in ax.collections[-1].get_segments()]
        np.testing.assert_allclose(floors, [0.1, 0.2])
        np.testing.assert_allclose(above.containers[1].lines[0].get_ydata(orig=False), [210.0, 55.0])
        assert above.get_yscale() == "log"


def draw_one(run, record, folder):
    """All figures of a folder that holds one run."""
    return list(figure.draw_all({"runs": [Shown("neural", run, record)]}, summarise(rows_of([(run, record)])), folder))


@pytest.mark.slow
@pytest.mark.parametrize(
    "method",
    [
        "method=hier layers=9-4-2",
        "method=deep layers=9-4-2",
        "method=neural layers=9-4-2",
        "method=deep layers=9-4-2 method.pooling=max",
        "method=semi layers=9-4-2",
        "method=unfolded layers=9",
        "method=sparse_coding layers=9-4-2 holdout=0.1",
    ],
)
def test_png_and_pdf_are_written_for_every_method(run_of, tmp_path, method):
    outcome = run_of(*method.split(), "label_fraction=0.4")
    paths = draw_one(outcome.folder, outcome.record, tmp_path)
    assert sorted(path.suffix for path in paths) == [".pdf", ".pdf", ".png", ".png"]
    for path in paths:
        assert path.read_bytes().startswith(b"%PDF" if path.suffix == ".pdf" else b"\x89PNG")
    assert sorted(tmp_path.iterdir()) == sorted(paths)  # no scratch left


def test_every_method_is_represented_by_its_deepest_semisupervised_run_of_the_lowest_seed(record_of, records_of):
    def three(method, **changes):
        return record_of(method, layers=(9, 4, 2), **changes)

    wanted = [three("hier", seed=1), three("deep", seed=0, regime="supervised")]
    others = [
        record_of("hier", seed=0),
        three("hier", seed=0, regime="unsupervised"),
        three("hier", seed=2),
        three("hier", seed=0, status="failed"),
        three("deep", seed=1, regime="supervised"),
    ]
    records = records_of(*others, *wanted)
    chosen = representatives(rows_of(records.items()))
    hier, deep = map(str, [*records][-2:])
    assert chosen == {"trial": {"hier": hier, "deep": deep}}


def test_every_variant_is_represented_by_a_run_of_its_own(record_of, records_of):
    costs = [{}, {"cost.name": "multilevel", "cost.weights": []}]
    records = records_of(*(record_of(m, seed=s, **cost) for s in (0, 1) for m in ("deep", "neural") for cost in costs))
    chosen = representatives(rows_of(records.items()))["trial"]
    assert list(chosen) == [f"{m}, {c}" for m in ("deep", "neural") for c in ("reconstruction", "multilevel")]
    assert list(chosen.values()) == [str(run) for run in [*records][:4]]  # of the first seed


def test_nothing_is_drawn_of_failures(record_of, records_of, tmp_path):
    rows = rows_of(records_of(record_of(status="failed")).items())
    assert representatives(rows) == {}
    assert list(figure.draw_all({}, summarise(rows), tmp_path)) == []


def test_other_data_than_those_of_the_run_give_a_log_line_and_no_heatmap(run_of, tmp_path, caplog):
    outcome = run_of("method=hier", "layers=9-4")
    folder = tmp_path / "run"
    shutil.copytree(outcome.folder, folder)
    record = json.loads((folder / "record.json").read_text())
    record["dataset"]["fingerprint"] = "0" * 16
    with caplog.at_level(logging.WARNING):
        paths = draw_one(folder, record, tmp_path / "figures")
    assert str(folder) in caplog.text
    assert [path.name for path in paths] == ["runs_convergence.png", "runs_convergence.pdf"]


@pytest.mark.parametrize("overrides", ["layers=9", "method=hier layers=9-4", "max_iter=0"])
def test_convergence_of_short_and_shallow_runs_is_drawn(run_of, overrides):
    outcome = run_of(*overrides.split())
    run = Shown(outcome.record["config"]["method"]["name"], outcome.folder, outcome.record)
    drawn = figure.convergence([run], looks_of([run.label]))
    assert isinstance(drawn, Figure)
    drawn.savefig("/dev/null", format="png")


LABELS = ["hier", "deep", "neural, reconstruction", "neural, energy", "neural, multilevel"]


def test_no_two_variants_look_alike_and_those_of_a_method_share_its_hue():
    looks = looks_of(LABELS)
    assert list(looks) == LABELS
    for what in ("colour", "marker"):
        assert len({getattr(look, what) for look in looks.values()}) == len(LABELS)
    hues = {label: rgb_to_hsv(to_rgb(look.colour))[0] for label, look in looks.items()}
    for label, other in itertools.combinations(LABELS, 2):
        assert (abs(hues[label] - hues[other]) < 0.02) == (method_of(label) == method_of(other))
    neural = [look for label, look in looks.items() if method_of(label) == "neural"]
    assert len({look.line for look in neural}) == len({look.hatch for look in neural}) == 3


def test_a_method_looks_the_same_whatever_other_methods_there_are():
    assert looks_of(["neural"])["neural"] == looks_of(["hier", "deep", "neural"])["neural"]


@pytest.fixture
def costs(run_of):
    """Runs of hier and of neural with two costs, at two shares of labels."""
    methods = [["method=hier"], ["method=neural", "cost=reconstruction"], ["method=neural", "cost=energy"]]
    return [run_of("layers=9-4-2", *each, f"label_fraction={f}") for each in methods for f in (0.4, 0)]


def test_a_variant_looks_the_same_in_every_figure_and_has_files_of_its_own(costs, tmp_path, monkeypatch):
    rows = rows_of([(outcome.folder, outcome.record) for outcome in costs])
    summary, kept = summarise(rows), {}
    monkeypatch.setattr(figure, "save", lambda drawn, stem: kept.update({stem.name: drawn}) or [stem])
    records = {str(outcome.folder): outcome.record for outcome in costs}
    runs = [Shown(label, Path(run), records[run]) for label, run in representatives(rows)["runs"].items()]
    list(figure.draw_all({"runs": runs}, summary, tmp_path))
    names = ["hier", "neural_reconstruction", "neural_energy"]
    assert list(kept) == [*(f"runs_{name}_heatmaps" for name in names), "runs_convergence", "runs_comparison"]
    titles = [kept[f"runs_{name}_heatmaps"].get_suptitle() for name in names]
    assert [title.partition(", 9-4-2")[0] for title in titles] == [run.label for run in runs]

    marked = {}
    for line in kept["runs_convergence"].axes[1].lines[:-1]:
        marked.setdefault(line.get_label().partition(", layer")[0], set()).add((line.get_color(), line.get_marker()))
    for container in kept["runs_comparison"].axes[0].containers:
        line = container.lines[0]
        marked.setdefault(container.get_label(), set()).add((line.get_color(), line.get_marker()))
    assert {label: len(looks) for label, looks in marked.items()} == {run.label: 1 for run in runs}


@pytest.mark.parametrize("of", ["comparison", "convergence"])
def test_long_names_leave_no_figure(record_of, records_of, costs, of):
    made = [
        record_of("neural", seed=s, tol=t, **{"cost.name": c}) for s in (0, 1) for t in (1e-4, 1e-6) for c in "abcd"
    ]
    for record in made:
        record["config"]["tol"] = record.pop("tol")
        record["config"]["cost"]["name"] = f"a cost of a long name, {record['config']['cost']['name']}"
    summary = summarise(rows_of(records_of(*made).items()))
    drawn = figure.comparison(summary)
    if of == "convergence":
        runs = [Shown(label, costs[0].folder, costs[0].record) for label in set(summary["method"])]
        drawn = figure.convergence(runs, looks_of(summary["method"]))
    drawn.savefig("/dev/null", format="png")
    width, height = drawn.bbox.size
    box = drawn.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= width
    assert box.y0 >= 0
    assert box.y1 <= height
    assert len(drawn.legends[0].get_texts()) >= 8

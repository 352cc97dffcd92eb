"""All figures: drawn from saved factors, of the runs that stand for an experiment, alike for a variant everywhere."""

from __future__ import annotations

import itertools
import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from nnmf_runner.datasets.pictures import Pictures
from nnmf_runner.methods import METHODS
from nnmf_runner.report import regimes
from nnmf_runner.report.collect import collect, representatives
from nnmf_runner.report.figures import draw
from nnmf_runner.report.figures.abundances import abundances
from nnmf_runner.report.figures.comparison import comparison
from nnmf_runner.report.figures.convergence import convergence
from nnmf_runner.report.figures.factors import factors
from nnmf_runner.report.figures.heatmaps import heatmaps
from nnmf_runner.report.figures.images import images
from nnmf_runner.report.figures.projections import projections
from nnmf_runner.report.figures.regimes_map import regime_map
from nnmf_runner.report.figures.samples import samples
from nnmf_runner.report.figures.spectra import spectra
from nnmf_runner.report.figures.style import SMALLEST, drawing, looks_of
from nnmf_runner.report.table import rows_of, summarise
from nnmf_runner.report.variants import Shown
from nnmf_runner.store.record import write_record
from tests.fixtures.views import make_tensor_view, make_view

NO_MAP = regimes.compare([])


def draw_one(run, record, folder):
    """All figures of a folder that holds one run."""
    summary = summarise(rows_of([(run, record)]))
    return list(draw.draw_all({"runs": [Shown("neural", run, record)]}, summary, NO_MAP, folder))


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


@pytest.mark.slow
@pytest.mark.parametrize("dataset", ["dataset=blocks", "dataset=planted_cp dataset.density=0.05"])
@pytest.mark.parametrize("method", ["ncpd", "hier"])
def test_a_tensor_has_figures_by_mode_or_of_its_matrix_and_projections(run_of, tmp_path, dataset, method):
    outcome = run_of(*dataset.split(), f"method={method}", "layers=4-2")
    names = {path.stem.removeprefix("runs_neural_") for path in draw_one(outcome.folder, outcome.record, tmp_path)}
    assert names == {"factors" if method == "ncpd" else "heatmaps", "projections", "runs_convergence"}


def test_nothing_is_drawn_of_failures(record_of, records_of, tmp_path):
    rows = rows_of(records_of(record_of(status="failed")).items())
    assert representatives(rows).empty
    assert list(draw.draw_all({}, summarise(rows), NO_MAP, tmp_path)) == []


@pytest.mark.slow
def test_other_data_than_those_of_the_run_give_a_log_line_and_no_heatmap(run_of, tmp_path, caplog):
    outcome = run_of("method=hier", "layers=9-4")
    folder = tmp_path / "run"
    shutil.copytree(outcome.folder, folder)
    record = json.loads((folder / "record.json").read_text())
    record["dataset"]["fingerprint"] = "0" * 16
    with caplog.at_level(logging.WARNING):
        paths = draw_one(folder, record, tmp_path / "report" / "figures")
    assert str(folder) in caplog.text
    assert [path.name for path in paths] == ["runs_convergence.png", "runs_convergence.pdf"]


def shown_of(rows, records):
    """The runs that stand for their settings."""
    return [
        Shown(each.method, Path(each.folder), records[each.folder], each.setting, each.dataset)
        for each in representatives(rows).itertuples()
    ]


@pytest.fixture
def costs(run_of):
    """Runs of hier and of neural with two costs, at two shares of labels."""
    methods = [["method=hier"], ["method=neural", "cost=reconstruction"], ["method=neural", "cost=energy"]]
    return [run_of("layers=9-4-2", *each, f"label_fraction={f}") for each in methods for f in (0.4, 0)]


@pytest.mark.slow
def test_a_variant_looks_the_same_in_every_figure_and_has_files_of_its_own(costs, tmp_path, monkeypatch):
    rows = rows_of([(outcome.folder, outcome.record) for outcome in costs])
    summary, kept = summarise(rows), {}
    monkeypatch.setattr(draw, "save", lambda drawn, stem: (drawn and kept.update({stem.name: drawn})) or [stem])
    records = {str(outcome.folder): outcome.record for outcome in costs}
    runs = shown_of(rows, records)
    list(draw.draw_all({"runs": runs}, summary, NO_MAP, tmp_path))
    names = [
        f"{variant}_{regime}"
        for variant in ("hier", "neural_reconstruction", "neural_energy")
        for regime in ("semisupervised", "unsupervised")
    ]
    assert list(kept) == [*(f"runs_{name}_heatmaps" for name in names), "runs_convergence", "runs_comparison"]
    titles = [kept[f"runs_{name}_heatmaps"].get_suptitle() for name in names]
    words = ["hierarchical NMF, reconstruction cost", "Neural NMF, reconstruction cost", "Neural NMF, energy cost"]
    assert [title.partition(", ranks")[0] for title in titles] == [f"toy: {each}" for each in words for _ in (0.4, 0)]

    marked = {}
    for line in kept["runs_convergence"].axes[1].lines[:-1]:
        marked.setdefault(line.get_label().partition(", layer")[0], set()).add((line.get_color(), line.get_marker()))
    for container in kept["runs_comparison"].axes[0].containers:
        line = container.lines[0]
        marked.setdefault(container.get_label(), set()).add((line.get_color(), line.get_marker()))
    labels = {run.label for run in runs} | {*summary["method"]}
    assert {label: len(looks) for label, looks in marked.items()} == dict.fromkeys(labels, 1)


def test_of_very_many_variants_the_first_are_drawn_and_the_log_says_so(costs, tmp_path, monkeypatch, caplog):
    rows = rows_of([(outcome.folder, outcome.record) for outcome in costs])
    drawn = []
    monkeypatch.setattr(draw, "MOST_SHOWN", 2)
    monkeypatch.setattr(draw, "save", lambda figure, stem: drawn.append(stem.name) or [stem])
    monkeypatch.setattr(draw, "RUN_FIGURES", {"heatmaps": lambda run, view: None})
    records = {str(outcome.folder): outcome.record for outcome in costs}
    runs = shown_of(rows, records)
    with caplog.at_level("INFO"):
        list(draw.draw_all({"runs": runs}, summarise(rows), NO_MAP, tmp_path))
    assert len([name for name in drawn if name.endswith("heatmaps")]) == 2 < len(runs)
    assert f"runs: runs of 2 of {len(runs)} configurations are drawn." in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("of", ["comparison", "convergence"])
def test_long_names_leave_no_figure(record_of, records_of, costs, of):
    made = [
        record_of("neural", seed=s, tol=t, **{"cost.name": c}) for s in (0, 1) for t in (1e-4, 1e-6) for c in "abcd"
    ]
    for record in made:
        record["config"]["tol"] = record.pop("tol")
        record["config"]["cost"]["name"] = f"a cost of a long name, {record['config']['cost']['name']}"
    summary = summarise(rows_of(records_of(*made).items()))
    drawn = comparison(summary, looks_of(summary["method"]))
    if of == "convergence":
        runs = [Shown(label, costs[0].folder, costs[0].record) for label in set(summary["method"])]
        drawn = convergence(runs, looks_of(summary["method"]))
    drawn.savefig("/dev/null", format="png")
    width, height = drawn.bbox.size
    box = drawn.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= width
    assert box.y0 >= 0
    assert box.y1 <= height
    assert len(drawn.legends[0].get_texts()) >= 8


@pytest.mark.slow
def test_collecting_fits_nothing_again(costs, tmp_path, monkeypatch):
    def fit(*_, **__):
        raise AssertionError("a report must not fit anything")

    for method in METHODS.values():
        monkeypatch.setattr(method, "fit", fit)
    for i, outcome in enumerate(costs):
        shutil.copytree(outcome.folder, tmp_path / f"run{i}")
    collect(tmp_path)
    assert len(list((tmp_path / "report" / "figures").glob("*_heatmaps.png"))) == len(costs)


def test_a_sweep_has_a_map_in_the_looks_of_the_other_figures(record_of, tmp_path, monkeypatch):
    for method, noise, seed in itertools.product(("hier", "neural"), (1, 2), range(3)):
        error = 0.5 + 0.001 * seed if method == "hier" else 0.3
        record = record_of(method, seed=seed, error=error, **{"dataset.noise": noise})
        write_record(tmp_path / f"{method}{noise}{seed}", record)
    given = {}
    monkeypatch.setattr(draw, "load_view", lambda run: None)
    monkeypatch.setattr(draw, "convergence", lambda runs, looks, _: given.update(convergence=looks))
    monkeypatch.setattr(draw, "regime_map", lambda pairs, looks, _: given.update(map=looks) or regime_map(pairs, looks))
    collect(tmp_path)
    assert (
        given["convergence"]
        == given["map"]
        == looks_of(["hier", "neural", *(f"{m}, noise {noise}" for m in ("hier", "neural") for noise in (1, 2))])
    )
    assert [path.name for path in (tmp_path / "report" / "figures").glob("*.png")] == ["trial_map.png"]


@pytest.mark.slow
def test_a_new_figure_is_a_line_in_a_registry(costs, tmp_path, monkeypatch):
    monkeypatch.setitem(draw.RUN_FIGURES, "own", lambda run, view: Figure() if view else None)
    monkeypatch.setitem(draw.EXPERIMENT_FIGURES, "whole", lambda runs, summary, pairs, looks: Figure())
    names = {path.name for path in draw_one(costs[0].folder, costs[0].record, tmp_path)}
    assert {"runs_neural_own.png", "runs_neural_own.pdf", "runs_whole.png", "runs_whole.pdf"} <= names


LONG = [
    f"{kind} {i} of a very long name that goes on and on to the end of a line $x_{i}$ 5% \\"
    for i, kind in enumerate("abcdef")
]
AWKWARD = {
    "heatmaps": lambda: heatmaps(named(make_view(None, 6, 9, names=LONG, labels=[np.repeat([0, 1, 2], 3)]))),
    "images": lambda: images(make_view(Pictures(2, 3), 6, 9, ranks=(40, 10))),
    "samples": lambda: samples(make_view(Pictures(2, 3), 6, 9, ranks=(40, 10))),
    "abundances": lambda: abundances(make_view(Pictures(3, 3, of="samples"), 6, 9)),
    "spectra": lambda: spectra(make_view(Pictures(3, 3, of="samples"), 6, 9)),
    "factors": lambda: factors(make_tensor_view((6, 5, 9), (20, 2), names=LONG[:3], entries=[LONG, None, None])),
    "projections": lambda: projections(make_tensor_view((6, 5, 9), names=LONG[:3], entries=[LONG, None, None])),
}


def named(view):
    return replace(
        view, title=", ".join(LONG[:3]).replace("$", r"\$"), dataset=replace(view.dataset, class_names=[LONG[:3]])
    )


@pytest.mark.slow
@pytest.mark.parametrize("make", AWKWARD.values(), ids=AWKWARD)
def test_all_text_is_large_enough_and_within_the_figure(make):
    with drawing():
        drawn = make()
        drawn.draw_without_rendering()
    texts = [text for text in drawn.findobj(Text) if text.get_text() and text.get_visible()]
    assert min(text.get_fontsize() for text in texts) >= SMALLEST
    box, (width, height) = drawn.get_tightbbox(), drawn.get_size_inches()
    assert -0.04 < box.x0 < box.x1 < width + 0.04  # a millimetre, of the edges of boxes
    assert -0.04 < box.y0 < box.y1 < height + 0.04

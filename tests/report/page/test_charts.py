"""Charts hold the numbers of the figures, look like them, and are what plotly.js reads."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.markers import MarkerStyle

from nnmf_runner.report.figures import convergence
from nnmf_runner.report.figures.style import LINES, MARKERS, looks_of
from nnmf_runner.report.page import charts
from nnmf_runner.report.page.charts import (
    DASHES,
    SYMBOLS,
    Chart,
    comparison_charts,
    convergence_charts,
    heatmaps,
    marker_path,
    numbers,
    parts_of,
    signs_of,
)
from nnmf_runner.report.table import rows_of, summarise
from nnmf_runner.report.variants import Shown
from tests.fixtures.views import make_tensor_view, make_view


@pytest.fixture
def summary(record_of, records_of):
    records = [
        record_of(m, layers=layers, seed=s, error=0.3 + 0.1 * s, regime=regime, published="table1")
        for m in ("hier", "neural")
        for layers in ((9,), (9, 4))
        for s in (0, 1)
        for regime in ("unsupervised", "semisupervised")
    ]
    return summarise(rows_of(records_of(*records).items()))


def assert_is_read(chart):
    """Plotly has all of its options, and it is JSON."""
    graph_objects = pytest.importorskip("plotly.graph_objects", reason="plotly is not installed")
    graph_objects.Figure(data=chart.traces, layout=chart.layout)
    json.dumps(chart.as_dict(), allow_nan=False)


def test_every_marker_and_line_of_the_figures_has_a_counterpart():
    markers = set(chain(*MARKERS))
    assert markers <= SYMBOLS.keys()
    assert len({SYMBOLS[marker] for marker in markers}) == len(markers)
    assert DASHES.keys() == set(LINES)
    assert all(marker_path(marker).startswith("M") for marker in markers)


def test_the_path_of_a_marker_is_that_of_the_figures():
    vertices = MarkerStyle("^").get_path().transformed(MarkerStyle("^").get_transform()).vertices
    assert marker_path("^").count(",") == len(vertices)
    assert marker_path("^").startswith("M0.00,-0.50 ")  # a tip that points up, where y grows downwards


def test_methods_are_compared_by_regime_in_the_colours_of_the_figures(summary):
    looks = looks_of(summary["method"])
    found = comparison_charts(summary, looks, [])
    for chart in found:
        assert_is_read(chart)
    titles = [chart.title for chart in found]
    assert titles[0] == "relative error, unsupervised"
    assert len({*titles}) == len(found)
    by_name = {trace["name"]: trace for trace in found[0].traces if "text" in trace}
    assert {name: trace["marker"]["color"] for name, trace in by_name.items()} == {
        "hierarchical NMF": looks["hier"].colour,
        "Neural NMF": looks["neural"].colour,
    }
    assert by_name["Neural NMF"]["y"] == [0.35, 0.35]
    assert by_name["Neural NMF"]["text"][1] == "ranks 9-4: 0.35 ± 0.07071, n = 2"


def test_the_axis_of_the_excess_says_that_it_ends_and_accuracies_of_which_samples_they_are(record_of, records_of):
    runs = [record_of("hier", error=0.2), record_of("deep", error=0.5)]
    summary = summarise(rows_of(records_of(*runs).items()))
    excess, accuracy = comparison_charts(summary, looks_of(summary["method"]), [])[1:]
    assert excess.layout["yaxis"]["ticktext"][0] == "≤ 0.001"
    low, high = 10.0 ** np.array(excess.layout["yaxis"]["range"])
    assert all(low < y < high for trace in excess.traces for y in trace["y"])
    assert accuracy.title == "accuracy on the unlabelled samples, semisupervised"


def test_published_values_are_open_and_the_floor_is_a_line(summary):
    signs = {sign.words: sign for sign in signs_of(looks_of(summary["method"]), [], summary)}
    assert [*signs] == ["Hierarchical NMF", "Neural NMF", "Eckart-Young floor", "As published"]
    assert not signs["As published"].filled
    first = comparison_charts(summary, looks_of(summary["method"]), [])[0]
    assert first.traces[0]["y"][:3] == [0.1, 0.1, None]
    symbols = [trace["marker"]["symbol"] for trace in first.traces if "marker" in trace]
    assert [symbol.endswith("-open") for symbol in symbols] == [False, True, False, True]


def test_convergence_has_the_lines_of_the_figure(run_of):
    outcome = run_of("method=hier", "layers=9-4", "max_iter=4")
    run = Shown("hier", outcome.folder, outcome.record)
    lines = convergence.lines_of([run])
    excess, gradient = convergence_charts(lines, [outcome.record["config"]["tol"]], looks_of(["hier"]))
    for chart in (excess, gradient):
        assert_is_read(chart)
    assert [trace["name"] for trace in gradient.traces] == [
        "hierarchical NMF, layer 0",
        "hierarchical NMF, layer 1",
        "tolerance",
    ]
    assert gradient.traces[0]["y"] == numbers(lines[0].gradient)
    assert gradient.traces[0]["x"][0] == 1
    assert gradient.traces[0]["customdata"] == lines[0].iteration.tolist()
    assert excess.traces[1]["y"] == numbers(lines[1].excess[:-1])
    assert excess.layout["xaxis"]["tickvals"] == [1, 2, 3]
    assert excess.layout["xaxis"]["ticktext"] == ["0", "1", "2"]
    assert [chart.title for chart in (excess, gradient)] == [
        convergence.EXCESS,
        f"{convergence.GRADIENT}, dotted the tolerance",
    ]


def test_long_fits_keep_their_first_and_last_iterations(monkeypatch):
    monkeypatch.setattr(charts, "MOST_POINTS", 20)
    values = np.arange(1.0, 1001.0)
    line = convergence.Line("hier", "hier", "hier", 1.0, False, values, values, values)
    trace = convergence_charts([line], [], looks_of(["hier"]))[0].traces[0]
    assert (trace["customdata"][0], trace["customdata"][-1]) == (1, 999)  # the last of all has no excess
    assert trace["y"] == trace["customdata"] == [x - 1 for x in trace["x"]]
    assert len(trace["x"]) <= 20


def test_heatmaps_tell_every_value_by_the_names_of_its_place():
    names = [f"w{i}" for i in range(4)]
    view = make_view(None, 4, 5, names=names, labels=[np.array([1, 1, 0, 0, -1])])
    found = {chart.title: chart for chart in heatmaps(parts_of(view))}
    assert [*found] == ["data", "after layer 0", "after layer 1", "A0", "A1", "S0", "S1"]
    for chart in found.values():
        assert_is_read(chart)
        assert np.shape(chart.traces[0]["z"]) == (len(chart.rows), len(chart.columns))
    data = found["data"]
    assert data.rows == names
    assert data.columns[0] == "sample 0, class 1"
    assert data.columns[-1] == "sample 4"
    assert data.traces[0]["z"][2] == pytest.approx(view.dataset.X[2], rel=1e-3)
    assert {found["A1"].columns[0], found["A1"].columns[1]} == {"topic 1.0", "topic 1.1"}


def test_a_topic_is_called_by_its_own_number_wherever_it_stands():
    view = make_view(None, 4, 6)
    codes = {chart.title: chart for chart in heatmaps(parts_of(view))}["S0"]
    for name, row in zip(codes.rows, codes.traces[0]["z"], strict=True):
        j = int(name.rpartition(".")[2])
        own = np.array(row)
        assert own / own.max() == pytest.approx(view.codes[0][j] / view.codes[0][j].max(), rel=1e-2)


def test_matrices_of_one_row_have_one_scale_and_begin_with_the_first():
    found = heatmaps(parts_of(make_view(None, 4, 5)))
    assert [chart.begins for chart in found] == [True, False, False, True, False, True, False]
    assert len({(chart.traces[0]["zmin"], chart.traces[0]["zmax"]) for chart in found[:3]}) == 1


def test_missing_entries_are_told_and_large_matrices_left_out(monkeypatch):
    view = make_view(None, 4, 5)
    view.dataset.X[1, 2] = np.nan
    chart = heatmaps(parts_of(view))[0]
    assert chart.traces[0]["z"][1][2] is None
    assert chart.about.endswith(", 1 missing.")
    monkeypatch.setattr(charts, "MOST_CELLS", 12)
    assert [chart.title for chart in heatmaps(parts_of(view))] == ["A0", "A1", "S1"]


def test_a_tensor_has_its_topics_in_every_mode():
    view = make_tensor_view((3, 4, 5), names=("word", "day", "text"), entries=(["a", "b", "c"], None, None))
    found = heatmaps(parts_of(view))
    assert [chart.title for chart in found[:3]] == ["layer 0, word", "layer 0, day", "layer 0, text (samples)"]
    assert found[0].rows == ["a", "b", "c"]
    assert found[1].rows[0] == "day 0"
    assert np.max(found[0].traces[0]["z"]) == 1.0


def test_text_is_none_of_the_tags_that_plotly_reads():
    trace = {"name": "<b>x</b> & y", "hovertemplate": "%{x}<extra></extra>", "text": ["<a>"]}
    found = Chart("", "", [trace], {}, ["<i>"], ["&"]).as_dict()
    assert found["data"] == [
        {"name": "&lt;b&gt;x&lt;/b&gt; &amp; y", "hovertemplate": "%{x}<extra></extra>", "text": ["&lt;a&gt;"]}
    ]
    assert (found["rows"], found["columns"]) == (["&lt;i&gt;"], ["&amp;"])


def test_the_end_of_a_scale_that_few_entries_exceed_is_told():
    view = make_view(None, 30, 40)
    X = view.dataset.X.copy()
    X[3, 5] = 1e6
    titles = [chart.title for chart in heatmaps(parts_of(replace(view, dataset=replace(view.dataset, X=X))))]
    assert re.fullmatch(r"data, colours up to [\d.]+ of 1e\+06", titles[0])
    assert titles[3] == "A0"


def test_signs_of_runs_tell_their_costs_where_these_differ(record_of):
    costs = {"hier": "reconstruction", "neural": "multilevel"}
    runs = [
        Shown(method, Path("run"), record_of(method, **{"cost.name": cost}), setting)
        for method, cost in costs.items()
        for setting in ("9", "9-4")
    ]
    words = {sign.words for sign in signs_of(looks_of(run.label for run in runs), runs, pd.DataFrame({"method": []}))}
    assert "Neural NMF, multilevel cost, 9-4" in words
    assert "Hierarchical NMF, reconstruction cost, 9" in words

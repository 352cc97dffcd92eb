"""The comparison of methods: means, deviations, excess and floor where the table has them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from nnmf_runner.config.published import Published
from nnmf_runner.report import table
from nnmf_runner.report.figures.comparison import CUT, ERROR, EXACT, EXCESS, comparison, limits_of
from nnmf_runner.report.figures.style import PAGE, looks_of
from nnmf_runner.report.table import rows_of, summarise
from nnmf_runner.report.variants import Shown


def test_several_methods_are_compared_by_mean_excess_and_floor(record_of, records_of):
    runs = [
        record_of(method, layers, seed, error=error + 0.02 * seed, regime=regime)
        for method, error in (("hier", 0.4), ("neural", 0.3))
        for layers in ((9,), (9, 4))
        for regime in ("unsupervised", "semisupervised")
        for seed in (0, 1)
    ]
    summary = summarise(rows_of(records_of(*runs).items()))
    drawn = comparison(summary, looks_of([*summary["method"], "deep"]))
    errors, excess, _ = [drawn.axes[i : i + 2] for i in (0, 2, 4)]
    assert drawn.get_suptitle() == "toy: mean and standard deviation of 2 trials"
    assert [ax.get_title() for ax in errors] == ["unsupervised", "semisupervised"]
    for ax, above in zip(errors, excess, strict=True):
        hier, neural = (container.lines[0].get_ydata(orig=False) for container in ax.containers)
        np.testing.assert_allclose(hier, 0.41)  # the mean of the two seeds
        np.testing.assert_allclose(neural, 0.31)
        floors = [segment[0][1] for segment in ax.collections[-1].get_segments()]
        np.testing.assert_allclose(floors, [0.1, 0.2])
        np.testing.assert_allclose(above.containers[1].lines[0].get_ydata(orig=False), [210.0, 55.0])
        assert above.get_yscale() == "log"


def test_the_floor_that_is_drawn_bounds_every_method(record_of, records_of):
    runs = [record_of("hier", (4,)), record_of("ncpd", (4,))]  # whose floor is that of all unfoldings
    runs[1]["layers"][-1]["floor"] = 0.3
    summary = summarise(rows_of(records_of(*runs).items()))
    drawn = comparison(summary, looks_of(summary["method"]))
    assert [segment[0][1] for segment in drawn.axes[0].collections[-1].get_segments()] == [0.1]


def drawn_of(records):
    summary = summarise(rows_of(records.items()))
    drawn = comparison(summary, looks_of(summary["method"]))
    drawn.savefig("/dev/null", format="png")
    return drawn


def test_accuracy_is_that_on_unlabelled_samples_where_there_are_some(record_of, records_of):
    runs = [
        record_of(method, regime=regime) for method in ("hier", "deep") for regime in ("semisupervised", "supervised")
    ]
    for run in runs:
        if run["regime"] == "supervised":
            run["metrics"]["accuracy_unknown"] = None
    semi, supervised = drawn_of(records_of(*runs)).axes[-2:]
    for ax, said, value in ((semi, "on the unlabelled samples", 0.8), (supervised, "over all samples", 0.9)):
        assert ax.get_title() == said
        assert {y for container in ax.containers for y in container.lines[0].get_ydata(orig=False)} == {value}


def test_bars_of_accuracies_end_at_one_and_every_mark_is_within_its_axes(record_of, records_of):
    runs = [record_of(method, seed=seed, error=0.95 + 0.04 * seed) for method in ("hier", "deep") for seed in (0, 1)]
    for run, accuracy in zip(runs, (0.9, 1.0, 0.95, 1.0), strict=True):
        run["metrics"]["accuracy_unknown"] = accuracy
    drawn = drawn_of(records_of(*runs))
    assert drawn.legends[0].get_title().get_text() == CUT
    ends = [bar for lines in drawn.axes[2].containers for bar in lines.lines[2][0].get_segments()[0][:, 1]]
    assert 0.0 < min(ends) < max(ends) == 1.0
    for ax in drawn.axes:
        low, high = ax.get_ylim()
        values = np.concatenate([bar[:, 1] for lines in ax.containers for bar in lines.lines[2][0].get_segments()])
        assert low < values.min() <= values.max() < high


def test_published_values_have_open_markers_and_a_legend(record_of, records_of, monkeypatch):
    values = [{"regime": "semisupervised", "layers": "9-4", "method": "hier", "relative_error": 0.7}]
    monkeypatch.setattr(table, "published", lambda _: Published(None, values))
    drawn = drawn_of(records_of(record_of("hier"), record_of("deep")))
    marks = [line for line in drawn.axes[0].lines if line.get_markerfacecolor() == "none"]
    assert list(marks[0].get_ydata()) == [0.7]
    assert [text.get_text() for text in drawn.legends[0].get_texts()][-1] == "As published"
    monkeypatch.setattr(table, "published", lambda _: Published(None, []))
    drawn = drawn_of(records_of(record_of("hier"), record_of("deep")))
    assert [text.get_text() for text in drawn.legends[0].get_texts()][-1] == "Deep NMF"


@pytest.mark.parametrize(("error", "ticks"), [(0.2, "≤ 0.001"), (0.200004, "0.001"), (0.5, "100")])
def test_an_excess_that_is_too_small_to_be_drawn_is_marked_and_ticks_are_plain(record_of, records_of, error, ticks):
    excess = drawn_of(records_of(record_of("hier", error=error), record_of("deep", error=0.5))).axes[1]
    low, high = excess.get_ylim()
    labels = zip(excess.get_yticks(), excess.get_yticklabels(), strict=True)
    texts = [label.get_text() for place, label in labels if low <= place <= high]
    assert ticks in texts
    assert any("≤" in text for text in texts) == (error == 0.2)
    assert not any("$" in text or "e" in text for text in texts)


def test_bars_that_are_not_cut_are_not_said_to_be(record_of, records_of):
    runs = [record_of(method, seed=seed, error=0.3 + 0.04 * seed) for method in ("hier", "deep") for seed in (0, 1)]
    assert drawn_of(records_of(*runs)).legends[0].get_title().get_text() == ""


@pytest.mark.parametrize("floors", [(1e-15, 1e-15), (0.0, 0.2)])
def test_there_is_no_excess_over_a_floor_that_is_rounding(record_of, records_of, floors):
    runs = [record_of(method, (k,), error=0.3) for method in ("hier", "deep") for k in (4, 2)]
    for run, floor in zip(runs, floors * 2, strict=True):
        run["layers"][-1]["floor"] = floor
    drawn = drawn_of(records_of(*runs))
    shown = [ax for ax in drawn.axes if ax.axison and ax.get_ylabel() == EXCESS]
    assert len(shown) == sum(floor > 0.1 for floor in floors)
    values = {y for ax in shown for lines in ax.containers for y in lines.lines[0].get_ydata(orig=False)}
    assert {round(y) for y in values if np.isfinite(y)} == ({50} if shown else set())
    assert drawn.legends[0].get_title().get_text().replace("\n", " ").endswith(EXACT)


def test_errors_that_are_all_zero_or_equal_have_a_place(record_of, records_of):
    for error in (0.0, 0.2):
        drawn = drawn_of(records_of(record_of("hier", error=error), record_of("deep", error=error)))
        for ax in drawn.axes[:2]:
            low, high = ax.get_ylim()
            assert all(low < y < high for lines in ax.containers for y in lines.lines[0].get_ydata(orig=False))


@pytest.mark.slow
def test_regimes_that_a_page_has_no_width_for_stand_below_the_others_on_one_scale(record_of, records_of):
    runs = [
        record_of(method, (rank,), error=0.3 + 0.1 * i, regime=regime, **{"method.step": step})
        for i, regime in enumerate(("unsupervised", "semisupervised", "supervised"))
        for method in ("hier", "deep", "neural")
        for rank in (9, 4, 2)
        for step in range(4)
    ]
    drawn = drawn_of(records_of(*runs))
    assert drawn.get_figwidth() <= PAGE
    errors = [ax for ax in drawn.axes if ax.get_title() in ("unsupervised", "semisupervised", "supervised")]
    assert len(errors) == 3
    assert len({ax.get_ylim() for ax in errors}) == 1
    assert len({round(ax.get_position().y0, 3) for ax in errors}) > 1
    for ax in errors:
        assert len(ax.containers) == 12


def test_the_title_names_the_cost_of_all_variants_alone(record_of, records_of):
    runs = [record_of("hier"), record_of("neural")]
    for run, cost in zip(runs, ("reconstruction", "energy"), strict=True):
        run["config"]["cost"] = {"name": cost}
    summary = summarise(rows_of(records_of(*runs).items()))
    shown = [Shown(method, None, run) for method, run in zip(("hier", "neural"), runs, strict=True)]
    assert "cost" not in comparison(summary, looks_of(summary["method"]), shown).get_suptitle()
    assert comparison(summary, looks_of(summary["method"]), shown[1:]).get_suptitle().endswith("energy cost")


def test_errors_that_are_all_large_are_not_drawn_from_zero_up():
    def limits(*errors):
        part = pd.DataFrame({"mean": errors, "std": np.nan, "reported": np.nan, "floor": min(errors)})
        return limits_of(ERROR, part)

    assert limits(0.97, 0.98) == pytest.approx((0.9695, 0.9808))
    assert limits(0.02, 0.5)[0] < 0.0
    low, high = limits(0.97, 0.97)
    assert low < 0.97 < high

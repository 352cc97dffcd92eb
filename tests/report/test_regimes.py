"""The map of a sweep, from invented records whose best methods are known."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from nnmf_runner.metrics import registry
from nnmf_runner.report import panels, regimes
from nnmf_runner.report.collect import collect
from nnmf_runner.report.figures.regimes_map import NOT_SIGNIFICANT, regime_map
from nnmf_runner.report.figures.style import looks_of
from nnmf_runner.store.record import write_record
from tests.fixtures.sweeps import ERRORS, at, grid, mapped

# --- tests over seeds ------------------------------------------------------------------------------------------------


def test_holm_of_a_hand_worked_example():
    # in order: 0.005 * 4, 0.01 * 3, 0.03 * 2, and 0.04 * 1, which may not fall below 0.06
    np.testing.assert_allclose(regimes.holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(regimes.holm(np.array([0.5, np.nan, 0.9])), [1.0, np.nan, 1.0])
    assert regimes.holm(np.array([])).shape == (0,)


def stepped_down(p, level):
    """Holm's procedure as it is written: from the smallest on, reject until one is above level / (those left)."""
    rejected = np.zeros(len(p), bool)
    for i, index in enumerate(np.argsort(p, kind="stable")):
        if p[index] > level / (len(p) - i):
            break
        rejected[index] = True
    return rejected


@pytest.mark.parametrize("seed", range(20))
def test_holm_rejects_what_the_step_down_procedure_does(seed):
    rng = np.random.default_rng(seed)
    p = rng.uniform(0, 1, rng.integers(1, 30)) ** 4
    for level in (0.01, 0.05, 0.2):
        np.testing.assert_array_equal(regimes.holm(p) <= level, stepped_down(p, level))


def test_comparisons_are_paired_t_tests(run):
    records = grid(run, noise=[0.1, 0.2])
    found = mapped(records)
    for row in found[(found["measure"] == "excess")].itertuples():
        values = {
            m: [r["metrics"]["relative_error"] for r in records if at_setting(r, m, row.at)]
            for m in (row.better, row.worse)
        }
        better, worse = values[row.better], values[row.worse]
        assert row.p == pytest.approx(stats.ttest_rel(better, worse).pvalue, rel=1e-9)
        assert row.difference == pytest.approx(np.mean(worse) - np.mean(better))
        assert row.better_mean == pytest.approx(np.mean(better) - 0.2)  # the floor of the second layer
        assert row.standard_error == pytest.approx(stats.sem(np.subtract(better, worse)))
        assert row.n == 6
    np.testing.assert_allclose(found["p_holm"], regimes.holm(found["p"].to_numpy()))


def at_setting(record, method, noise):
    config = record["config"]
    return config["method"]["name"] == method and config["dataset"]["noise"] == noise


@pytest.mark.parametrize(
    ("shift", "n", "p", "significant"),
    [(0.0, 8, 1.0, False), (0.25, 8, 2**-7, True), (0.25, 2, 0.5, False), (0.0001, 8, 2**-7, False)],
)
def test_differences_that_are_the_same_for_every_seed(shift, n, p, significant):
    """None at all, one that all of eight or of two seeds have, and one that is nothing at the digits shown."""
    runs = [
        panels.Observation("e", method, seed, "", (f"dataset.noise={noise}", f"method.name={method}"), (9,), (), values)
        for method, cosine in (("hier", 0.5), ("neural", 0.5 + shift))
        for values in [tuple(cosine if metric.name == "topic_cosine" else None for metric in registry.mapped())]
        for seed in range(n)
        for noise in (0, 1)
    ]
    found = regimes.compare(runs)
    assert (found["p"] == p).all()
    assert (found["significant"] == significant).all()
    if shift > 0:
        apart = [0.5 + shift] * n, [0.5] * n
        assert stats.wilcoxon(*apart, method="exact").pvalue == pytest.approx(p)


def test_with_one_seed_nothing_is_significant_and_nothing_warned_of(run):
    found = mapped(grid(run, seeds=[3], noise=[0.1, 0.2]))
    assert found["p"].isna().all()
    assert not found["significant"].any()


def test_experiments_have_maps_of_their_own(run):
    records = grid(run, noise=[1, 2])
    others = grid(run, noise=[3, 4])
    for record in others:
        record["experiment"] = "other"
    found = mapped(records + others)
    assert found.groupby("experiment")["at"].unique().map(sorted).to_dict() == {"trial": [1, 2], "other": [3, 4]}
    alone = mapped(records)
    np.testing.assert_array_equal(found.loc[found["experiment"] == "trial", "p_holm"], alone["p_holm"])


def test_runs_without_numbers_and_repeated_runs_do_not_count_twice(run):
    records = grid(run, noise=[1, 2])
    failed = run("neural", 9, noise=1) | {"status": "failed", "metrics": {}, "layers": []}
    early = run("neural", 0, noise=1, error=0.9) | {"finished": "2026-01-01"}
    for record in records:
        record["finished"] = "2026-01-02"
    pd.testing.assert_frame_equal(mapped([*records, failed, early]), mapped(records))


def test_measures_are_those_of_the_record_and_missing_ones_leave_their_settings_out(run):
    records = grid(run, noise=[1, 2], cosine=[0.7], tree=[0.25])
    for record in records:
        record["layers"][1]["topic_cosine"] = 0.9
        if record["config"]["dataset"]["noise"] == 1:
            record["metrics"]["accuracy_unknown"] = None
    found = mapped(records)
    means = found.groupby("measure")["better_mean"]
    np.testing.assert_allclose(means.get_group("topic_cosine"), 0.8)  # over the layers
    np.testing.assert_allclose(means.get_group("tree_agreement"), 0.25)
    assert set(found.loc[found["measure"] == "accuracy_unknown", "at"]) == {2}


# --- best methods and margins -----------------------------------------------------------------------------------------


def test_the_margin_is_the_difference_to_the_next_method_and_equal_methods_share_it(run):
    records = [run(m, s, noise=1) for m in ERRORS for s in range(6)]
    records += [run(m, s, noise=2, error={"hier": 0.5}.get(m, 0.4)) for m in ERRORS for s in range(6)]
    records += [run(m, s, noise=3, error=0.4) for m in ERRORS for s in range(6)]
    settings = regimes.verdicts(mapped(records))
    alone, shared, none = (at(settings, at=noise) for noise in (1, 2, 3))
    assert alone["best"] == ("neural",)
    assert alone["margin"] == pytest.approx(0.1, abs=1e-3)
    assert set(shared["best"]) == {"deep", "neural"}
    assert shared["margin"] == pytest.approx(0.1, abs=2e-3)
    assert set(none["best"]) == set(ERRORS)
    assert np.isnan(none["margin"])


def test_more_is_better_but_for_the_error(run):
    records = [run(m, s, noise=n, accuracy=ERRORS[m]) for m in ERRORS for s in range(6) for n in (1, 2)]
    settings = regimes.verdicts(mapped(records))
    assert at(settings, "excess", at=1)["best"] == ("neural",)
    assert at(settings, "accuracy_unknown", at=1)["best"] == ("hier",)


def test_differences_within_chance_are_not_significant(run):
    rng = np.random.default_rng(0)
    records = [run(m, s, noise=n, error=0.4 + 0.05 * rng.random()) for m in ERRORS for s in range(6) for n in (1, 2)]
    found = mapped(records)
    assert not found["significant"].any()
    assert regimes.verdicts(found)["margin"].isna().all()


# --- what is shown ---------------------------------------------------------------------------------------------------


def test_every_setting_has_the_colours_of_its_best_methods_and_is_hatched_where_nothing_is_significant(records):
    drawn = regime_map(mapped(records))
    [ax] = drawn.axes  # one panel, and one measure that has numbers
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("noise", "overlap")
    hatched = [patch for patch in ax.patches if patch.get_hatch()]
    bands = [patch for patch in ax.patches if not patch.get_hatch()]
    assert len(hatched) == 2
    assert {patch.get_hatch() for patch in hatched} == {NOT_SIGNIFICANT["hatch"]}
    assert len(bands) == 2 * (1 + 2)
    texts = sorted(text.get_text().rsplit("\n", 1)[0] for text in ax.texts)
    assert texts == ["deep\nneural"] * 2 + ["neural"] * 2
    named = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert named == ["Hierarchical NMF", "Deep NMF", "Neural NMF", "Not significant at 0.05"]


def test_variants_are_told_apart_in_the_map_by_name_shade_and_hatching(run):
    errors = {"hier": 0.5, "reconstruction": 0.3, "multilevel": 0.4}
    records = []
    for name, s, n in itertools.product(errors, range(12), (1, 2)):
        record = run(
            "hier" if name == "hier" else "neural", s, noise=n, error=errors[name] if n == 1 else 0.3, accuracy=None
        )
        record["config"]["cost"] = {"name": "reconstruction" if name == "hier" else name}
        record["metrics"]["relative_error"] += 0.1 * (n == 2 and name == "hier")
        records.append(record)
    drawn = regime_map(mapped(records))
    [ax], [legend] = drawn.axes, drawn.legends
    assert {text.get_text().rsplit("\n", 1)[0] for text in ax.texts} == {"reconstruction", "reconstruction\nmultilevel"}
    names = ["hier", "neural, reconstruction", "neural, multilevel"]
    assert [text.get_text() for text in legend.get_texts()] == [
        "Hierarchical NMF",
        "Neural NMF, reconstruction cost",
        "Neural NMF, multilevel cost",
        "Not significant at 0.05",
    ]
    looks = looks_of(names)
    bands = sorted(ax.patches, key=lambda patch: patch.get_x())
    hatches = [looks[names[i]].hatch for i in (1, 1, 2)]
    assert [patch.get_hatch() or "" for patch in bands] == hatches
    assert len(set(hatches)) == 2


def test_variants_of_two_methods_that_are_called_alike_are_told_in_full(run):
    records = []
    for method, cost, s, n in itertools.product(("deep", "neural"), ("reconstruction", "kl"), range(12), (1, 2)):
        record = run(method, s, noise=n, error=0.3 if cost == "kl" else 0.5, accuracy=None)
        record["config"]["cost"] = {"name": cost}
        records.append(record)
    [ax] = regime_map(mapped(records)).axes
    assert {text.get_text().rsplit("\n", 1)[0] for text in ax.texts} == {"deep, kl\nneural, kl"}


@pytest.mark.parametrize("measures", [1, 2])
def test_names_and_caption_of_the_map_stay_within_it(records, measures):
    for record in records:
        record["metrics"]["accuracy_unknown"] = 0.5 if measures == 2 else None
        record["config"]["cost"] = {"name": "reconstruction" if record["config"]["dataset"]["overlap"] else "energy"}
    copies = [json.loads(json.dumps(record)) for record in records]
    for record in copies:
        record["config"]["cost"]["name"] = "a cost of a long name"
        record["config"]["dataset"]["overlap"] = 0.5 - record["config"]["dataset"]["overlap"]
    drawn = regime_map(mapped(records + copies))
    drawn.savefig("/dev/null", format="png")
    box, (width, height) = drawn.legends[0].get_window_extent(), drawn.bbox.size
    assert min(box.x0, box.y0, width - box.x1, height - box.y1) >= 0
    for text in drawn.axes[0].texts:
        assert text.get_window_extent().width <= drawn.axes[0].get_window_extent().width / 3


def test_a_larger_margin_is_darker(run):
    errors = {1: {"hier": 0.5, "neural": 0.3}, 2: {"hier": 0.5, "neural": 0.45}}
    records = [
        run(m, s, noise=n, error=errors[n][m], accuracy=None) for m in errors[1] for s in range(6) for n in errors
    ]
    [ax] = regime_map(mapped(records)).axes
    left, right = sorted(ax.patches, key=lambda patch: patch.get_x())
    assert sum(left.get_facecolor()[:3]) < sum(right.get_facecolor()[:3])


def test_collecting_a_sweep_writes_the_map(tmp_path, records):
    for i, record in enumerate(records):
        write_record(tmp_path / f"run{i}", record)
    text = collect(tmp_path, figures=False)
    assert (tmp_path / "report" / "map.md").read_text() in text
    assert (tmp_path / "report" / "table.md").read_text() in text
    table = pd.read_csv(tmp_path / "report" / "map.csv")
    assert len(table) == len(mapped(records)) == 18
    assert list(table.columns[:6]) == regimes.SETTING


def test_settings_of_the_data_are_rows_of_the_table_and_not_methods(tmp_path, records):
    for i, record in enumerate(records):
        write_record(tmp_path / f"run{i}", record)
    header = next(line for line in collect(tmp_path, figures=False).splitlines() if line.startswith("| dataset"))
    assert header == "| dataset | regime | layers | floor | hier | deep | neural |"
    table = pd.read_csv(tmp_path / "report" / "table.csv")
    errors = table[table["metric"] == "relative_error"]
    assert set(errors["method"]) == set(ERRORS)
    assert errors["dataset"].nunique() == 6
    assert (errors["n"] == 6).all()

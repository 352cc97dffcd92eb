"""Tables against plain computations on invented records."""

from __future__ import annotations

import itertools
import re
import shutil
import statistics
import subprocess

import pandas as pd
import pytest
from scipy import stats

from nnmf_runner.config.published import Published
from nnmf_runner.core.checks import InputError
from nnmf_runner.report import table

CELL = ["experiment", "dataset", "regime", "layers", "method"]
COLUMNS = [*CELL, "metric", "mean", "std", "n", "seeds", "unsettled", "best", "reported", "floor"]


def made(records):
    rows = table.rows_of(records.items())
    return rows, table.summarise(rows)


def entry(summary, **where):
    for name, value in where.items():
        summary = summary[summary[name] == value]
    assert len(summary) == 1
    return summary.iloc[0]


CELL_OF_HIER = {"regime": "semisupervised", "layers": "9-4", "method": "hier"}
PUBLISHED = {
    None: Published(None, []),
    "errors": Published(None, [{**CELL_OF_HIER, "relative_error": 0.374}]),
    "newsgroups": Published("newsgroups", [{**CELL_OF_HIER, "relative_error": 0.374}]),
    "layers": Published(
        None, [{**CELL_OF_HIER, "layer": i, "accuracy_unknown": value} for i, value in enumerate((0.698, 0.668))]
    ),
}


@pytest.fixture(autouse=True)
def _published(monkeypatch):
    monkeypatch.setattr(table, "published", PUBLISHED.get)


def test_a_misspelt_metric_among_published_values_is_refused(record_of, records_of, monkeypatch):
    monkeypatch.setitem(PUBLISHED, "errors", Published(None, [{**CELL_OF_HIER, "relativ_eror": 0.374}]))
    with pytest.raises(InputError, match=r"published value=relativ_eror is not known\..*Did you mean 'relative_error'"):
        made(records_of(record_of(published="errors")))


@pytest.fixture
def three_methods(record_of, records_of):
    """Two cells; hier with three trials of which one failed, and deep and neural with two."""
    made = [
        record_of(seed=0, error=0.31, published="errors"),
        record_of(seed=1, error=0.35, published="errors"),
        record_of(seed=2, status="diverged"),
        *(record_of("deep", seed=s, error=0.29, status="max_iter") for s in range(2)),
        *(record_of("neural", seed=s, error=0.29001 + 1e-7 * s) for s in range(2)),
        record_of("neural", layers=(9,), seed=0, error=0.2),
    ]
    return records_of(*made)


def test_columns_are_those_that_were_agreed(three_methods):
    assert list(made(three_methods)[1].columns) == COLUMNS


def test_means_deviations_and_counts_are_plain_ones(three_methods):
    _, summary = made(three_methods)
    hier = entry(summary, method="hier", metric="relative_error")
    assert hier["mean"] == pytest.approx(statistics.mean([0.31, 0.35]))
    assert hier["std"] == pytest.approx(statistics.stdev([0.31, 0.35]))
    assert (hier["n"], hier["reported"], hier["layers"]) == (2, 0.374, "9-4")
    assert hier["floor"] == pytest.approx(0.2)  # that of the last rank
    seconds = entry(summary, method="hier", metric="seconds")
    assert seconds["mean"] == pytest.approx(1.5)
    assert pd.isna(seconds["floor"])
    assert pd.isna(seconds["reported"])


def test_one_trial_has_no_deviation(three_methods):
    alone = entry(made(three_methods)[1], layers="9", metric="relative_error")
    assert alone["n"] == 1
    assert pd.isna(alone["std"])
    assert alone["seeds"] == "0"


def test_metrics_that_no_run_has_are_left_out(three_methods):
    assert set(made(three_methods)[1]["metric"]) == {"relative_error", "accuracy", "accuracy_unknown", "seconds"}


def test_best_is_the_lowest_error_and_highest_accuracy_and_ties_share_it(records_of, record_of):
    errors = {"hier": 0.31, "deep": 0.29, "neural": 0.29001}
    metrics = {"hier": 0.95, "deep": 0.9, "neural": 0.7}
    records = []
    for name, seed in itertools.product(errors, (0, 1)):
        record = record_of(name, seed=seed, error=errors[name] + 1e-9 * seed)
        record["metrics"]["accuracy"] = metrics[name] + 1e-9 * seed
        records.append(record)
    _, summary = made(records_of(*records))
    best = {
        m: set(summary[(summary["metric"] == m) & summary["best"]]["method"]) for m in ("relative_error", "accuracy")
    }
    assert best == {"relative_error": {"deep", "neural"}, "accuracy": {"hier"}}  # equal at the digits shown


def test_a_mean_over_a_run_that_ended_far_from_a_minimum_is_marked(record_of, records_of):
    runs = [record_of("hier", seed=s, error=0.3 + s / 10, projected_gradient=g) for s, g in enumerate([1e-4, 2e-3])]
    rows, summary = made(records_of(*runs, *(record_of("neural", seed=s, projected_gradient=0.9e-3) for s in (0, 1))))
    markdown, latex = table.to_markdown(summary, rows), table.to_latex(summary, rows)
    assert "| **0.3500**† ± 0.0707 | **0.5000** ± 0.0000 |" in markdown  # the tolerance is 1e-4
    assert r"\textbf{0.3500}$^\dagger$ $\pm$ 0.0707" in latex
    assert all("at over 10 times the tolerance" in text for text in (markdown, latex))
    rows, summary = made(records_of(runs[0]))
    assert "†" not in table.to_markdown(summary, rows)


def test_what_welchs_test_does_not_tell_from_the_best_shares_it(record_of, records_of):
    errors = {"hier": [0.30, 0.31, 0.32, 0.33], "deep": [0.31, 0.32, 0.33, 0.34], "neural": [0.38, 0.39, 0.40, 0.41]}
    records = [record_of(m, seed=s, error=e) for m, values in errors.items() for s, e in enumerate(values)]
    _, summary = made(records_of(*records))
    best = summary[(summary["metric"] == "relative_error") & summary["best"]]["method"]
    told = {m: stats.ttest_ind(errors["hier"], errors[m], equal_var=False).pvalue < 0.05 for m in errors}
    assert set(best) == {m for m in errors if not told[m]} == {"hier", "deep"}


@pytest.mark.parametrize("metric", ["relative_error", "accuracy"])  # of which lower and higher values are better
def test_no_mean_is_bold_beside_a_better_one_that_is_not(record_of, records_of, metric):
    """One bad trial among good ones: its mean is the worst, and no test tells it from the best."""
    worse = {"hier": [0.0, 0.002, 0.004], "deep": [0.1, 0.102, 0.104], "neural": [0.0, 0.002, 0.9]}
    values = {m: [v if metric == "relative_error" else 1 - v for v in some] for m, some in worse.items()}
    tested = [stats.ttest_ind(values["hier"], values[m], equal_var=False).pvalue for m in ("deep", "neural")]
    assert tested[0] < 0.05 < tested[1]
    records = [record_of(m, seed=s) for m in values for s in range(3)]
    for record, value in zip(records, [v for some in values.values() for v in some], strict=True):
        record["metrics"][metric] = value
    rows, summary = made(records_of(*records))
    errors = summary[summary["metric"] == metric].set_index("method")
    assert errors["best"].to_dict() == {"hier": True, "deep": False, "neural": False}
    note = "those next to it, up to the first that differs from it by Welch's test (p < 0.05)"
    assert note in table.to_markdown(summary, rows)
    assert note.replace("<", "$<$") in table.to_latex(summary, rows)


def test_nothing_is_best_where_nothing_is_compared(record_of, records_of):
    cells = [("hier", (9,), 0.5), ("hier", (9, 4), 0.5), ("neural", (9,), 0.6)]
    trials = [record_of(m, k, seed=s, error=e + 1e-9 * s) for m, k, e in cells for s in (0, 1)]
    _, summary = made(records_of(*trials))
    errors = summary[summary["metric"] == "relative_error"]
    assert errors.set_index(["layers", "method"])["best"].to_dict() == {
        ("9", "hier"): True,
        ("9", "neural"): False,
        ("9-4", "hier"): False,
    }


def test_no_single_trial_is_best(record_of, records_of):
    _, summary = made(records_of(record_of("hier", error=0.5), record_of("neural", error=0.3)))
    assert not summary["best"].any()


def test_runs_that_repeat_the_numbers_of_another_seed_count_once(record_of, records_of):
    same = [record_of("hier", seed=s, error=0.3, n_iter=7) for s in range(3)]
    rows, summary = made(records_of(*same, *(record_of("neural", seed=s, error=0.2 + s / 100) for s in range(3))))
    counts = summary[summary["metric"] == "relative_error"].set_index("method")["n"]
    assert counts.to_dict() == {"hier": 1, "neural": 3}
    layers = table.summarise(table.layer_rows(rows), table.LAYER_CELL)
    assert layers[layers["method"] == "hier"]["n"].eq(1).all()
    text = table.to_markdown(summary, rows, layers)
    assert "Runs that repeat all numbers of another seed, and are left out: 2 of hier." in text
    assert "[seed 0]" in text


def test_means_over_other_seeds_than_the_rest_of_their_row_tell_them(record_of, records_of):
    seeds = {"hier": [0, 1, 2], "deep": [0, 1, 2], "neural": [0, 1, 2, 5]}
    records = [record_of(m, seed=s, error=0.3 + s / 100) for m, some in seeds.items() for s in some]
    rows, summary = made(records_of(*records))
    text = table.to_markdown(summary, rows)
    assert text.count("[seeds 0-2, 5]") == len(summary["metric"].unique())
    assert text.count("[seed") == text.count("[seeds 0-2, 5]")
    assert "in square brackets the seeds" in text
    assert "[seed" not in table.to_markdown(*reversed(made(records_of(*records[:6]))))


def test_runs_without_numbers_are_counted_in_a_footnote_and_never_averaged(record_of, records_of):
    failures = ["failed", "diverged", "interrupted", "failed"]
    records = records_of(record_of(seed=9), *(record_of(seed=i, status=s) for i, s in enumerate(failures)))
    rows, summary = made(records)
    assert (summary["n"] == 1).all()
    assert len(rows) == 5
    for text in (table.to_markdown(summary, rows), table.to_latex(summary, rows)):
        note = next(line for line in text.splitlines() if "left out" in line)
        assert all(part in note for part in ("2 failed", "1 diverged", "1 interrupted"))


def test_metrics_of_a_diverged_run_are_not_averaged(record_of, records_of):
    diverged = record_of(seed=1) | {"status": "diverged"}
    diverged["metrics"] = {"relative_error": 1e9, "seconds": 1.0}
    _, summary = made(records_of(record_of(seed=0, error=0.5), diverged))
    assert entry(summary, metric="relative_error")["mean"] == 0.5


def test_runs_at_the_limit_of_iterations_are_averaged_and_noted(three_methods):
    rows, summary = made(three_methods)
    assert entry(summary, method="deep", metric="relative_error")["n"] == 2
    assert "limit of iterations: 2 of deep" in table.to_markdown(summary, rows)


def test_runs_that_the_line_search_stopped_are_averaged_and_noted_by_method(record_of, records_of):
    stopped = [record_of("neural", seed=s, error=0.4, stop="line_search") for s in range(2)]
    limited = record_of("neural", seed=2, error=0.1, status="max_iter", stop="max_iter")
    rows, summary = made(records_of(record_of("hier"), *stopped, limited, record_of("deep", stop="line_search")))
    assert entry(summary, method="neural", metric="relative_error")["n"] == 3
    note = "Runs that were stopped by the line search: 1 of deep; 2 of neural."
    assert note in table.to_markdown(summary, rows)
    assert f"% {note}" in table.to_latex(summary, rows)


def test_nothing_is_noted_of_runs_that_converged(record_of, records_of):
    assert table.footnotes(made(records_of(record_of(), record_of("deep")))[0]) == []


def test_a_folder_of_failures_alone_gives_a_table_without_rows(record_of, records_of):
    rows, summary = made(records_of(record_of(status="failed"), record_of(seed=1, status="failed")))
    assert len(summary) == 0
    assert list(summary.columns) == COLUMNS
    assert "2 failed" in table.to_markdown(summary, rows)
    assert "2 failed" in table.to_latex(summary, rows)


def test_variants_of_one_method_are_told_apart(record_of, records_of):
    options = {"method.solver": "mu"}
    records = records_of(*(record_of(seed=s) for s in range(2)), *(record_of(seed=s, **options) for s in range(2)))
    _, summary = made(records)
    errors = summary[summary["metric"] == "relative_error"]
    assert set(errors["method"]) == {"hier, hals", "hier, mu"}
    assert (errors["n"] == 2).all()


def test_data_and_regimes_are_told_apart_in_the_words_of_variants(record_of, records_of):
    settings = [(noise, share) for noise in (1, 2) for share in (0.2, 0.4)]
    made_of = [{"dataset.noise": noise} for noise, _ in settings]
    records = [record_of(seed=s, **options) for options in made_of for s in range(2)]
    for record, (_, share) in zip(records, [setting for setting in settings for _ in range(2)], strict=True):
        record["config"]["label_fraction"] = share
    rows, summary = made(records_of(*records))
    assert set(rows["dataset"]) == {"toy, noise 1", "toy, noise 2"}
    assert list(rows["regime"].cat.categories) == ["semisupervised, 0.2", "semisupervised, 0.4"]
    assert set(rows["method"]) == {"hier"}
    assert (summary["n"] == 2).all()
    text = table.to_markdown(summary, rows)
    assert "### Relative error (trial, toy)\n" in text
    assert "| toy, noise 2 | semisupervised, 0.4 | 9-4 |" in text


def test_an_option_of_the_data_that_is_not_set_is_not_told(record_of, records_of):
    rows, _ = made(records_of(*(record_of(**{"dataset.per_class": n}) for n in (None, 5, 7))))
    assert set(rows["dataset"]) == {"toy", "toy, per class 5", "toy, per class 7"}


def test_files_of_data_are_told_by_the_names_that_were_given(record_of, records_of):
    found = []
    for seed, (digest, given) in enumerate([(None, None), ("19b3:", "/data/names.tsv"), ("7c0e:id", "/data/t.csv:id")]):
        record = record_of(seed=seed)
        record["config"]["dataset"]["sample_names"] = digest
        record["dataset"] = {"title": "counts.mtx.gz", "options": {"sample_names": given}}
        found.append(record)
    titles = table.rows_of(records_of(*found).items())["dataset"]
    names = ("", ", sample names names.tsv", ", sample names t.csv:id")
    assert sorted(titles) == [f"counts.mtx.gz{name}" for name in names]


def test_seeds_alone_make_no_variants(record_of, records_of):
    assert set(made(records_of(*(record_of(seed=s) for s in range(5))))[0]["method"]) == {"hier"}


def test_experiments_regimes_and_depths_are_cells_of_their_own(record_of, records_of):
    changes = [
        {},
        {"experiment": "other"},
        {"regime": "supervised"},
        {"layers": [{"layer": 0, "rank": 9, "floor": 0.1}]},
    ]
    records = [record_of(error=float(i), **change) for i, change in enumerate(changes)]
    records[3]["config"]["layers"] = [9]
    _, summary = made(records_of(*records))
    errors = summary[summary["metric"] == "relative_error"]
    assert len(errors) == 4
    assert set(errors["layers"]) == {"9", "9-4"}


def test_rows_stand_in_the_order_of_the_slides(record_of, records_of):
    regimes, depths, methods = ["unsupervised", "semisupervised", "supervised"], [(9,), (9, 4), (9, 4, 2)], []
    records = []
    for regime in reversed(regimes):
        for depth in reversed(depths):
            records += [record_of(m, layers=depth, regime=regime) for m in ("neural", "deep", "hier")]
    _, summary = made(records_of(*records))
    errors = summary[summary["metric"] == "relative_error"]
    expected = [
        (regime, "-".join(map(str, depth)), method)
        for regime in regimes
        for depth in depths
        for method in ("hier", "deep", "neural")
    ]
    methods = list(zip(errors["regime"], errors["layers"], errors["method"], strict=True))
    assert methods == expected


def shown_cell(text, layers):
    """The first Markdown table's row for these layers, by its header."""
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")
    ]
    return dict(zip(lines[0], next(line for line in lines if line[1] == layers), strict=True))


def test_methods_stand_in_their_order_even_if_the_first_row_lacks_some(three_methods):
    rows, summary = made(three_methods)
    assert list(shown_cell(table.to_markdown(summary, rows), "9-4"))[-3:] == ["hier", "deep", "neural"]


def test_markdown_shows_mean_deviation_reported_floor_and_bold(three_methods):
    rows, summary = made(three_methods)
    text = table.to_markdown(summary, rows)
    assert shown_cell(text, "9-4") == {
        "regime": "semisupervised",
        "layers": "9-4",
        "n": "2",
        "floor": "0.2000",
        "hier": "**0.3300** ± 0.0283 (0.374)",  # of two trials, which may as well have the mean 0.29
        "deep": "**0.2900** ± 0.0000",
        "neural": "**0.2900** ± 0.0000",
    }
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        assert len({row.count("|") for row in block.splitlines()}) == 1  # as many cells in every row


@pytest.mark.parametrize(
    ("value", "digits", "text"), [(0.31, 4, "0.310"), (0.2172, 4, "0.2172"), (0.698, 3, "0.698"), (358.0, 2, "358.000")]
)
def test_published_values_have_three_digits_or_as_many_as_they_were_published_with(value, digits, text):
    assert table._published_digits(value, digits) == text


def test_the_floor_of_a_row_bounds_every_method_of_it(record_of, records_of):
    tensor, matrix = record_of("ncpd"), record_of("hier")
    tensor["layers"][-1]["floor"], matrix["layers"][-1]["floor"] = 0.3, 0.25
    for pair in ([tensor, matrix], [matrix, tensor]):
        rows, summary = made(records_of(*pair))
        assert shown_cell(table.to_markdown(summary, rows), "9-4")["floor"] == "0.2500"


def test_the_error_of_a_model_alone_stands_beside_the_floor(record_of, records_of):
    tensor, matrix = record_of("ncpd", error=0.475), record_of("hier", error=0.575)
    tensor["metrics"]["alone_error"] = 0.375
    for i, value in enumerate((0.125, 0.375)):
        tensor["layers"][i] |= {"alone_error": value, "relative_error": value + 0.1}
        matrix["layers"][i] |= {"relative_error": value + 0.2}
    rows, summary = made(records_of(tensor, matrix))
    layers = table.summarise(table.layer_rows(rows), table.LAYER_CELL)
    text = table.to_markdown(summary, rows, layers)
    assert table.METRICS["alone_error"].title not in text
    assert shown_cell(text, "9-4") | {"floor": "-"} == {
        "regime": "semisupervised",
        "layers": "9-4",
        "floor": "-",
        "alone": "0.3750",
        "hier": "0.5750",
        "ncpd": "0.4750",
    }
    by_layer = text[text.index("Relative error by layer") :].splitlines()[2:6]
    assert [line.strip("| ").split(" | ")[4] for line in by_layer] == ["alone", "---", "0.1250", "0.3750"]
    assert "alone" not in table.to_markdown(*made(records_of(matrix))[::-1])


def unescaped(text, char):
    return re.findall(rf"(?<!\\){re.escape(char)}", text)


def test_latex_is_balanced_and_escaped(record_of, records_of):
    records = records_of(
        record_of(experiment="table1_method1"), record_of(experiment="table1_method1", **{"method.solver": "a_b"})
    )
    rows, summary = made(records)
    text = table.to_latex(summary, rows)
    assert text.startswith(r"% \usepackage{booktabs")
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    assert len(unescaped(body, "{")) == len(unescaped(body, "}"))
    assert not unescaped(body, "_")
    assert not unescaped(body, "%")
    tabulars = re.findall(r"\\begin\{tabular\}\{([lr]+)\}(.*?)\\end\{tabular\}", body, flags=re.DOTALL)
    assert len(tabulars) == body.count(r"\begin{tabular}") == body.count(r"\end{tabular}") == 4
    for columns, inside in tabulars:
        assert [inside.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 1, 1]
        lines = [line for line in inside.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
        assert {len(unescaped(line, "&")) + 1 for line in lines} == {len(columns)}
        assert inside.count("$") % 2 == 0


def environments(text):
    """Kind and content of the tables for LaTeX."""
    return re.findall(r"\\begin\{((?:sideways)?table)\}(.*?)\\end\{\1\}", text, flags=re.DOTALL)


def printed_width(line):
    """Letters of a row for LaTeX, with the columns between."""
    cells = [re.sub(r"\\textbf|\\pm|[${}\\]", "", cell).strip() for cell in line.split("&")]
    return sum(len(cell) * table.LETTER + table.BETWEEN for cell in cells)


@pytest.mark.parametrize(
    ("variants", "kind"), [(1, "table"), (3, "table"), (5, "sidewaystable"), (24, "sidewaystable")]
)
def test_wide_tables_turn_sideways_and_then_have_parts_with_all_methods(record_of, records_of, variants, kind):
    records = [record_of("neural", **{"cost.name": "energy", "method.solver": f"s{i:02}"}) for i in range(variants)]
    rows, summary = made(records_of(*records))
    found = environments(table.to_latex(summary, rows))
    assert found[0][0] == kind
    assert len(found) == 4
    for each, content in found:
        assert r"\caption{" in content
        assert "n = 1. Single trials" in content
        shown = re.findall(r"s\d\d", content)
        assert len(set(shown)) == len(shown) == (variants if variants > 1 else 0)
        for line in re.findall(r"^semisupervised.*$", content, flags=re.MULTILINE):
            assert printed_width(line) <= (table.WIDTH if each == "table" else table.HEIGHT)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs LaTeX")
@pytest.mark.parametrize("variants", [1, 3, 12])
def test_tables_compile_with_the_packages_that_they_name_and_fit_the_page(record_of, records_of, tmp_path, variants):
    name = r"a<b >c ~^\ &%$ #_{} ±"
    records = [
        record_of("neural", layers, s, error=0.5 + s / 7, projected_gradient=0.1, **{"method.solver": f"{name}{i}"})
        for i in range(variants)
        for layers in [(9,), (9, 4), (9, 4, 2)]
        for s in range(2)
    ]
    rows, summary = made(records_of(*records))
    text = table.to_latex(summary, rows, table.summarise(table.layer_rows(rows), table.LAYER_CELL))
    packages = text.splitlines()[0].removeprefix("% ")
    whole = rf"\documentclass{{article}}{packages}\begin{{document}}{text}\end{{document}}"
    (tmp_path / "table.tex").write_text(whole, encoding="utf-8")
    given = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "table.tex"]
    done = subprocess.run(given, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout[-1000:]
    assert "Overfull" not in done.stdout
    assert "Missing character" not in done.stdout


def test_parts_that_a_page_does_not_hold_are_continued_on_another(record_of, records_of):
    names, ranks = [f"s{i:02}" for i in range(24)], range(1, 10)
    rows, summary = made(records_of(*(record_of("neural", (k,), **{"method.solver": n}) for n in names for k in ranks)))
    found = [content for _, content in environments(table.to_latex(summary, rows)) if "Relative error (" in content]
    assert len(found) > 1
    assert ["continued" in content for content in found] == [False] + [True] * (len(found) - 1)
    assert sorted(re.findall(r"s\d\d", "".join(found))) == names
    assert all(content.count("\n") <= table.LINES + 14 for content in found)  # with rules


def test_the_caption_tells_how_many_trials_the_means_are_of(three_methods):
    rows, summary = made(three_methods)
    few, of_single = rows[rows["layers"] == "9-4"], rows[rows["layers"] == "9"]
    assert "toy). n = 2. Mean" in table.to_latex(table.summarise(few), few)
    assert "toy). n = 1. Single trials" in table.to_latex(table.summarise(of_single), of_single)
    assert "toy). Mean" in table.to_latex(summary, rows)  # where a column tells it
    assert [shown_cell(table.to_markdown(summary, rows), layers)["n"] for layers in ("9", "9-4")] == ["1", "2"]


def test_table_of_one_run(record_of, records_of):
    rows, summary = made(records_of(record_of()))
    assert len(rows) == 1
    assert "| 0.5000 |" in table.to_markdown(summary, rows)  # not in bold, which would compare it
    assert r"\textbf" not in table.to_latex(summary, rows)


def with_layers(record, *values):
    """A record whose layers have these accuracies on the unknown, and the lowest of them as error."""
    for row, value, error in zip(record["layers"], values, (0.1, 0.2), strict=False):
        row |= {"accuracy_unknown": value, "relative_error": error + value}
    return record


@pytest.fixture
def two_layers(record_of, records_of):
    """Two trials of hier and one of neural with two layers, one that failed, and one with a single layer."""
    return records_of(
        with_layers(record_of(seed=0, published="layers"), 0.5, 0.25),
        with_layers(record_of(seed=1, published="layers"), 0.75, 0.5),
        record_of(seed=2, status="failed"),
        with_layers(record_of("neural"), 0.5, 0.5),
        with_layers(record_of(layers=(9,)), 0.9),
    )


def test_what_is_over_other_seeds_is_not_compared_nor_its_floor(record_of, records_of):
    usual = [record_of(m, seed=s, error=e) for m, e in (("deep", 0.3), ("hier", 0.4)) for s in (0, 1, 2)]
    others = [record_of("semi", seed=s, error=0.29) for s in (5, 6, 7)]
    for record in others:
        record["layers"][-1]["floor"] = 0.1
    rows, summary = made(records_of(*usual, *others))
    table_of_errors = table.to_markdown(summary, rows).partition("###")[2].partition("###")[0]
    cells = [cell.strip() for cell in table_of_errors.splitlines()[4].strip("|").split("|")]
    assert cells[2] == "0.2000"
    assert sum("**" in cell for cell in cells) == 1
    assert cells[-1] == "0.2900 ± 0.0000 [seeds 5-7]"
    assert "n = 3 where no seeds are named." in table_of_errors


def test_a_caption_explains_what_its_table_has_alone(record_of, records_of):
    far = {"projected_gradient": 1e-2}
    near, unsettled = (
        [record_of("hier", (9,), seed=s) for s in (0, 1)],
        [record_of("hier", seed=s, **far) for s in (0, 1)],
    )
    for record in unsettled:
        record["experiment"] = "another"
    rows, summary = made(records_of(*near, *unsettled))
    captions = re.findall(r"\\caption\{(.*)\}", table.to_latex(summary, rows))
    told = {("another" in caption, "far from a minimum" in caption) for caption in captions}
    assert told == {(False, False), (True, True)}


def test_errors_of_the_entries_that_a_run_sees_stand_in_rows_of_their_own(record_of, records_of):
    runs = [record_of("neural"), record_of("deep")]
    for record, hidden in zip(runs, (0.0, 0.2), strict=True):
        record["config"]["holdout"] = hidden
    rows, summary = made(records_of(*runs))
    text = table.to_markdown(summary, rows)
    assert "**" not in text
    assert "| toy, holdout 0.2 | semisupervised | 9-4 |" in text


def test_what_tells_runs_on_one_dataset_apart_names_no_run_on_another(record_of, records_of):
    toy = [record_of("neural", tol=tol) for tol in (1e-4, 1e-5)]
    for record in toy:
        record["config"]["tol"] = record.pop("tol")
    other = record_of("neural", dataset={"title": "other"}, **{"dataset.name": "other"})
    rows, _ = made(records_of(*toy, other))
    assert set(rows.loc[rows["dataset"] == "other", "method"]) == {"neural"}
    assert rows.loc[rows["dataset"] == "toy", "method"].nunique() == 2


def test_rows_and_columns_are_in_the_order_of_their_numbers(record_of, records_of):
    noise = [record_of("hier", layers=(9,), **{"dataset.noise": x}) for x in (10, 2)]
    rows, _ = made(records_of(*noise, record_of("hier", layers=(10,)), record_of("hier", layers=(9,))))
    assert [*dict.fromkeys(rows["dataset"])][-2:] == ["toy, noise 2", "toy, noise 10"]
    assert [*dict.fromkeys(rows["layers"])] == ["9", "10"]


def test_headings_for_latex_are_broken_no_more_than_their_columns_ask_for():
    assert table._stacked("neural, fill random", ["0.1234 $\\pm$ 0.0001 [seeds 1-2]"]) == "neural, fill random"
    assert table._stacked("neural, fill random", ["0.1"]) == r"\shortstack[r]{neural,\\fill\\random}"


def test_every_layer_of_runs_with_several_is_summarised(two_layers):
    layers = table.summarise(table.layer_rows(made(two_layers)[0]), table.LAYER_CELL)
    assert list(layers.columns) == ["experiment", "dataset", "regime", "layers", "layer", "method", *table.VALUES]
    assert set(layers["layers"]) == {"9-4"}
    first = entry(layers, method="hier", layer=0, metric="accuracy_unknown")
    assert (first["mean"], first["n"], first["reported"], first["best"]) == (0.625, 2, 0.698, False)
    second = entry(layers, method="hier", layer=1, metric="accuracy_unknown")
    assert (second["mean"], second["reported"], second["best"]) == (0.375, 0.668, False)
    error = entry(layers, method="hier", layer=1, metric="relative_error")
    assert (error["mean"], error["floor"]) == pytest.approx((0.575, 0.2))


def test_layers_follow_in_tables_of_their_own(two_layers):
    rows, summary = made(two_layers)
    layers = table.summarise(table.layer_rows(rows), table.LAYER_CELL)
    text = table.to_markdown(summary, rows, layers)
    assert text.startswith(table.to_markdown(summary, rows).partition("Mean ±")[0])
    block = text[text.index("### Accuracy on the unlabelled samples by layer (trial, toy)") :]
    lines = [line.strip("| ").split(" | ") for line in block.splitlines()[2:6]]
    assert lines[0] == ["regime", "layers", "layer", "hier", "neural"]
    assert lines[2] == ["semisupervised", "9-4", "0", "0.625 ± 0.177 (0.698)", "0.500 [seed 0]"]
    assert lines[3] == ["semisupervised", "9-4", "1", "0.375 ± 0.177 (0.668)", "0.500 [seed 0]"]
    tex = table.to_latex(summary, rows, layers)
    assert r"\begin{tabular}{lllrr}" in tex
    assert tex.count(r"\begin{tabular}") == tex.count(r"\end{tabular}") == text.count("### ")


def test_the_errors_of_every_layer_stand_beside_its_floor_in_a_column_for_every_variant(record_of, records_of):
    multilevel = {"cost.name": "multilevel", "cost.weights": []}
    made_of = [("hier", {}), ("neural", {}), ("neural", multilevel)]
    records = [with_layers(record_of(m, **cost), 0.1 * i, 0.2 * i) for i, (m, cost) in enumerate(made_of)]
    rows, summary = made(records_of(*records))
    text = table.to_markdown(summary, rows, table.summarise(table.layer_rows(rows), table.LAYER_CELL))
    block = text[text.index("### Relative error by layer (trial, toy)") :]
    header, _, *lines = [line.strip("| ").split(" | ") for line in block.splitlines()[2:6]]
    assert header == ["regime", "layers", "layer", "floor", "hier", "neural, reconstruction", "neural, multilevel"]
    assert [line[2:] for line in lines] == [
        ["0", "0.1000", "0.1000", "0.2000", "0.3000"],
        ["1", "0.2000", "0.2000", "0.4000", "0.6000"],
    ]


def test_the_footnote_tells_variants_apart(record_of, records_of):
    multilevel = {"cost.name": "multilevel", "status": "max_iter"}
    records = records_of(
        record_of("neural", status="max_iter"), *(record_of("neural", seed=s, **multilevel) for s in (0, 1))
    )
    [note] = table.footnotes(table.rows_of(records.items()))
    assert set(note.rstrip(".").partition(": ")[2].split("; ")) == {
        "1 of neural, reconstruction",
        "2 of neural, multilevel",
    }


def test_runs_of_one_layer_have_no_table_of_layers(record_of, records_of):
    rows, _ = made(records_of(record_of(layers=(9,))))
    assert len(table.summarise(table.layer_rows(rows), table.LAYER_CELL)) == 0


def test_the_data_are_called_by_their_title_also_where_runs_failed(record_of, records_of):
    named = {"dataset": {"title": "my.npz"}}
    rows, summary = made(records_of(record_of(**named), record_of(seed=1, status="failed", **named)))
    assert set(rows["dataset"]) == {"my.npz"}
    assert "(trial, my.npz)" in table.to_markdown(summary, rows)


def test_the_legend_says_which_data_the_published_values_are_of(record_of, records_of):
    for name, legend in (("newsgroups", "reports on newsgroups."), ("errors", "publication reports.")):
        rows, summary = made(records_of(record_of(published=name)))
        assert legend in table.to_markdown(summary, rows)

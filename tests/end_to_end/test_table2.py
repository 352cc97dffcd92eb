"""Table 2: its published values, its cells, and its way to the table of every layer, on a file."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.io import savemat

from nnmf_runner.config import composition, schema
from nnmf_runner.config.published import published
from nnmf_runner.store.record import find_records, read_record

METHODS = ("hier", "deep", "neural")
# Typed from the publication and its authors' notebooks: accuracy on the unknown messages, first and second layer.
NEWSGROUPS = {
    ("unsupervised", "10-6", "hier"): (0.593, 0.507),
    ("unsupervised", "10-6", "neural"): (0.598, 0.554),
    ("semisupervised", "10-6", "hier"): (0.593, 0.546),
    ("semisupervised", "10-6", "neural"): (0.698, 0.668),
    ("semisupervised", "10", "hier"): (0.777,),
}


@pytest.mark.slow
def test_table_2_has_every_cell_with_what_was_published():
    composition.register_schema()
    configs = [cell.config for cell in composition.read_sweep(["experiment=table2"]).cells]
    found = {(c.regime, "-".join(map(str, c.layers)), c.method.name): c for c in configs}
    cells = itertools.product(("unsupervised", "semisupervised"), ("10", "10-6"), METHODS)
    assert len(configs) == len(found) == 12
    assert set(found) == set(cells)
    for cell, config in found.items():
        expected, values = NEWSGROUPS.get(cell, ()), published(config.published)
        published_for = [f"cost.name={config.cost.name}"]
        for layer in range(len(config.layers)):
            assert values.values(*cell, layer, published_for) == (
                {"accuracy_unknown": expected[layer]} if expected else {}
            )
        last = len(config.layers) - 1
        assert values.values(*cell, None, published_for) == values.values(*cell, last, published_for)
        assert (config.label_fraction, config.trials, config.init.name) == (0.75, 10, "random")
        assert config.supervision.weight == (0.0 if cell[0] == "unsupervised" else schema.Supervision().weight)
        assert (config.dataset.name, config.eval_label_level, config.label_level) == ("newsgroups", 1, None)


@pytest.fixture(scope="module")
def local_table(tmp_path_factory):
    """Folder of Table 2 with two trials of five iterations on a small matrix, and what was printed of it."""
    folder = tmp_path_factory.mktemp("local")
    rng = np.random.default_rng(0)
    fine = np.repeat(np.arange(10), 12)
    X = sparse.random(80, 120, 0.1, random_state=rng) + sparse.csr_array(np.eye(10)[fine].repeat(8, axis=1).T)
    save = {"words": X.toarray(), "fine": fine, "coarse": np.minimum(fine // 2, 5), "seen": np.arange(0, 120, 2)}
    savemat(folder / "my words.mat", save | {"seen": save["seen"] + 1})
    file = ["dataset=file", 'dataset.path="my words.mat"', "dataset.orientation=features_by_samples", "dataset.x=words"]
    file += ["dataset.labels=[fine,coarse]", "dataset.known=seen"]
    options = ["trials=2", "max_iter=5", "workers=1"]
    program = Path(sys.executable).parent
    for command in (
        ["nnmf-run", "experiment=table2", *file, *options],
        ["nnmf-collect", "outputs/table2", "--no-figures"],
    ):
        done = subprocess.run(
            [program / command[0], *command[1:]], cwd=folder, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
    return folder / "outputs" / "table2", done.stdout


@pytest.mark.slow
def test_table_2_runs_on_a_file_and_names_it(local_table):
    folder, printed = local_table
    assert len(find_records(folder)) == 24
    titles = [line for line in printed.splitlines() if line.startswith("### ")]
    assert "### Accuracy on the unlabelled samples by layer (table2, my words.mat)" in titles
    assert all(title.endswith("(table2, my words.mat)") for title in titles)
    assert "what the publication reports on newsgroups." in printed


@pytest.mark.slow
def test_layers_of_table_2_are_means_of_the_records(local_table):
    folder, _ = local_table
    layers = (
        pd.read_csv(folder / "report" / "layers.csv").set_index(["regime", "method", "layer", "metric"]).sort_index()
    )
    records = [read_record(path) for path in find_records(folder)]
    for regime, method, layer in itertools.product(("unsupervised", "semisupervised"), METHODS, (0, 1)):
        runs = [r for r in records if (r["regime"], r["config"]["method"]["name"]) == (regime, method)]
        rows = [run["layers"][layer] for run in runs if len(run["layers"]) == 2]
        assert len(rows) == 2
        for metric in ("relative_error", "accuracy_unknown"):
            entry = layers.loc[(regime, method, layer, metric)]
            assert entry["mean"] == pytest.approx(np.mean([row[metric] for row in rows]), rel=1e-12)
            published = NEWSGROUPS.get((regime, "10-6", method)) if metric == "accuracy_unknown" else None
            assert entry["reported"] == published[layer] if published else np.isnan(entry["reported"])


@pytest.mark.slow
def test_trials_of_table_2_start_apart_even_where_the_known_labels_are_given(local_table):
    errors = {}
    for path in find_records(local_table[0]):
        record = read_record(path)
        cell = record["regime"], tuple(record["config"]["layers"]), record["config"]["method"]["name"]
        errors.setdefault(cell, set()).add(record["metrics"]["relative_error"])
    assert len(errors) == 12
    assert all(len(values) == 2 for values in errors.values())


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ([], "experiment=table2"),
        (["OPTIONS=dataset.path=a.tar.gz"], "experiment=table2 dataset.path=a.tar.gz"),
        (
            ["DATA=my words.mat", "OPTIONS=seed=3"],
            """experiment=table2 name=table2_data dataset=file 'dataset.path="my words.mat"' seed=3""",
        ),
        (
            ["DATA=a.mat"],
            """experiment=table2 name=table2_data dataset=file 'dataset.path="a.mat"' dataset.x=X_""",
        ),
    ],
)
def test_make_table2_runs_it_on_what_is_named(variables, expected):
    root = Path(__file__).parents[2]
    command = ["make", "--no-print-directory", "-n", "table2", *variables]
    printed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    published, multilevel = [" ".join(line.split()) for line in printed.splitlines() if "nnmf-run" in line]
    assert published.partition("nnmf-run ")[2].startswith(expected)
    assert multilevel == published.replace("experiment=table2", "experiment=table2_multilevel")
    name = "table2_data" if "name=table2_data" in expected else "table2"
    assert printed.splitlines()[-1].endswith(f"nnmf-collect outputs/{name}")

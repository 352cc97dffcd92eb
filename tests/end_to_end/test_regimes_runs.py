"""The experiments on planted hierarchies: their grids, easy data found again, and a sweep from runs to its map."""

from __future__ import annotations

import itertools

import pandas as pd
import pytest

from nnmf_runner.config import composition, engine
from nnmf_runner.running.run import run_one

METHODS = {
    "hier": ("hier", "reconstruction"),
    "deep": ("deep", "reconstruction"),
    "neural_reconstruction": ("neural", "reconstruction"),
    "neural_multilevel": ("neural", "multilevel"),
}
NOISE, LABELS, OVERLAP, IMBALANCE = (0.5, 1.0, 2.0, 4.0), (0.0, 0.05, 0.1, 0.4), (0.0, 0.5, 1.0), (0.0, 2.0, 8.0)
PLANTED = (12, 6, 3)
LAYERS = [tuple(rank + more for rank in PLANTED[:depth]) for more in (-1, 0, 1) for depth in (1, 2, 3)]
BASE = (2.0, 0.1, 0.0, 0.0, PLANTED)  # the setting that the planes of the reduced grid have in common
PLANES = {
    "regimes_small": [(n, f, *BASE[2:]) for n in NOISE for f in LABELS],
    "regimes_small_overlap": [(*BASE[:2], o, i, PLANTED) for o in OVERLAP for i in IMBALANCE],
    "regimes_small_ranks": [(*BASE[:4], layers) for layers in LAYERS],
}


def setting(config):
    data = config.dataset
    return data.noise, config.label_fraction, data.overlap, data.imbalance, tuple(config.layers)


def swept_values(experiment):
    """What a sweep crosses, by option: composing all that it makes would take minutes."""
    composition.register_schema()
    hydra = engine.compose([f"experiment={experiment}"], with_hydra=True).hydra
    assert hydra.mode.name == "MULTIRUN"
    return {name: str(values).split(",") for name, values in hydra.sweeper.params.items()}


@pytest.mark.slow
@pytest.mark.parametrize("experiment", PLANES)
def test_the_reduced_grid_is_three_planes_through_one_setting(experiment):
    composition.register_schema()
    configs = [cell.config for cell in composition.read_sweep([f"experiment={experiment}"]).cells]
    assert BASE in PLANES[experiment]
    expected = sorted((place, *method) for place in PLANES[experiment] for method in METHODS.values())
    assert sorted((setting(config), config.method.name, config.cost.name) for config in configs) == expected
    for config in configs:
        assert (config.name, config.trials, config.seed, config.dataset.name) == ("regimes_small", 10, 0, "planted")
    assert len({(config.tol, config.max_iter, config.init.name) for config in configs}) == 1


def test_the_grid_crosses_all_six_and_holds_the_reduced_one(configure):
    values = swept_values("regimes")
    layers = [tuple(map(int, ranks.split("-"))) for ranks in values.pop("layers")]
    methods = values.pop("method")
    assert sorted(methods) == sorted(METHODS)
    assert sorted(layers) == sorted(LAYERS)
    axes = ("dataset.noise", "label_fraction", "dataset.overlap", "dataset.imbalance")
    found = [tuple(map(float, values.pop(axis))) for axis in axes]
    assert found == [NOISE, LABELS, OVERLAP, IMBALANCE]
    assert not values
    full = set(itertools.product(*found, layers))
    assert len(full) == 1296
    assert all(set(places) <= full for places in PLANES.values())
    config = configure("experiment=regimes", "layers=13-7-4", "dataset.imbalance=8", "label_fraction=0.4")
    assert (config.name, config.trials, config.dataset.name) == ("regimes", 10, "planted")
    assert len(full) * len(METHODS) * config.trials <= config.runs_per_job * 1000  # an array of Slurm as it comes


@pytest.mark.slow
@pytest.mark.parametrize("method", ["hier", "deep", "neural"])
def test_an_easy_hierarchy_is_found_by_every_method(configure, tmp_path, method):
    overrides = ["dataset=planted", "dataset.branching=[3]", "dataset.noise=0.05", "layers=3", "label_fraction=0.1"]
    record = run_one(configure(*overrides, f"method={method}", f"output={tmp_path}"), 0).record
    assert record["metrics"]["accuracy_unknown"] == 1.0
    assert record["layers"][0]["topic_cosine"] > 0.99


def test_the_tree_of_an_easy_hierarchy_is_found_layer_by_layer(configure, tmp_path):
    overrides = ["dataset=planted", "dataset.noise=0.1", "layers=12-6-3", "method=hier", f"output={tmp_path}"]
    record = run_one(configure(*overrides), 0).record
    assert record["tree_agreement"] == 1.0
    # leaves that share features may be told apart in more than one way
    assert record["layers"][0]["topic_cosine"] > 0.9


@pytest.mark.slow
def test_a_sweep_over_options_of_the_data_ends_in_its_map(command, tmp_path):
    sweep = [
        "dataset=planted",
        "method=hier,deep",
        "dataset.noise=0.5,2",
        "dataset.overlap=0,1",
        "label_fraction=0,0.2",
    ]
    done = command("-m", *sweep, "layers=12-6-3", "trials=4", "max_iter=3", "name=small")
    assert done.status == 0, done.err
    collected = command("outputs/small", program="nnmf-collect")
    assert collected.status == 0, collected.err
    assert "Traceback" not in collected.err
    folder = tmp_path / "outputs" / "small"
    assert collected.out.endswith((folder / "report" / "map.md").read_text() + "\n")
    found = pd.read_csv(folder / "report" / "map.csv")
    assert set(zip(found["axis"], found["other_axis"], strict=True)) == {
        ("dataset.noise", "dataset.overlap"),
        ("dataset.noise", "label_fraction"),
        ("dataset.overlap", "label_fraction"),
    }
    counts = found["measure"].value_counts().to_dict()
    # without labels there is no accuracy: 4 of the 12 places
    assert counts == {"excess": 12, "topic_cosine": 12, "tree_agreement": 12, "accuracy_unknown": 8}
    assert (found["n"] == 4).all()
    rows = pd.read_csv(folder / "report" / "records.csv")
    chosen = rows["dataset"].str.contains("noise 0.5") & rows["dataset"].str.contains("overlap 0.0")
    errors = (rows["relative_error"] - rows["floor"])[chosen].groupby(rows["method"]).mean()
    place = found[(found["measure"] == "excess") & (found["other_axis"] == "dataset.overlap")].iloc[0]
    assert (place["at"], place["other_at"]) == (0.5, 0.0)
    assert place["difference"] == pytest.approx(abs(errors["hier"] - errors["deep"]), rel=1e-9)
    assert {f"small_map.{suffix}" for suffix in ("png", "pdf")} <= {
        p.name for p in (folder / "report" / "figures").iterdir()
    }
    assert not list((folder / "report" / "figures").glob("*comparison*"))


@pytest.mark.slow
def test_at_the_common_setting_the_neural_method_wins_the_error_and_loses_the_topics(configure, tmp_path):
    layers, cosines = {}, {}
    for method, preset in (("hier", "hier"), ("neural", "neural_reconstruction")):
        config = configure("experiment=regimes_small", f"method={preset}", f"output={tmp_path}")
        layers[method] = [run_one(config, seed).record["layers"] for seed in range(3)]
        cosines[method] = [[layer["topic_cosine"] for layer in run] for run in layers[method]]
    excess = {m: [run[-1]["relative_error"] - run[-1]["floor"] for run in runs] for m, runs in layers.items()}
    assert max(excess["neural"]) < 0.01 < 0.05 < min(excess["hier"])
    assert pd.DataFrame(cosines["hier"]).mean(axis=None) > pd.DataFrame(cosines["neural"]).mean(axis=None) + 0.05

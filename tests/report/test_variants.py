"""What variants of methods are called: no more than tells them apart, the same in tables and maps."""

from __future__ import annotations

import dataclasses
import itertools

import hypothesis
import hypothesis.strategies as st
import pytest

from nnmf_runner.config.schema import GROUPS
from nnmf_runner.core.costs import COSTS
from nnmf_runner.core.regularisation import Regularisation
from nnmf_runner.methods import METHODS
from nnmf_runner.methods.supervision import Supervision
from nnmf_runner.report import panels, table
from nnmf_runner.report.variants import (
    CHOICES,
    COST_NAMES,
    NAMES,
    Shown,
    costs_of,
    file_part,
    in_short,
    in_words,
    method_of,
    method_order,
    options_of,
    variants,
)

MULTILEVEL = {"cost.name": "multilevel", "cost.weights": []}
ENERGY = {"cost.name": "energy", "cost.weights": []}


def called(*configs, cells=None, experiments=None):
    """The names of runs with these configurations, in one cell of one experiment where nothing else is said."""
    many = len(configs)
    methods = [config["method"]["name"] for config in configs]
    names = zip(experiments or ["trial"] * many, methods, strict=True)
    return variants(names, [options_of(config) for config in configs], cells or [0] * many)


def config(method="neural", cost="reconstruction", **groups):
    """A configuration of these groups; costs other than the first have weights."""
    weights = groups.pop("weights", [])
    costs = {"name": cost} | ({} if cost == "reconstruction" else {"weights": weights})
    return {"method": {"name": method, "solver": "hals"}, "cost": costs, "tol": 1e-4} | groups


def test_seeds_of_the_data_are_those_of_trials_and_not_told():
    configs = [config("hier", dataset={"name": "blocks", "noise_seed": seed}, seed=seed) for seed in (1, 14)]
    assert called(*configs) == ["hier", "hier"]
    assert options_of(configs[0]) == options_of(configs[1])


def test_an_engine_is_told_by_its_name_beside_runs_of_one_process():
    one, many = config(layers=[9]), config(layers=[9], engine={"name": "dask"})
    assert called(one, many) == ["neural", "neural, dask"]
    assert called(many) == ["neural"]


def test_hierarchies_and_trainings_are_told_by_their_names_and_exact_codes_where_these_are_not_enough():
    kinds = [("tied", "joint", True), ("tied", "joint", False), ("tied", "layerwise", False), ("free", "joint", False)]
    names = called(
        *(
            config("ncpd")
            | {"method": {"name": "ncpd", "hierarchy": kind[0], "training": kind[1], "exact_codes": kind[2]}}
            for kind in kinds
        )
    )
    assert names == [
        "ncpd, tied, joint, exact codes on",
        "ncpd, tied, joint, exact codes off",
        "ncpd, tied, layerwise",
        "ncpd, free, joint",
    ]
    assert sorted(names, key=method_order) == [names[1], names[0], *names[2:]]


@pytest.fixture
def four(record_of):
    """The records of two methods of one variant and of neural with two costs, at two seeds and two kinds of data."""
    return [
        record_of(method, seed=seed, **{"dataset.noise": noise}, **cost)
        for method, cost in (("hier", {}), ("deep", {}), ("neural", {}), ("neural", MULTILEVEL))
        for seed in (0, 1)
        for noise in (1, 2)
    ]


FOUR = ["hier", "deep", "neural, reconstruction", "neural, multilevel"]


def test_costs_of_a_method_are_told_by_their_names_in_the_table(four, records_of):
    rows = table.rows_of(records_of(*four).items())
    summary = table.summarise(rows)
    header = next(line for line in table.to_markdown(summary, rows).splitlines() if line.startswith("|"))
    assert header.strip("| ").split(" | ")[-4:] == FOUR
    assert (summary["n"] == 2).all()


def test_the_map_calls_them_the_same_and_compares_them_at_the_same_places(four):
    noted: list[panels.Observation] = []
    list(panels.observed(((None, record) for record in four), noted))
    frame, axes = panels.varied(noted)
    assert axes == ["dataset.noise"]
    assert set(frame["method"]) == set(FOUR)
    [panel] = panels.panels(noted)
    assert {method for _, method in (name for name in panel.rows if isinstance(name, tuple))} == set(FOUR)
    assert len(panel.rows) == 4  # two kinds of data and two seeds
    assert panel.rows[[("excess", method) for method in FOUR]].notna().all(axis=None)


def test_costs_that_every_method_was_run_with_are_no_axis_of_the_map(record_of):
    noted: list[panels.Observation] = []
    records = [
        record_of(method, seed=seed, **{"dataset.noise": noise, "cost.name": cost})
        for method, cost in itertools.product(("deep", "neural"), ("reconstruction", "kl"))
        for seed in (0, 1)
        for noise in (1, 2)
    ]
    list(panels.observed(((None, record) for record in records), noted))
    assert [panel.axes for panel in panels.panels(noted)] == [("dataset.noise",)]
    assert set(panels.varied(noted)[0]["method"]) == {
        f"{m}, {c}" for m in ("deep", "neural") for c in ("reconstruction", "kl")
    }


def test_one_method_with_two_costs_has_a_map(record_of):
    noted: list[panels.Observation] = []
    records = [
        record_of("neural", seed=s, **{"dataset.noise": n}, **cost)
        for s in (0, 1)
        for n in (1, 2)
        for cost in ({}, ENERGY)
    ]
    list(panels.observed(((None, record) for record in records), noted))
    assert len(panels.panels(noted)) == 1


def test_a_lone_variant_goes_by_its_method_whatever_others_have():
    assert called(config("hier"), config(cost="energy")) == ["hier", "neural"]


def test_experiments_are_named_by_themselves():
    given = [config(), config(cost="energy"), config()]
    assert called(*given, experiments=["a", "a", "b"]) == ["neural, reconstruction", "neural, energy", "neural"]


def test_a_cost_is_told_in_cells_where_it_is_the_only_one():
    """As where a sweep of several costs has not got far: a column must not mix them."""
    given = [config(layers=[9]), config(layers=[9, 4], cost="energy")]
    assert called(*given, cells=[1, 2]) == ["neural, reconstruction", "neural, energy"]


def test_what_comes_with_a_cost_is_not_told_unless_runs_of_that_cost_differ_in_it():
    weighted = config(cost="energy", weights=[1.0, 0.5])
    assert called(config(), weighted) == ["neural, reconstruction", "neural, energy"]
    names = called(config(), weighted, config(cost="energy"), config(cost="multilevel"))
    assert names == [
        "neural, reconstruction",
        "neural, energy, weights 1.0 / 0.5",
        "neural, energy",
        "neural, multilevel",
    ]
    levels = [config(supervision={"levels": "last"}), config(cost="multilevel", supervision={"levels": "all"})]
    assert called(*levels) == ["neural, reconstruction", "neural, multilevel"]


def test_what_is_told_by_its_value_alone_is_for_the_caller_to_say():
    given = [(f"label_fraction={share}",) for share in (0.1, 0.4, 0.4)]
    names = [("trial", "semisupervised")] * 2 + [("other", "semisupervised")]
    told = variants(names, given, [0] * 3, choices=["label_fraction"])
    assert told == ["semisupervised, 0.1", "semisupervised, 0.4", "semisupervised"]
    assert variants(names[:2], given[:2], [0] * 2)[0] == "semisupervised, label fraction 0.1"


def test_a_setting_has_one_name_where_it_is_compared_and_where_it_is_alone():
    penalties = [{"l2_A": value, "l2_S": value} for value in (0.0, 0.0, 0.1)]
    names = called(*(config(regularisation=penalty) for penalty in penalties), cells=[1, 2, 2])
    assert names == ["neural, l2 A 0.0, l2 S 0.0"] * 2 + ["neural, l2 A 0.1, l2 S 0.1"]


def test_in_words_methods_and_costs_have_plain_names_and_a_cost_is_said_once():
    assert in_words("neural, energy, adam", "energy") == "Neural NMF, energy cost, adam"
    assert in_words("hier, layer 0", "kl") == "hierarchical NMF, Kullback-Leibler divergence, layer 0"
    assert in_words("my_own") == "my own"
    assert NAMES.keys() == METHODS.keys()
    assert COST_NAMES.keys() == COSTS.keys()


@pytest.mark.parametrize("others", [[], ["energy"]])
def test_a_cost_that_all_share_is_told_by_itself(record_of, others):
    costs = ["kl", "kl", *others]
    runs = [Shown(f"own, {i}", None, record_of(**{"cost.name": cost})) for i, cost in enumerate(costs)]
    expected = (None, {run.label: cost for run, cost in zip(runs, costs, strict=True)})
    assert costs_of(runs) == (expected if others else (COST_NAMES["kl"], {}))


def test_optimizer_and_start_are_told_like_a_cost():
    given = [
        config(optimizer={"name": optimizer}, init={"name": name})
        for name, optimizer in itertools.product(("nndsvd", "random"), ("auto", "adam"))
    ]
    assert called(*given) == [
        "neural, auto, nndsvd",
        "neural, adam, nndsvd",
        "neural, auto, random",
        "neural, adam, random",
    ]


def test_other_options_are_told_by_the_shortest_name_that_is_theirs_alone():
    assert called(config(), config(tol=1e-6)) == ["neural, tol 0.0001", "neural, tol 1e-06"]
    both = [config(supervision={"weight": w}, regularisation={"weight": r}) for w, r in ((1, 2), (3, 4))]
    assert called(*both) == [
        "neural, supervision weight 1, regularisation weight 2",
        "neural, supervision weight 3, regularisation weight 4",
    ]


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([1.8243248407951807e-06, 0.0001], ["1.82e-06", "0.0001"]),
        ([0.30000000000000004, 0.1, 1.0], ["0.3", "0.1", "1.0"]),
        ([0.12344, 0.12341, 0.5], ["0.12344", "0.12341", "0.5"]),
        ([0.99999, 1.0], ["0.99999", "1.0"]),
        ([1234.56789, 2.0], ["1235.0", "2.0"]),
        ([0.1 + 0.2, 0.3], ["0.30000000000000004", "0.3"]),
        ([[1.0, 1 / 3], [1.0, 2 / 3]], ["1.0 / 0.333", "1.0 / 0.667"]),
        (["0.1230", "0.123"], ["0.1230", "0.123"]),
        (["a/v0.12345.csv", "b 2.71828x"], ["a/v0.12345.csv", "b 2.71828x"]),
    ],
    ids=str,
)
def test_numbers_have_as_few_digits_as_tell_the_variants_of_an_experiment_apart(values, shown):
    names = called(*(config(option=value) for value in values))
    assert names == [f"neural, option {value}" for value in shown]


def test_what_is_told_by_its_value_alone_has_short_numbers_too():
    shares = [(f"label_fraction={share}",) for share in (0.123456789, 0.4)]
    told = variants([("trial", "semisupervised")] * 2, shares, [0] * 2, choices=["label_fraction"])
    assert told == ["semisupervised, 0.123", "semisupervised, 0.4"]


def test_digits_are_those_of_all_methods_of_an_experiment_and_of_no_other():
    values, experiments = [0.12344, 0.5, 0.12341, 0.5, 0.12344, 0.5], [*"aaaabb"]
    given = [config(m, own=v) for m, v in zip(["hier", "hier", "deep", "deep", "deep", "deep"], values, strict=True)]
    names = called(*given, experiments=experiments)
    assert [name.rpartition(" ")[2] for name in names] == ["0.12344", "0.5", "0.12341", "0.5", "0.123", "0.5"]


@hypothesis.given(st.sets(st.floats(min_value=1e-12, max_value=1e12), min_size=2, max_size=8))
def test_short_numbers_are_near_and_stay_apart(values):
    short = in_short(map(str, values))
    assert len(set(short.values())) == len(values)
    assert all(float(shown) == pytest.approx(float(value), rel=0.0051) for value, shown in short.items())
    assert all(len(shown) <= len(value) for value, shown in short.items())


def test_solvers_lists_and_switches_are_told_in_words():
    solvers = [config("hier"), config("hier") | {"method": {"name": "hier", "solver": "mu"}}]
    assert called(*solvers) == ["hier, hals", "hier, mu"]
    levels = [config(supervision={"levels": levels}) for levels in ("all", [None, 1, 2])]
    assert called(*levels) == ["neural, levels all", "neural, levels None / 1 / 2"]
    learned = [config(supervision={"learn_map": learn}) for learn in (True, False)]
    assert called(*learned) == ["neural, learn map on", "neural, learn map off"]


PARTS = [(group, part) for group in ("method", "cost", "optimizer", "init") for part in GROUPS[group].values()]
PARTS += [("supervision", Supervision), ("regularisation", Regularisation)]
OPTIONS = [(group, option.name) for group, part in PARTS for option in dataclasses.fields(part)]
VALUES = [(1, 2), (True, False), ("some", None), ([1.0, 0.5], []), ([None, 1], "all")]


@pytest.mark.parametrize(
    ("group", "option"), sorted({*OPTIONS} - {tuple(name.split(".")) for name in CHOICES}), ids=str
)
@pytest.mark.parametrize("values", VALUES, ids=str)
def test_no_option_is_told_in_the_syntax_of_overrides(group, option, values):
    names = called(*(config() | {group: {"name": "neural", option: value}} for value in values))
    assert len(set(names)) == 2
    for name in names:
        assert not set(name) & set("[]=_")
        assert f"{group}." not in name


def test_what_cells_tell_is_not_told_again():
    given = [config(label_fraction=f, supervision={"weight": w}) for f, w in ((0.1, 0.0), (0.4, 0.5))]
    assert called(*given, cells=["some", "more"]) == ["neural", "neural"]


def test_runs_of_one_cell_share_a_name_if_and_only_if_they_share_their_options():
    given = [
        config(
            method,
            cost,
            tol=tol,
            init=init,
            layers=[9, 4],
            **({} if cost == "reconstruction" else {"weights": weights}),
        )
        for method in METHODS
        for cost in ("reconstruction", "energy", "multilevel")
        for tol in (1e-4, 1e-6)
        for init in ({"name": "nndsvd", "fill": "zero"}, {"name": "nndsvd", "fill": "mean"}, {"name": "random"})
        for weights in ([], [1, 2])
    ]
    names = called(*given)
    by_options: dict = {}
    for each, name in zip(given, names, strict=True):
        by_options.setdefault(options_of(each), set()).add(name)
        assert method_of(name) == each["method"]["name"]
    assert all(len(found) == 1 for found in by_options.values())
    assert len(set(names)) == len(by_options) < len(given)
    assert len({file_part(name) for name in names}) == len(set(names))
    assert all(file_part(name).replace(".", "").replace("-", "").isidentifier() for name in names)


def test_methods_stand_in_their_order_and_their_costs_in_that_of_the_registry():
    labels = ["hier", "deep", "neural, reconstruction", "neural, energy", "neural, kl", "semi", "sparse_coding"]
    assert sorted(set(labels), key=method_order) == labels
    assert min(["neural, unheard of", "neural, kl"], key=method_order) == "neural, kl"

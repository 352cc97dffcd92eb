"""From command lines to configurations: sweeps, presets, paths, and what is shown of them."""

from __future__ import annotations

import re

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nnmf_runner.config import composition, engine
from nnmf_runner.core.checks import InputError


@pytest.fixture(autouse=True)
def registered():
    composition.register_schema()


def test_every_configuration_of_a_sweep_is_composed(configure):
    configs = [
        cell.config
        for cell in composition.read_sweep(
            ["method=hier,neural", "layers=[9],[9,4],9-4-2", "seed=3"], multirun=True
        ).cells
    ]
    cells = {(config.method.name, config.layers, config.seed) for config in configs}
    assert cells == {(m, ranks, 3) for m in ("hier", "neural") for ranks in ((9,), (9, 4), (9, 4, 2))}


@pytest.mark.parametrize("arguments", [[], ["seed=1"]])
def test_single_runs_are_no_sweep(configure, arguments):
    assert composition.read_sweep(arguments) is None


@pytest.mark.parametrize("number", [2**63, 2**70, 2**200, 10**400])
def test_seeds_of_any_size_are_read_digit_by_digit(configure, number):
    assert composition.read([f"seed={number}"]).seed == number
    [one, other] = composition.read_sweep([f"seed={number},{number + 1}", "trials=2"], multirun=True).cells
    assert (one.config.seed, other.config.seed) == (number, number + 1)
    assert one.config.identity(number + 1) == other.config.identity(number + 1) != one.config.identity(number)


def test_an_argument_may_be_longer_than_the_name_of_a_file():
    layers = [9] * 500
    assert list(composition.read([f"layers={layers}".replace(" ", "")]).layers) == layers


@pytest.mark.parametrize("cost", ["reconstruction", "multilevel"])
def test_a_preset_of_a_method_brings_its_cost_and_gives_way_to_one_that_is_asked_for(configure, cost):
    preset = f"method=neural_{cost}"
    assert configure(preset).identity(0) == configure("method=neural", f"cost={cost}").identity(0)
    assert configure(preset, "cost=kl").cost.name == "kl"
    sweep = composition.read_sweep(
        [f"method=hier,{preset.removeprefix('method=')}", "experiment=regimes_small"], multirun=True
    )
    chosen = {(cell.config.method.name, cell.config.cost.name) for cell in sweep.cells}
    assert chosen == {("hier", "reconstruction"), ("neural", cost)}


def test_overrides_take_the_place_of_an_experiments_sweep(configure):
    configs = [cell.config for cell in composition.read_sweep(["experiment=table1", "method=neural", "layers=9"]).cells]
    assert [(c.method.name, c.layers, c.label_fraction) for c in configs] == [
        ("neural", (9,), fraction) for fraction in (0.0, 0.4, 1.0)
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    [
        "method=deep,hier_mu cost=kl,reconstruction",
        "method=hier_mu,neural_multilevel layers=[9],9-4",
        "seed=range(0,3) label_fraction=choice(0,0.4)",
        "+cost.weights=[1,2,3] cost=multilevel seed=0,1",
        "optimizer=gd,adam optimizer.step=0.1,0.2 seed=3 seed=4",
    ],
)
def test_a_cell_is_what_its_overrides_compose_alone(configure, line):
    """Cells that choose the same parts share one composition, which each must leave as it was for the next."""
    cells = list(composition.read_sweep(line.split(), multirun=True).cells)
    assert len(cells) > 1
    for cell in cells:
        assert cell.config == configure(*cell.overrides)


def test_runs_that_share_a_job_are_for_sweeps(configure):
    with pytest.raises(
        InputError, match=r"^runs_per_job=3 is for the jobs of a sweep on a cluster, and this is a single"
    ):
        composition.read(["runs_per_job=3", "trials=9"])
    assert composition.read(["-m", "runs_per_job=3", "seed=0,1"]).size == 2
    assert composition.read(["runs_per_job=null"]).runs_per_job is None


def test_what_is_wrong_in_the_last_cell_is_found_by_reading_the_cells():
    sweep = composition.read(["-m", "method=hier,deep", "layers=9-4,4-9"])
    with pytest.raises(InputError, match=r"layers\[1\]=9 exceeds layers\[0\]=4"):
        list(sweep.cells)


def test_experiments_which_have_sweeps_of_their_own_are_not_swept_over():
    with pytest.raises(InputError, match=r"experiment=table1,systems cannot be swept over\. Expected one value"):
        composition.read(["-m", "experiment=table1,systems", "trials=1"])


@pytest.mark.parametrize(
    "value", ["interval(0,1)", "glob(*)", pytest.param("tag(a,interval(0,1))", id="tagged interval")]
)
def test_a_sweep_needs_a_list_of_values(value):
    with pytest.raises(InputError, match=r"is not a list of values\. Expected some, such as seed=0,1,2"):
        composition.read(["-m", f"seed={value}"])


PATHS = st.text(st.characters(codec="utf-8", exclude_characters="\0\n\r,", exclude_categories=["C", "Z"]), min_size=1)


@given(st.lists(PATHS.map(lambda path: f"no such/{path}"), min_size=1, max_size=3))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_paths_of_any_letters_reach_the_options_as_they_are(paths):
    """As one value, and several as a sweep."""
    chosen, given_paths = composition.expanded([f"init={','.join(paths)}"])
    assert chosen == "init=saved"
    [override] = engine.parse([given_paths])
    assert override.key_or_group == "init.path"
    values = override.sweep_iterator() if override.is_sweep_override() else [override.value()]
    assert [getattr(value, "text", value) for value in values] == paths


@pytest.mark.parametrize(
    "line", ["init=greedy", "layers=9-4-2", "output=outputs/a-b", "seed=0,1", "init=random,greedy"]
)
def test_what_is_no_path_or_reads_as_it_is_stays(line):
    assert composition.expanded([line]) == [line]


def test_a_start_at_home_is_a_path(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert composition.expanded(["init=~"]) == ["init=saved", "init.path='~'"]
    assert composition.expanded(["init=~/a,~/b c"]) == ["init=saved", "init.path='~/a','~/b c'"]
    (tmp_path / "a,b").mkdir()
    assert composition.expanded(["init=~/a,b"]) == ["init=saved", "init.path='~/a,b'"]


@pytest.mark.parametrize("argument", ["output=~nobodyhere/x", "init=~nobodyhere", "mask=~nobodyhere/m.npy"])
def test_the_home_of_an_unknown_user_is_refused_in_one_line(argument):
    with pytest.raises(InputError, match=rf"^{argument} is not valid: ~nobodyhere is the home folder of no user\. .*$"):
        composition.read([argument])


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["layers=[[9,4],[2]]"], "layers=[[9,4],[2]]"),
        (["layers={a:1}"], "layers={a:1}"),
        (["cost=energy", "cost.weights=[[1]]"], "cost.weights=[[1]]"),
        (["dataset.levels=[[1,2]]"], "dataset.levels=[[1,2]]"),
        (["dataset.topics=[{a:1}]"], "dataset.topics=[{a:1}]"),
        (["method=sparse_coding", "method.penalty={a:1}"], "method.penalty={a:1}"),
        (["dataset=text", "dataset.min_df={a:1}"], "dataset.min_df={a:1}"),
    ],
)
def test_lists_of_lists_and_names_with_values_are_no_values(arguments, shown):
    with pytest.raises(InputError) as refused:
        composition.read(arguments)
    assert str(refused.value) == f"{shown} is not valid. Expected a single value or a list of single values."


@pytest.mark.parametrize(("reference", "shown"), [("${seed}", "0"), ("${layers}", "9-4-2"), ("${init}", "{fill:zero}")])
def test_what_stands_for_a_list_is_one(reference, shown):
    with pytest.raises(InputError, match=re.escape(f"labels={shown} is not valid. Expected a list of single values.")):
        composition.read(["dataset=file", "dataset.path=x.csv", f"dataset.labels={reference}"])
    found = composition.read(["dataset=file", "dataset.labels=[a b]", "dataset.exclude=${dataset.labels}"])
    assert found.dataset.exclude == ["a b"]


def test_nor_are_they_in_a_file_of_the_configuration(configure):
    """Which no argument goes through."""
    composed = engine.compose(["dataset=file"])
    engine.OmegaConf.update(composed, "dataset.labels", [["a", "b"], ["c"]])
    with pytest.raises(InputError, match=r"^dataset\.labels=\[\[a,b\],\[c\]\] is not valid"):
        composition.resolve(composed)


def test_a_sweep_over_text_has_a_cell_for_each():
    sweep = composition.read(["-m", "dataset=file", "dataset.x=a b,'c,d',2019", "dataset.labels=[größe],[f (g)]"])
    cells = [(cell.config.dataset.x, cell.config.dataset.labels) for cell in sweep.cells]
    assert cells == [(x, labels) for x in ("a b", "c,d", "2019") for labels in (["größe"], ["f (g)"])]
    assert sweep.over == ["dataset.x='a b','c,d','2019'", "dataset.labels=['größe'],['f (g)']"]


def test_a_comma_in_the_folder_of_a_sweep_is_part_of_its_name():
    sweep = composition.read(["-m", "output=a,b", "seed=0,1"])
    assert [(str(cell.config.folder), cell.config.seed) for cell in sweep.cells] == [("a,b/runs", 0), ("a,b/runs", 1)]


def test_what_launchers_keep_stands_at_home_where_the_records_stand(command, monkeypatch):
    monkeypatch.setenv("HOME", "/home/of/somebody")
    result = command("output=~/a b", "--cfg", "hydra", "--resolve", "-p", "hydra.sweep.dir")
    assert result.out == "'/home/of/somebody/a b/runs/.sweep'\n"
    assert str(composition.read(["output=~/a b"]).folder) == "/home/of/somebody/a b/runs"


TYPED = ["dataset=file", "dataset.labels=[Cell type (broad),größe]", "dataset.x=a=b", "output=~/x"]


def test_showing_the_configuration_shows_text_as_typed(command):
    shown = yaml.safe_load(command("--cfg", "job", *TYPED).out)
    assert (shown["dataset"]["labels"], shown["dataset"]["x"]) == (["Cell type (broad)", "größe"], "a=b")


@pytest.mark.parametrize(("flag", "part"), [("--help", "dataset.labels=[]"), ("--info=defaults", "Defaults List")])
def test_questions_are_answered_beside_any_text(command, flag, part):
    result = command(flag, *TYPED)
    assert (result.status, result.err, result.files) == (0, "", [])
    assert part in result.out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("nnmf-run dataset=file 'dataset.labels=[Cell type (broad)]' dataset.x=a=b dataset.kn", "dataset.known"),
        ("nnmf-run output=~/x,größe method=hier method.so", "method.solver="),
        ("nnmf-run 'dataset.labels=[größe, a]' method=sp", "method=sparse_coding"),
        ("nnmf-run dataset.delimiter=';' ", "max_iter="),
        ("nnmf-run", "max_iter="),
    ],
)
def test_a_shell_completes_words_behind_any_text(command, monkeypatch, line, completed):
    monkeypatch.setenv("COMP_LINE", line)
    result = command("-sc", "query=bash")
    assert (result.status, result.err) == (0, "")
    assert completed in " ".join(result.out.split())


def test_folders_and_other_starts_do_not_share_a_sweep(tmp_path):
    with pytest.raises(InputError, match=r"mixes paths with other options"):
        composition.expanded([f"init=greedy,{tmp_path}"])


def test_showing_the_configuration_runs_and_writes_nothing(command):
    result = command("--cfg", "job", "method=hier", "label_fraction=0.4")
    assert (result.status, result.err, result.files) == (0, "", [])
    shown = yaml.safe_load(result.out)
    assert (shown["method"]["solver"], shown["label_fraction"], shown["layers"]) == ("hals", 0.4, "9-4-2")
    names = [shown[group]["name"] for group in ("dataset", "method", "cost", "optimizer", "init")]
    assert names == ["toy", "hier", "reconstruction", "auto", "nndsvd"]


def test_a_shown_configuration_begins_with_what_is_chosen_and_what_is_swept_over(command):
    result = command("method=hier_mu", "--cfg", "job", "experiment=table1")
    chosen, swept, *_ = result.out.splitlines()
    parts = "dataset=toy method=hier_mu cost=reconstruction optimizer=auto init=nndsvd resample=none"
    assert chosen == f"# experiment=table1 {parts} engine=local tracking=none"
    assert swept == "# sweep over layers=[9],[9,4],[9,4,2] label_fraction=0,0.4,1"
    assert yaml.safe_load(result.out)["method"] == {"name": "hier", "solver": "mu"}
    assert "# sweep over seed=0,1\n" in command("method=hier", "-m", "seed=0,1", "--cfg", "job").out


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--cfg all", {"hydra", "method", "seed"}),
        ("--cfg hydra --resolve", {"hydra"}),
        ("--cfg job -p method method=deep", {"name", "pooling", "pool_size", "activation", "exponent"}),
        ("threads=3 --cfg all --resolve -p hydra.sweep", {"dir", "subdir"}),
    ],
)
def test_parts_of_the_configuration_are_shown(command, line, expected):
    result = command(*line.split())
    assert (result.status, result.err, result.files) == (0, "", [])
    assert expected <= set(yaml.safe_load(result.out))


def test_one_value_of_the_configuration_is_shown(command):
    assert command("--cfg", "job", "-p", "mask").out == "null\n"
    assert command("--cfg", "job", "-p", "threads", "threads=3").out == "3\n"


@pytest.mark.parametrize("value", ["[1]", "['[max_iter=3]']", "[a,b]", "${layers}"])
@pytest.mark.parametrize("sweep", [[], ["-m", "seed=0,1"]])
def test_what_a_sweep_writes_for_its_jobs_is_refused_from_others(sweep, value):
    with pytest.raises(InputError, match=r"^cells cannot be set: a sweep writes it for its jobs\. Expected -m"):
        list(getattr(composition.read([*sweep, "layers=[2]", f"cells={value}"]), "cells", []))


@pytest.mark.parametrize("value", ["${mask}", "${tol}", "${layers}"])
def test_a_group_of_options_is_no_single_value_of_another_option(configure, value):
    with pytest.raises(InputError, match=r"^supervision=.* is not valid\. Expected values for its options alone\.$"):
        composition.read([f"supervision={value}"])


@pytest.mark.parametrize("arguments", [[], ["-m", "seed=0,1"], ["experiment=table1"], ["--cfg", "job"]], ids=" ".join)
def test_hydra_has_more_to_tell_where_it_has_something_to_do(arguments):
    with pytest.raises(
        InputError, match=r"^hydra\.verbose=true tells more of a launcher or a search, and there is none here\."
    ):
        composition.read([*arguments, "hydra.verbose=true"])
    assert composition.read([*arguments, "hydra.verbose=false"])

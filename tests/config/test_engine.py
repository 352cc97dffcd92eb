"""Hydra behind its door: errors of one line, copies of what was composed, answers of its own."""

from __future__ import annotations

import dataclasses
import logging
import re
from dataclasses import dataclass

import pytest
from hydra.core.config_store import ConfigStore

from nnmf_runner.config import engine
from nnmf_runner.config.schema import GROUPS, RunConfig
from nnmf_runner.core.checks import InputError


@pytest.fixture(autouse=True)
def registered():
    engine.register_schema()


@pytest.mark.parametrize("values", [["seed=3"], ["tol=0.1", "max_iter=7"], ["optimizer.large=3", "mask=null"]])
def test_other_values_make_what_composing_makes(values):
    composed = engine.compose(["method=hier"])
    assert engine.set_values(composed, engine.parse(values), ["method=hier", *values]) == engine.compose(
        ["method=hier", *values]
    )


@pytest.mark.slow
@pytest.mark.parametrize(("group", "name"), [(group, name) for group in GROUPS for name in GROUPS[group]])
def test_every_part_is_chosen_by_its_name_with_the_default_cost_of_its_method(group, name):
    config = engine.compose([f"{group}={name}"])
    assert engine.OmegaConf.get_type(config, group) is GROUPS[group][name]
    if group == "method":
        assert engine.OmegaConf.get_type(config, "cost").name == GROUPS[group][name].costs[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed=abc", "seed=abc is not valid. Expected an integer."),
        ("tol=high", "tol=high is not valid. Expected a number."),
        ("label_fraction=true", "label_fraction=true is not valid. Expected a number."),
        ("force=maybe", "force=maybe is not valid. Expected true or false."),
        ("seed=null", "seed=null is not valid. Expected a value other than null."),
        ("dataset.levels=3", "dataset.levels=3 is not valid. Expected a list, such as 'dataset.levels=[3]'."),
        ("method=3", "method=3 is not valid. Expected a name, such as method=NAME."),
        ("cost={a:1}", "cost={a:1} is not valid. Expected a name, such as cost=NAME."),
        ("experiment=null", "experiment=null is not valid. Expected a name, such as experiment=NAME."),
        ("~hydra/launcher", "~hydra/launcher is not valid. Expected a name, such as hydra/launcher=NAME."),
        ("cost.weights={a:1}", "cost.weights={a:1} is not valid. Expected a list in brackets"),
        ("supervision=[1]", "supervision=[1] is not valid. Expected a list in brackets, or values for its options"),
        (
            "dataset.levels='a b'",
            "dataset.levels=a b is not valid. Expected a list, such as 'dataset.levels=[a b]'.",
        ),
        ("mask.a=1", "mask.a=1 is not valid. Expected a value for the whole option."),
        ("force=5", "force=5 is not valid. Expected true or false."),
        ("normalise=-1", "normalise=-1 is not valid. Expected true or false."),
        ("supervision.learn_map=2", "supervision.learn_map=2 is not valid. Expected true or false."),
        ("seed=0,1", "seed=0,1 is several values, and this is a single run. Add -m to sweep; "),
        ("seed=choice(0,1)", "seed=choice(0,1) is a sweep, and this is a single run. Add -m to sweep."),
        ("supervision={a:1}", "supervision.a is not an option. Expected one of: supervision."),
        ("+seed=3", "seed has a value already. Expected seed=..., without a plus."),
        ("~seed=3", "~seed needs no value. Its value is 0."),
        ("dataset=???", "dataset=??? is not known. Expected one of: "),
        (f"tol={10**400}", "tol is too large. Expected a number of at most 1e+60."),
        ("method=", "method= is not known. Expected one of: "),
        ("=3", "=3 cannot be read. Expected name=value, "),
    ],
)
def test_what_hydra_refuses_is_said_in_one_line(override, message):
    with pytest.raises(InputError) as refused:
        engine.compose([override])
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("override", "meant"),
    [
        ("weight=1", "'supervision.weight'"),
        ("pool_size=2", "'method.pool_size' of method=deep"),
        ("batch=64", "'optimizer.batch' of optimizer=adam or optimizer=sgd"),
    ],
)
def test_an_option_of_a_part_is_found_by_its_own_name(override, meant):
    with pytest.raises(InputError, match=rf"is not an option\. Did you mean {meant}\? nnmf-run --help"):
        engine.compose([override])


@pytest.mark.parametrize(("given", "flag"), [("1", True), ("0", False), ("yes", True), ("off", False), ("TRUE", True)])
def test_flags_are_written_in_the_ways_of_yaml(given, flag):
    assert engine.compose([f"force={given}"]).force is flag


def test_a_number_beyond_doubles_in_a_cell_of_a_sweep_is_refused_alike():
    composed = engine.compose([])
    with pytest.raises(InputError, match=r"^tol is too large\."):
        engine.set_values(composed, engine.parse([f"tol={10**400}"]), [f"tol={10**400}"])


def test_a_flag_in_a_cell_of_a_sweep_is_no_number_either():
    composed = engine.compose([])
    with pytest.raises(InputError, match=r"^force=5 is not valid\. Expected true or false\.$"):
        engine.set_values(composed, engine.parse(["force=5"]), ["force=5"])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["dataset.nois=1"], "dataset.nois is not an option of dataset=toy. Did you mean 'dataset.noise'? nnmf-run "),
        (
            ["dataset=planted", "dataset.sampels=1"],
            "dataset.sampels is not an option of dataset=planted. Did you mean 'dataset.samples'? "
            "nnmf-run dataset=planted --help lists all.",
        ),
        (["dataset=digits", "dataset.zzz=1"], "dataset.zzz is not an option of dataset=digits. It has none."),
        (["dataset.foo=1"], "dataset.foo is not an option of dataset=toy. Expected one of: dataset."),
        (["mehtod=hier"], "mehtod is not an option. Did you mean 'method'? nnmf-run --help lists all."),
        (["supervision.wieght=1"], "supervision.wieght is not an option. Did you mean 'supervision.weight'? "),
        (["zzz=1"], "zzz is not an option. Expected one of: allow_growing_ranks, "),
    ],
)
def test_an_unknown_option_is_answered_with_the_nearest_or_else_with_those_that_there_are(overrides, message):
    with pytest.raises(InputError) as refused:
        engine.compose(overrides)
    assert str(refused.value).startswith(message)
    assert "Did you mean 'dataset.idf'" not in str(refused.value)  # which has only the first part of its name in common
    if listed := re.search(r"Expected one of: (.*)\.$", str(refused.value)):
        names = listed[1].split(", ")
        part = GROUPS["dataset"]["toy"] if "dataset.foo" in message else RunConfig
        below = "dataset." if "dataset.foo" in message else ""
        own = {f"{below}{field.name}" for field in dataclasses.fields(part)}
        assert names == sorted(own if below else own | {"experiment"})
    else:
        assert "Expected" not in str(refused.value)


@pytest.mark.slow
@pytest.mark.parametrize(("flag", "part"), [("--info", "Defaults Tree"), ("--hydra-help", "Hydra")])
def test_hydras_own_answers_run_nothing(command, flag, part):
    logging.getLogger("hydra").setLevel(logging.NOTSET)  # which a sweep in this process has raised
    result = command("method=hier", flag)
    assert (result.status, result.files) == (0, [])
    assert part in result.out


def test_a_part_is_converted_once_and_anew_where_another_takes_its_name(monkeypatch):
    @dataclass
    class Part:
        a: int = 1

    @dataclass
    class Other:
        a: int = 2

    store = ConfigStore.instance()
    monkeypatch.setattr(store, "repo", {})
    for part in (Part, Other, {"a": 3}, {"a": 4}):
        engine._store("group/sub/part", part)
        [first] = store.repo["group"]["sub"].values()
        engine._store("group/sub/part", part)
        assert store.repo["group"]["sub"]["part.yaml"] is first
        assert first.node.a == (part["a"] if isinstance(part, dict) else part().a)


def test_what_becomes_of_a_configuration_is_in_no_other():
    first, expected = engine.compose(["method=neural"]), engine.compose(["method=neural"])
    first.supervision.weight = 7.0
    assert first != expected
    assert engine.compose(["method=neural"]) == expected


@pytest.mark.parametrize("method", ["deep", "hier", "deep_mu", "semi"])
def test_an_option_of_an_optimizer_is_no_choice_where_a_method_has_none(method):
    with pytest.raises(
        InputError, match=r"^optimizer\.memory=3 means nothing to method=\w+, which is fitted by updates"
    ):
        engine.compose([f"method={method}", "optimizer.memory=3"])
    with pytest.raises(InputError, match=r"It is one of: optimizer=lbfgs, optimizer=spg\.$"):
        engine.compose(["method=neural", "optimizer.memory=3"])

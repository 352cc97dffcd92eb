"""The schema: what determines a run's folder, what is resolved, what is expanded."""

from __future__ import annotations

import dataclasses

import pytest

from nnmf_runner.config import schema
from nnmf_runner.core.checks import InputError
from nnmf_runner.core.monitor import StoppingRule
from nnmf_runner.store.record import folder_name


def name_of(configure, *overrides, seed=0):
    return folder_name(configure(*overrides).identity(seed))


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        "dataset.noise=0.1",
        "dataset.levels=[5,2,1]",
        "layers=9-4",
        "method=hier",
        "method=deep",
        "cost=energy",
        "optimizer=spg",
        "optimizer=gd",
        "init=random",
        "init.fill=mean",
        "tol=1e-5",
        "max_iter=7",
        "label_fraction=0.4",
        "label_fraction=1",
        "label_level=0",
        "eval_label_level=0",
        "resample=halves",
        "resample=bicross",
    ],
)
def test_whatever_determines_the_result_changes_the_folder(configure, overrides):
    assert name_of(configure, *overrides.split()) != name_of(configure)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("base", "change"),
    [
        ("method=hier", "method.solver=mu"),
        ("method=deep", "method.pooling=mean"),
        ("method=deep method.activation=power", "method.exponent=0.3"),
        ("optimizer=gd", "optimizer.step=0.1"),
        ("cost=energy", "cost.weights=[1,2,3]"),
        ("cost=energy", "cost.weights=[2,2,2]"),
        ("method=sparse_coding", "method.penalty=1"),
        ("resample=halves", "resample.half=1"),
        ("resample=halves", "resample.pair=1"),
        ("resample=bicross", "resample.row_fold=1"),
        ("resample=bicross", "resample.folds=4"),
        ("method=sparse_coding method.penalty=1", "method.penalty=[1,1,2]"),
        ("label_fraction=0.4", "label_fraction=0.5"),
        ("label_fraction=0.4", "supervision.weight=0.5"),
        ("label_fraction=0.4", "supervision.loss=cross_entropy"),
        ("label_fraction=0.4", "supervision.learn_map=true"),
        ("init=greedy", "init.sweeps=3"),
    ],
)
def test_options_of_the_chosen_parts_change_the_folder(configure, base, change):
    assert name_of(configure, *base.split(), change) != name_of(configure, *base.split())


def test_the_seed_changes_the_folder(configure):
    assert name_of(configure, seed=1) != name_of(configure, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("base", "change"),
    [
        ("", "name=other"),
        ("", "output=elsewhere"),
        ("", "workers=2"),
        ("", "workers=null"),
        ("", "trials=5"),
        ("", "force=true"),
        ("", "allow_growing_ranks=true"),
        ("", "published=table1"),
        ("", "supervision.weight=3"),
        ("", "supervision.learn_map=true"),
        ("", "layers=[9,4,2]"),
        ("", f"tol={StoppingRule.tol:.12f}"),
        ("label_fraction=1", "label_fraction=1.0"),
        ("method=hier method.solver=mu", "method=hier_mu"),
        ("dataset.levels=[3,2,1] dataset.noise=0", "dataset.levels=[3.0,2.0,1.0] dataset.noise=0.0"),
        ("holdout=0", "holdout=0.0"),
        ("method=sparse_coding method.penalty=1", "method.penalty=1.0"),
        ("method=sparse_coding method.penalty=[1,2,0]", "method.penalty=[1.0,2.0,0.0]"),
        ("method=sparse_coding method.penalty=0.5", "method.penalty=[0.5,0.5,0.5]"),
        ("cost=energy", "cost.weights=[1,1,1]"),
        ("cost=multilevel", "cost.weights=[1.0,1,1.0]"),
    ],
)
def test_what_does_not_matter_leaves_the_folder(configure, base, change):
    assert name_of(configure, *base.split(), *change.split()) == name_of(configure, *base.split())


@pytest.mark.parametrize("text", ["layers=9-4-2", "layers=[9,4,2]", "layers='9,4,2'"])
def test_layers_are_read_in_every_form(configure, text):
    assert configure(text).layers == (9, 4, 2)


def test_one_rank_needs_no_brackets(configure):
    assert configure("layers=9").layers == configure("layers=[9]").layers == (9,)


def test_growing_ranks_only_on_request(configure):
    with pytest.raises(InputError, match=r"layers\[1\]=9 exceeds layers\[0\]=4.*allow_growing_ranks"):
        configure("layers=[4,9]")
    assert configure("layers=[4,9]", "allow_growing_ranks=true").layers == (4, 9)


@pytest.mark.parametrize(("fraction", "regime"), [(0, "unsupervised"), (0.4, "semisupervised"), (1, "supervised")])
def test_regime_follows_the_label_fraction(configure, fraction, regime):
    assert configure(f"label_fraction={fraction}").regime == regime


def test_labels_without_weight_leave_a_run_unsupervised(configure):
    regimes = [configure("label_fraction=0.4", f"supervision.weight={weight}").regime for weight in (0, 0.1)]
    assert regimes == ["unsupervised", "semisupervised"]


@pytest.mark.slow
def test_every_field_of_what_is_computed_is_part_of_the_identity(configure):
    """A field that is added enters the identity by itself; what is left out is told by another."""
    config = configure("label_fraction=0.4")
    names = {each.name for each in dataclasses.fields(schema.Computed)}
    # The first is told by the ranks, of the others there are none, and the last are as before they were options.
    absent = {"allow_growing_ranks", "resample", "fixed", "data_seed", "dtype", "engine"}
    assert names - config.identity(0).keys() == absent
    assert "resample" in configure("resample=halves").identity(0)
    assert configure("dtype=float32").identity(0)["dtype"] == "float32"
    assert config.identity(0).keys() - names == {"schema"}
    assert not names & {each.name for each in dataclasses.fields(schema.Execution)}


@pytest.mark.parametrize("output", ["", ".", "./", "..", "a/..", "/", "//", "~", "~/", "~root", "/home/of/somebody/"])
def test_output_is_a_folder_with_a_name_of_its_own(configure, monkeypatch, output):
    """The others are there for other things: records would stand among them."""
    monkeypatch.setenv("HOME", "/home/of/somebody")
    with pytest.raises(InputError) as refused:
        configure(f"output='{output}'")
    assert str(refused.value) == (
        f"output={output} is not valid. Expected a folder with a name of its own, such as outputs or ~/outputs."
    )


@pytest.mark.parametrize("output", ["a", "./a", "../a", "/a/", "~/a", "./~", "a b,c", "größe", "..a"])
def test_any_other_folder_may_hold_records(configure, monkeypatch, output):
    monkeypatch.setenv("HOME", "/home/of/somebody")
    config = configure(f"output='{output}'")
    assert dataclasses.replace(config).folder == config.folder
    assert config.folder.name == "runs"


@pytest.mark.slow
def test_a_seed_of_the_data_tells_trials_apart_where_anything_of_the_data_is_drawn(configure, tmp_path):
    (tmp_path / "X.csv").write_text("1,2,3\n3,4,5\n5,7,6\n")
    read = ["dataset=file", f"dataset.path={tmp_path / 'X.csv'}", "layers=2"]
    for options, matters in (([], True), (read, False), ([*read, "holdout=0.1"], True)):
        plain, shared = configure(*options), configure(*options, "data_seed=3")
        assert shared.identity(3) == plain.identity(3)  # which have the same data
        assert (shared.identity(4) != plain.identity(4)) == matters
        assert shared.identity(4).get("data_seed") == (3 if matters else None)
    labels = ["dataset=digits", "layers=9", "data_seed=3"]
    for fraction, matters in ((0, False), (0.5, True), (1, False)):
        assert ("data_seed" in configure(*labels, f"label_fraction={fraction}").identity(4)) == matters


def test_a_consensus_has_an_identity_of_its_own_and_its_trials_have_those_of_trials(configure):
    plain, agreed = (configure("trials=3", "seed=2", *more) for more in ([], ["consensus=true"]))
    assert agreed.identity(2) == plain.identity(2)
    assert agreed.identity(3) == plain.identity(3) | {"data_seed": 2}
    assert agreed.identity(None) == plain.identity(2) | {"consensus": 3}
    assert configure("trials=4", "seed=2", "consensus=true").identity(None) != agreed.identity(None)


def test_a_consensus_holds_layers_from_the_first_one_up(configure, tmp_path):
    with pytest.raises(InputError, match=r"fixed=\[1\] holds a layer above one that is not held"):
        configure("init=saved", f"init.path={tmp_path}", "method=hier", "fixed=[1]", "trials=2", "consensus=true")

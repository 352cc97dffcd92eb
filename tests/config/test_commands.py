"""The command line that makes a recorded run again is read as the configuration that the record is of."""

from __future__ import annotations

import json
import shlex

import numpy as np
import pytest

from nnmf_runner.config import composition
from nnmf_runner.config.commands import command_of
from nnmf_runner.config.values import quoted


@pytest.fixture
def texts(tmp_path):
    for name in ("a's [new], {odd}=${x}/b c", "other"):
        (tmp_path / "texts" / name).mkdir(parents=True)
        (tmp_path / "texts" / name / "1.txt").write_text("orbit moon")
    return tmp_path / "texts"


def record_of(config, seed=0, **changes):
    """What a record holds of a configuration, as it stands in its file."""
    identity = config.identity(seed)
    source = config.dataset
    about = {"options": source.portable()} if hasattr(source, "portable") else {}
    start = getattr(config.init, "path", None)
    record = {"config": identity, "experiment": config.name, "dataset": about, "published": config.published}
    return json.loads(json.dumps(record | {"start": start} | changes))


def again(command):
    program, *given = shlex.split(command.text)
    assert program == "nnmf-run"
    return composition.read(given)


@pytest.mark.parametrize(
    "given",
    [
        [],
        ["method=hier", "layers=9", "seed=7", "name=trial", "published=table1"],
        ["method=deep", "method.pooling=max", "layers=8-4", "label_fraction=0.4", "supervision.levels=last"],
        ["cost=multilevel", "cost.weights=[1,0.5,0.25]", "optimizer=adam", "optimizer.step=1e-05"],
        ["method=ncpd", "dataset=planted_cp", "layers=4-2", "method.hierarchy=tied"],
        ["method=sparse_coding", "method.penalty=[0.1,0.2]", "layers=8-4"],
        ["layers=4-8", "allow_growing_ranks=true", "normalise=true", "dtype=float32"],
        ["regularisation.l1_A=0.1", "regularisation.l2_S=0.2", "tol=1e-07", "holdout=0.1"],
        ["data_seed=3", "seed=5", "label_fraction=0.5", "eval_label_level=0", "supervision.levels=[0,null,2]"],
        ["engine=dask", "layers=9"],
        ["dataset=newsgroups", "dataset.known=20", "label_fraction=0.7", "dataset.norm=null", "dataset.max_df=0.5"],
    ],
    ids=" ".join,
)
def test_the_command_of_a_record_makes_its_configuration_again(configure, given):
    config = configure(*given)
    seed = config.seed
    command = command_of(record_of(config, seed))
    assert command.unknown == []
    found = again(command)
    assert found.identity(seed) == config.identity(seed)
    assert ("engine=dask" in given) == ("engine=dask" in shlex.split(command.text))
    assert (found.name, found.published) == (config.name, config.published)


def test_a_consensus_is_made_again_with_its_trials(configure):
    config = configure("trials=4", "consensus=true", "seed=2", "label_fraction=0.4")
    found = again(command_of(record_of(config, None)))
    assert found.consensus
    assert found.identity(None) == config.identity(None)


def test_a_trial_of_a_consensus_is_made_again_on_the_data_of_the_first(configure):
    config = configure("trials=4", "consensus=true", "seed=2", "label_fraction=0.4")
    assert again(command_of(record_of(config, 3))).identity(3) == config.identity(3)


def test_paths_of_any_name_are_those_of_the_run(configure, texts):
    folder = next(path for path in texts.iterdir() if "odd" in path.name)
    path = str(folder).replace("$", r"\$")
    config = composition.read(["dataset=text", f"dataset.path={quoted(path)}", "dataset.stop_words=['a b','c']"])
    found = again(command_of(record_of(config)))
    assert (found.dataset.path, found.dataset.stop_words) == (str(folder), ["a b", "c"])
    assert found.identity(0) == config.identity(0)


def test_saved_factors_are_taken_from_where_they_were(configure, tmp_path, rng):
    np.savez(tmp_path / "start.npz", A0=rng.random((87, 9)))
    config = composition.read([f"init={tmp_path / 'start.npz'}", "layers=9-4", "init.rest=nndsvd"])
    found = again(command_of(record_of(config)))
    assert found.identity(0) == config.identity(0)


def test_what_the_record_holds_a_hash_of_is_named(configure, texts, tmp_path):
    np.save(tmp_path / "mask.npy", np.ones((87, 90), dtype=bool))
    masked = command_of(record_of(configure(f"mask={tmp_path / 'mask.npy'}")))
    assert masked.unknown == ["mask"]
    assert " mask=PATH" in masked.text
    (tmp_path / "words.yaml").write_text("space: [orbit]\n")
    config = configure("dataset=text", f"dataset.path={texts}", f"dataset.seed_words={tmp_path / 'words.yaml'}")
    assert command_of(record_of(config)).unknown == ["dataset.seed_words"]
    assert command_of(record_of(config, dataset={"title": "texts"})).unknown == ["dataset.path", "dataset.seed_words"]


def test_the_command_is_one_for_a_shell(configure):
    command = command_of(record_of(configure("layers=9-4", "supervision.levels=[0,null]", "label_fraction=1")))
    assert "'supervision.levels=[0,null]'" in command.text
    assert {"layers=9-4", "seed=0"} <= set(command.text.split())
    assert "tol=" not in command.text

"""The command line of `nnmf-shards`: what is cut, into how much, and where it goes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nnmf_runner.config.shards import read_cut
from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets import File, Text, Toy
from nnmf_runner.datasets.files.sharding import shard
from nnmf_runner.datasets.files.shards import META, Sharded

LABELLED = "dataset.labels=[a.csv,b.csv]"


def test_a_path_is_a_file_with_the_options_of_one():
    found = read_cut(["./a=b.npy", "out", LABELLED, "dataset.orientation=features_by_samples", "columns=7"])
    assert found.source == File(path="./a=b.npy", labels=["a.csv", "b.csv"], orientation="features_by_samples")
    assert (found.folder, found.sizes, found.seed, found.dtype) == (Path("out"), {"columns": 7}, 0, None)


@pytest.mark.parametrize(
    "arguments",
    [
        ["shards=3", "dataset=text", "dataset.path=posts", "out", "dtype=float32"],
        ["out", "dataset.path=posts", "dtype=float32", "dataset=text", "shards=3"],
    ],
)
def test_words_stand_in_any_order(arguments):
    found = read_cut(arguments)
    assert (found.source, found.folder) == (Text(path="posts"), Path("out"))
    assert (found.sizes, found.dtype) == ({"shards": 3}, "float32")


def test_data_may_be_drawn():
    found = read_cut(["dataset=toy", "out", "seed=4"])
    assert (type(found.source), found.seed, found.sizes) == (Toy, 4, {})


def test_a_folder_of_shards_is_one_without_being_called_so(tmp_path):
    (tmp_path / META).write_text("{}")
    assert read_cut([str(tmp_path), "out"]).source == Sharded(str(tmp_path))


@pytest.mark.parametrize("path", ["it's.npy", "a,b.npy", "a b.npy", "[a].npy", "{a: b}.npy", "a=b/c"])
def test_a_path_is_taken_as_it_stands(path):
    assert read_cut([f"./{path}", "out"]).source == File(path=f"./{path}")


def test_a_home_folder_is_found(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read_cut(["a.npy", "~/out"]).folder == tmp_path / "out"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "paths are given: none. Expected SOURCE and FOLDER. nnmf-shards --help lists all options."),
        (["a.npy"], "paths are given: a.npy. Expected SOURCE and FOLDER"),
        (["a.npy", "b", "c"], "paths are given: a.npy, b, c. Expected SOURCE and FOLDER"),
        (["dataset=toy", "a", "b"], "paths are given: a, b. Expected FOLDER"),
        (["a.npy", "b", "layers=3"], "layers=3 is no option of data. Expected shards, columns, dtype, seed or"),
        (["a.npy", "b", "shards=two"], "shards=two is not valid. Expected a whole number"),
        (["a.npy", "b", "columns=-1"], "columns=-1 is not valid. Expected a whole number"),
        (["a.npy", "b", "shards=2", "shards=3"], "shards is given more than once"),
        (["a.npy", "b", "dtype=int8"], "dtype=int8 is not known. Expected one of: float32, float64"),
        (["a.npy", "b", "dataset.lables=[a]"], "dataset.lables"),
        (["a.npy", "b", "dataset.orientation=rows"], "dataset.orientation=rows is not known"),
        (["a.npy", "b", "dataset.x=a,b"], "dataset.x=a,b"),
        (["dataset=nothing", "b"], "nothing"),
        (["a.npy", "b", "--force"], "--force"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(arguments, said):
    with pytest.raises(InputError) as refused:
        read_cut(arguments)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["./none.npy", "out"], "SOURCE=./none.npy does not exist"),
        (["dataset=file", "dataset.path=./none.npy", "out"], "dataset.path=./none.npy does not exist"),
    ],
)
def test_errors_name_the_source_as_the_command_line_does(arguments, said):
    cut = read_cut(arguments)
    with pytest.raises(InputError, match=re.escape(said)), cut.named():
        shard(cut.source, cut.folder)


@pytest.mark.parametrize(
    ("arguments", "name"), [(["~no-such-user/a.npy", "out"], "SOURCE"), (["a.npy", "~no-such-user"], "FOLDER")]
)
def test_paths_of_no_user_are_named_as_the_command_line_does(arguments, name):
    with pytest.raises(InputError, match=f"^{name}=~no-such-user.* is not valid"):
        read_cut(arguments)

"""What datasets that come from files share: packages, paths, texts, labels, and hashes of what files hold."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.files.reading import (
    class_indices,
    content_digest,
    decoded,
    existing,
    files_below,
    read_bytes,
    required,
)


def test_a_package_is_imported_or_named_with_the_command_that_installs_it():
    assert required("json", "text", "file").__name__ == "json"
    with pytest.raises(InputError, match=r"dataset=text needs .*no_such.* pip install 'nnmf-runner\[bio\]'") as caught:
        required("no_such.module", "bio", "text")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("names", "indices"), [(["b", "a", "b"], [1, 0, 1]), ([10, 9, 10], [1, 0, 1]), ([False, True], [0, 1]), ([], [])]
)
def test_classes_are_numbered_in_their_sorted_order(names, indices):
    found = class_indices(names)
    assert found.dtype == np.intp
    assert found.tolist() == indices


def test_a_path_is_found_from_the_working_directory_and_the_home(tmp_path, monkeypatch):
    (tmp_path / "a").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert existing("a", "a file") == Path("a")
    assert existing("~/a", "a file") == tmp_path / "a"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (None, r"^dataset\.path is missing\. Expected a file\.$"),
        ("", r"^dataset\.path is missing\. Expected a file\.$"),
        ("absent", r"^dataset\.path=absent does not exist\. Expected a file\.$"),
        ("a" * 5000, r"is not valid: File name too long\.$"),
        ("~nobody-of-this-name/a", r"^dataset\.path=~nobody-of-this-name/a is not valid: "),
    ],
)
def test_a_path_where_nothing_can_be_is_refused(tmp_path, monkeypatch, path, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        existing(path, "a file")


def test_files_are_listed_at_any_depth_in_order_without_hidden_ones(tmp_path):
    for name in ("b", "a/2", "a/1", "a/z/3", ".hidden", "a/.hidden", ".folder/4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [str(path.relative_to(tmp_path)) for path in files_below(tmp_path)] == ["a/1", "a/2", "a/z/3", "b"]


def test_texts_are_decoded_without_a_mark_or_refused_by_name(tmp_path):
    assert decoded("\ufeffä".encode(), tmp_path / "a", "dataset.path", "utf-8") == "ä"
    with pytest.raises(InputError, match=r"dataset\.path: .*a is not utf-8 text"):
        decoded(b"\xe4", tmp_path / "a", "dataset.path", "utf-8")


def test_what_cannot_be_read_is_named_with_its_option(tmp_path):
    (tmp_path / "a").write_bytes(b"content")
    assert read_bytes(tmp_path / "a", "dataset.path") == b"content"
    for refused in (read_bytes, lambda path, option: content_digest([path], path, option)):
        with pytest.raises(InputError, match=r"^dataset\.path: .*absent cannot be read: No such file or directory\.$"):
            refused(tmp_path / "absent", "dataset.path")


@pytest.fixture
def hashed(monkeypatch):
    """Names of the files whose contents were read."""
    read, original = [], hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda file, name: read.append(file.name) or original(file, name))
    return read


def test_a_file_is_read_once_for_its_hash_and_again_when_it_changed(tmp_path, hashed):
    path = tmp_path / "a"
    path.write_text("first")
    digests = [content_digest([path], path, "") for _ in range(3)]
    assert len(set(digests)) == len(hashed) == 1
    path.write_text("changed")
    assert content_digest([path], path, "") != digests[0]
    assert len(hashed) == 2


def test_names_and_contents_make_the_hash_and_not_the_place(tmp_path):
    for folder, name, text in (("one", "a", "x"), ("two", "a", "x"), ("three", "b", "x"), ("four", "a", "y")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text(text)
    one, two, three, four = (
        content_digest(sorted((tmp_path / f).iterdir()), tmp_path / f, "") for f in ("one", "two", "three", "four")
    )
    assert one == two
    assert len({one, three, four}) == 3

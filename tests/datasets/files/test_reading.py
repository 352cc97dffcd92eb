"""What datasets that come from files share: packages, paths, texts, labels, and hashes of what files hold."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.files import bounds
from nnmf_runner.datasets.files.reading import (
    class_indices,
    content_digest,
    decoded,
    existing,
    files_below,
    read_bytes,
    read_unpacked,
    required,
)


def test_a_package_is_imported_or_named_with_the_command_that_installs_it():
    assert required("json", "text", "file").__name__ == "json"
    with pytest.raises(InputError, match=r"dataset=text needs .*no_such.* pip install 'nnmf-runner\[bio\]'") as caught:
        required("no_such.module", "bio", "text")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("names", "indices"),
    [
        (["b", "a", "b"], [1, 0, 1]),
        (["b", None, "a"], [1, -1, 0]),
        ([None], [-1]),
        ([], []),
    ],
)
def test_classes_are_numbered_in_their_sorted_order(names, indices):
    found, classes = class_indices(names)
    assert found.dtype == np.intp
    assert found.tolist() == indices
    assert classes == sorted({*names} - {None})


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


@pytest.mark.parametrize(
    ("encoding", "text", "reason"),
    [
        ("latin-1", "für", "byte 0xfc at 1"),
        ("cp1252", "“für”", "byte 0x93 at 0"),
        ("utf-16", "für", "byte 0xff at 0"),
        ("utf-32", "für", "byte 0xff at 0"),
    ],
)
def test_what_is_no_utf_8_is_refused_with_the_place_and_the_encoding_that_it_may_have(encoding, text, reason):
    content = text.encode(encoding)
    with pytest.raises(InputError) as caught:
        decoded(content, Path("a"), "dataset.path=a", "utf-8", choosable=True)
    asked = f"dataset.encoding={encoding} may be what it needs"
    assert str(caught.value) == f"dataset.path=a: a is not utf-8 text ({reason}); {asked}."
    assert decoded(content, Path("a"), "dataset.path=a", encoding) == text
    with pytest.raises(InputError, match=rf"\); it may be {encoding}: convert it\.$"):
        decoded(content, Path("a"), "dataset.path=a", "utf-8")


@pytest.mark.parametrize(("encoding", "text"), [("ascii", "für"), ("utf-16", "odd")])
def test_what_is_utf_8_is_told_so(encoding, text):
    with pytest.raises(InputError, match=rf"not {encoding} text .*dataset\.encoding=utf-8 may be"):
        decoded(text.encode(), Path("a"), "dataset.path=a", encoding, choosable=True)


def test_what_is_packed_is_read_unpacked(tmp_path):
    packed = gzip.compress(b"content")
    (tmp_path / "a.TXT.GZ").write_bytes(packed)
    (tmp_path / "a").write_bytes(packed)
    assert read_unpacked(tmp_path / "a.TXT.GZ", "dataset.path") == b"content"
    assert read_unpacked(tmp_path / "a", "dataset.path") == packed


@pytest.mark.parametrize(
    "damage",
    [
        lambda c: c[:-4],
        lambda c: c[:20],
        lambda c: c[:-8] + bytes(8),
        lambda c: c[:12] + b"~~~~" + c[16:],
        lambda c: b"a",
    ],
)
def test_what_is_packed_and_damaged_is_refused(tmp_path, damage):
    (tmp_path / "a.gz").write_bytes(damage(gzip.compress(bytes(range(256)))))
    with pytest.raises(InputError, match=r"dataset\.path: .*a\.gz is not a whole gzip file \(.+\)\.$") as caught:
        read_unpacked(tmp_path / "a.gz", "dataset.path")
    assert "\n" not in str(caught.value)


def test_what_unpacks_to_more_than_the_most_is_refused(tmp_path, monkeypatch):
    (tmp_path / "a.gz").write_bytes(gzip.compress(bytes(1000)))
    monkeypatch.setattr(bounds, "RATIO", 0)
    monkeypatch.setattr(bounds, "FREE", 1000)
    assert len(read_unpacked(tmp_path / "a.gz", "dataset.path")) == 1000
    monkeypatch.setattr(bounds, "FREE", 999)
    with pytest.raises(InputError, match=r"a\.gz: it unpacks to more than 999 bytes"):
        read_unpacked(tmp_path / "a.gz", "dataset.path")


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

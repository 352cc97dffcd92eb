"""Texts in tar archives: what is packed is read back, and what is damaged, huge or a link is not."""

from __future__ import annotations

import gzip
import io
import tarfile

import pytest

from nnmf_runner.datasets.files import archives
from nnmf_runner.datasets.files.archives import packed, read_texts

TEXTS = {"b/2": b"second", "a/1": b"first", "a/empty": b"", "c/bytes": bytes(range(256))}


def written(path, content):
    path.write_bytes(content)
    return path


def test_what_is_packed_is_read_back(tmp_path):
    path = written(tmp_path / "a.tar.gz", packed(TEXTS))
    assert read_texts(path, lambda name: True) == TEXTS
    assert read_texts(path, lambda name: name.startswith("a/")) == {"a/1": b"first", "a/empty": b""}


def test_the_same_texts_in_any_order_are_the_same_bytes():
    assert packed(dict(reversed(TEXTS.items()))) == packed(TEXTS)
    assert packed({**TEXTS, "a/1": b"other"}) != packed(TEXTS)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_every_compression_is_read(tmp_path, mode):
    with tarfile.open(tmp_path / "a", mode) as archive:
        member = tarfile.TarInfo("x")
        member.size = 4
        archive.addfile(member, io.BytesIO(b"text"))
    assert read_texts(tmp_path / "a", lambda name: True) == {"x": b"text"}


def test_links_and_folders_are_passed_over(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE):
            member = tarfile.TarInfo(f"of kind {kind!r}")
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    assert read_texts(tmp_path / "a.tar", lambda name: True) == {}


def test_a_text_above_the_limit_is_refused_by_its_header_and_only_where_it_is_wanted(tmp_path, monkeypatch):
    path = written(tmp_path / "a.tar.gz", packed(TEXTS))
    monkeypatch.setattr(archives, "LARGEST", 256)
    assert read_texts(path, lambda name: True) == TEXTS
    monkeypatch.setattr(archives, "LARGEST", 255)
    with pytest.raises(ValueError, match="c/bytes has 256 bytes, expected at most 255"):
        read_texts(path, lambda name: True)
    assert read_texts(path, lambda name: name == "b/2") == {"b/2": b"second"}


CONTENT = packed(TEXTS)


@pytest.mark.parametrize(
    "content",
    [CONTENT[:-6], CONTENT[: len(CONTENT) // 2], CONTENT[:-8] + b"\0" * 8, b"", b"no archive", gzip.compress(b"none")],
    ids=["without its end", "half", "another checksum", "empty", "text", "compressed text"],
)
def test_what_is_damaged_or_none_is_refused_in_one_line(tmp_path, content):
    with pytest.raises(ValueError, match=r"\S") as caught:
        read_texts(written(tmp_path / "a.tar.gz", content), lambda name: False)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match="No such file"):
        read_texts(tmp_path / "absent", lambda name: True)

"""Files and folders that are written whole or not at all, arrays that are read without executing anything."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from nnmf_runner.core.checks import InputError
from nnmf_runner.store import files
from nnmf_runner.store.files import digest, named, read_arrays, user_path, whole_file, whole_folder, without_passwords


def write(writer, path, text, error=None):
    """Write a text by one of the two, as the file or as a file in the folder, and raise an error then."""
    with writer(path) as scratch:
        (scratch / "text" if writer is whole_folder else scratch).write_text(text)
        if error is not None:
            raise error


def text_of(path):
    return (path / "text" if path.is_dir() else path).read_text()


def test_a_tilde_is_a_home_folder_at_the_beginning_of_a_path_alone(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~", "output") == tmp_path
    assert user_path("~/a b/c", "output") == tmp_path / "a b/c"
    assert user_path(Path("~/a"), "path") == tmp_path / "a"
    assert user_path("~root/a", "output") == Path(pwd.getpwnam("root").pw_dir, "a")
    for text in ("a/~", "a~", "", "/"):
        assert user_path(text, "output") == Path(text)
    path = user_path("./~/a", "output")
    assert user_path(path, "output") == path == Path.cwd() / "~" / "a"


@pytest.mark.parametrize("text", ["~nobodyhere/x", "~nobodyhere", "~no\0body/x"])
def test_a_home_folder_of_no_user_is_refused_in_one_line(text):
    with pytest.raises(
        InputError, match=r"^output=~no.* is not valid: ~no.* is the home folder of no user\. Expected "
    ):
        user_path(text, "output")


BOTH = pytest.mark.parametrize("writer", [whole_file, whole_folder])


@BOTH
def test_what_is_written_takes_the_place_of_what_was_there_and_nothing_stays_beside(tmp_path, writer):
    path = tmp_path / "new" / "a"
    for text in ("first", "second"):
        write(writer, path, text)
        assert text_of(path) == text
        assert list(path.parent.iterdir()) == [path]


@BOTH
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, ValueError])
def test_a_crash_while_writing_leaves_what_was_there(tmp_path, writer, error):
    path = tmp_path / "a"
    write(writer, path, "first")
    with pytest.raises(error):
        write(writer, path, "second", error)
    assert text_of(path) == "first"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("writer", "failing"), [(whole_file, 1), (whole_folder, 1), (whole_folder, 2)])
def test_a_crash_while_it_is_put_in_its_place_leaves_what_was_there(tmp_path, monkeypatch, writer, failing):
    path, calls, replace = tmp_path / "a", [], os.replace
    write(writer, path, "first")

    def fail_once(source, target):
        calls.append(source)
        if len(calls) == failing:
            raise OSError("disk")
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", fail_once)
    with pytest.raises(OSError, match="disk"):
        write(writer, path, "second")
    assert text_of(path) == "first"
    assert list(tmp_path.iterdir()) == [path]


@BOTH
@pytest.mark.parametrize("umask", [0o022, 0o027])
def test_permissions_are_those_that_the_user_gives(tmp_path, writer, umask):
    before = os.umask(umask)
    try:
        write(writer, tmp_path / "a", "text")
        assert os.umask(umask) == umask  # left as it was
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == (0o777 if writer is whole_folder else 0o666) & ~umask


@BOTH
def test_a_full_disk_is_named_and_leaves_nothing(tmp_path, writer, full_disk):
    path = tmp_path / "made" / "for" / "a"
    with full_disk(), pytest.raises(OSError, match="File too large") as caught:
        write(writer, path, "text")
    assert caught.value.filename == str(path)
    assert list(tmp_path.iterdir()) == []


@BOTH
def test_where_nothing_can_be_made_the_file_is_named_that_was_to_be_written(tmp_path, monkeypatch, writer):
    def refuse(prefix, dir):
        raise PermissionError(13, "Permission denied", f"{dir}/{prefix}x")

    for make in ("mkstemp", "mkdtemp"):
        monkeypatch.setattr(tempfile, make, refuse)
    with pytest.raises(PermissionError) as caught:
        write(writer, tmp_path / "a", "text")
    assert caught.value.filename == str(tmp_path / "a")


@BOTH
def test_folders_that_were_there_stay_though_they_are_empty(tmp_path, writer):
    (tmp_path / "there").mkdir()
    with pytest.raises(OSError, match="disk"):
        write(writer, tmp_path / "there" / "made" / "a", "text", OSError("disk"))
    assert list(tmp_path.rglob("*")) == [tmp_path / "there"]


def test_an_error_that_names_its_file_and_one_of_no_system_call_stay_as_they_are(tmp_path):
    with pytest.raises(OSError, match="gone") as caught, named(tmp_path / "a"):
        raise OSError(2, "gone", "b")
    assert caught.value.filename == "b"
    with pytest.raises(OSError, match="words") as caught, named(tmp_path / "a"):
        raise OSError("words")
    assert caught.value.filename is None


def test_arrays_are_read_back_as_they_were_written(tmp_path):
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.array([True, False]), "c": np.int8([1, -1])}
    np.savez(tmp_path / "a.npz", **arrays)
    found = read_arrays(tmp_path / "a.npz")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.array([{"a": 1}], dtype=object), r"a\.npz cannot be read: Object arrays cannot be loaded"),
        (np.array(["text"]), r"a\.npz cannot be read: X is not an array of numbers"),
        (np.array([1j]), r"a\.npz cannot be read: X is not an array of numbers"),
        (np.array([1.0, np.nan]), r"a\.npz is damaged: X holds entries that are NaN or infinite"),
        (np.array([np.inf]), r"a\.npz is damaged: X holds entries that are NaN or infinite"),
        (None, r"a\.npz cannot be read: No such file or directory"),
        (b"", r"a\.npz cannot be read: "),
        (b"text", r"a\.npz cannot be read: File is not a zip file"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused_in_one_line(tmp_path, content, message):
    if isinstance(content, bytes):
        (tmp_path / "a.npz").write_bytes(content)
    elif content is not None:
        np.savez(tmp_path / "a.npz", X=content)
    with pytest.raises(ValueError, match=message) as caught:
        read_arrays(tmp_path / "a.npz")
    assert "\n" not in str(caught.value)


def test_a_changed_byte_in_a_file_of_arrays_is_found(tmp_path):
    np.savez(tmp_path / "a.npz", X=np.arange(100.0))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.npz cannot be read: Bad CRC-32"):
        read_arrays(tmp_path / "a.npz")


def test_a_digest_is_that_of_shapes_and_values(rng):
    A, B = rng.random((4, 3)), rng.random(3)
    same = digest([A, B])
    assert digest([np.asfortranarray(A), B.astype(">f8")]) == same
    others = [[B, A], [A], [A, B, B], [A.T, B], [A.reshape(3, 4), B], [np.nextafter(A, 1), B], [A, B[::-1]]]
    assert len({same, *map(digest, others)}) == 1 + len(others)


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (7,), (7, 5), (1, 9)])
def test_a_digest_does_not_depend_on_how_much_is_hashed_at_a_time(rng, monkeypatch, shape):
    array = rng.random(shape)
    whole = digest([array])
    monkeypatch.setattr(files, "CHUNK", 4)
    assert digest([array]) == whole


@BOTH
def test_what_a_killed_process_left_is_cleared_by_the_next_that_writes_into_the_folder(tmp_path, writer):
    code = f"""
import os, pathlib
from nnmf_runner.store.files import {writer.__name__}
with {writer.__name__}(pathlib.Path("a")) as scratch:
    os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False)
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".a-")
    with writer(tmp_path / "of a process that lives") as living:
        write(writer, tmp_path / "b", "text")
        assert set(tmp_path.iterdir()) == {living, tmp_path / "b"}
        (living / "text" if writer is whole_folder else living).write_text("text")


def test_what_a_killed_process_put_aside_comes_back(tmp_path):
    write(whole_folder, tmp_path / "a", "first")
    code = """
import os, pathlib
from nnmf_runner.store.files import whole_folder
replace = os.replace
def killed_between(old, new):
    return replace(old, new) if ".a-" in str(new) else os.kill(os.getpid(), 9)
os.replace = killed_between
with whole_folder(pathlib.Path("a")) as scratch:
    (scratch / "text").write_text("second")
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False)
    assert not (tmp_path / "a").exists()
    write(whole_folder, tmp_path / "b", "text")
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}
    assert text_of(tmp_path / "a") == "first"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("at http://me:secret@host:1/a@b, not", "at http://host:1/a@b, not"),
        ("mysql+x://me:s@cret@host/name", "mysql+x://host/name"),
        ("sqlite:///a@b.db and me@host", "sqlite:///a@b.db and me@host"),
    ],
)
def test_addresses_are_told_without_passwords(text, kept):
    assert without_passwords(text) == kept

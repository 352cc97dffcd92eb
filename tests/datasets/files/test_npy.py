"""Arrays in numpy's format whose headers lie, are damaged, or ask for pickles."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest

from nnmf_runner.datasets.files.npy import PickledError, map_npy, read_array, read_npy

DATA = bytes(96)


def described(shape, kind="<f8"):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": kind, "fortran_order": False, "shape": shape})
    return file.getvalue() + DATA


def headed(header):
    """A file with this text as its header."""
    return np.lib.format.magic(1, 0) + len(header).to_bytes(2, "little") + header + DATA


BAD = {
    "more than there is": (described((10**6, 10**6)), r"shape \(1000000, 1000000\) of type float64, .* more than"),
    "more than C can count": (described((10**30, 10**30)), "more than it holds"),
    "less than nothing": (described((-3, 4)), "more than it holds"),
    "one byte too many": (described((97,), "|b1"), "more than it holds"),
    "no type": (described((4,), "<U1000000000"), "header is damaged"),
    "no end": (headed(b"(" * 9000), "its header is damaged"),
    "no literal": (headed(b"open('x')"), "header is damaged"),
    "no key": (described((3, 4)).replace(b"descr", b"de(cr"), "header is damaged"),
    "not text": (described((3, 4)).replace(b"descr", b"\xff\xfe\xfd\xfc\xfb"), "header is damaged"),
    "a later version": (b"\x93NUMPY\x09\x00" + DATA, "a version of"),
    "another format": (b"PK" + DATA, "not in numpy's format"),
    "nothing": (b"", "not in numpy's format"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_damaged_is_refused(tmp_path, name):
    content, message = BAD[name]
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_npy(tmp_path / "a.npy")


@pytest.mark.parametrize(
    "array", [np.eye(3, 4), np.asfortranarray(np.eye(3, 4)), np.array(["a", "bc"]), np.ones((0, 3))]
)
def test_what_numpy_has_written_is_read(array):
    file = io.BytesIO()
    np.save(file, array)
    file.seek(0)
    found = read_array(file, len(file.getvalue()))
    np.testing.assert_array_equal(found, array)
    assert (found.dtype, found.flags.f_contiguous) == (array.dtype, array.flags.f_contiguous)


def test_pickles_are_told_apart_and_not_opened():
    file = io.BytesIO()
    np.save(file, np.array([{}]), allow_pickle=True)
    file.seek(0)
    with pytest.raises(PickledError):
        read_array(file, len(file.getvalue()))


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_pipes_and_devices_are_refused_at_once(tmp_path, make):
    make(tmp_path / "a.npy")
    with pytest.raises(ValueError, match="not a plain file"):
        read_npy(tmp_path / "a.npy")


@pytest.mark.parametrize("array", [np.eye(3, 4), np.asfortranarray(np.eye(3, 4)), np.ones((0, 3)), np.ones(0)])
def test_an_array_is_mapped_from_a_file_that_holds_nothing_else(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    found = map_npy(tmp_path / "a.npy")
    np.testing.assert_array_equal(found, array)
    assert isinstance(found.base, np.memmap)
    assert not found.flags.writeable
    with (tmp_path / "a.npy").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ValueError, match="which is less than it holds"):
        map_npy(tmp_path / "a.npy")


@pytest.mark.parametrize("name", BAD)
def test_what_is_damaged_is_not_mapped(tmp_path, name):
    content, message = BAD[name]
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        map_npy(tmp_path / "a.npy")

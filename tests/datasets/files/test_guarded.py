"""Reading in a process of its own: contents come back as they are, and what breaks there is a line here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from scipy import io, sparse

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.files import guarded as module
from nnmf_runner.datasets.files.contents import ContentError, Grid, Layout, Refused, Table
from nnmf_runner.datasets.files.guarded import guarded
from tests.fixtures import bad_readers
from tests.fixtures.tables import load


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A file to read, and a folder of its own for what is temporary, which is empty in the end."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    (tmp_path / "file").write_text("content")
    yield tmp_path / "file"
    assert [*temporary.iterdir()] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reader", "kind", "message"),
    [
        (bad_readers.crash, ContentError, r"reading it crashes \(SIGSEGV\): it is damaged"),
        (bad_readers.swell, ContentError, r"takes more than \d[\d.]* GB of memory"),
        (bad_readers.leave, ContentError, "ended with status 3"),
        (bad_readers.refuse, ContentError, "^it is refused$"),
        (bad_readers.lack, InputError, "^a package is missing$"),
        (bad_readers.fail, ValueError, "a.*b"),
    ],
)
def test_what_breaks_is_an_error(path, reader, kind, message):
    with pytest.raises(kind, match=message) as caught:
        guarded(reader)(path)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(("reader", "patience"), [(bad_readers.loop, 100), (bad_readers.wait, 3)])
def test_what_does_not_end_is_an_error(path, monkeypatch, reader, patience):
    monkeypatch.setattr(module, "SECONDS", 1)
    monkeypatch.setattr(module, "PATIENCE", patience)
    monkeypatch.setattr(module, "START", f"import {module.__name__} as m; m.SECONDS = 1; {module.START}")
    started = time.monotonic()
    with pytest.raises(ContentError, match="was not read within 1 seconds"):
        guarded(reader)(path)
    assert time.monotonic() - started < 30


def test_contents_come_back_as_they_are(path):
    expected, found = bad_readers.everything(path), guarded(bad_readers.everything)(path)
    assert (list(found.arrays), found.index_base) == (list(expected.arrays), 1)
    assert isinstance(found.arrays.pop("object"), Refused)
    for key, array in found.arrays.items():
        other = expected.arrays[key]
        if isinstance(array, Grid):
            assert (array.rows, array.columns, array.notes) == (other.rows, other.columns, other.notes)
            array, other = array.values, other.values
        if isinstance(array, Refused):
            assert array == other
        elif sparse.issparse(array):
            assert array.format == ("csr" if key == "coo" else key)
            np.testing.assert_array_equal(array.toarray(), other.toarray())
        else:
            assert (array.dtype, array.flags.f_contiguous) == (other.dtype, other.flags.f_contiguous)
            np.testing.assert_array_equal(array, other)


def test_a_table_comes_back_with_its_layout(path):
    found = guarded(bad_readers.table)(path, Layout(exclude=["a"]))
    assert isinstance(found, Table)
    assert (found.layout.exclude, found.index) == (["a"], ("b",))
    assert found.arrays["b"].tolist() == ["x", "y", "z"]


def test_modules_in_the_working_directory_are_not_imported(path, tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    assert isinstance(guarded(bad_readers.table)(path), Table)


def test_reading_ends_with_the_process_that_waits_for_it(path, tmp_path):
    code = (
        "from pathlib import Path; from nnmf_runner.datasets.files.guarded import guarded; "
        f"from tests.fixtures import bad_readers; guarded(bad_readers.slow)(Path({str(path)!r}))"
    )
    environment = os.environ | {"TMPDIR": str(tmp_path / "temporary"), "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", code], env=environment) as parent:
        until(lambda: path.read_text().isdigit())
        child = int(path.read_text())
        parent.send_signal(signal.SIGKILL)
    until(lambda: not alive(child))


def until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def alive(process):
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_changed_byte_that_crashes_the_reader_of_matlab_files_is_refused(path, tmp_path):
    io.savemat(tmp_path / "a.mat", {"X": np.ones((2, 2))})
    content = bytearray((tmp_path / "a.mat").read_bytes())
    assert content[176] == 9  # doubles
    content[176] = 255
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.mat: (reading it crashes|it cannot be read)") as caught:
        load(tmp_path / "a.mat")
    assert "\n" not in str(caught.value)

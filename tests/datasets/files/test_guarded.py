"""Reading in a process of its own: contents come back as they are, and what breaks there is a line here."""

from __future__ import annotations

import gc
import io
import mmap
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from scipy.io import savemat

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.files import guarded as module
from nnmf_runner.datasets.files.contents import ContentError, Grid, Layout, Refused, Table
from nnmf_runner.datasets.files.guarded import guarded
from tests.fixtures import bad_readers
from tests.fixtures.processes import is_running, until
from tests.fixtures.tables import load

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="other systems do not bear forks or tell of parents")


@pytest.fixture(params=["forked", "started"])
def way(request, monkeypatch):
    """How the process begins."""
    if request.param == "forked" and sys.platform != "linux":
        pytest.skip("other systems do not bear forks")
    monkeypatch.setattr(module, "may_fork", lambda: request.param == "forked")
    return request.param


@pytest.fixture
def forked(monkeypatch):
    """The process is a fork."""
    if sys.platform != "linux":
        pytest.skip("other systems do not bear forks")
    monkeypatch.setattr(module, "may_fork", lambda: True)


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A file to read; what is open, temporary or runs is the same in the end as before."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    (tmp_path / "file").write_text("content")
    before = left()
    yield tmp_path / "file"
    assert [*temporary.iterdir()] == []
    assert left() == before


def left():
    """Descriptors and children of this process, where the system lists them."""
    listed = Path("/proc/self/fd"), Path(f"/proc/self/task/{threading.get_native_id()}/children")
    return [len(os.listdir(listed[0])), listed[1].read_text()] if listed[0].exists() else []


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
def test_what_breaks_is_an_error(path, way, reader, kind, message):
    with pytest.raises(kind, match=message) as caught:
        guarded(reader)(path)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reader", "patience"), [(bad_readers.loop, 100), (bad_readers.wait, 3), (bad_readers.occupy, 3)]
)
def test_what_does_not_end_is_an_error(path, way, monkeypatch, reader, patience):
    monkeypatch.setattr(module, "SECONDS", 1)
    monkeypatch.setattr(module, "PATIENCE", patience)
    monkeypatch.setattr(module, "START", f"import {module.__name__} as m; m.SECONDS = 1; {module.START}")
    started = time.monotonic()
    with pytest.raises(ContentError, match="was not read within 1 seconds"):
        guarded(reader)(path)
    assert time.monotonic() - started < 30


@pytest.mark.slow
def test_contents_come_back_as_they_are(path, way):
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
            assert all(array.flags[flag] for flag in ("OWNDATA", "WRITEABLE", "ALIGNED"))
            np.testing.assert_array_equal(array, other)


@pytest.mark.slow
def test_a_table_comes_back_with_its_layout(path, way):
    found = guarded(bad_readers.table)(path, Layout(exclude=["a"]))
    assert isinstance(found, Table)
    assert (found.layout.exclude, found.index) == (["a"], ("b",))
    assert found.arrays["b"].tolist() == ["x", "y", "z"]


@pytest.mark.slow
def test_modules_in_the_working_directory_are_not_imported(path, way, tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    assert isinstance(guarded(bad_readers.table)(path), Table)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reader", "sent"), [("slow", 0), pytest.param("occupy", module.PR_SET_PDEATHSIG, marks=ON_LINUX)]
)
def test_reading_ends_with_the_process_that_waits_for_it(path, way, tmp_path, reader, sent):
    code = (
        "from pathlib import Path; from nnmf_runner.datasets.files import guarded as module; "
        f"from tests.fixtures import bad_readers; module.may_fork = lambda: {way == 'forked'}; "
        f"module.PR_SET_PDEATHSIG = {sent}; "  # which 0 is not: only a closed descriptor tells
        f"module.guarded(bad_readers.{reader})(Path({str(path)!r}))"
    )
    environment = os.environ | {"TMPDIR": str(tmp_path / "temporary"), "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", code], env=environment) as parent:
        until(lambda: path.read_text().isdigit())
        child = int(path.read_text())
        time.sleep(0.2)  # until it waits
        parent.send_signal(signal.SIGKILL)
    until(lambda: not is_running(child))


@pytest.mark.slow
@ON_LINUX
def test_a_process_is_forked_only_where_no_other_thread_may_hold_a_lock():
    code = (
        "import threading, tqdm; from nnmf_runner.datasets.files import guarded as module; "
        "bar = tqdm.tqdm(total=2); print(threading.active_count(), module.may_fork()); "
        "threading.Thread(target=threading.Event().wait, daemon=True).start(); print(module.may_fork())"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["2", "True", "False"]


@pytest.mark.slow
@ON_LINUX
def test_the_process_has_little_of_its_parent(path, way, monkeypatch, capfd):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with path.open():
        found = guarded(bad_readers.surroundings)(path).arrays
    assert {key: sorted(array) for key, array in found.items()} == {
        "open": [0, 1, 2, 3],
        "leads": [True],
        "threads": [1],
    }
    assert "".join(capfd.readouterr()) == ""


@pytest.mark.slow
def test_memory_of_the_parent_does_not_count(path, forked):
    unreserved = 0x4000  # MAP_NORESERVE, which mmap has a name for from Python 3.13
    with mmap.mmap(-1, 2**36, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | unreserved):
        assert guarded(bad_readers.large)(path).arrays["X"].all()


def test_a_fork_leaves_signals_to_its_parent(path, forked, tmp_path):
    previous = signal.signal(signal.SIGTERM, lambda *received: (tmp_path / "handled").touch())
    try:
        with pytest.raises(ContentError, match="was killed"):
            guarded(bad_readers.disturb)(path)
    finally:
        signal.signal(signal.SIGTERM, previous)
    assert not (tmp_path / "handled").exists()


def test_a_fork_leaves_what_is_left_over_to_its_parent(path, forked, tmp_path):
    class Finished:
        def __del__(self):
            if os.getpid() != parent:
                (tmp_path / "finished").touch()

    parent = os.getpid()
    gc.disable()
    try:
        left_over = Finished()
        left_over.itself = left_over
        del left_over
        guarded(bad_readers.collect)(path)
    finally:
        gc.enable()
    assert not (tmp_path / "finished").exists()


def test_arrays_of_objects_are_not_handed_over():
    with pytest.raises(TypeError):
        module._array(io.BytesIO(bytes(8)), "|O", [1], "C")


def test_a_changed_byte_that_crashes_the_reader_of_matlab_files_is_refused(path, way, tmp_path):
    savemat(tmp_path / "a.mat", {"X": np.ones((2, 2))})
    content = bytearray((tmp_path / "a.mat").read_bytes())
    assert content[176] == 9  # doubles
    content[176] = 255
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.mat: (reading it crashes|it cannot be read)") as caught:
        load(tmp_path / "a.mat")
    assert "\n" not in str(caught.value)

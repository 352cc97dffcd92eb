"""Claims: a file beside a run's folder says that a process is at work on it, as long as that process lives.

A claim never outlasts its holder for long: the holder touches the file all the time, so that one left by a process that
was killed is told by its age, and on the holder's own host at once by the process that is no longer there.
"""

from __future__ import annotations

import json
import os
import platform
import re
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nnmf_runner.core.threads import NAME
from nnmf_runner.store.files import folder_for, named, remove_scratch
from nnmf_runner.store.processes import is_running

# Seconds between two touches, and the age at which a claim is taken for left behind: network file systems show
# changes late.
BEAT, STALE = 10.0, 120.0

_SUFFIX = ".claim"
# A claim, or the scratch folder of a write: `.` and the name of the run, then what it is.
_LEFT = re.compile(r"\.([0-9a-f]{16})[.-]")


def claim_path(run: Path) -> Path:
    """The file that claims a run, beside its folder; hidden, so that it is no run itself."""
    return run.with_name(f".{run.name}{_SUFFIX}")


def claimed_run(file_name: str) -> str | None:
    """Name of the run that a file claims by its name; None if it is no claim."""
    match = _LEFT.match(file_name)
    return match[1] if match and file_name.endswith(_SUFFIX) else None


@contextmanager
def claimed(run: Path) -> Iterator[bool]:
    """Hold a run, whose folder need not exist, while the block lasts; the value is False where another process does."""
    path = claim_path(run)
    holder = json.dumps({"host": platform.node(), "pid": os.getpid(), "key": uuid.uuid4().hex})
    ended = threading.Event()
    with folder_for(path):
        try:
            if not _take(path, holder):
                yield False
                return
            threading.Thread(target=_beat, args=(path, ended), name=f"{NAME}-beat", daemon=True).start()
            yield True
        finally:
            ended.set()
            if _read(path) == holder:  # else another holds the run, which may have taken this process for dead
                path.unlink(missing_ok=True)


def is_held(run: Path) -> bool:
    """Whether a living process is at work on a run."""
    return is_alive(claim_path(run))


def clear_left(experiment: Path) -> None:
    """Remove what killed processes left in an experiment's folder: claims, and the scratch folders of their writes.

    A folder that was put aside when its successor was about to take its place is put back.  Whoever is about to write
    into the folder calls this.
    """
    hidden = [(match[1], Path(entry.path)) for entry in entries(experiment) if (match := _LEFT.match(entry.name))]
    for name, path in hidden:
        run = path.with_name(name)
        if is_held(run):
            continue
        if path.name.endswith(_SUFFIX):
            _drop(path, _read(path))
            continue
        remove_scratch(path, run)
    for shard in {path.parent for _, path in hidden}:
        remove_shard(shard)


def remove_shard(folder: Path) -> None:
    """Remove a folder of runs that has none left."""
    with suppress(OSError):  # unless it is empty
        folder.rmdir()


def entries(experiment: Path) -> Iterator[os.DirEntry[str]]:
    """List the entries of an experiment's folder that may be runs or claims."""
    shards = [entry for entry in _listed(experiment) if entry.is_dir() and not entry.name.startswith(".")]
    for shard in shards:
        yield from _listed(shard)


def _listed(folder: str | os.PathLike[str]) -> list[os.DirEntry[str]]:
    """The entries of a folder, none if it does not exist: an empty one is removed by whoever was refused a run."""
    try:
        return list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _take(path: Path, holder: str) -> bool:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _create(path, holder)
        except FileNotFoundError:  # the folder was empty and has just been removed, or the draft was
            continue
        except FileExistsError:
            found = _read(path)
            if found == holder:  # a network file system that says so of the second of two attempts
                return True
            if is_alive(path):
                return False
            _drop(path, found)
        else:
            return True


def _create(path: Path, holder: str) -> None:
    """Create a claim with its content in one step, or raise FileExistsError: nobody ever sees half of one."""
    draft = _beside(path)
    try:
        with named(path):
            draft.write_text(holder)
        try:
            os.link(draft, path)
        except (FileExistsError, FileNotFoundError):
            raise
        except OSError:  # a file system without links: what is killed now leaves a claim that lasts until it is stale
            with path.open("x") as file:
                file.write(holder)
    finally:
        draft.unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    """A name that nothing has, which says whose claim it is of; see `_LEFT`."""
    return path.with_name(f"{path.name}-{uuid.uuid4().hex}")


def _drop(path: Path, holder: str | None) -> None:
    """Remove the claim of a dead holder, and no other that has come in its place meanwhile."""
    aside = _beside(path)
    with suppress(FileNotFoundError):  # another process has been faster
        os.rename(path, aside)
        if _read(aside) != holder:
            with suppress(OSError):
                os.link(aside, path)
        aside.unlink()


def _beat(path: Path, ended: threading.Event) -> None:
    while not ended.wait(BEAT):
        try:
            os.utime(path)
        except OSError:  # another took it for dead, or the file system is away
            continue


def is_alive(path: Path) -> bool:
    """Whether the process that wrote a claim is alive, as far as can be told."""
    try:
        age = abs(time.time() - path.stat().st_mtime)  # clocks differ between hosts, in either direction
        holder = json.loads(path.read_text())
        host, pid = holder["host"], holder["pid"]
    except FileNotFoundError:
        return False
    except (ValueError, KeyError, TypeError):  # about to be written, or its holder was killed then
        host, pid = None, None
    if age > STALE:
        return False
    return host != platform.node() or is_running(pid)


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None

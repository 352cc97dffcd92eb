"""Files of arrays; files and folders that are written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.linalg import parts
from nnmf_runner.store.processes import HOST, is_running

# The file of factors in the folder of a run and of a saved model.
FACTORS = "factors.npz"
# Entries of an array that are hashed at a time.
CHUNK = 2**20


def user_path(text: str | os.PathLike[str], name: str) -> Path:
    """What a path from a person stands for: ``~`` and ``~user`` begin with a home folder, whoever has read them before.

    The path of a path is itself.  If there is no such user, that is an InputError with the name of the argument.
    """
    try:
        text = os.fsdecode(text)
    except TypeError:
        raise InputError(f"{name} is of type {type(text).__name__}. Expected a path.") from None
    try:
        expanded = os.path.expanduser(text)
    except ValueError:  # a null character
        expanded = text
    if expanded.startswith("~"):
        user = text.partition("/")[0]
        raise InputError(
            f"{name}={text} is not valid: {user} is the home folder of no user. Expected a path, such as ./{user}."
        )
    path = Path(expanded)
    return path.absolute() if str(path).startswith("~") else path  # as of ./~, which a path writes without the dot


def without_passwords(text: str) -> str:
    """A text whose addresses do not tell who is to open them: ``http://name:password@host`` is ``http://host``."""
    return re.sub(r"(?<=://)[^/\s]*@", "", text)


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Name what could not be written in errors that name no file: a full disk is reported so."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


@contextmanager
def folder_for(path: Path) -> Iterator[None]:
    """The folder that a path stands in, made with those above it; who has made one removes it where it stays empty."""
    absent = [folder for folder in path.parents if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        for folder in absent:  # what was refused leaves nothing
            with suppress(OSError):
                folder.rmdir()


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A scratch folder to fill, which takes the place of `folder` if the block ends without an error."""
    with folder_for(folder):
        _clear_left(folder.parent)
        scratch = Path(_scratch(tempfile.mkdtemp, folder))
        try:
            with named(folder):
                yield scratch
                scratch.chmod(0o777 & ~_umask())
                _replace(scratch, folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A scratch file to fill, which takes the place of `path` if the block ends without an error."""
    with folder_for(path):
        _clear_left(path.parent)
        descriptor, name = _scratch(tempfile.mkstemp, path)
        os.close(descriptor)
        scratch = Path(name)
        try:
            with named(path):
                yield scratch
                scratch.chmod(0o666 & ~_umask())
                os.replace(scratch, path)
        finally:
            scratch.unlink(missing_ok=True)


# The name of what is being written: hidden, which is passed over by what looks for folders, and with the process that
# writes it.
_SCRATCH = re.compile(rf"\.(.+)-{HOST}-(\d+)-\w+")


def _scratch(make: Callable[..., Any], path: Path) -> Any:
    """What is made beside a path to be written in its place; an error names the path, which is what was asked for."""
    try:
        return make(prefix=_prefix(path.name), dir=path.parent)
    except OSError as error:
        error.filename = str(path)
        raise


def _prefix(name: str) -> str:
    return f".{name}-{HOST}-{os.getpid()}-"


def _clear_left(folder: Path) -> None:
    """Remove what processes of this machine left in a folder that were killed as they wrote into it."""
    for name in os.listdir(folder):
        if (found := _SCRATCH.fullmatch(name)) and not is_running(int(found[2])):
            remove_scratch(folder / name, folder / found[1])


def remove_scratch(scratch: Path, path: Path) -> None:
    """Remove what a process left that was killed as it wrote `path`; the folder that it had put aside comes back."""
    if not path.exists() and (scratch / path.name).is_dir():
        with suppress(OSError):  # another process has been faster
            os.rename(scratch / path.name, path)
    if scratch.is_dir():
        shutil.rmtree(scratch, ignore_errors=True)
    else:
        with suppress(OSError):
            scratch.unlink()


def _replace(new: Path, folder: Path) -> None:
    """Put `new` where `folder` is or will be."""
    if not folder.exists():
        os.replace(new, folder)
        return
    old = Path(tempfile.mkdtemp(prefix=_prefix(folder.name), dir=folder.parent))
    try:
        os.replace(folder, old / folder.name)
        os.replace(new, folder)
    except OSError:
        if not folder.exists():
            os.rename(old / folder.name, folder)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def remove_whole(folder: Path) -> None:
    """Remove a folder such that it is whole or hidden at all times; who writes there next removes what is hidden."""
    aside = tempfile.mkdtemp(prefix=_prefix(folder.name), dir=folder.parent)
    try:
        os.replace(folder, aside)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _umask() -> int:
    """The permissions that new files are denied; can only be read by setting them."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Named arrays of numbers from an npz file, or a ValueError with the reason; nothing in it is executed."""
    try:
        with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, MemoryError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path.name} cannot be read: {_reason(error)}") from None
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
            raise ValueError(f"{path.name} cannot be read: {name} is not an array of numbers")
        if not np.isfinite(array).all():
            raise ValueError(f"{path.name} is damaged: {name} holds entries that are NaN or infinite")
    return arrays


def read_json(path: Path) -> Any:
    """What a JSON file holds, or a ValueError with the reason."""
    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text)
        if "\\ud" in text.lower():  # half a character can be read, but neither written nor printed
            json.dumps(found, ensure_ascii=False).encode()
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"cannot be read: {_reason(error)}") from None
    return found


def _reason(error: Exception) -> str:
    lines = str(getattr(error, "strerror", None) or error).splitlines()
    return lines[0] if lines else type(error).__name__


def digest(arrays: Sequence[NDArray[Any]]) -> str:
    """A short hash of shapes and values."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(f"{array.shape} ".encode())
        rows = np.atleast_1d(array)
        for part in parts(len(rows), max(1, CHUNK * len(rows) // max(rows.size, 1))):  # a copy of all could be large
            found.update(rows[part].astype("<f8").tobytes())
    return found.hexdigest()[:16]

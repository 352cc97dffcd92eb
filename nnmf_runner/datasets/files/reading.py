"""What datasets that come from files or other packages share: optional packages, paths, labels, digests."""

from __future__ import annotations

import codecs
import functools
import gzip
import hashlib
import importlib
import os
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.base import Labels
from nnmf_runner.datasets.files.bounds import is_too_large, unpacked
from nnmf_runner.datasets.files.contents import ContentError
from nnmf_runner.store.files import user_path

# Marks that texts of other encodings begin with, the longer ones first.
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def required(module: str, extra: str, dataset: str) -> Any:
    """Import a module of an optional package, or raise InputError with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"dataset={dataset} needs a package that is missing ({reason}): pip install 'nnmf-runner[{extra}]'"
        ) from None


def class_indices(names: Sequence[str | None]) -> tuple[Labels, list[str]]:
    """Class of every sample by the name of its class, -1 where that is None, and the classes in their sorted order."""
    classes = sorted({name for name in names if name is not None})
    places = {name: i for i, name in enumerate(classes)}
    return np.array([-1 if name is None else places[name] for name in names], np.intp), classes


def existing(path: str | None, expected: str, option: str = "dataset.path") -> Path:
    """The path that an option names; InputError if there is none, or nothing is there."""
    if not path:
        raise InputError(f"{option} is missing. Expected {expected}.")
    found = user_path(path, option)
    try:
        exists = found.exists()
    except (OSError, ValueError) as error:  # too long a name, a null character
        reason = str(getattr(error, "strerror", None) or error).rstrip(".")
        raise InputError(f"{option}={path!r} is not valid: {reason}.") from None
    if not exists:
        raise InputError(f"{option}={path} does not exist. Expected {expected}.")
    if not (found.is_file() or found.is_dir()):  # a device may give for ever, and a pipe nothing
        raise InputError(f"{option}={path} is not a file or folder. Expected {expected}.")
    return found


def absolute(path: str) -> str:
    """A path that does not depend on the working directory."""
    return os.path.abspath(user_path(path, "path"))


def existing_file(path: str | None, expected: str, option: str = "dataset.path") -> Path:
    """The file that an option names, see `existing`."""
    found = existing(path, expected, option)
    if not found.is_file():
        raise InputError(f"{option}={path} is not a file. Expected {expected}.")
    return found


def files_below(root: Path) -> list[Path]:
    """Files at any depth in the order of their names, without hidden ones."""
    found: list[Path] = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(folder, name) for name in sorted(names) if not name.startswith(".")]
    return sorted(found)


def levels_of(parts: Sequence[Sequence[str]]) -> list[list[str]]:
    """Class names at every level, finest first, from the parts of every name; levels of one class are left out.

    The finest class is the whole name.  Of a coarser level there are only as many as the shortest name has parts.
    """
    shortest = min(len(each) for each in parts)
    lengths = [max(len(each) for each in parts), *range(shortest - 1, 0, -1)]
    levels = [["/".join(each[:length]) for each in parts] for length in lengths]
    return [level for level in levels if len(set(level)) > 1]


def read_bytes(path: Path, option: str) -> bytes:
    """The content of a file; InputError with the option that named it if it cannot be read."""
    try:
        _check_plain(path)
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, option, error) from None


def read_unpacked(path: Path, option: str) -> bytes:
    """The content of a file, see `read_bytes`, without the compression that the suffix ``.gz`` says it has."""
    if path.suffix.lower() != ".gz":
        return read_bytes(path, option)
    try:
        _check_plain(path)
        with unpacked(path) as file:
            return file.read()
    except ContentError as error:
        raise InputError(f"{option}: {path}: {error}.") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{option}: {path} is not a whole gzip file ({error}).") from None
    except OSError as error:
        raise unreadable(path, option, error) from None


def decoded(content: bytes, path: Path, option: str, encoding: str, *, choosable: bool = False) -> str:
    """The text of a file, without a byte order mark; InputError if it is not of this encoding.

    The message says where it is not, and which encoding would do: to ask for, if that is `choosable`, or to convert.
    """
    try:
        return content.decode(encoding).removeprefix("\ufeff")
    except ValueError as error:
        at = getattr(error, "start", 0)
        reason = f"byte 0x{content[at]:02x} at {at}" if at < len(content) else str(error)
    likely = likely_encoding(content)
    advice = f"dataset.encoding={likely} may be what it needs" if choosable else f"it may be {likely}: convert it"
    raise InputError(f"{option}: {path} is not {encoding} text ({reason}); {advice}.")


def likely_encoding(content: bytes) -> str:
    """The encoding that a text has by its byte order mark, or else by the first that makes sense of every byte."""
    for mark, encoding in MARKS.items():
        if content.startswith(mark):
            return encoding
    for encoding in ("utf-8", "cp1252"):
        try:
            text = content.decode(encoding)
        except ValueError:
            continue
        # Quotation marks of Windows are control characters of latin-1, and no other bytes differ.
        if encoding == "utf-8" or text != content.decode("latin-1"):
            return encoding
    return "latin-1"


def content_digest(paths: Iterable[Path], root: Path, option: str) -> str:
    """A short hash of names and contents of files: it matters what they hold, not where they are.

    A process reads a file for it once, and again only if its size or time of change is another.  One that cannot be
    read is an InputError with the option that named it.
    """
    found = hashlib.sha256()
    for path in paths:
        try:
            _check_plain(path)
            status = path.stat()
            content = _file_digest(os.path.abspath(path), status.st_size, status.st_mtime_ns)
        except OSError as error:
            raise unreadable(path, option, error) from None
        found.update(f"{path.relative_to(root)} {content}\n".encode(errors="surrogateescape"))
    return found.hexdigest()[:16]


def _check_plain(path: Path) -> None:
    """Raise an OSError for a device or a pipe, which may give for ever or nothing, and for more than the memory."""
    if path.exists() and not path.is_file():
        raise OSError(0, "it is not a plain file")
    if path.suffix.lower() != ".npy" and is_too_large(path):
        raise OSError(0, "it does not fit into memory")


@functools.lru_cache(maxsize=2**16)
def _file_digest(path: str, size: int, changed: int) -> str:
    """Hash of a file as it stands with this size and time of change."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unreadable(path: Path, option: str, error: OSError) -> InputError:
    """What is said of a file that the system does not let us read."""
    return InputError(f"{option}: {path} cannot be read: {error.strerror or error}.")

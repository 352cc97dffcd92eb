"""How much may be read from a file of the user's own, whose few bytes can say or unpack to anything."""

from __future__ import annotations

import bz2
import gzip
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from nnmf_runner.datasets.files.contents import ContentError

# Bytes that any file may unpack to, and how many times its own size a larger one may.
FREE, RATIO = 2**30, 200
# Bytes of memory of this machine.
MEMORY = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open}


def most_unpacked(path: Path) -> int:
    """Bytes that the contents of a file may take."""
    return max(FREE, RATIO * size_of(path))


def size_of(path: Path) -> int:
    """Bytes of a file, or of the files below a folder."""
    return sum(each.stat().st_size for each in path.rglob("*")) if path.is_dir() else path.stat().st_size


def in_units(size: float) -> str:
    """A number of bytes for a message."""
    units = ["bytes", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:.3g} {units[0]}"


def is_too_large(path: Path) -> bool:
    """Whether a file is larger than the memory: one with a hole says any size and takes no disk."""
    return path.stat().st_size > MEMORY


def unpacked(path: Path) -> IO[bytes]:
    """A file to read, without the compression that its suffix says it has; a ContentError where it is too large."""
    if is_too_large(path):
        raise ContentError("its contents do not fit into memory")
    opener = OPENERS.get(path.suffix.lower())
    return path.open("rb") if opener is None else io.BufferedReader(_Bounded(opener(path), most_unpacked(path)), 2**18)


class _Bounded(io.RawIOBase):
    """A file of which no more than some bytes are read."""

    def __init__(self, file: Any, most: int) -> None:
        self.file, self.most, self.left = file, most, most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count: int = self.file.readinto(buffer)
        self.left -= count
        if self.left < 0:
            raise ContentError(f"it unpacks to more than {in_units(self.most)}, the most that are read of its size")
        return count

    def close(self) -> None:
        self.file.close()
        super().close()

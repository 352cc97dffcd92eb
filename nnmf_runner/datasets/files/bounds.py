"""How much may be read from a file of the user's own, whose few bytes can say or unpack to anything."""

from __future__ import annotations

import os
from pathlib import Path

# Bytes that any file may unpack to, and how many times its own size a larger one may.
FREE, RATIO = 2**30, 200
MEMORY = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def most_unpacked(path: Path) -> int:
    """Bytes that the contents of a file may take."""
    return max(FREE, RATIO * path.stat().st_size)


def in_units(size: float) -> str:
    """A number of bytes for a message."""
    units = ["bytes", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:.3g} {units[0]}"

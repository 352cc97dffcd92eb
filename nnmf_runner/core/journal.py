"""A journal of the evaluations of a fit, by which a fit that was killed goes on from where it was.

An optimizer is a function of the costs and gradients that it is given, whatever it keeps to itself.  So a fit that is
begun again and is given those of the journal is where it was as soon as these are read, bit for bit.
"""

from __future__ import annotations

import hashlib
import os
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from nnmf_runner.core.linalg import Matrix

# Seconds within which what is written is on the disk, for machines that go down: of a process that is killed nothing
# that it has written is lost.
SYNC = 30.0
_DIGEST, _SUM = 32, 4


class Journal:
    """Values and gradients in the order in which a fit asked for them.

    Parameters
    ----------
    path : Path
        Of a file that may be there from an earlier attempt at the same fit.
    key : str
        What the values depend on beside the variables.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path, self.key = path, key.encode()
        self._end = 0
        self._whole = True  # as far as it has been compared
        self._synced = time.monotonic()

    def evaluated(
        self, variables: Sequence[Matrix], evaluate: Callable[[], tuple[float, Sequence[Matrix]]]
    ) -> tuple[float, list[Matrix]]:
        """The next value and gradients: those that the journal has at these variables, or new ones, which it notes."""
        digest = hashlib.sha256(self.key)
        for variable in variables:
            digest.update(np.ascontiguousarray(variable).data)
        size = 1 + sum(variable.size for variable in variables)
        numbers = self._noted(digest.digest(), size) if self._whole else None
        if numbers is None:
            value, gradients = evaluate()
            numbers = np.concatenate([[value], *(gradient.ravel() for gradient in gradients)])
            self._note(digest.digest(), numbers)
        ends = np.cumsum([variable.size for variable in variables])[:-1]
        parts = np.split(numbers[1:], ends)
        return float(numbers[0]), [part.reshape(of.shape) for part, of in zip(parts, variables, strict=True)]

    def _noted(self, digest: bytes, size: int) -> Matrix | None:
        """The numbers that come next if they are those of a digest; else the rest of the file is of no use."""
        length = 8 * size
        try:
            with self.path.open("rb") as file:
                file.seek(self._end)
                entry = file.read(_DIGEST + length + _SUM)
        except FileNotFoundError:
            entry = b""
        numbers = entry[_DIGEST : _DIGEST + length]
        if entry[:_DIGEST] == digest and entry[_DIGEST + length :] == zlib.crc32(numbers).to_bytes(_SUM):
            self._end += len(entry)
            return np.frombuffer(numbers).copy()
        self._whole = False
        return None

    def _note(self, digest: bytes, numbers: Matrix) -> None:
        data = numbers.tobytes()
        with self.path.open("r+b" if self.path.exists() else "wb") as file:
            file.truncate(self._end)
            file.seek(self._end)
            file.write(digest + data + zlib.crc32(data).to_bytes(_SUM))
            self._end = file.tell()
            file.flush()
            if time.monotonic() - self._synced > SYNC:
                os.fsync(file.fileno())
                self._synced = time.monotonic()

"""Processes of this machine, of which files beside the results tell."""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path

# This machine in the names of files.
HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def is_running(pid: int) -> bool:
    """Whether a process of this machine has not ended."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    try:  # a killed process stays in the table until its parent asks for it
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return True

"""Texts in tar archives, read and written in memory: nothing is unpacked to disk."""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

LARGEST = 2**24  # bytes of one text; a header can say anything


def read_texts(path: Path, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """Contents of the regular files of `wanted` names in a tar archive, compressed or not, by their names.

    Raises
    ------
    ValueError
        If it is no such archive, damaged, or has a file of more than `LARGEST` bytes, with the reason.
    """
    texts: dict[str, bytes] = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if not (member.isreg() and wanted(member.name)):
                    continue
                if member.size > LARGEST:
                    raise ValueError(f"{member.name} has {member.size} bytes, expected at most {LARGEST}")
                if (content := archive.extractfile(member)) is not None:
                    texts[member.name] = content.read()
            while archive.fileobj.read(2**20):  # checksums stand at the end
                pass
    except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        reason = str(getattr(error, "strerror", None) or error).partition("\n")[0].rstrip(":")
        raise ValueError(reason or type(error).__name__) from None
    return texts


def packed(texts: Mapping[str, bytes]) -> bytes:
    """A tar.gz archive of texts by their names; the same texts give the same bytes."""
    content = io.BytesIO()
    with (
        gzip.GzipFile("", "wb", fileobj=content, mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as archive,
    ):
        for name, text in sorted(texts.items()):
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))
    return content.getvalue()

"""Ten of the twenty newsgroups under six themes: the setting of the published experiment."""

from __future__ import annotations

import hashlib
import logging
import re
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import ClassVar

import numpy as np

from nnmf_runner.core.checks import InputError, check_number
from nnmf_runner.datasets.base import Dataset
from nnmf_runner.datasets.files.archives import packed, read_texts
from nnmf_runner.datasets.files.reading import existing, files_below, read_bytes, required
from nnmf_runner.datasets.text.words import Documents, Words
from nnmf_runner.store.files import whole_file

log = logging.getLogger(__name__)

# Theme of every group.
THEMES = {
    "comp.graphics": "comp",
    "comp.sys.mac.hardware": "comp",
    "misc.forsale": "misc",
    "rec.motorcycles": "rec",
    "rec.sport.baseball": "rec",
    "sci.med": "sci",
    "sci.space": "sci",
    "talk.politics.guns": "talk.politics",
    "talk.politics.mideast": "talk.politics",
    "talk.religion.misc": "talk.religion",
}
TRAINING = "20news-bydate-train"
ARCHIVE, HOME = "20news-bydate.tar.gz", "http://qwone.com/~jason/20Newsgroups"
EXPECTED = f"{ARCHIVE}, or a folder that holds {TRAINING}/<group>/<text> or <group>/<text>"
KEPT = "newsgroups-{}.tar.gz"  # with the hash of its content

# Lines that quote another message, or say that one follows; scikit-learn's `remove` has the same.
QUOTE = re.compile(r"(writes in|writes:|wrote:|says:|said:|^In article|^Quoted from|^\||^>)")
DIGITS = re.compile(r"\d+")


@dataclass
class Newsgroups(Words):
    """The first messages of ten newsgroups, without headers, footers, quotes and digits.

    Words and their weights come from all training messages of the ten groups, the samples are the first ones of each
    in the order of their file names.  Messages without a word that counts are passed over.

    Parameters
    ----------
    path : str or None
        The archive ``20news-bydate.tar.gz``, or the folder that it unpacks to.  None takes that archive from `cache`
        if it is there, or fetches the messages through scikit-learn, which needs the internet once.
    per_class : int
        Messages of every group.
    min_df, max_df, max_features, stop_words, lowercase, idf, norm, cache
        See `Words`.

    References
    ----------
    T. Will et al., arXiv:2303.00058, section 4.2.
    """

    name: ClassVar[str] = "newsgroups"
    per_class: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self.per_class, "dataset.per_class", low=1, integer=True)

    def load(self, rng: np.random.Generator) -> Dataset:
        """Read or fetch the messages, see `Source.load`.

        X is sparse, of shape (words, messages); two levels of labels are ten groups and six themes.
        """
        return self.weighted(self._documents, self.per_class)

    def sources(self) -> tuple[list[Path], Path]:
        """The archive or the files of the folder, see `Words.sources`; what is fetched is always the same."""
        path = self._given()
        if path is None:
            return [], self.data_folder
        return (self._files(path), _groups_in(path)) if path.is_dir() else ([path], path)

    def _given(self) -> Path | None:
        """The archive or folder that is there."""
        if self.path is not None:
            return existing(self.path, EXPECTED)
        brought = self.data_folder / ARCHIVE
        return brought if brought.exists() else None

    def _documents(self) -> Documents:
        path = self._given()
        if path is None:
            messages = self._kept() or self._fetched()
        elif path.is_dir():
            messages = {_name(file.parts): read_bytes(file, f"dataset.path={path}") for file in self._files(path)}
        else:
            messages = self._packed(path)
        names = sorted(messages)
        groups = [name.split("/")[-2] for name in names]
        texts = [DIGITS.sub("", body(messages[name].decode("latin1"))) for name in names]
        return Documents(texts, [groups, [THEMES[group] for group in groups]])

    def _files(self, path: Path) -> list[Path]:
        """Files of the ten groups in a folder."""
        root = _groups_in(path)
        files = [file for group in sorted(THEMES) for file in files_below(root / group) if file.parent.name == group]
        _refuse_missing(path, {file.parent.name for file in files})
        return files

    def _packed(self, path: Path) -> dict[str, bytes]:
        """Messages of the ten groups in an archive, by their names."""
        try:
            found = read_texts(path, lambda name: _is_message(PurePosixPath(name).parts))
        except ValueError as error:
            raise InputError(
                f"dataset.path={path} is not a readable archive ({error}); scikit-learn's own cache is a "
                f"pickle, which is not opened. Expected {EXPECTED}."
            ) from None
        messages = {_name(PurePosixPath(name).parts): text for name, text in found.items()}
        _refuse_missing(path, {name.split("/")[-2] for name in messages})
        return messages

    def _kept(self) -> dict[str, bytes] | None:
        """Messages that were fetched before, if they are as they were then."""
        for path in sorted(self.data_folder.glob(KEPT.format("*"))):
            content = read_bytes(path, f"dataset.cache={self.cache}")
            if path.name == KEPT.format(_digest(content)):
                return read_texts(path, lambda name: True)
            log.warning("%s is damaged and is fetched again.", path)
        return None

    def _fetched(self) -> dict[str, bytes]:
        """Messages by scikit-learn, from now on kept in the data folder; its own cache, a pickle, is not."""
        fetch = required("sklearn.datasets", "text", self.name).fetch_20newsgroups
        try:
            self.data_folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"dataset.cache={self.cache} cannot be used: {error.strerror or error}. Expected a folder to write to."
            ) from None
        try:
            with TemporaryDirectory(prefix=".newsgroups-", dir=self.data_folder) as home, warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that it tries again
                found = fetch(data_home=home, subset="train", categories=list(THEMES), shuffle=False, n_retries=1)
        except OSError as error:
            reason = str(getattr(error, "reason", None) or error).partition("\n")[0]
            raise InputError(
                f"dataset=newsgroups cannot be fetched ({reason}). Expected the internet, or {ARCHIVE} from {HOME}: "
                f"put it into {self.cache}/, or give it or the folder that it unpacks to as dataset.path."
            ) from None
        files = [Path(file) for file in found.filenames]
        messages = {_name(file.parts): text.encode("latin1") for file, text in zip(files, found.data, strict=True)}
        self._keep(messages)
        return messages

    def _keep(self, messages: dict[str, bytes]) -> None:
        """Write the messages in the place of what was kept before; if they cannot be, the log says so."""
        content = packed(messages)
        path = self.data_folder / KEPT.format(_digest(content))
        try:
            with whole_file(path) as scratch:
                scratch.write_bytes(content)
            for other in set(self.data_folder.glob(KEPT.format("*"))) - {path}:
                other.unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s cannot be kept: %s.", path, error.strerror or error)


def _refuse_missing(path: Path, groups: Collection[str]) -> None:
    if missing := [group for group in THEMES if group not in groups]:
        raise InputError(f"dataset.path={path} holds no texts of {', '.join(missing)}. Expected {EXPECTED}.")


def _groups_in(path: Path) -> Path:
    """Folder of the groups."""
    return path / TRAINING if (path / TRAINING).is_dir() else path


def _is_message(parts: Sequence[str]) -> bool:
    """Whether the path of a file in an archive is that of a message of the ten groups to train with."""
    return len(parts) > 1 and parts[-2] in THEMES and (len(parts) == 2 or parts[-3] == TRAINING)


def _name(parts: Sequence[str]) -> str:
    """Name of a message in an archive, from the path of its file."""
    return "/".join((TRAINING, *parts[-2:]))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def body(text: str) -> str:
    """A message without its header, its signature and what it quotes, as scikit-learn's `remove` leaves it.

    The header ends at the first blank line.  A signature follows the last line that is blank or of hyphens alone.
    """
    _, _, text = text.partition("\n\n")
    lines = text.strip().split("\n")
    last = max((i for i, line in enumerate(lines) if not line.strip().strip("-")), default=0)
    kept = lines[:last] if last > 0 else text.split("\n")
    return "\n".join(line for line in kept if not QUOTE.search(line))

"""Ten of the twenty newsgroups under six themes: the setting of the published experiment."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from tempfile import TemporaryDirectory
from typing import ClassVar

import numpy as np

from nnmf_runner.core.checks import InputError, check_choice, check_number
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
# The other ten of the collection, on which the order of scikit-learn depends.
OTHERS = (
    "alt.atheism",
    "comp.os.ms-windows.misc",
    "comp.sys.ibm.pc.hardware",
    "comp.windows.x",
    "rec.autos",
    "rec.sport.hockey",
    "sci.crypt",
    "sci.electronics",
    "soc.religion.christian",
    "talk.politics.misc",
)
BY_NAME, SKLEARN = "name", "scikit-learn"
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

    Words and their weights come from all training messages of the ten groups, the samples are the first ones of each.
    Messages without a word that counts are passed over, unless `keep_empty` is set.

    Parameters
    ----------
    path : str or None
        The archive ``20news-bydate.tar.gz``, or the folder that it unpacks to.  None takes that archive from `cache`
        if it is there, or fetches the messages through scikit-learn, which needs the internet once.
    per_class : int
        Messages of every group.
    order : {"name", "scikit-learn"}
        Which messages of a group come first: by the names of their files, or as ``fetch_20newsgroups`` of scikit-learn
        returns them, with its own seeds; that takes the messages of all twenty groups.
    known : int or None
        Messages of every group, the first ones, whose labels a method may see; if `label_fraction` is above zero, it
        sees exactly these.
    min_df, max_df, max_features, stop_words, lowercase, keep_empty, cache
        See `Words`.
    idf, norm, sublinear
        See `Weights`.

    References
    ----------
    T. Will et al., arXiv:2303.00058, section 4.2.
    """

    name: ClassVar[str] = "newsgroups"
    draws: ClassVar[bool] = False
    per_class: int = 100
    order: str = BY_NAME
    known: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self.per_class, "dataset.per_class", low=1, integer=True)
        check_choice(self.order, (BY_NAME, SKLEARN), "dataset.order")
        if self.known is not None:
            check_number(self.known, "dataset.known", low=1, high=self.per_class, integer=True)

    def load(self, rng: np.random.Generator) -> Dataset:
        """Read or fetch the messages, see `Source.load`.

        X is sparse, of shape (words, messages); two levels of labels are ten groups and six themes.
        Messages are called by their group and file.
        """
        dataset = self.weighted(self._documents, self.per_class)
        if self.known is None:
            return dataset
        groups = dataset.labels[0]  # one after the other
        return dataclasses.replace(dataset, known=np.arange(len(groups)) - np.searchsorted(groups, groups) < self.known)

    def sources(self) -> tuple[list[Path], Path]:
        """The archive or the files of the folder, see `Words.sources`; what is fetched is always the same."""
        path = self._given()
        if path is None:
            return [], self.data_folder
        return (self._files(path), _groups_in(path)) if path.is_dir() else ([path], path)

    @property
    def _groups(self) -> tuple[str, ...]:
        """Groups whose messages are read."""
        return (*THEMES, *(OTHERS if self.order == SKLEARN else ()))

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
        names = self._in_order(messages)
        groups = [_group(name) for name in names]
        texts = [DIGITS.sub("", body(messages[name].decode("latin1"))) for name in names]
        called = ["/".join(name.split("/")[-2:]) for name in names]
        return Documents(texts, [groups, [THEMES[group] for group in groups]], called)

    def _in_order(self, messages: Iterable[str]) -> list[str]:
        """Names of the messages of the ten groups, one group after the other."""
        names = sorted(messages, key=lambda name: name.split("/"))
        if self.order == SKLEARN:  # shuffles them when it stores them, and those that are asked for when it gives them
            names = _shuffled(_of_themes(_shuffled(names, 0)), 42)
        return sorted(_of_themes(names), key=_group)

    def _files(self, path: Path) -> list[Path]:
        """Files of the groups in a folder."""
        root = _groups_in(path)
        groups = sorted(self._groups)
        files = [file for group in groups for file in files_below(root / group) if file.parent.name == group]
        self._refuse_missing(path, files)
        return files

    def _packed(self, path: Path) -> dict[str, bytes]:
        """Messages of the groups in an archive, by their names."""
        try:
            found = read_texts(path, self._is_message)
        except ValueError as error:
            raise InputError(
                f"dataset.path={path} is not a readable archive ({error}); scikit-learn's own cache is a "
                f"pickle, which is not opened. Expected {EXPECTED}."
            ) from None
        messages = {_name(PurePosixPath(name).parts): text for name, text in found.items()}
        self._refuse_missing(path, map(PurePosixPath, messages))
        return messages

    def _is_message(self, name: str) -> bool:
        """Whether the name of a file in an archive is that of a message of the groups to train with."""
        parts = PurePosixPath(name).parts
        return len(parts) > 1 and parts[-2] in self._groups and (len(parts) == 2 or parts[-3] == TRAINING)

    def _refuse_missing(self, path: Path, files: Iterable[PurePath]) -> None:
        groups = {file.parent.name for file in files}
        if missing := [group for group in self._groups if group not in groups]:
            hint = "" if self.order == BY_NAME else f" (dataset.order={self.order} depends on all twenty groups)"
            raise InputError(f"dataset.path={path} holds no texts of {', '.join(missing)}{hint}. Expected {EXPECTED}.")

    def _kept(self) -> dict[str, bytes] | None:
        """Messages that were fetched before, if they are as they were then."""
        for path in sorted(self.data_folder.glob(KEPT.format("*"))):
            content = read_bytes(path, f"dataset.cache={self.cache}")
            if path.name != KEPT.format(_digest(content)):
                log.warning("%s is damaged and is fetched again.", path)
                continue
            messages = read_texts(path, self._is_message)
            if {_group(name) for name in messages} == set(self._groups):  # else they are kept for another order
                return messages
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
                found = fetch(data_home=home, subset="train", categories=list(self._groups), shuffle=False, n_retries=1)
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


def _groups_in(path: Path) -> Path:
    """Folder of the groups."""
    return path / TRAINING if (path / TRAINING).is_dir() else path


def _group(name: str) -> str:
    return name.split("/")[-2]


def _of_themes(names: Iterable[str]) -> list[str]:
    return [name for name in names if _group(name) in THEMES]


def _shuffled(names: Sequence[str], seed: int) -> list[str]:
    """Names in the order that scikit-learn shuffles them to."""
    places = np.arange(len(names))
    np.random.RandomState(seed).shuffle(places)
    return [names[i] for i in places.tolist()]


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

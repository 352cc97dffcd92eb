"""Ten of the twenty newsgroups under six themes: the setting of the published experiment."""

from __future__ import annotations

import dataclasses
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from nnmf_runner.core.checks import InputError, check_number
from nnmf_runner.datasets.base import Dataset
from nnmf_runner.datasets.reading import content_digest, existing, files_below, read_bytes, required
from nnmf_runner.datasets.words import Documents, Words

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
EXPECTED = f"a folder that holds {TRAINING}/<group>/<text>, or <group>/<text>, of 20news-bydate.tar.gz unpacked"

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
        Folder of the unpacked archive; None fetches it through scikit-learn, which needs the internet once.
    per_class : int
        Messages of every group.
    min_df, max_df, max_features, stop_words, lowercase, idf, norm
        See `Words`.

    References
    ----------
    T. Will et al., arXiv:2303.00058, section 4.2.
    """

    name: ClassVar[str] = "newsgroups"
    path: str | None = None
    per_class: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self.per_class, "dataset.per_class", low=1, integer=True)

    def load(self, rng: np.random.Generator) -> Dataset:
        """Read and weigh the messages; nothing is random.

        Parameters
        ----------
        rng : Generator

        Returns
        -------
        Dataset
            X sparse, of shape (words, messages); two levels of labels, ten groups and six themes.

        Raises
        ------
        InputError
            If the messages can neither be read nor fetched, or scikit-learn is missing.
        """
        messages = self._fetched() if self.path is None else self._unpacked()
        texts = [DIGITS.sub("", body(text)) for _, text in messages]
        groups = [group for group, _ in messages]
        documents = Documents(texts, [groups, [THEMES[group] for group in groups]])
        return self.weighted(self.name, documents, self.per_class)

    def identity(self) -> dict[str, Any]:
        """Options, with a hash of the messages in the place of their path; what is fetched is always the same."""
        options = dataclasses.asdict(self)
        if self.path is not None:
            options["path"] = content_digest(self._files(), self._root(), f"dataset.path={self.path}")
        return options

    def _fetched(self) -> list[tuple[str, str]]:
        """Group and text of every message, by scikit-learn."""
        fetch = required("sklearn.datasets", "text", self.name).fetch_20newsgroups
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that it tries again
                found = fetch(subset="train", categories=list(THEMES), shuffle=False, n_retries=1)
        except OSError as error:
            reason = str(getattr(error, "reason", None) or error).partition("\n")[0]
            raise InputError(
                f"dataset=newsgroups cannot be fetched ({reason}). Expected the internet, or dataset.path={EXPECTED}."
            ) from None
        groups = [found.target_names[c] for c in found.target]
        order = sorted(range(len(groups)), key=lambda i: (groups[i], Path(found.filenames[i]).name))
        return [(groups[i], found.data[i]) for i in order]

    def _unpacked(self) -> list[tuple[str, str]]:
        """Group and text of every message, from the folder."""
        option = f"dataset.path={self.path}"
        return [(path.parent.name, read_bytes(path, option).decode("latin1")) for path in self._files()]

    def _root(self) -> Path:
        """Folder of the groups."""
        path = existing(self.path, EXPECTED)
        if not path.is_dir():
            raise InputError(f"dataset.path={self.path} is no folder, and caches are not read. Expected {EXPECTED}.")
        return path / TRAINING if (path / TRAINING).is_dir() else path

    def _files(self) -> list[Path]:
        root = self._root()
        files = {group: files_below(root / group) for group in THEMES}
        if missing := [group for group, members in files.items() if not members]:
            raise InputError(f"dataset.path={self.path} holds no texts of {', '.join(missing)}. Expected {EXPECTED}.")
        return [path for group in sorted(files) for path in files[group] if path.parent.name == group]


def body(text: str) -> str:
    """A message without its header, its signature and what it quotes, as scikit-learn's `remove` leaves it.

    The header ends at the first blank line.  A signature follows the last line that is blank or of hyphens alone.
    """
    _, _, text = text.partition("\n\n")
    lines = text.strip().split("\n")
    last = max((i for i, line in enumerate(lines) if not line.strip().strip("-")), default=0)
    kept = lines[:last] if last > 0 else text.split("\n")
    return "\n".join(line for line in kept if not QUOTE.search(line))

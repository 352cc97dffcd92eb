"""The glosses of WordNet: a large collection of short texts that Debian carries."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.base import Dataset
from nnmf_runner.datasets.files.reading import decoded, existing, read_bytes, required
from nnmf_runner.datasets.text.words import Documents, Words

PARTS_OF_SPEECH = ("adj", "adv", "noun", "verb")
EXPECTED = "a folder with data.adj, data.adv, data.noun and data.verb (apt install wordnet-base)"

# Place in the file, number of the lexicographer file, type of the synset, then words and pointers up to the gloss.
SYNSET = re.compile(r"\d{8} (\d\d) [nvasr] .*? \| (.*)")


@dataclass
class Wordnet(Words):
    """The gloss of every synset, labelled with its lexicographer file and its part of speech.

    Parameters
    ----------
    path : str
        Folder of the four data files; a relative one starts at the working directory.
    min_df, max_df, max_features, stop_words, lowercase, keep_empty, cache
        See `Words`.
    idf, norm, sublinear
        See `Weights`.

    References
    ----------
    C. Fellbaum (ed.), "WordNet: An Electronic Lexical Database", MIT Press, 1998; wndb(5WN), lexnames(5WN).
    """

    name: ClassVar[str] = "wordnet"
    min_df: Any = 5
    path: str = "/usr/share/wordnet"

    def load(self, rng: np.random.Generator) -> Dataset:
        """Read and weigh the glosses, see `Source.load`.

        X is sparse, of shape (words, synsets); two levels of labels are lexicographer files and parts of speech.
        """
        return self.weighted(self._documents)

    def sources(self) -> tuple[list[Path], Path]:
        """The files, see `Words.sources`."""
        folder = existing(self.path, EXPECTED)
        files = [folder / f"data.{part}" for part in PARTS_OF_SPEECH]
        if missing := [path.name for path in files if not path.is_file()]:
            raise InputError(f"{self._option} holds no {', '.join(missing)}. Expected {EXPECTED}.")
        return files, folder

    def _documents(self) -> Documents:
        required("sklearn.feature_extraction.text", "text", self.name)  # says so before the files are read
        files = zip(PARTS_OF_SPEECH, self.sources()[0], strict=True)
        synsets = [(part, *synset) for part, path in files for synset in self._synsets(path)]
        classes = [[number for _, number, _ in synsets], [part for part, _, _ in synsets]]
        return Documents([gloss for _, _, gloss in synsets], classes)

    def _synsets(self, path: Path) -> Iterator[tuple[str, str]]:
        """Number of the lexicographer file and gloss of every synset."""
        content = decoded(read_bytes(path, self._option), path, self._option, "utf-8")
        for i, line in enumerate(content.split("\n"), start=1):
            if not line.strip() or line.startswith("  "):  # the licence is set in
                continue
            found = SYNSET.match(line)
            if found is None:
                raise InputError(f"{self._option}: line {i} of {path.name} is not a synset. Expected {EXPECTED}.")
            yield found.group(1), found.group(2)

"""The glosses of WordNet: a large collection of short texts that Debian carries."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from scipy import sparse

from nnmf_runner.core.checks import InputError, check_flag, check_number
from nnmf_runner.datasets.base import Dataset, Labels
from nnmf_runner.datasets.files.contents import Coordinates
from nnmf_runner.datasets.files.reading import class_indices, decoded, existing, read_bytes, required
from nnmf_runner.datasets.modes import Modes, unfolded
from nnmf_runner.datasets.text.words import Documents, Words

PARTS_OF_SPEECH = ("adj", "adv", "noun", "verb")
EXPECTED = "a folder with data.adj, data.adv, data.noun and data.verb (apt install wordnet-base)"

# Names of the lexicographer files by their numbers.
LEXICOGRAPHER_FILES = (
    *("adj.all", "adj.pert", "adv.all", "noun.Tops", "noun.act", "noun.animal", "noun.artifact", "noun.attribute"),
    *("noun.body", "noun.cognition", "noun.communication", "noun.event", "noun.feeling", "noun.food", "noun.group"),
    *("noun.location", "noun.motive", "noun.object", "noun.person", "noun.phenomenon", "noun.plant"),
    *("noun.possession", "noun.process", "noun.quantity", "noun.relation", "noun.shape", "noun.state"),
    *("noun.substance", "noun.time", "verb.body", "verb.change", "verb.cognition", "verb.communication"),
    *("verb.competition", "verb.consumption", "verb.contact", "verb.creation", "verb.emotion", "verb.motion"),
    *("verb.perception", "verb.possession", "verb.social", "verb.stative", "verb.weather", "adj.ppl"),
)
# Modes of the tensor; entries of the last one are the samples unless asked otherwise.
MODES = ("file", "word", "word")

# Place in the file, number of the lexicographer file, type of the synset, its words, each with a number of its own,
# then pointers up to the gloss.
SYNSET = re.compile(r"\d{8} (\d\d) [nvasr] [\da-f]{2} ((?:\S+ [\da-f] )+)\d{3} .*?\| (.*)")


@dataclass
class Wordnet(Words):
    """The gloss of every synset, labelled with its lexicographer file and its part of speech.

    Parameters
    ----------
    path : str
        Folder of the four data files; a relative one starts at the working directory.
    tensor : bool
        Whether the data are a tensor, file x word x word: in how many glosses of a lexicographer file two words stand
        together.
    sample_mode : int or None
        Mode of the tensor whose entries are the samples: 0 for the files, which are labelled with their part of speech
        then, or 2, the default, for the words, and so is 1.
    min_df, max_df, max_features, stop_words, lowercase, keep_empty, cache
        See `Words`.
    idf, norm, sublinear
        See `Weights`.  Of these, a tensor of counts c has only `sublinear`, 1 + log(c).

    References
    ----------
    C. Fellbaum (ed.), "WordNet: An Electronic Lexical Database", MIT Press, 1998; wndb(5WN), lexnames(5WN).
    """

    name: ClassVar[str] = "wordnet"
    draws: ClassVar[bool] = False
    min_df: Any = 5
    path: str = "/usr/share/wordnet"
    tensor: bool = False
    sample_mode: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag(self.tensor, "dataset.tensor")
        if self.sample_mode is not None:
            check_number(self.sample_mode, "dataset.sample_mode", low=0, high=len(MODES) - 1, integer=True)
        if self.sample_mode is not None and not self.tensor:
            raise InputError(f"dataset.sample_mode={self.sample_mode} needs dataset.tensor=true.")
        for option in ("idf", "norm", "keep_empty") if self.tensor else ():
            if (value := getattr(self, option)) != getattr(Wordnet, option):
                raise InputError(f"dataset.{option}={value} changes nothing with dataset.tensor=true, of counts.")

    def load(self, rng: np.random.Generator) -> Dataset:
        """Read and weigh the glosses, see `Source.load`.

        X is sparse, of shape (words, synsets); two levels of labels are lexicographer files and parts of speech.
        Synsets are called by their words.
        """
        return self._tensor(self._documents()) if self.tensor else self.weighted(self._documents)

    @property
    def recipe(self) -> dict[str, Any] | None:
        """See `Weights.recipe`."""
        return None if self.tensor else super().recipe

    def _tensor(self, documents: Documents) -> Dataset:
        """How many glosses of a lexicographer file have two words, by the file and the words."""
        occurs, vectorizer = self.vectorized(documents, use_idf=False, norm=None, binary=True)
        words = vectorizer.get_feature_names_out().tolist()
        of_synsets, numbers = class_indices(documents.classes[0])
        counts = _common(occurs, of_synsets, len(numbers))
        if self.sublinear:
            counts = replace(counts, data=1.0 + np.log(counts.data))
        mode = len(MODES) - 1 if self.sample_mode is None else self.sample_mode
        files = [*map(_file_name, numbers)]
        modes = Modes.of(counts.shape, mode, MODES, [files, words, words])
        X = unfolded(counts, mode)
        if mode:
            return Dataset(self.name, X, sample_names=words, modes=modes)
        part_of = dict(zip(*documents.classes, strict=True))
        labels, names = class_indices([part_of[number] for number in numbers])
        return Dataset(self.name, X, [labels], class_names=[names], sample_names=files, modes=modes)

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
        parts, numbers, words, glosses = map(list, zip(*synsets, strict=True)) if synsets else ([], [], [], [])
        return Documents(glosses, [numbers, parts], words)

    def _synsets(self, path: Path) -> Iterator[tuple[str, str, str]]:
        """Number of the lexicographer file, words and gloss of every synset."""
        content = decoded(read_bytes(path, self._option), path, self._option, "utf-8")
        for i, line in enumerate(content.split("\n"), start=1):
            if not line.strip() or line.startswith("  "):  # the licence is set in
                continue
            found = SYNSET.match(line)
            if found is None:
                raise InputError(f"{self._option}: line {i} of {path.name} is not a synset. Expected {EXPECTED}.")
            words = (re.sub(r"\(\w+\)$", "", word).replace("_", " ") for word in found[2].split()[::2])
            yield found[1], ", ".join(words), found[3]


def _common(occurs: Any, classes: Labels, count: int) -> Coordinates:
    """In how many documents of each class two words stand together, shape (count, words, words).

    Where they occur is given by zeros and ones of shape (documents, words).
    """
    coords, counts = [], []
    for each in range(count):
        of_class = occurs[classes == each]
        pairs = sparse.triu(of_class.T @ of_class, k=1).tocoo()
        for words in itertools.permutations(pairs.coords):
            coords.append(np.array([np.full(pairs.nnz, each), *words]))
            counts.append(pairs.data)
    return Coordinates(np.concatenate(coords, axis=1), np.concatenate(counts), (count, *2 * occurs.shape[1:]))


def _file_name(number: str) -> str:
    """Name of a lexicographer file, or its number if it has none."""
    return LEXICOGRAPHER_FILES[int(number)] if int(number) < len(LEXICOGRAPHER_FILES) else number

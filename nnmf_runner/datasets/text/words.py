"""Documents as columns of tf-idf weights, for every dataset of text."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import logging
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nnmf_runner.core.checks import InputError, check_flag, check_number
from nnmf_runner.datasets.base import TEXT_OR_LIST, Dataset
from nnmf_runner.datasets.files.cells import first_words
from nnmf_runner.datasets.files.kept import keep, recall
from nnmf_runner.datasets.files.reading import absolute, class_indices, content_digest, required
from nnmf_runner.datasets.stop_words import ENGLISH, read_stop_words, stop_words_anywhere, stop_words_identity
from nnmf_runner.datasets.weighting import Weights
from nnmf_runner.store.files import user_path

log = logging.getLogger(__name__)

# Characters from which on weights are kept; those of fewer are made again as quickly as they are read.
LARGE = 1_000_000
# How many words are named in the log.
NAMED = 10


@dataclass(frozen=True)
class Documents:
    """Texts with the names of their classes, and what they are called.

    Attributes
    ----------
    texts : list of str
    classes : list of list of str or None
        Class of every text, one list per level, finest first; None where it is not labelled.
    names : list of str or None
        What every text is called, such as its file; None where its first words have to do.
    """

    texts: list[str]
    classes: Sequence[Sequence[str | None]]
    names: Sequence[str] | None = None


@dataclass
class Words(Weights, ABC):
    """Which words of the documents are features, and how they are weighted.

    Parameters
    ----------
    min_df : int or float
        Fewest documents that a word has to be in: a count if an integer, a share of all documents if a float.
    max_df : int or float
        Most documents that a word may be in: a count if an integer, a share of all documents if a float.
    max_features : int or None
        Number of the most frequent words to keep; None keeps all.
    stop_words : str or list of str or None
        Words to leave out: a list, the path of a file with words between white space and comments after ``#``, or
        ``english``, which is scikit-learn's list.
    lowercase : bool
        Whether to convert all words to lowercase.
    keep_empty : bool
        Whether documents without a word that counts become columns of zeros, and are not left out.
    seed_words : str or None
        A YAML file of topics with their words, such as ``space: [orbit, shuttle]``: topics of the first layer, in this
        order, start from more of these words than `init` gives them, and are fitted like all others.
    idf, norm, sublinear
        See `Weights`.
    cache : str
        Folder for what is fetched and for weights that take long to make; a relative one starts at the working
        directory.
    path : str or None
        Where the texts come from.
    """

    name: ClassVar[str]
    min_df: Any = 1
    max_df: Any = 1.0
    max_features: int | None = None
    stop_words: Any = field(default=ENGLISH, metadata=TEXT_OR_LIST)
    lowercase: bool = True
    keep_empty: bool = False
    cache: str = "data"
    path: str | None = None
    seed_words: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for option in ("lowercase", "keep_empty"):
            check_flag(getattr(self, option), f"dataset.{option}")
        for option in ("min_df", "max_df"):
            value = getattr(self, option)
            low, high, integer = (0.0, 1.0, False) if isinstance(value, float) else (1, None, True)
            check_number(value, f"dataset.{option}", low=low, high=high, integer=integer)
        if self.max_features is not None:
            check_number(self.max_features, "dataset.max_features", low=1, integer=True)
        stop_words_identity(self.stop_words)  # refuses what stands for no words

    @abstractmethod
    def sources(self) -> tuple[list[Path], Path]:
        """Files that the texts come from, and what their names are relative to; no files if the texts are fetched."""

    def identity(self) -> dict[str, Any]:
        """Options, with a hash of the files in the place of their path: it matters what they hold, not where."""
        options = dataclasses.asdict(self) | {"stop_words": stop_words_identity(self.stop_words)}
        del options["cache"], options["seed_words"]  # the data are the same
        files, root = self.sources()
        return {**options, "path": content_digest(files, root, self._option) if files else None}

    def portable(self) -> dict[str, Any]:
        """Options that load the same data from any working directory."""
        options = dataclasses.asdict(self) | {"stop_words": stop_words_anywhere(self.stop_words)}
        del options["seed_words"]
        return options | {name: absolute(options[name]) for name in ("path", "cache") if options[name]}

    @property
    def recipe(self) -> dict[str, Any] | None:
        """See `Weights.recipe`."""
        plain = self.stop_words is None or self.stop_words == ENGLISH
        stop_words = self.stop_words if plain else read_stop_words(self.stop_words, self.name)
        return {**(super().recipe or {}), "lowercase": self.lowercase, "stop_words": stop_words}

    def as_counts(self, recipe: Mapping[str, Any], **changes: Any) -> Words:
        """See `Weights.as_counts`; all words are counted that a recipe of text does not stop."""
        every = {"min_df": 1, "max_df": 1.0, "max_features": None}
        for name in every:
            if (value := getattr(self, name)) != self.__dataclass_fields__[name].default:
                raise InputError(
                    f"dataset.{name}={value} chooses words, and those of the fit are counted. Leave it out."
                )
        own = {name: recipe[name] for name in ("lowercase", "stop_words")}
        return super().as_counts(recipe, keep_empty=True, **every, **own, **changes)

    @property
    def _option(self) -> str:
        return f"dataset.path={self.path}"

    @property
    def data_folder(self) -> Path:
        """Where what is fetched or derived is kept."""
        return user_path(self.cache, "dataset.cache")

    def weighted(self, read: Callable[[], Documents], per_class: int | None = None) -> Dataset:
        """The tf-idf weights of documents; those without a word that counts are left out.

        X is sparse, of shape (words, documents).  Documents are called by their names, or else by their first words.
        Weights of more than `LARGE` characters are kept in the data folder, and found there by what determines them.

        Parameters
        ----------
        read : callable
            Gives the documents, where they are needed.
        per_class : int, optional
            Documents of every finest class that become samples, the first ones; words and their weights come from all.

        Raises
        ------
        InputError
            If scikit-learn is missing, no word is left, or a level has a single class.
        """
        path = self.data_folder / "derived" / f"{self.name}-{self._key()}.npz"
        if (kept := recall(path, self.name)) is not None:
            return kept
        documents = read()
        dataset = self._weighed(documents, per_class)
        if sum(map(len, documents.texts)) >= LARGE:
            keep(path, dataset)
        return dataset

    def _key(self) -> str:
        """Hash of what determines the weights: texts, options, this code and the version of scikit-learn."""
        try:
            version = metadata.version("scikit-learn")
        except metadata.PackageNotFoundError:
            version = ""
        key = hashlib.sha256(json.dumps([self.identity(), version], sort_keys=True).encode())
        for part in type(self).__mro__:
            if issubclass(part, Weights):
                key.update(Path(inspect.getfile(part)).read_bytes())
        return key.hexdigest()[:16]

    def _weighed(self, documents: Documents, per_class: int | None) -> Dataset:
        weights, vectorizer = self.vectorized(documents, **self.of_sklearn)
        chosen = self._not_empty(weights)
        if per_class is not None:
            names = np.array(documents.classes[0])[chosen]
            first = [np.flatnonzero(names == name)[:per_class] for name in np.unique(names)]
            chosen = chosen[np.sort(np.concatenate(first))]
        classes = [class_indices([level[i] for i in chosen]) for level in documents.classes]
        if any(len(names) < 2 for _, names in classes):
            raise InputError(
                f"dataset={self.name} has documents of a single class. Expected at least two classes with words."
            )
        X = sparse.csr_array(weights[chosen].T)
        called = documents.texts if documents.names is None else documents.names
        return Dataset(
            self.name,
            X,
            [labels for labels, _ in classes],
            feature_names=vectorizer.get_feature_names_out().tolist(),
            class_names=[names for _, names in classes],
            sample_names=[first_words(called[i]) for i in chosen],
            weights=self.kept(getattr(vectorizer, "idf_", None)),
        )

    def vectorized(self, documents: Documents, **weighting: Any) -> tuple[Any, Any]:
        """Weights of the words that count, sparse and of shape (documents, words), and what has made them.

        The weighting is that of scikit-learn's ``TfidfVectorizer``, which comes back fitted; errors are those of
        `weighted`.
        """
        stop_words = read_stop_words(self.stop_words, self.name)
        options = {option: getattr(self, option) for option in ("min_df", "max_df", "max_features", "lowercase")}
        sklearn = required("sklearn.feature_extraction.text", "text", self.name)
        vectorizer = sklearn.TfidfVectorizer(**options, **weighting, stop_words=stop_words or None)
        _log_parts(vectorizer, stop_words)
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Your stop_words may be inconsistent")  # which is in the log
                weights = vectorizer.fit_transform(documents.texts).tocsr()
        except ValueError as error:
            reason = str(error).partition("\n")[0].rstrip(".")
            raise InputError(f"dataset={self.name} leaves no words to count: {reason}.") from None
        return weights, vectorizer

    def _not_empty(self, weights: Any) -> NDArray[np.intp]:
        """Indices of the documents that may become samples; how many hold nothing is in the log."""
        filled = np.flatnonzero(np.diff(weights.indptr))
        if empty := weights.shape[0] - len(filled):
            share = f"{empty} of {weights.shape[0]}"
            happens = "stay as columns of zeros" if self.keep_empty else "are left out"
            log.warning("dataset=%s: %s documents hold no word that counts and %s.", self.name, share, happens)
        return np.arange(weights.shape[0]) if self.keep_empty else filled


def _log_parts(vectorizer: Any, stop_words: Collection[str]) -> None:
    """Say which words remain because stop words are not as texts are split: ``don`` and, from capitals, ``the``."""
    clean, split = vectorizer.build_preprocessor(), vectorizer.build_tokenizer()
    if parts := sorted({part for word in stop_words for part in split(clean(word))} - set(stop_words)):
        log.warning(
            "dataset.stop_words: in texts some read %s, no stop words themselves; add those to leave them out.",
            ", ".join(parts[:NAMED]) + (", ..." if len(parts) > NAMED else ""),
        )

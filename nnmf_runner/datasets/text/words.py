"""Documents as columns of tf-idf weights, for every dataset of text."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from scipy import sparse

from nnmf_runner.core.checks import InputError, check_choice, check_number
from nnmf_runner.datasets.base import Dataset
from nnmf_runner.datasets.files.kept import keep, recall
from nnmf_runner.datasets.files.reading import class_indices, content_digest, required
from nnmf_runner.store.files import user_path

log = logging.getLogger(__name__)

# Characters from which on weights are kept; those of fewer are made again as quickly as they are read.
LARGE = 1_000_000


@dataclass(frozen=True)
class Documents:
    """Texts with the names of their classes.

    Attributes
    ----------
    texts : list of str
    classes : list of list of str
        Class of every text, one list per level, finest first.
    """

    texts: list[str]
    classes: list[list[str]]


@dataclass
class Words(ABC):
    """Which words of the documents are features, and how they are weighted.

    Parameters
    ----------
    min_df, max_df : int or float
        Fewest and most documents that may contain a word: a count if an integer, a share of all documents if a float.
    max_features : int or None
        Most frequent words to keep.
    stop_words : str or None
        ``english`` removes the English stop words of scikit-learn.
    lowercase : bool
        Whether to convert all words to lowercase.
    idf : bool
        Whether words of many documents get smaller weights; without this and without `norm`, weights are counts.
    norm : str or None
        Norm in which columns have unit length: ``l2`` or ``l1``; None leaves the weights as they are.
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
    stop_words: str | None = "english"
    lowercase: bool = True
    idf: bool = True
    norm: str | None = "l2"
    cache: str = "data"
    path: str | None = None

    def __post_init__(self) -> None:
        for option in ("min_df", "max_df"):
            value = getattr(self, option)
            low, high, integer = (0.0, 1.0, False) if isinstance(value, float) else (1, np.inf, True)
            check_number(value, f"dataset.{option}", low=low, high=high, integer=integer)
        if self.max_features is not None:
            check_number(self.max_features, "dataset.max_features", low=1, integer=True)
        for option, names in (("stop_words", ["english"]), ("norm", ["l1", "l2"])):
            if getattr(self, option) is not None:
                check_choice(getattr(self, option), names, f"dataset.{option}")

    @abstractmethod
    def sources(self) -> tuple[list[Path], Path]:
        """Files that the texts come from, and what their names are relative to; no files if the texts are fetched."""

    def identity(self) -> dict[str, Any]:
        """Options, with a hash of the files in the place of their path: it matters what they hold, not where."""
        options = dataclasses.asdict(self)
        del options["cache"]
        files, root = self.sources()
        return {**options, "path": content_digest(files, root, self._option) if files else None}

    @property
    def _option(self) -> str:
        return f"dataset.path={self.path}"

    @property
    def data_folder(self) -> Path:
        """Where what is fetched or derived is kept."""
        return user_path(self.cache, "dataset.cache")

    def weighted(self, read: Callable[[], Documents], per_class: int | None = None) -> Dataset:
        """The tf-idf weights of documents; those without a word that counts are left out.

        X is sparse, of shape (words, documents).  Weights of more than `LARGE` characters are kept in the data folder,
        and found there by what determines them.

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
            if issubclass(part, Words):
                key.update(Path(inspect.getfile(part)).read_bytes())
        return key.hexdigest()[:16]

    def _weighed(self, documents: Documents, per_class: int | None) -> Dataset:
        options = {field.name: getattr(self, field.name) for field in dataclasses.fields(Words)}
        del options["cache"], options["path"]
        options["use_idf"] = options.pop("idf")
        vectorizer = required("sklearn.feature_extraction.text", "text", self.name).TfidfVectorizer(**options)
        try:
            weights = vectorizer.fit_transform(documents.texts).tocsr()  # (documents, words)
        except ValueError as error:
            reason = str(error).partition("\n")[0].rstrip(".")
            raise InputError(f"dataset={self.name} leaves no words to count: {reason}.") from None
        filled = np.flatnonzero(np.diff(weights.indptr))
        if empty := weights.shape[0] - len(filled):
            share = f"{empty} of {weights.shape[0]}"
            log.warning("dataset=%s: %s documents hold no word that counts and are left out.", self.name, share)
        if per_class is not None:
            names = np.array(documents.classes[0])[filled]
            first = [np.flatnonzero(names == name)[:per_class] for name in np.unique(names)]
            filled = filled[np.sort(np.concatenate(first))]
        labels = [class_indices([level[i] for i in filled]) for level in documents.classes]
        if any(level.max(initial=0) == 0 for level in labels):
            raise InputError(
                f"dataset={self.name} has documents of a single class. Expected at least two classes with words."
            )
        X = sparse.csr_array(weights[filled].T)
        return Dataset(self.name, X, labels, feature_names=vectorizer.get_feature_names_out().tolist())

"""Documents as columns of tf-idf weights, for every dataset of text."""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from nnmf_runner.core.checks import InputError, check_choice, check_number
from nnmf_runner.datasets.base import Dataset, Labels
from nnmf_runner.datasets.reading import class_indices, required

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Documents:
    """Texts with the names of their classes.

    Attributes
    ----------
    texts : list of str
    classes : list of list of str
        Class of every text, one list a level, finest first.
    """

    texts: list[str]
    classes: list[list[str]]


@dataclass
class Words:
    """Which words of the documents are features, and how they are weighted.

    Parameters
    ----------
    min_df, max_df : int or float
        Documents that a word has to be in, and may be in: a number of them, or a share if it is no integer.
    max_features : int or None
        Most frequent words to keep.
    stop_words : str or None
        ``english`` leaves the words out that scikit-learn lists.
    lowercase : bool
    idf : bool
        Whether a word weighs the less the more documents it is in; without, and without `norm`, weights are counts.
    norm : str or None
        Norm in which columns have unit length: ``l2`` or ``l1``; None leaves the weights as they are.
    """

    min_df: Any = 1
    max_df: Any = 1.0
    max_features: int | None = None
    stop_words: str | None = "english"
    lowercase: bool = True
    idf: bool = True
    norm: str | None = "l2"

    def __post_init__(self) -> None:
        for option in ("min_df", "max_df"):
            value = getattr(self, option)
            if isinstance(value, float):
                check_number(value, f"dataset.{option}", low=0.0, high=1.0)
            else:
                check_number(value, f"dataset.{option}", low=1, integer=True)
        if self.max_features is not None:
            check_number(self.max_features, "dataset.max_features", low=1, integer=True)
        if self.stop_words is not None:
            check_choice(self.stop_words, ["english"], "dataset.stop_words")
        if self.norm is not None:
            check_choice(self.norm, ["l1", "l2"], "dataset.norm")

    def weighted(self, name: str, documents: Documents, per_class: int | None = None) -> Dataset:
        """The tf-idf weights of documents; those without a word that counts are left out.

        Parameters
        ----------
        name : str
            Of the dataset.
        documents : Documents
        per_class : int, optional
            Documents of every finest class that become samples, the first ones; words and their weights come from all.

        Returns
        -------
        Dataset
            X sparse, of shape (words, documents).

        Raises
        ------
        InputError
            If scikit-learn is missing, no word is left, or a level has a single class.
        """
        options = {field.name: getattr(self, field.name) for field in dataclasses.fields(Words)}
        options["use_idf"] = options.pop("idf")
        vectorizer = required("sklearn.feature_extraction.text", "text", name).TfidfVectorizer(**options)
        try:
            weights = vectorizer.fit_transform(documents.texts).tocsr()  # (documents, words)
        except ValueError as error:
            reason = str(error).partition("\n")[0].rstrip(".")
            raise InputError(f"dataset={name} leaves no words to count: {reason}.") from None
        filled = np.flatnonzero(np.diff(weights.indptr))
        if empty := weights.shape[0] - len(filled):
            log.warning(
                "dataset=%s: %d of %d documents hold no word that counts and are left out.",
                name,
                empty,
                weights.shape[0],
            )
        if per_class is not None:
            filled = _first_of_each(filled, [documents.classes[0][i] for i in filled], per_class)
        labels = [class_indices([level[i] for i in filled]) for level in documents.classes]
        if any(level.max(initial=0) == 0 for level in labels):
            raise InputError(
                f"dataset={name} has documents of a single class. Expected at least two classes with words."
            )
        X = sparse.csr_array(weights[filled].T)
        return Dataset(name, X, labels, feature_names=vectorizer.get_feature_names_out().tolist())


def _first_of_each(members: Labels, classes: Sequence[str], count: int) -> Labels:
    """The first `count` members of every class, in their order."""
    seen: Counter[str] = Counter()
    kept = []
    for member, name in zip(members, classes, strict=True):
        seen[name] += 1
        if seen[name] <= count:
            kept.append(member)
    return np.array(kept)

"""What a fit to weighted counts, such as those of words in texts, knows of them: new ones get weights like its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.files.reading import required
from nnmf_runner.datasets.stop_words import ENGLISH, read_stop_words
from nnmf_runner.datasets.weighting import Weights, tfidf


@dataclass(frozen=True)
class Vocabulary:
    """How the counts of a fit were weighted.

    Attributes
    ----------
    weights : Weights
    idf : ndarray of shape (m,) or None
        What counts of every feature are multiplied by, if the weights say so.
    words : list of str or None
        What the features are called.
    split : dict or None
        Of texts, ``lowercase`` and ``stop_words`` as they are in `Words`, with a list in the place of a file.
    """

    weights: Weights
    idf: NDArray[np.float64] | None
    words: Sequence[str] | None
    split: Mapping[str, Any] | None

    @classmethod
    def of(cls, kept: Mapping[str, Any], words: Sequence[str] | None) -> Vocabulary:
        """The vocabulary that a run keeps as ``{"options": ..., "idf": ...}``; InputError if it is damaged."""
        options = dict(kept["options"])
        split = {name: options.pop(name) for name in ("lowercase", "stop_words") if name in options} or None
        try:
            weights = Weights(**options)
        except (TypeError, ValueError):  # of an unknown option or value
            weights = None
        if weights is None or weights.idf != (kept["idf"] is not None) or not _may_split(split, words):
            raise InputError("what it keeps of the weights of words is damaged")
        return cls(weights, None if kept["idf"] is None else np.array(kept["idf"], np.float64), words, split)

    @property
    def recipe(self) -> dict[str, Any]:
        """The options, as in `Weights.recipe`."""
        return {**(self.weights.recipe or {}), **(self.split or {})}

    def counts(self, texts: Sequence[str]) -> Any:
        """How often every text has each word, sparse and of shape (m, n); other words are not counted."""
        split = self.split or {}
        stop_words = read_stop_words(split["stop_words"], "text") or None
        sklearn = required("sklearn.feature_extraction.text", "text", "text")
        counter = sklearn.CountVectorizer(lowercase=split["lowercase"], stop_words=stop_words, vocabulary=self.words)
        return sparse.csr_array(counter.transform(texts).T)

    def weigh(self, counts: Any, name: str, hint: str = "") -> Any:
        """The weights of counts of shape (m, n), see `tfidf`."""
        return tfidf(counts, self.weights, name, self.idf, hint)[0]


def _may_split(split: Mapping[str, Any] | None, words: Sequence[str] | None) -> bool:
    """Whether texts can be split by these options, of which none is a path; None is not of texts."""
    if split is None:
        return True
    stop_words = split.get("stop_words")
    of_words = isinstance(stop_words, list) and all(isinstance(word, str) for word in stop_words)
    is_good = isinstance(split.get("lowercase"), bool) and (stop_words in (None, ENGLISH) or of_words)
    return is_good and words is not None and len({*words}) == len(words) > 0

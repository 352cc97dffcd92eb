"""How counts become tf-idf weights, for counts of words in texts and for counts from files."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from nnmf_runner.core.checks import InputError, check_choice, check_flag
from nnmf_runner.core.linalg import canonical
from nnmf_runner.datasets.files.reading import required

WEIGHTINGS = ("tfidf",)
NORMS = ("l1", "l2")


@dataclass
class Weights:
    """How counts are weighted, by the definitions of scikit-learn's `TfidfTransformer`.

    Parameters
    ----------
    idf : bool
        Whether words of many documents get smaller weights; without this, `norm` and `sublinear`, weights are counts.
    norm : str or None
        Norm in which columns have unit length: ``l2`` or ``l1``; None leaves the weights as they are.
    sublinear : bool
        Whether a count c that is not zero enters as 1 + log(c).
    """

    idf: bool = True
    norm: str | None = "l2"
    sublinear: bool = False

    def __post_init__(self) -> None:
        for option in ("idf", "sublinear"):
            check_flag(getattr(self, option), f"dataset.{option}")
        if self.norm is not None:
            check_choice(self.norm, NORMS, "dataset.norm")

    @property
    def of_sklearn(self) -> dict[str, Any]:
        """The options by the names that scikit-learn gives them."""
        return {"use_idf": self.idf, "norm": self.norm, "sublinear_tf": self.sublinear}


def check_weighting(weighting: str | None, weights: Weights) -> None:
    """Raise an `InputError` if a weighting is not known, or there is none for options of `weights` to act on."""
    if weighting is not None:
        check_choice(weighting, WEIGHTINGS, "dataset.weighting")
        return
    for option in dataclasses.fields(Weights):
        if (value := getattr(weights, option.name)) != option.default:
            raise InputError(
                f"dataset.{option.name}={value} changes nothing without a weighting. Expected dataset.weighting=tfidf "
                "beside it."
            )


def tfidf(X: Any, weights: Weights, name: str) -> Any:
    """The weights of counts, dense if these are and in CSR form if they are sparse.

    A sample that holds nothing stays a column of zeros, and a feature that no sample holds a row of zeros.

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (m, n)
        Counts; columns are samples.
    weights : Weights
    name : str
        What errors call X, with the option that names its file.

    Raises
    ------
    InputError
        If entries are no counts, or scikit-learn is missing.
    """
    X = canonical(sparse.csr_array(X)) if sparse.issparse(X) else np.asarray(X)
    _refuse_no_counts(X, name)
    counts = sparse.csr_array(X.T, dtype=np.float64, copy=True)
    counts.eliminate_zeros()  # which would be counted as samples that hold the feature
    transformer = required("sklearn.feature_extraction.text", "text", "file").TfidfTransformer(**weights.of_sklearn)
    found = sparse.csr_array(transformer.fit_transform(counts).T)
    return found if sparse.issparse(X) else found.toarray()


def _refuse_no_counts(X: Any, name: str) -> None:
    """Refuse entries that are no whole numbers from 0: of what is weighted or scaled already, no weights are tf-idf."""
    values = X.data if sparse.issparse(X) else X
    with np.errstate(invalid="ignore"):  # the remainder of infinity
        wrong = np.argwhere(~((values >= 0) & (values % 1 == 0)))
    if len(wrong):
        at = tuple(wrong[0])
        i, j = (side[at] for side in X.tocoo().coords) if sparse.issparse(X) else at
        raise InputError(
            f"{name} holds {values[at]:g} for feature {i} of sample {j} (from 0), and dataset.weighting=tfidf expects "
            "counts: whole numbers from 0. Leave it out for data that are weighted already."
        )

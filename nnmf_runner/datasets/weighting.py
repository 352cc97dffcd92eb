"""How counts become tf-idf weights, for counts of words in texts and for counts from files."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nnmf_runner.core.checks import InputError, check_choice, check_flag
from nnmf_runner.core.linalg import canonical
from nnmf_runner.datasets.files.reading import required

WEIGHTINGS = ("tfidf",)
NORMS = ("l1", "l2")
# What to do about entries that are no counts.
LEAVE_OUT = "Leave out dataset.weighting for data that are weighted already."


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

    @property
    def recipe(self) -> dict[str, Any] | None:
        """Options that new counts are weighted by like these, see `Vocabulary`; None where there are no weights."""
        return {option.name: getattr(self, option.name) for option in dataclasses.fields(Weights)}

    def kept(self, idf: NDArray[np.float64] | None) -> dict[str, Any]:
        """What new counts are weighted by like these, of which features have this `idf`; as in a `Dataset`."""
        return {"options": self.recipe, "idf": None if idf is None else idf.tolist()}

    def as_counts(self, recipe: Mapping[str, Any], **changes: Any) -> Any:
        """The source of the same data before they are weighted, for a fit that weighs counts by a recipe of its own.

        Subclasses say which of their options `changes` beside.

        Raises
        ------
        InputError
            If options would weigh them in another way.
        """
        for name, value in (self.recipe or {}).items():
            if value not in (recipe[name], self.__dataclass_fields__[name].default):
                raise InputError(
                    f"dataset.{name}={value} is not as in the fit, where it is {recipe[name]}. Leave it out."
                )
        return dataclasses.replace(self, **{"idf": False, "norm": None, "sublinear": False} | changes)


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


def tfidf(
    X: Any, weights: Weights, name: str, idf: NDArray[np.float64] | None = None, hint: str = LEAVE_OUT
) -> tuple[Any, NDArray[np.float64] | None]:
    """The weights of counts, dense if these are and in CSR form if they are sparse, and their `idf` if they have one.

    A sample that holds nothing stays a column of zeros, and a feature that no sample holds a row of zeros.

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (m, n)
        Counts; columns are samples.
    weights : Weights
    name : str
        What errors call X, with the option that names its file.
    idf : ndarray of shape (m,), optional
        That of other samples; by default that of these.
    hint : str
        What to do if entries are no counts.

    Raises
    ------
    InputError
        If entries are no counts, or scikit-learn is missing.
    """
    X = canonical(sparse.csr_array(X)) if sparse.issparse(X) else np.asarray(X)
    _refuse_no_counts(X, name, hint)
    counts = sparse.csr_array(X.T, dtype=np.float64, copy=True)
    counts.eliminate_zeros()  # which would be counted as samples that hold the feature
    transformer = required("sklearn.feature_extraction.text", "text", "file").TfidfTransformer(**weights.of_sklearn)
    if idf is None:
        transformer.fit(counts)
    else:
        transformer.idf_ = idf
    found = sparse.csr_array(transformer.transform(counts).T)
    return found if sparse.issparse(X) else found.toarray(), getattr(transformer, "idf_", None)


def _refuse_no_counts(X: Any, name: str, hint: str) -> None:
    """Refuse entries that are no whole numbers from 0: of what is weighted or scaled already, no weights are tf-idf."""
    values = X.data if sparse.issparse(X) else X
    with np.errstate(invalid="ignore"):  # the remainder of infinity
        wrong = np.argwhere(~((values >= 0) & (values % 1 == 0)))
    if len(wrong):
        at = tuple(wrong[0])
        i, j = (side[at] for side in X.tocoo().coords) if sparse.issparse(X) else at
        raise InputError(
            f"{name} holds {values[at]:g} for feature {i} of sample {j} (from 0), and tf-idf weights are made of "
            f"counts: whole numbers from 0. {hint}"
        )

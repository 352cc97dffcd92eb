"""The rank profile of data: what fits on parts of them say of how many topics they have, and at which levels."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnmf_runner.core.checks import InputError, filled
from nnmf_runner.core.layer import solve_codes
from nnmf_runner.core.linalg import WHOLE_SVD, Mask, Matrix, singular_values, tail_shares
from nnmf_runner.core.ranks import (
    Criteria,
    Curve,
    Stability,
    matched_cosines,
    optimal_threshold_rank,
    singular_ratios,
    stability,
)
from nnmf_runner.datasets.resample import FOLDS

# Samples by whose largest topics fits are compared: all pairs of them are.
MOST_COMPARED = 500
# How the criteria are called.
HALVES, SPECTRUM, BICROSS = "split halves", "spectrum", "bi-cross-validation"


def ranks_text(ranks: Sequence[int]) -> str:
    """Ranks as they are written; ``none`` if there are none."""
    return "-".join(map(str, ranks)) or "none"


@dataclass(frozen=True)
class Pair:
    """The topics of two halves of the samples, each of shape (m, k)."""

    first: Matrix
    second: Matrix


@dataclass(frozen=True)
class RankProfile:
    """What every rank is worth by several criteria, and what follows from them.

    Attributes
    ----------
    criteria : Criteria
    floors : ndarray of shape (n_ranks,)
        The smallest relative error, of all the data, that a fit of each rank can have.
    stability : list of Stability
        By rank, over the same fits as the split halves; no part of the choice.
    threshold_rank : int or None
        Number of singular values above the threshold of Gavish and Donoho, where all of them are known; no part of the
        choice either.
    """

    criteria: Criteria
    floors: Matrix
    stability: list[Stability]
    threshold_rank: int | None

    @property
    def ranks(self) -> list[int]:
        """The ranks that were compared."""
        return [*self.criteria.ranks]

    @property
    def layers(self) -> list[int]:
        """The ranks that are chosen, the finest first; empty where the criteria disagree."""
        return self.criteria.chosen()

    @property
    def proposals(self) -> dict[str, str]:
        """What each criterion says, in a few words."""
        enough, is_open = self.criteria.sufficient, self.criteria.is_open
        first = f"{enough[0]}{' or more' if is_open else ''}" if enough else f"no more than {self.ranks[0] - 1}"
        lists = {HALVES: self.criteria.halves_peaks, SPECTRUM: self.criteria.spectrum_peaks}
        words = {name: ranks_text(found) for name, found in lists.items()}
        return words | {BICROSS: first}

    @property
    def verdict(self) -> str:
        """One line: ``layers=12-6-3``, or ``undecided:`` and what each criterion says."""
        if self.layers:
            return f"layers={'-'.join(map(str, self.layers))}"
        return "undecided: " + ", ".join(f"{name} {said}" for name, said in self.proposals.items())

    def rows(self) -> list[dict[str, Any]]:
        """One row per rank: its scores, the criteria that speak for it, and why it is chosen or not."""
        found, criteria = [], self.criteria
        for i, rank in enumerate(self.ranks):
            votes = self.votes(rank)
            scores = {
                "singular_ratio": float(criteria.ratios[i]),
                "halves_cosine": float(criteria.halves.values[i]),
                "halves_se": float(criteria.halves.errors[i]),
                "left_out_error": float(criteria.errors.values[i]),
                "left_out_se": float(criteria.errors.errors[i]),
                "floor": float(self.floors[i]),
            }
            found.append(
                {
                    "rank": rank,
                    "chosen": rank in self.layers,
                    **scores,
                    **dataclasses.asdict(self.stability[i]),
                    "agree": votes,
                    "reason": self._reason(rank, votes),
                }
            )
        return found

    def votes(self, rank: int) -> list[str]:
        """The criteria that speak for a rank: it is a peak of two of them, or the first to suffice by the third."""
        criteria = self.criteria
        named = {HALVES: criteria.halves_peaks, SPECTRUM: criteria.spectrum_peaks, BICROSS: criteria.sufficient[:1]}
        return [name for name, ranks in named.items() if rank in ranks]

    def _reason(self, rank: int, votes: Sequence[str]) -> str:
        """Why a rank is chosen, proposed, or neither, in one sentence."""
        criteria = self.criteria
        said = [f"peak of the {name}" for name in votes if name != BICROSS]
        if BICROSS in votes:
            said.append("first rank whose error is within one standard error of the lowest")
        elif rank in criteria.sufficient:
            said.append("error within one standard error of the lowest")
        head = "chosen" if rank in self.layers else "proposed" if votes else "not proposed"
        return f"{head}: {', '.join(said)}" if said else f"{head}: no criterion stands out here"

    def as_dict(self) -> dict[str, Any]:
        """All of it, as JSON."""
        return {
            "layers": self.layers,
            "verdict": self.verdict,
            "proposals": self.proposals,
            "threshold_rank": self.threshold_rank,
            "ranks": self.rows(),
        }


def make_profile(
    X: Any,
    mask: Mask | None,
    pairs: Iterable[tuple[int, Sequence[Pair]]],
    errors: Mapping[int, Sequence[float | None]],
    folds: int = FOLDS,
) -> RankProfile:
    """The rank profile of data X of shape (m, n), zero where the `mask` says that an entry is missing.

    Parameters
    ----------
    pairs : iterable of (int, sequence of Pair)
        Ranks in ascending order with the topics of the halves, of which those of one rank are held at a time.
    errors : mapping of int to sequence of float or None
        Relative errors of the corners that bi-cross-validation leaves out, one for each fold of the rows and of the
        columns, by rank: those of `pairs`, and of the rank before the first of them if there is one.  None where a
        corner holds only zeros.
    folds : int
        Number of folds of either side.  So many corners have no row or column in common: one standard error of the
        mean of all of them counts no more.

    Raises
    ------
    InputError
        If no corner holds anything but zeros.
    """
    known = {rank: [error for error in some if error is not None] for rank, some in errors.items()}
    if not all(known.values()):
        raise InputError("X has only zeros in the corners that are left out. Expected data with fewer zeros, or folds.")
    ranks: list[int] = []
    cosines: list[list[float]] = []
    alike: list[Stability] = []
    for rank, halves in pairs:
        ranks.append(rank)
        cosines.append([float(matched_cosines(pair.first, pair.second).mean()) for pair in halves])
        alike.append(_stability(X, mask, halves))
    below = [float(np.mean(known[rank])) for rank in known if rank < ranks[0]]
    left_out = Curve.over(np.array([known[rank] for rank in ranks]), folds)
    criteria = Criteria(ranks, spectrum_ratios(X, mask, ranks), Curve.over(np.array(cosines)), left_out, *below)
    whole = filled(X, mask)
    return RankProfile(criteria, np.sqrt(tail_shares(whole, ranks)), alike, _threshold_rank(whole))


def spectrum_ratios(X: Any, mask: Mask | None, ranks: Sequence[int]) -> Matrix:
    """Ratios of successive singular values, see `singular_ratios`; missing entries are the means of their features."""
    return singular_ratios(singular_values(filled(X, mask), min(ranks[-1] + 1, *X.shape)), ranks)


def _threshold_rank(X: Any) -> int | None:
    """See `optimal_threshold_rank`; None for data that are too large, or sparse, to have all singular values."""
    if hasattr(X, "nnz") or min(X.shape) > WHOLE_SVD:
        return None
    return optimal_threshold_rank(singular_values(X, min(X.shape)), X.shape)


def _stability(X: Any, mask: Mask | None, pairs: Sequence[Pair]) -> Stability:
    """How alike all fits on halves are, by their topics and by the codes that these give samples of all the data."""
    n = X.shape[1]
    some = np.unique(np.linspace(0, n - 1, min(n, MOST_COMPARED)).astype(int))
    topics = [A for pair in pairs for A in (pair.first, pair.second)]
    seen = None if mask is None else mask[:, some]
    return stability(topics, [solve_codes(A, X[:, some], seen) for A in topics])

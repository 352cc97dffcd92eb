"""The consensus of several hierarchies of topics, as fits from different starts find them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import cut_tree, linkage
from scipy.optimize import linear_sum_assignment

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.layer import solve_codes
from nnmf_runner.core.linalg import Index, Mask, Matrix

# A topic whose cosine with the consensus is below it is another topic, which neither shapes the consensus nor votes.
SAME = 0.8
# Hierarchies from each of which matching begins once, and passes of matching.
CANDIDATES, MOST_PASSES = 20, 100


@dataclass(frozen=True)
class Consensus:
    """What several hierarchies have in common.

    Attributes
    ----------
    topics : list of ndarray of shape (m, k_l)
        Topics of every layer in terms of the features, the medians of those that are matched.
    factors : list of ndarray of shape (k_{l-1}, k_l)
        ``A_0``, the topics of the first layer, and ``A_1, ..., A_L``, with which those of a layer make up the next
        ones: the start of a fit.
    stability : list of ndarray of shape (k_l,)
        Mean cosine of every topic with the topics that are matched with it, of all hierarchies.
    members : list of ndarray of int, shape (k_l,)
        Number of hierarchies whose topic is the same, by a cosine of 0.8 at least.
    votes : list of ndarray of shape (k_l, k_{l+1})
        Share of the hierarchies in which a topic of a layer stands below a topic of the next one.  Those in which
        either is another topic do not vote.
    """

    topics: list[Matrix]
    factors: list[Matrix]
    stability: list[Matrix]
    members: list[Index]
    votes: list[Matrix]

    @property
    def parents(self) -> list[Index]:
        """The topic above of every topic, of all layers but the last: that with most votes, -1 without any."""
        return [largest(votes) for votes in self.votes]

    @property
    def support(self) -> list[Matrix]:
        """Share of the votes that the topic above of every topic has, of all layers but the last."""
        return [votes.max(axis=1) for votes in self.votes]


def consensus(topics: Sequence[Sequence[Matrix]], links: Sequence[Sequence[Matrix]], *, signed: bool) -> Consensus:
    """The consensus of hierarchies of the same ranks, whose topics stand in the order of the first of them.

    In every layer the topics of all hierarchies are matched with those of a centre by the largest total cosine; the
    medians of those that are the same as its own are the next centre, until the matches stay.  In the first layer, the
    centre is at first one of the hierarchies, that which ends with the largest total cosine.  Where hierarchies make
    different mistakes in a higher one, the pairs of topics that many put below the same topic are right: the centre
    is at first made of the groups into which they fall, by Ward's linkage of those shares.

    Parameters
    ----------
    topics : sequence of sequence of ndarray of shape (m, k_l)
        Topics of every layer in terms of the features, by hierarchy.
    links : sequence of sequence of ndarray of shape (k_{l-1}, k_l)
        What the topics of every layer but the first are made of, by hierarchy.
    signed : bool
        Whether factors may be negative.

    References
    ----------
    D. Kotliar et al., "Identifying gene expression programs of cell-type identity and cellular activity with
    single-cell RNA-Seq", eLife 8, 2019, for medians of matched topics without outliers; S. Monti et al., "Consensus
    clustering", Machine Learning 52, 2003, for groups of what is often found together.

    Examples
    --------
    >>> A = [np.eye(4), np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])]
    >>> found = consensus([[A[0], A[1]], [A[0][:, ::-1], A[1][:, ::-1]]], [[A[1]], [A[1]]], signed=False)
    >>> [array.tolist() for array in (*found.parents, *found.support, *found.stability)]
    [[0, 0, 1, 1], [1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0], [1.0, 1.0]]
    """
    first, *higher = zip(*topics, strict=True)
    layers, votes = [_most_central(first)], []
    for level, of_layer in enumerate(higher):
        below = layers[-1]
        parents = [_parents(own[level], own[level + 1], link[level]) for own, link in zip(topics, links, strict=True)]
        grows = of_layer[0].shape[1] > below.order.shape[1]
        above = (
            _most_central(of_layer) if grows else _matched(of_layer, _gathered(below, parents, of_layer[0].shape[1]))
        )
        layers.append(above)
        votes.append(_votes(below, above, parents))
    found = [layer.topics for layer in layers]
    solve = _least_squares if signed else solve_codes
    factors = [found[0], *(solve(below, above) for below, above in itertools.pairwise(found))]
    members = [layer.same.sum(axis=0) for layer in layers]
    return Consensus(found, factors, [layer.cosines.mean(axis=0) for layer in layers], members, votes)


def check_held(fixed: Sequence[int]) -> None:
    """Raise an `InputError` for fixed layers above one that is not: only where all below are equal do matches agree."""
    if [*fixed] != [*range(len(fixed))]:
        raise InputError(
            f"fixed={[*fixed]} holds a layer above one that is not held, whose topics a consensus orders anew. "
            "Expected layers from the first one up, such as fixed=[0]."
        )


@dataclass(frozen=True)
class _Layer:
    """The topics of one layer: those of the consensus, shape (m, k), and who was matched, all of shape (trials, k)."""

    topics: Matrix
    order: Index  # the topics of every hierarchy in the order of the consensus
    cosines: Matrix
    same: Mask


def _most_central(topics: Sequence[Matrix]) -> _Layer:
    """Match the topics of one layer, shapes (m, k), from one of the first few hierarchies, the best of them."""
    return max((_matched(topics, own) for own in topics[:CANDIDATES]), key=lambda layer: layer.cosines.sum())


def _gathered(below: _Layer, parents: Sequence[Index], k: int) -> Matrix:
    """Sums of the k groups of topics that stand below the same topic in most hierarchies, shape (m, k)."""
    chosen = [
        np.where(same, parent[own], -1) for own, same, parent in zip(below.order, below.same, parents, strict=True)
    ]
    together = np.mean([(own[:, None] == own) & (own >= 0) for own in chosen], axis=0)
    np.fill_diagonal(together, 1.0)
    group = cut_tree(linkage(together, "ward"), k).ravel() if len(together) > 1 else np.zeros(1, int)
    return _units(below.topics) @ np.eye(k)[group]


def _matched(topics: Sequence[Matrix], centre: Matrix) -> _Layer:
    """Match the topics of one layer, shapes (m, k), with those of a centre that moves until the matches stay."""
    lengths = np.array([np.linalg.norm(own, axis=0) for own in topics])
    units, centre = [_units(own) for own in topics], _units(centre)
    centre = centre[:, np.argsort(_matches(units[:1], centre)[0])]
    order = _matches(units, centre)
    for _ in range(MOST_PASSES):
        before = centre
        centre = _median(units, order, _counted(_cosines(units, order, centre) >= SAME), centre)
        order = _matches(units, centre)
        if np.array_equal(centre, before):
            break
    cosines = np.minimum(_cosines(units, order, centre), 1.0)
    same = cosines >= SAME
    kept = np.where(_counted(same), np.take_along_axis(lengths, order, axis=1), np.nan)
    return _Layer(centre * np.nanmedian(kept, axis=0), order, cosines, same)


def _counted(same: Mask) -> Mask:
    """Whose topics count: those that are the same as those of the centre, or all where none is."""
    return same | ~same.any(axis=0)


def _units(topics: Matrix) -> Matrix:
    """Topics of unit length, but for those that are empty."""
    lengths = np.linalg.norm(topics, axis=0)
    return topics / np.where(lengths > 0, lengths, 1.0)


def _matches(units: Sequence[Matrix], centre: Matrix) -> Index:
    """The topic of every hierarchy that is matched with every one of the centre, shape (trials, k)."""
    return np.array([linear_sum_assignment(centre.T @ unit, maximize=True)[1] for unit in units])


def _cosines(units: Sequence[Matrix], order: Index, centre: Matrix) -> Matrix:
    return np.array([np.einsum("ij,ij->j", unit[:, own], centre) for unit, own in zip(units, order, strict=True)])


def _median(units: Sequence[Matrix], order: Index, counted: Mask, centre: Matrix) -> Matrix:
    """Medians of the topics that count, of unit length; the centre stays where topics have too little in common."""
    medians = centre.copy()
    for j, members in enumerate(counted.T):
        own = [unit[:, which[j]] for unit, which, member in zip(units, order, members, strict=True) if member]
        median = np.median(own, axis=0)
        if length := float(np.linalg.norm(median)):
            medians[:, j] = median / length
    return medians


def _parents(below: Matrix, above: Matrix, link: Matrix) -> Index:
    """The topic above that each has the largest share of, between topics of unit length; -1 where it has none."""
    lengths, others = np.linalg.norm(below, axis=0), np.linalg.norm(above, axis=0)
    return largest(link * lengths[:, None] / np.where(others > 0, others, np.inf))


def largest(shares: Matrix) -> Index:
    """The column of the largest entry of every row, -1 where none is positive."""
    return np.where((shares > 0).any(axis=1), shares.argmax(axis=1), -1)


def _votes(below: _Layer, above: _Layer, parents: Sequence[Index]) -> Matrix:
    votes = np.zeros((below.order.shape[1], above.order.shape[1]))
    for t, parent in enumerate(parents):
        place = np.argsort(above.order[t])  # of every topic of this hierarchy in the consensus
        chosen = parent[below.order[t]]
        into = np.where(chosen >= 0, place[chosen], -1)
        counts = below.same[t] & (into >= 0) & above.same[t][into]
        votes[counts, into[counts]] += 1.0
    return votes / len(parents)


def _least_squares(A: Matrix, X: Matrix) -> Matrix:
    solution: Matrix = np.linalg.lstsq(A, X, rcond=None)[0]
    return solution

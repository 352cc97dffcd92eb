"""How far the topics of one level of a tensor hierarchy are from a tree over those of the level below."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from nnmf_runner.core.layer import solve_codes
from nnmf_runner.core.linalg import Matrix
from nnmf_runner.metrics.topics import or_one

# Up to this number of ways to divide the topics among parents, all are tried.
TRIED = 2000

# The parent of every topic.
Parents = tuple[int, ...]


def tree_loss(below: Sequence[Matrix], above: Sequence[Matrix]) -> float:
    """Relative error of the topics of a level as sums of disjoint groups of the topics below.

    Every topic below has one parent, the same in all modes, which are found such that the loss is smallest.  In every
    mode a topic above is approximated by a nonnegative combination of the topics whose parent it is.  The loss is the
    root of the mean of the squared residuals, over topics of unit length and over modes: 0 for a tree, 1 where nothing
    of a topic is in its group.  It depends neither on the lengths of columns, nor on their order, nor, for models that
    combine the topics of different modes freely, on the order of the topics above in each mode.

    Parameters
    ----------
    below, above : sequence of ndarray of shape (d_i, k) and (d_i, K)
        Topics of two levels as columns, in the same modes.

    Returns
    -------
    float
        The smallest loss for few topics; for many, one that no other parent of a single topic lowers.

    Examples
    --------
    >>> below = [np.eye(4)[:, :3], np.eye(3)]
    >>> round(tree_loss(below, [U @ np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]]) for U in below]), 9)
    0.0
    >>> round(tree_loss(below, [U @ np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]) for U in below]), 3)
    0.5
    """
    groups = _Groups(below, above)
    if _divisions(groups.k, groups.K) <= TRIED:
        return min(map(groups.loss, _all_parents(groups.k, groups.K)))
    return _descended(groups)


class _Groups:
    """The loss of parents, from residuals that are kept by group.

    Attributes
    ----------
    k, K : int
        Topics below and above.
    """

    def __init__(self, below: Sequence[Matrix], above: Sequence[Matrix]) -> None:
        self.k, self.K = below[0].shape[1], above[0].shape[1]
        # The triangle of a mode's topics has their lengths and angles, in as many rows as there are topics.
        both = [np.hstack([_unit(U), _unit(A)]) for U, A in zip(below, above, strict=True)]
        triangles: list[Matrix] = [np.linalg.qr(topics).R for topics in both]
        self.modes = [(R[:, : self.k], R[:, self.k :]) for R in triangles]
        self._residuals: dict[Parents, Matrix] = {}

    def residuals(self, group: Parents) -> Matrix:
        """Squared residual of every topic above in every mode as a combination of a group, shape (modes, K)."""
        if group not in self._residuals:
            rest = [A - U[:, list(group)] @ solve_codes(U[:, list(group)], A) if group else A for U, A in self.modes]
            self._residuals[group] = np.array([(R**2).sum(axis=0) for R in rest])
        return self._residuals[group]

    def loss(self, parents: Parents) -> float:
        """The loss for these parents, whose names do not matter."""
        groups = [tuple(j for j, parent in enumerate(parents) if parent == c) for c in range(self.K)]
        total = 0.0
        for of_mode in np.stack([self.residuals(group) for group in groups], axis=1):  # (groups, K) by mode
            total += of_mode[linear_sum_assignment(of_mode)].sum()
        return math.sqrt(total / (len(self.modes) * self.K))

    def strongest(self) -> Parents:
        """The parent with the largest share of every topic, with the topics above in the order of the first mode."""
        weights = [solve_codes(U, A) for U, A in self.modes]  # (k, K)
        total = np.zeros((self.k, self.K))
        for of_mode in weights:
            total += of_mode[:, linear_sum_assignment(weights[0].T @ of_mode, maximize=True)[1]]
        return tuple(total.argmax(axis=1).tolist())


def _descended(groups: _Groups) -> float:
    """The loss after giving one topic after the other the parent that lowers it most, until none does."""
    parents = groups.strongest()
    lowest, before = groups.loss(parents), math.inf
    while lowest < before:
        before = lowest
        for j in range(groups.k):
            choices = [(*parents[:j], parent, *parents[j + 1 :]) for parent in range(groups.K)]
            losses = [groups.loss(choice) for choice in choices]
            best = int(np.argmin(losses))
            if losses[best] < lowest:
                lowest, parents = losses[best], choices[best]
    return lowest


def _divisions(k: int, K: int) -> int:
    """In how many ways k topics are divided among up to K parents without names."""
    counts = [1] + [0] * K  # by parents in use, after each topic
    for _ in range(k):
        counts = [0] + [c * counts[c] + counts[c - 1] for c in range(1, K + 1)]
    return sum(counts)


def _all_parents(k: int, K: int) -> Iterator[Parents]:
    """All of these divisions, each once: a topic has an earlier topic's parent or the first unused one."""
    if k == 0:
        yield ()
        return
    for parents in _all_parents(k - 1, K):
        for parent in range(min(max(parents, default=-1) + 2, K)):
            yield (*parents, parent)


def _unit(M: Matrix) -> Matrix:
    return M / or_one(np.linalg.norm(M, axis=0))

"""The consensus of several fits of one model."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.consensus import Consensus, check_held, consensus
from nnmf_runner.core.layer import solve_codes
from nnmf_runner.core.linalg import Matrix
from nnmf_runner.datasets import Dataset
from nnmf_runner.methods import Fit, Method
from nnmf_runner.metrics.recovery import Planted, tree_agreement


def consensus_of(method: Method, fits: Sequence[Fit], fixed: Sequence[int] = ()) -> Consensus:
    """The consensus of fits of a method with the same ranks, see `nnmf_runner.core.consensus.consensus`.

    Of `fixed` layers, which are those of all fits, the factors stay bit for bit.

    Raises
    ------
    InputError
        If a fixed layer is above one that is not, or differs between the fits, or if all topics of a layer are empty.
    """
    check_held(fixed)
    for layer in fixed:
        if not all(np.array_equal(fit.A[layer], fits[0].A[layer]) for fit in fits):
            raise InputError(f"fixed={[*fixed]} holds layer {layer}, which differs between the fits of a consensus.")
    topics = [[method.topics(fit, level) for level in range(len(fit.A))] for fit in fits]
    links = [_links(fit, own) for fit, own in zip(fits, topics, strict=True)]
    found = consensus(topics, links, signed=method.sign_free)
    factors = [*(fits[0].A[layer] for layer in fixed), *found.factors[len(fixed) :]]
    for layer, factor in enumerate(factors):
        if not factor.any():
            raise InputError(
                f"All topics of layer {layer} are empty in the consensus, from which no fit can begin. "
                "Expected smaller penalties, or fewer layers."
            )
    return replace(found, factors=factors)


def _links(fit: Fit, topics: Sequence[Matrix]) -> list[Matrix]:
    """What the topics of every layer but the first are made of; with pooling, its factors do not say it."""
    pairs = zip(fit.A[1:], itertools.pairwise(topics), strict=True)
    return [A if len(A) == below.shape[1] else solve_codes(below, above) for A, (below, above) in pairs]


def consensus_tree(found: Consensus, dataset: Dataset) -> float | None:
    """Share of planted topics that stand below their planted parent by the votes, see `tree_agreement`."""
    planted = Planted.of(dataset, by_mode=False)
    if planted is None:
        return None
    lengths = [np.linalg.norm(topics, axis=0) for topics in found.topics]
    units = [topics / np.where(own > 0, own, 1.0) for topics, own in zip(found.topics, lengths, strict=True)]
    return tree_agreement([[own] for own in units], found.votes, planted)

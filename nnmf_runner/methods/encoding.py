"""Codes of new data for a fit, with the loss, the penalties and the units of that fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from nnmf_runner.core.divergence import BetaDivergence
from nnmf_runner.core.layer import NO_SHRINKAGE, Shrinkage, solve_layers
from nnmf_runner.core.linalg import Mask, Matrix, column_lengths, cross_product, parts
from nnmf_runner.core.monitor import Monitor, StoppingRule, rounding_of
from nnmf_runner.core.multiplicative import NonnegativeNetwork, fit_network
from nnmf_runner.core.regularisation import Penalty
from nnmf_runner.core.threads import each
from nnmf_runner.core.updates import Codes, Multiplicative
from nnmf_runner.methods.fit import Fit


def saved_scales(fit: Fit) -> list[Matrix]:
    """What `normalised` multiplied the codes of every layer by, shapes (k_l, 1); none where it was not applied."""
    names = [f"scale_{i}" for i in range(len(fit.A))]
    return [fit.parameters[name][:, None] for name in names if name in fit.parameters]


def as_fitted(fit: Fit, scales: Sequence[Matrix]) -> Fit:
    """Undo `normalised` for the factors of a fit."""
    below: list[Any] = [1.0, *scales[:-1]]
    return replace(fit, A=[A * scale.T / under for A, scale, under in zip(fit.A, scales, below, strict=True)])


def normalised(fit: Fit) -> Fit:
    """Scale the columns of every A to unit length and the codes inversely, so that the factorisation stays the same.

    ``parameters["scale_l"]``, of shape (k_l,), is the factor by which the codes of layer l were multiplied.  A layer
    that meets codes of another scale weights them differently, so new data are encoded by the factors before scaling.
    """
    A: list[Matrix] = []
    S: list[Matrix] = []
    parameters, maps = dict(fit.parameters), fit.maps
    gained = np.ones(fit.A[0].shape[0], fit.A[0].dtype)
    for i, (factor, codes) in enumerate(zip(fit.A, fit.S, strict=True)):
        scaled = factor * gained[:, None]
        length = column_lengths(scaled)
        gained = np.where(length > 0, length, 1.0)
        A.append(scaled / gained)
        S.append(codes * gained[:, None])
        parameters[f"scale_{i}"] = gained
        if i in maps:
            maps[i] = maps[i] / gained
    B = maps.pop(len(A) - 1, None)
    return replace(fit, A=A, S=S, B=B, lower_maps=maps, parameters=parameters)


def encode_layers(fit: Fit, X: Any, mask: Mask | None = None) -> list[Matrix]:
    """Codes of every layer as least-squares solutions for the codes below, with the penalties of the fit."""
    cross, shrinkage = cross_product(fit.A[0], X), saved_shrinkage(fit)
    codes = [np.empty((factor.shape[1], X.shape[1]), cross.dtype) for factor in fit.A]

    def solve(part: slice) -> None:
        known = None if mask is None else mask[:, part]
        layers = solve_layers(fit.A, None, mask=known, shrinkage=shrinkage, cross=cross[:, part])
        for S, layer in zip(codes, layers, strict=True):
            S[:, part] = layer.S

    each(solve, parts(X.shape[1]))
    return codes


def loss_parameters(divergence: BetaDivergence, on_S: Sequence[Shrinkage], A: Sequence[Matrix]) -> dict[str, Matrix]:
    """The loss that codes minimise, as `Fit.parameters`: ``beta``, and ``l1_0, l2_0, ...`` of shapes (k_l, 1).

    There are none for squared residuals without penalties.
    """
    parameters = {} if divergence.beta == 2.0 else {"beta": np.array(divergence.beta)}
    if any(np.any(term.l1) or np.any(term.l2) for term in on_S):
        for i, (term, factor) in enumerate(zip(on_S, A, strict=True)):
            for name in ("l1", "l2"):
                value = np.broadcast_to(getattr(term, name), (factor.shape[1], 1))
                parameters[f"{name}_{i}"] = value.astype(factor.dtype)
    return parameters


def saved_divergence(fit: Fit, mask: Mask | None = None) -> BetaDivergence:
    """The loss of the data that a fit minimised."""
    return BetaDivergence(float(fit.parameters.get("beta", 2.0)), mask)


def saved_shrinkage(fit: Fit) -> list[Shrinkage]:
    """The penalties on the codes of every layer that a fit had."""
    given, indices = fit.parameters, range(len(fit.A))
    return [Shrinkage(given[f"l1_{i}"], given[f"l2_{i}"]) if f"l1_{i}" in given else NO_SHRINKAGE for i in indices]


def multiplicative_codes(network: NonnegativeNetwork, A: Sequence[Matrix], shrinkage: Shrinkage) -> Matrix:
    """Codes of the data of a network for fixed factors, by multiplicative updates, shape (k_L, n)."""
    S = np.ones((A[-1].shape[1], network.X.shape[1]), network.X.dtype)  # far from zero, which an update cannot leave
    penalty = Penalty(shrinkage.l1 / network.unit, shrinkage.l2 / (2.0 * network.unit))
    codes = Codes(Multiplicative, 2.0 * network.unit, None, S, penalty)
    rule = StoppingRule(rounding=rounding_of(network.X.dtype.name))
    return fit_network(network, list(A), S, codes, Monitor(rule), fixed=range(len(A)))[1]

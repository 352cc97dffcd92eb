"""What every method shares: the problem it is given, how it is to be solved, and what it returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.costs import Cost, Labels, Reconstruction
from nnmf_runner.core.divergence import BetaDivergence
from nnmf_runner.core.layer import NO_SHRINKAGE, Shrinkage, solve_layers
from nnmf_runner.core.linalg import Mask, Matrix, chain
from nnmf_runner.core.monitor import History, Monitor, Stop, StoppingRule
from nnmf_runner.core.multiplicative import NonnegativeNetwork, fit_network
from nnmf_runner.core.optimizers import Automatic, Optimizer
from nnmf_runner.core.regularisation import Penalty, Regularisation
from nnmf_runner.core.updates import Codes, Multiplicative
from nnmf_runner.methods.supervision import Supervision


@dataclass(frozen=True)
class Problem:
    """What is to be factored and what counts as good.

    Attributes
    ----------
    X : ndarray or sparse matrix of shape (m, n)
        Nonnegative data, columns are samples; zero where an entry is missing.
    labels : Labels or None
        What is known of the classes that the codes of the last layer are to predict.
    cost : Cost
    mask : ndarray of bool, shape (m, n), or None
        True where an entry of dense X is known; None where all are.
    regularisation : Regularisation
    lower_labels : dict of int to Labels
        The same for lower layers, by the layer; empty for methods that do not supervise them.
    """

    X: Any
    labels: Labels | None = None
    cost: Cost = field(default_factory=Reconstruction)
    mask: Mask | None = None
    regularisation: Regularisation = field(default_factory=Regularisation)
    lower_labels: dict[int, Labels] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """How the problem is to be solved.

    Attributes
    ----------
    start : sequence of ndarray
        Initial factors ``A_0, ..., A_L``.
    rule : StoppingRule
    optimizer : Optimizer
        For methods that update all factors together by gradients.
    rng : Generator
        For stochastic choices during the fit.
    """

    start: Sequence[Matrix]
    rule: StoppingRule = field(default_factory=StoppingRule)
    optimizer: Optimizer = field(default_factory=Automatic)
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))


@dataclass(frozen=True)
class Fit:
    """A factorisation.

    Attributes
    ----------
    A : list of ndarray of shape (k_{l-1}, k_l)
        Factors, ``k_{-1} = m``.
    S : list of ndarray of shape (k_l, n)
        Codes of every layer.
    B : ndarray of shape (c, k_L) or None
        Label map of the last layer, where labels were known.
    history : History
    stop : Stop
    parameters : dict of ndarray
        What else the method needs to encode new data, by name.
    lower_maps : dict of int to ndarray of shape (c_l, k_l)
        Label maps of lower layers, by the layer, where labels were known for them.
    """

    A: list[Matrix]
    S: list[Matrix]
    B: Matrix | None
    history: History
    stop: Stop
    parameters: dict[str, Matrix] = field(default_factory=dict)
    lower_maps: dict[int, Matrix] = field(default_factory=dict)

    @property
    def maps(self) -> dict[int, Matrix]:
        """The label map of every supervised layer, by the layer."""
        return self.lower_maps | ({} if self.B is None else {len(self.A) - 1: self.B})


class Method:
    """A way to fit the factors.  Subclasses are dataclasses whose fields are the method's options.

    Class attributes say what a method can do: the `costs` of the data, its default first, and the `losses` of the
    labels it can minimise; whether it `uses_optimizer`, `supervises_layers` below the last one, `regularises` factors,
    has factors whose columns can be rescaled (`rescales`), and the `most_layers` it can have; and whether it
    `bends_codes`, that is whether the label of a sample changes its own codes, as it cannot for new data.  `estimator`
    is the name of its estimator, that of the class with NMF behind it unless the class says otherwise.
    """

    name: ClassVar[str]
    estimator: ClassVar[str]
    costs: ClassVar[tuple[str, ...]] = ("reconstruction",)
    losses: ClassVar[tuple[str, ...]] = ("squared",)
    uses_optimizer: ClassVar[bool] = False
    supervises_layers: ClassVar[bool] = False
    bends_codes: ClassVar[bool] = False
    most_layers: ClassVar[int | None] = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "estimator" not in vars(cls):
            cls.estimator = f"{cls.__name__}NMF"

    @property
    def takes_missing(self) -> bool:
        """Whether missing entries of the data can be left out."""
        return False

    @property
    def takes_sparse(self) -> bool:
        """Whether the data may be sparse."""
        return True

    @property
    def regularises(self) -> bool:
        """Whether factors can be penalised."""
        return False

    @property
    def sign_free(self) -> bool:
        """Whether factors A may be negative; codes never are."""
        return False

    @property
    def rescales(self) -> bool:
        """Whether a column of a factor can give its scale to the next factor without changing the model."""
        return True

    def check(
        self,
        cost: Cost,
        supervision: Supervision,
        n_layers: int,
        regularisation: Regularisation | None = None,
        *,
        normalise: bool = False,
    ) -> None:
        """Refuse a cost, a loss of the labels, penalties or a number of layers that the method cannot have.

        Raises
        ------
        InputError
        """
        for name, value, legal in (
            ("cost", cost.name, self.costs),
            ("label_loss", supervision.loss, self.losses),
        ):
            if value not in legal:
                raise InputError(f"method={self.name} has no {name}={value}. Expected one of: {', '.join(legal)}.")
        cost.check(n_layers)
        if isinstance(supervision.levels, list) and len(supervision.levels) != n_layers:
            raise InputError(
                f"label_levels={supervision.levels} has {len(supervision.levels)} entries, expected {n_layers}: "
                "a level of labels for every layer, or None."
            )
        if supervision.levels not in ("auto", "last") and not self.supervises_layers:
            raise InputError(
                f"method={self.name} learns from labels in its last layer alone, but "
                f"label_levels={supervision.levels}. Expected label_levels=last, or method=neural."
            )
        if self.most_layers is not None and n_layers > self.most_layers:
            ranks = "one rank" if self.most_layers == 1 else f"at most {self.most_layers} ranks"
            raise InputError(f"method={self.name} has no hierarchy: layers has {n_layers} ranks, expected {ranks}.")
        if regularisation is not None and regularisation.is_active and not self.regularises:
            raise InputError(f"method={self.name} with these options cannot penalise factors. Expected no penalty.")
        if normalise and not self.rescales:
            raise InputError(
                f"method={self.name} with these options depends on the scale of its factors. Expected normalise=False."
            )

    def check_data(self, X: Any, mask: Mask | None, cost: Cost | None = None) -> None:
        """Refuse data that the method cannot take, with the cost that is to be minimised.

        Raises
        ------
        InputError
        """
        if sparse.issparse(X) and not (self.takes_sparse and (cost is None or cost.takes_sparse)):
            given = f"method={self.name} with these options" + (f" and cost={cost.name}" if cost else "")
            raise InputError(
                f"X is sparse, and {given} would form dense matrices of its shape {X.shape}. Expected dense data, or "
                "method=neural, method=hier, method=semi, method=sparse_coding, or method=deep with pooling=none and "
                "activation=identity, and none of them with cost=kl."
            )
        if mask is None:
            return
        if not self.takes_missing:
            raise InputError(
                f"method={self.name} with these options cannot leave out missing entries. Expected X without NaN and "
                "with no entry masked or held out, or one of: method=neural, method=sparse_coding, method=deep, "
                "method=hier with solver=mu."
            )
        if sparse.issparse(X):
            raise InputError("X is sparse, where missing entries cannot be told from zeros. Expected a dense X.")

    def fit(self, problem: Problem, plan: Plan) -> Fit:
        """Factor the data of `problem` as `plan` says."""
        raise NotImplementedError

    def solve(self, problem: Problem, plan: Plan, *, normalise: bool = False) -> Fit:
        """The fit, with a label map that is of codes as new data would get them.

        Parameters
        ----------
        problem : Problem
        plan : Plan
        normalise : bool
            Whether columns of every A are scaled to unit length, see `normalised`.
        """
        fit, labels = self.fit(problem, plan), problem.labels
        if labels is not None and self.bends_codes:
            fit = replace(fit, B=labels.best_map(self.transform(fit, problem.X, problem.mask)[-1]))
        return normalised(fit) if normalise else fit

    def transform(self, fit: Fit, X: Any, mask: Mask | None = None) -> list[Matrix]:
        """Codes of every layer, shapes (k_l, n), for data of shape (m, n) and what was fitted."""
        scales = [fit.parameters.get(f"scale_{i}") for i in range(len(fit.A))]
        codes = self.encode(_as_fitted(fit, scales), X, mask)
        return [S if scale is None else scale[:, None] * S for scale, S in zip(scales, codes, strict=True)]

    def encode(self, fit: Fit, X: Any, mask: Mask | None = None) -> list[Matrix]:
        """Codes as `transform` gives them, for factors that stand as they were fitted."""
        return [layer.S for layer in solve_layers(fit.A, X, mask=mask, shrinkage=saved_shrinkage(fit, len(fit.A)))]

    def decode(self, A: Sequence[Matrix], S: Sequence[Matrix], level: int) -> Matrix:
        """From the codes of layer `level` down to the first, shape (k_0, n): the data are ``A_0`` times this."""
        return chain(list(A[1 : level + 1]), S[level])

    def topics(self, A: Sequence[Matrix], level: int) -> Matrix:
        """What each code of layer `level` stands for in the data, shape (m, k_l): the data for unit codes."""
        unit = np.eye(A[level].shape[1])
        return A[0] @ self.decode(A, [unit] * (level + 1), level)


# Before the name of a parameter among arrays.
_PARAMETER = "parameters/"


def named_arrays(fit: Fit) -> dict[str, NDArray[Any]]:
    """What a fit found, by the names that it is saved under: ``A0, ..., S0, ..., B, B0, ..., parameters/...``."""
    named = {f"A{i}": A for i, A in enumerate(fit.A)} | {f"S{i}": S for i, S in enumerate(fit.S)}
    named |= {f"B{i}": B for i, B in fit.lower_maps.items()}
    named |= {_PARAMETER + name: value for name, value in fit.parameters.items()}
    return named if fit.B is None else {**named, "B": fit.B}


def fit_from_arrays(arrays: Mapping[str, NDArray[Any]], history: History, stop: Stop) -> Fit:
    """The fit of which `named_arrays` gives these.

    Raises
    ------
    ValueError
        If their names or shapes are not those of a fit, with the reason.
    """
    A, S, B = numbered(arrays, "A"), numbered(arrays, "S"), arrays.get("B")
    parameters = {name.removeprefix(_PARAMETER): value for name, value in arrays.items() if name.startswith(_PARAMETER)}
    lower_maps = {i: arrays[f"B{i}"] for i in range(len(A) - 1) if f"B{i}" in arrays}
    if not A or len(A) != len(S):
        raise ValueError(f"it has {len(A)} factors A and {len(S)} codes S")
    if len(A) + len(S) + len(parameters) + len(lower_maps) + (B is not None) < len(arrays):
        known = {*(f"{kind}{i}" for kind in "AS" for i in range(len(A))), *(f"B{i}" for i in lower_maps), "B"}
        strange = [name for name in arrays if name not in known and not name.startswith(_PARAMETER)]
        raise ValueError(f"it has an array {strange[0]}, which no fit has")
    for i, (factor, codes) in enumerate(zip(A, S, strict=True)):
        below = A[i - 1].shape[-1] if i else 1
        if factor.ndim != 2 or 0 in factor.shape or factor.shape[0] % below:  # with pooling, a multiple
            raise ValueError(f"A{i} has shape {factor.shape}, which does not fit the layer below")
        if codes.ndim != 2 or codes.shape != (factor.shape[1], S[0].shape[-1]):
            raise ValueError(f"S{i} has shape {codes.shape}, expected {(factor.shape[1], S[0].shape[-1])}")
    for i, given in (*lower_maps.items(), (len(A) - 1, B)):
        if given is not None and (given.ndim != 2 or not len(given) or given.shape[1] != A[i].shape[1]):
            name = "B" if given is B else f"B{i}"
            raise ValueError(f"{name} has shape {given.shape}, expected one column for each of {A[i].shape[1]} topics")
    return Fit(A, S, B, history, stop, parameters, lower_maps)


def numbered(arrays: Mapping[str, NDArray[Any]], kind: str) -> list[NDArray[Any]]:
    """The arrays that are called ``A0, A1, ...`` if `kind` is ``A``, as far as there are any."""
    found: list[NDArray[Any]] = []
    while (name := f"{kind}{len(found)}") in arrays:
        found.append(arrays[name])
    return found


def loss_parameters(divergence: BetaDivergence, on_S: Sequence[Shrinkage], A: Sequence[Matrix]) -> dict[str, Matrix]:
    """What codes of new data minimise, as `Fit.parameters`: ``beta``, and ``l1_0, l2_0, ...`` of shapes (k_l, 1).

    Nothing where it is the plain squared residual.
    """
    parameters = {} if divergence.beta == 2.0 else {"beta": np.array(divergence.beta)}
    if any(np.any(term.l1) or np.any(term.l2) for term in on_S):
        for i, (term, factor) in enumerate(zip(on_S, A, strict=True)):
            for name in ("l1", "l2"):
                parameters[f"{name}_{i}"] = np.broadcast_to(getattr(term, name), (factor.shape[1], 1)).astype(float)
    return parameters


def saved_divergence(fit: Fit, mask: Mask | None = None) -> BetaDivergence:
    """The loss of the data that a fit was made with."""
    return BetaDivergence(float(fit.parameters.get("beta", 2.0)), mask)


def saved_shrinkage(fit: Fit, n: int) -> list[Shrinkage]:
    """The penalties on the codes of `n` layers that a fit was made with."""
    given = fit.parameters
    return [Shrinkage(given[f"l1_{i}"], given[f"l2_{i}"]) if f"l1_{i}" in given else NO_SHRINKAGE for i in range(n)]


def multiplicative_codes(network: NonnegativeNetwork, A: Sequence[Matrix], shrinkage: Shrinkage) -> Matrix:
    """Codes of a network's data for fixed factors, by multiplicative updates, shape (k_L, n)."""
    S = np.ones((A[-1].shape[1], network.X.shape[1]))  # far from the zeros that an update cannot leave
    penalty = Penalty(shrinkage.l1 / network.unit, shrinkage.l2 / (2.0 * network.unit))
    codes = Codes(Multiplicative, 2.0 * network.unit, None, S, penalty)
    return fit_network(network, list(A), S, codes, Monitor(StoppingRule()), only_codes=True)[1]


def normalised(fit: Fit) -> Fit:
    """The same factorisation with columns of unit length in every A: what they lose, the codes gain.

    ``parameters["scale_l"]``, of shape (k_l,), keeps what the codes of layer l were multiplied by: a layer fitted to
    codes of another scale would weigh them otherwise, so new data are encoded by the factors as they were fitted.
    """
    A, S, parameters = [], [], dict(fit.parameters)
    maps = fit.maps
    gained = np.ones(fit.A[0].shape[0])
    for i, (factor, codes) in enumerate(zip(fit.A, fit.S, strict=True)):
        scaled = factor * gained[:, None]
        length = np.linalg.norm(scaled, axis=0)
        gained = np.where(length > 0, length, 1.0)
        A.append(scaled / gained)
        S.append(codes * gained[:, None])
        parameters[f"scale_{i}"] = gained
        if i in maps:
            maps[i] = maps[i] / gained
    B = maps.pop(len(A) - 1, None)
    return replace(fit, A=A, S=S, B=B, lower_maps=maps, parameters=parameters)


def _as_fitted(fit: Fit, scales: Sequence[Matrix | None]) -> Fit:
    """The fit before `normalised`."""
    A: list[Matrix] = []
    below: Matrix | float = 1.0
    for factor, scale in zip(fit.A, scales, strict=True):
        if scale is None:
            return fit
        A.append(factor * scale / below)
        below = scale[:, None]
    return replace(fit, A=A)


def check_layers(layers: Any, shape: tuple[int, int] | None = None, *, allow_growing: bool = False) -> tuple[int, ...]:
    """Return ranks as a tuple of positive integers that do not grow.

    Parameters
    ----------
    layers : sequence of int, int, or str
        Ranks; also in the form ``9-4-2``.
    shape : tuple of int, optional
        ``(m, n)`` of the data, whose smaller side bounds the ranks.
    allow_growing : bool

    Raises
    ------
    InputError
    """
    given = layers
    if isinstance(layers, str):
        layers = [
            int(part) if part.strip().isdecimal() else part for part in layers.strip("[]").replace(",", "-").split("-")
        ]
    if isinstance(layers, (int, np.integer)) and not isinstance(layers, bool):
        layers = [layers]
    layers = list(layers) if isinstance(layers, Sequence) or hasattr(layers, "__iter__") else [layers]
    if not layers:
        raise InputError(f"layers={given} is empty. Expected at least one rank, such as layers=[9,4,2].")
    for i, rank in enumerate(layers):
        if not isinstance(rank, (int, np.integer)) or isinstance(rank, bool) or rank < 1:
            raise InputError(
                f"layers[{i}]={rank} is not valid. Expected a positive integer, such as in layers=[9,4,2]."
            )
        if i and rank > layers[i - 1] and not allow_growing:
            raise InputError(
                f"layers[{i}]={rank} exceeds layers[{i - 1}]={layers[i - 1]}: ranks must not grow "
                "(set allow_growing_ranks=True to force it)."
            )
        if shape is not None and rank > min(shape):
            raise InputError(
                f"layers[{i}]={rank} exceeds {min(shape)}, the smaller side of the data "
                f"(n_features={shape[0]}, n_samples={shape[1]}). Expected a rank of at most {min(shape)}."
            )
    return tuple(int(rank) for rank in layers)

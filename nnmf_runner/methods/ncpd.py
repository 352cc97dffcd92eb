"""Hierarchies of nonnegative CP models of tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial, reduce
from itertools import accumulate
from typing import Any, ClassVar

import numpy as np

from nnmf_runner.core.approximation import Approximation, CPModel
from nnmf_runner.core.checks import InputError, check_choice, check_flag, check_number, shown
from nnmf_runner.core.costs import Cost, LayerWeights
from nnmf_runner.core.free_network import FreeNetwork
from nnmf_runner.core.init import Initialisation
from nnmf_runner.core.layer import solve_codes, solve_normal
from nnmf_runner.core.linalg import Mask, Matrix
from nnmf_runner.core.monitor import History, Monitor, Stop, worst
from nnmf_runner.core.ncp import balanced, ncp_from_starts
from nnmf_runner.core.tensor import ScaledTensor, Tensor, as_tensor, gram, multilinear_floors
from nnmf_runner.core.tensor_layerwise import fit_factor, in_one_order, layerwise_free, layerwise_tied, links
from nnmf_runner.core.tensor_network import TensorNetwork, TiedNetwork
from nnmf_runner.methods.base import Method, Plan, Problem
from nnmf_runner.methods.fit import Fit

HIERARCHIES = ("tied", "free")
TRAININGS = ("joint", "layerwise")
# Names of parameters of a fit: relative errors of CP models of every rank by themselves; before the number of a level
# of a free hierarchy, its topics in all modes but that of the samples, and what they are multiplied by in all modes.
ALONE, TOPICS, MIXING = "alone", "topics_", "mixing_"
# Random starts of a CP model, and passes of each: more of them would never end.
MOST_STARTS, MOST_SWEEPS = 10_000, 10_000


@dataclass
class NCPD(Method):
    """Hierarchical nonnegative CP decomposition: topics of a tensor in all modes, gathered into supertopics.

    Layer l approximates the tensor by a CP model ``[[F_1^l, ..., F_N^l]]``, whose last mode N is that of the samples.
    Before the hierarchy, a CP model of the rank of every layer is fitted from the best of several random starts; that
    of layer 0 is the base ``F_i^0``.  `max_iter` limits each of these fits, and every one after them, by itself; their
    iterations are counted together.

    Parameters
    ----------
    hierarchy : {"tied", "free"}
        With "tied", the topics of a layer are sums of those below with the same weights in every mode,
        ``F_i^l = F_i^{l-1} W_l``.  With "free", every mode has weights of its own,
        ``F_i^l = A_i1 ... A_il S_il`` with exact codes ``S_il``, so that every ``F_i^l`` has as many columns as the
        base.
    training : {"joint", "layerwise"}
        Whether all layers, the base included, are fitted together or one after the other.
    exact_codes : bool, optional
        Whether the codes of the samples at every layer are the nonnegative least-squares solution for the other modes,
        rather than sums with the same weights as in these.  By default they are if the hierarchy is tied.
    starts : int
        Number of random starts of the CP model of every rank.
    start_sweeps : int
        Number of passes over all modes that every start is given before only the best one is continued.

    Notes
    -----
    Neural NCPD is ``hierarchy="free"``, standard hierarchical NCPD ``hierarchy="free", training="layerwise"``, and
    Multi-HNTF ``hierarchy="tied", training="layerwise", exact_codes=False``.

    References
    ----------
    J. Vendrow, J. Haddock and D. Needell, "Neural nonnegative CP decomposition for hierarchical tensor analysis",
    arXiv:2011.13094, for the free hierarchy; "A generalized hierarchical nonnegative tensor decomposition",
    arXiv:2109.14820, for the tied one.

    Examples
    --------
    >>> import numpy as np
    >>> from nnmf_runner import NonnegativeCP
    >>> topics = np.kron(np.eye(4), np.ones((3, 1)))  # four blocks in every mode, which make up two larger ones
    >>> larger = topics @ np.kron(np.eye(2), np.ones((2, 1)))
    >>> X = sum(np.einsum("ir,jr,kr->ijk", U, U, U) for U in (topics, larger))
    >>> model = NonnegativeCP(layers=(6, 2), random_state=0).fit(X)
    >>> model.transform(X).shape, [len(modes) for modes in model.topics_]
    ((12, 2), [2, 2])
    """

    name: ClassVar[str] = "ncpd"
    estimator: ClassVar[str] = "NonnegativeCP"
    costs: ClassVar[tuple[str, ...]] = ("multilevel",)
    losses: ClassVar[tuple[str, ...]] = ("squared", "cross_entropy")
    inits: ClassVar[tuple[str, ...]] = ("random",)
    tensors: ClassVar[bool] = True
    dtypes: ClassVar[tuple[str, ...]] = ("float64",)
    uses_optimizer: ClassVar[bool] = True
    supervises_layers: ClassVar[bool] = True
    rescales: ClassVar[bool] = False
    hierarchy: str = "tied"
    training: str = "joint"
    exact_codes: bool | None = None
    starts: int = 40
    start_sweeps: int = 15

    def __post_init__(self) -> None:
        check_choice(self.hierarchy, HIERARCHIES, "hierarchy")
        check_choice(self.training, TRAININGS, "training")
        if self.exact_codes is not None:
            check_flag(self.exact_codes, "exact_codes")
        if self.exact_codes and self.hierarchy == "free":
            raise InputError("exact_codes=True needs hierarchy=tied: a free hierarchy has codes of its own.")
        check_number(self.starts, "starts", low=1, high=MOST_STARTS, integer=True)
        check_number(self.start_sweeps, "start_sweeps", low=1, high=MOST_SWEEPS, integer=True)

    def identity(self) -> dict[str, Any]:
        """What determines the method; whether the codes are exact is told even where it is the default."""
        return {**asdict(self), "exact_codes": self.is_exact}

    @property
    def is_exact(self) -> bool:
        """Whether the codes of the samples are least-squares solutions at every level."""
        return self.hierarchy == "tied" if self.exact_codes is None else self.exact_codes

    @property
    def bends_codes(self) -> bool:  # type: ignore[override]
        """Codes that are variables of the fit are not those that new data get."""
        return not self.is_exact

    def check_ranks(self, layers: Sequence[int], shape: tuple[int, ...]) -> None:
        """Refuse ranks that no mode needs, see `Method.check_ranks`: above the product of the sizes of the others."""
        most = min(math.prod(shape[:mode] + shape[mode + 1 :]) for mode in range(len(shape)))
        for i, rank in enumerate(layers):
            if rank > most:
                sizes = " x ".join(map(str, shape))
                raise InputError(
                    f"layers[{i}]={shown(rank)} exceeds {most}, the most that a tensor of {sizes} can need. Expected a "
                    f"rank of at most {most}."
                )

    def check_data(self, X: Any, mask: Mask | None, cost: Cost | None = None, shape: tuple[int, ...] = ()) -> None:
        """Refuse matrices, see `Method.check_data`."""
        if len(shape) < 3:
            raise InputError(
                f"method={self.name} needs a tensor of at least three modes, but X is a matrix of shape {X.shape}. "
                "Expected another dataset, or method=neural."
            )
        super().check_data(X, mask, cost, shape)

    def n_rows(self, shape: tuple[int, ...]) -> int:
        """The factors of all modes but that of the samples stand below each other, see `Method.n_rows`."""
        return sum(shape[:-1])

    def floor_shares(self, X: Any, ranks: Sequence[int], shape: tuple[int, ...]) -> list[float]:
        """Those of the unfoldings, which bound every model of these ranks in all modes, see `Method.floor_shares`."""
        return [floor**2 for floor in multilinear_floors(X, shape, ranks)]

    def start(
        self, init: Initialisation, X: Any, layers: Sequence[int], rng: np.random.Generator, shape: tuple[int, ...]
    ) -> list[Matrix]:
        """Factors of all modes but that of the samples below each other, then ``W_1, ..., W_L``, see `Method.start`."""
        return init.start(np.empty((self.n_rows(shape), 0)), layers, rng)  # which asks for the number of rows alone

    def fit(self, problem: Problem, plan: Plan) -> Fit:
        """Fit a CP model of every rank by itself, then the hierarchy from there, see `Method.fit`."""
        given, history = as_tensor(problem.X, problem.shape), History()
        # Factors of data of norm one are near to one, as the weights between levels are, whatever the data's scale is.
        unit = 2.0 ** round(math.log2(given.squared_norm) / 2.0)
        tensor = ScaledTensor(given, unit)
        monitors = [Monitor(plan.rule, history, level) for level in range(len(plan.start))]
        alone = [balanced(self._alone(tensor, plan, level, monitor)) for level, monitor in enumerate(monitors)]
        errors = np.array([math.sqrt(tensor.residual(F) / tensor.squared_norm) for F in alone])
        learn = self._jointly if self.training == "joint" else self._layerwise
        found, stop = learn(problem, plan, tensor, alone, history)
        if self.training == "layerwise":  # which leaves the base as it is
            stop = worst([monitors[0].stop, stop])
        maps = {level: B / unit for level, B in found.maps.items()}
        B = maps.pop(len(alone) - 1, None)
        parameters = {"sizes": np.array(problem.shape[:-1]), ALONE: errors} | found.parameters()
        A = [np.vstack(found.topics[0][:-1]), *found.links]
        S = [np.ascontiguousarray(unit * modes[-1].T) for modes in found.topics]
        return Fit(A, S, B, history, stop, parameters, maps)

    def _alone(self, tensor: Tensor, plan: Plan, level: int, monitor: Monitor) -> list[Matrix]:
        """A CP model of the rank of a level, from the best of several starts."""
        rank, first = plan.start[level].shape[1], None
        if level == 0:
            U = _split(plan.start[0], tensor.shape[:-1])
            first = [*U, _codes(tensor, U).T]
        return ncp_from_starts(tensor, rank, plan.rng, monitor, self.starts, self.start_sweeps, first)

    def _jointly(
        self, problem: Problem, plan: Plan, tensor: Tensor, alone: list[list[Matrix]], history: History
    ) -> tuple[_Hierarchy, Stop]:
        """All levels together, from CP models of their ranks which are linked by least squares."""
        labels = problem.lower_labels | ({} if problem.labels is None else {len(alone) - 1: problem.labels})
        of_last = labels.pop(len(alone) - 1, None)
        ranks, weights = [F[0].shape[1] for F in alone], _level_weights(problem.cost, len(alone))
        W = links(alone)
        network: TensorNetwork
        if self.hierarchy == "tied":
            network = TiedNetwork(tensor, ranks, of_last, weights, self.is_exact, lower_labels=labels)
            variables = [*alone[0][: len(tensor.shape) - int(self.is_exact)], *W]
        else:
            network = FreeNetwork(tensor, ranks, None, of_last, weights, lower_labels=labels)
            variables = [*alone[0], *(F for level in alone[1:2] for F in level)]
            variables += [link for link in W[1:] for _ in tensor.shape]
        unknown: list[Matrix] = [np.empty(0)] * len(network.learnt)  # maps, of which codes know nothing
        codes = network.codes([*variables, *unknown]) if network.learnt else []
        variables += [network.labels[level].best_map(codes[level]) for level in network.learnt]
        monitor = Monitor(plan.rule, history)
        variables = plan.optimizer.minimize(network, variables, monitor, plan.rng)
        topics, learnt = network.topics(variables), network.split(variables)[1]
        maps = {
            level: learnt[level] if level in learnt else own.best_map(topics[level][-1].T)
            for level, own in network.labels.items()
        }
        assert monitor.stop is not None
        if isinstance(network, TiedNetwork):
            of_hierarchy = network.split(variables)[0]
            return _Hierarchy(topics, of_hierarchy[len(of_hierarchy) - len(W) :], maps=maps), monitor.stop
        return _Hierarchy(topics, links(topics), network.mixing(variables), maps), monitor.stop

    def _layerwise(
        self, problem: Problem, plan: Plan, tensor: Tensor, alone: list[list[Matrix]], history: History
    ) -> tuple[_Hierarchy, Stop]:
        """One level after the other, from the base; labels are fitted afterwards."""
        base, ranks = alone[0], [F[0].shape[1] for F in alone[1:]]
        stop, mixing = Stop.CONVERGED, []
        topics: list[list[Matrix]]
        if self.hierarchy == "tied":
            W, stop = layerwise_tied(tensor, base, plan.start[1:], plan.rule, history)
            tied = accumulate(W, lambda below, link: [F @ link for F in below], initial=base)
            topics = [[*F[:-1], _codes(tensor, F[:-1]).T] if self.is_exact else F for F in tied]
        else:
            # By level and mode, (A_il, S_il).
            levels = in_one_order(layerwise_free(base, ranks, partial(fit_factor, rng=plan.rng)))
            whole: list[Matrix] = [np.eye(len(F)) for F in base]
            above = accumulate(
                levels, lambda below, level: [F @ A for F, (A, _) in zip(below, level, strict=True)], initial=whole
            )
            topics = [base, *list(above)[1:]]
            mixing = [[S for _, S in level] for level in levels]
            W = links(topics)
        of_levels = problem.lower_labels | ({} if problem.labels is None else {len(topics) - 1: problem.labels})
        maps = {level: labels.best_map(topics[level][-1].T) for level, labels in of_levels.items()}
        return _Hierarchy(topics, W, mixing, maps), stop

    def encode(self, fit: Fit, X: Any, mask: Mask | None = None) -> list[Matrix]:
        """Codes of new data by least squares for the other modes, see `Method.encode`.

        Those of a free hierarchy that was fitted level by level are fitted to the codes of the base, as it was.
        """
        tensor, levels = as_tensor(X, (*_sizes(fit), X.shape[1])), range(len(fit.A))
        if self.hierarchy == "free" and self.training == "layerwise":
            base = _codes(tensor, self.mode_topics(fit, 0)[:-1])
            return [base, *(solve_codes(_mixing(fit, level)[-1].T, base) for level in levels[1:])]
        return [_codes(tensor, *self._left(fit, level)) for level in levels]

    def _left(self, fit: Fit, level: int) -> tuple[list[Matrix], Matrix | None]:
        """The factors of the CP model of a level but that of the samples, and what their codes are multiplied by."""
        modes = self.mode_topics(fit, level)[:-1]
        if self.hierarchy == "tied" or not level:
            return modes, None
        *mixing, of_samples = _mixing(fit, level)
        return [F @ own for F, own in zip(modes, mixing, strict=True)], of_samples

    def approximation(self, fit: Fit, S: Sequence[Matrix], level: int) -> Approximation:
        """The CP model of a level, see `Method.approximation`."""
        modes, mixing = self._left(fit, level)
        return CPModel([*modes, S[level].T if mixing is None else S[level].T @ mixing])

    def mode_topics(self, fit: Fit, level: int) -> list[Matrix]:
        """The topics of a level in all modes, see `Method.mode_topics`."""
        is_free = self.hierarchy == "free" and level > 0
        stacked = fit.parameters[f"{TOPICS}{level}"] if is_free else reduce(np.matmul, fit.A[: level + 1])
        return [*_split(stacked, _sizes(fit)), fit.S[level].T]

    def topics(self, fit: Fit, level: int) -> Matrix:
        """The topics of a level in all modes but that of the samples, below each other, shape (sum d_i, k_l).

        Every mode has the same share of a column, which is as long as the topic is in the data.
        """
        modes = self.mode_topics(fit, level)[:-1]
        lengths = np.array([np.linalg.norm(F, axis=0) for F in modes])  # (N-1, k_l)
        scale = lengths.prod(axis=0) / math.sqrt(len(modes)) / np.where(lengths > 0, lengths, 1.0)
        return np.vstack([F * own for F, own in zip(modes, scale, strict=True)])

    def n_features(self, fit: Fit) -> int:
        """The product of the sizes of all modes but that of the samples, see `Method.n_features`."""
        return math.prod(_sizes(fit))


@dataclass(frozen=True)
class _Hierarchy:
    """A fitted hierarchy.

    Attributes
    ----------
    topics : list of list of ndarray of shape (d_i, k_l)
        The topics of every level in all modes.
    links : list of ndarray of shape (k_{l-1}, k_l)
        What the topics of every level but the first are made of.
    mixing : list of list of ndarray of shape (k_l, k_0)
        For a free hierarchy, what the topics of every level but the first are multiplied by in its CP model.
    maps : dict of int to ndarray of shape (c_l, k_l)
        Label maps by level.
    """

    topics: list[list[Matrix]]
    links: list[Matrix]
    mixing: list[list[Matrix]] = field(default_factory=list)
    maps: dict[int, Matrix] = field(default_factory=dict)

    def parameters(self) -> dict[str, Matrix]:
        """What `Fit.parameters` holds of a free hierarchy, the modes below each other."""
        above = list(enumerate(zip(self.topics[1:], self.mixing, strict=True), start=1)) if self.mixing else []
        named = [(f"{TOPICS}{level}", topics[:-1]) for level, (topics, _) in above]
        named += [(f"{MIXING}{level}", mixing) for level, (_, mixing) in above]
        return {name: np.vstack(modes) for name, modes in named}


def _level_weights(cost: Cost, n_levels: int) -> list[float]:
    assert isinstance(cost, LayerWeights)  # the method has no other cost
    return cost.level_weights(n_levels)


def _sizes(fit: Fit) -> list[int]:
    """Sizes of all modes but that of the samples."""
    return [int(size) for size in fit.parameters["sizes"]]


def _split(stacked: Matrix, sizes: Sequence[int]) -> list[Matrix]:
    """The arrays that stand below each other in one, by their numbers of rows."""
    return np.split(stacked, np.cumsum(sizes)[:-1])


def _mixing(fit: Fit, level: int) -> list[Matrix]:
    """What the topics of a level of a free hierarchy are multiplied by, by mode, shapes (k_l, k_0)."""
    return np.split(fit.parameters[f"{MIXING}{level}"], len(_sizes(fit)) + 1)


def _codes(tensor: Tensor, modes: Sequence[Matrix], mixing: Matrix | None = None) -> Matrix:
    """Codes of the samples by least squares for factors (d_i, R) of all other modes.

    They are of shape (R, n), or (k, n) if the factor of the samples is the codes times `mixing`, of shape (k, R).
    """
    samples = np.empty((tensor.shape[-1], modes[0].shape[1]))  # whose MTTKRP does not depend on it
    normal, cross = gram(modes), tensor.mttkrp([*modes, samples], len(modes)).T
    if mixing is not None:
        normal, cross = mixing @ normal @ mixing.T, mixing @ cross
    return solve_normal(normal, cross)

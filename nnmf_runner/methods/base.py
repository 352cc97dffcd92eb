"""The protocol of methods: the problem to be solved, the plan for solving it, and what a method can do."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from scipy import sparse

from nnmf_runner.core.approximation import Approximation, Product
from nnmf_runner.core.checks import InputError, check_ranks
from nnmf_runner.core.costs import Cost, Reconstruction
from nnmf_runner.core.init import Initialisation
from nnmf_runner.core.label_costs import Labels
from nnmf_runner.core.linalg import DTYPES, Mask, Matrix, chain, is_sparse, tail_shares
from nnmf_runner.core.monitor import StoppingRule
from nnmf_runner.core.optimizers import Automatic, Optimizer
from nnmf_runner.core.regularisation import Regularisation
from nnmf_runner.methods.encoding import as_fitted, encode_layers, normalised, saved_scales
from nnmf_runner.methods.fit import Fit
from nnmf_runner.methods.supervision import Supervision


def no_codes(layer: int) -> InputError:
    """What is wrong where layers are made of the codes of the one below, and there are none."""
    return InputError(
        f"All codes of layer {layer} are zero, of which layer {layer + 1} cannot be made. "
        "Expected smaller penalties, fewer layers, or another start."
    )


@dataclass(frozen=True)
class Problem:
    """The data to be factored and the cost to be minimised.

    Attributes
    ----------
    X : ndarray or sparse matrix of shape (m, n)
        Data with samples as columns; zero where an entry is missing.
    labels : Labels or None
        Labels that the codes of the last layer are to predict.
    cost : Cost
    mask : ndarray of bool, shape (m, n), or None
        True where an entry of dense X is known; None if all are.
    regularisation : Regularisation
    lower_labels : dict of int to Labels
        Labels that the codes of lower layers are to predict, by layer; empty for methods that do not supervise them.
    shape : tuple of int
        Sizes of the modes of a tensor, that of the samples last, whose unfolding X is; that of X for a matrix.
    """

    X: Any
    labels: Labels | None = None
    cost: Cost = field(default_factory=Reconstruction)
    mask: Mask | None = None
    regularisation: Regularisation = field(default_factory=Regularisation)
    lower_labels: dict[int, Labels] = field(default_factory=dict)
    shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class Plan:
    """The start, the stopping rule and the optimizer with which a problem is to be solved.

    Attributes
    ----------
    start : sequence of ndarray
        Initial factors ``A_0, ..., A_L``.
    rule : StoppingRule
    optimizer : Optimizer
        Used by methods that update all factors together by gradients.
    rng : Generator
        Random numbers for the fit.
    fixed : collection of int
        Layers whose factors stay as they are at the start, see `Method.holds`.
    """

    start: Sequence[Matrix]
    rule: StoppingRule = field(default_factory=StoppingRule)
    optimizer: Optimizer = field(default_factory=Automatic)
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    fixed: Collection[int] = ()


class Method:
    """A way to fit the factors.  Subclasses are dataclasses whose fields are the method's options.

    Class attributes say what a method can do.  It can minimise certain `costs` of the data, the default first, and
    `losses` of the labels.  It `uses_optimizer`, `supervises_layers` below the last one, or `bends_codes`: the label of
    a sample changes its own codes, which it cannot do for new data.  It has at most `most_layers`.  It factors
    `tensors`, whose modes have factors of their own, rather than matrices.  It `takes_shards` of data that no process
    holds whole.  It starts from `inits`, by name and the default first, or from any.  It computes in the precisions
    `dtypes` of the data and the start, the default first.
    Properties tell what depends on its options; a subclass where they do not may declare
    them as class attributes.  `estimator` is the name of its estimator, by default the name of the class with NMF
    appended.
    """

    name: ClassVar[str]
    estimator: ClassVar[str]
    costs: ClassVar[tuple[str, ...]] = ("reconstruction",)
    losses: ClassVar[tuple[str, ...]] = ("squared",)
    uses_optimizer: ClassVar[bool] = False
    supervises_layers: ClassVar[bool] = False
    bends_codes: ClassVar[bool] = False
    tensors: ClassVar[bool] = False
    takes_shards: ClassVar[bool] = False
    most_layers: ClassVar[int | None] = None
    inits: ClassVar[tuple[str, ...] | None] = None
    dtypes: ClassVar[tuple[str, ...]] = DTYPES

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "estimator" not in vars(cls):
            cls.estimator = f"{cls.__name__}NMF"

    @property
    def takes_missing(self) -> bool:
        """Whether the method can leave out missing entries of the data."""
        return False

    @property
    def takes_sparse(self) -> bool:
        """Whether the method can fit sparse data."""
        return True

    @property
    def regularises(self) -> bool:
        """Whether the method can penalise factors."""
        return False

    @property
    def sign_free(self) -> bool:
        """Whether the factors A may be negative; codes are always nonnegative."""
        return False

    @property
    def rescales(self) -> bool:
        """Whether scale can move from a column of a factor to the next factor without changing the model."""
        return True

    def check(
        self,
        cost: Cost,
        supervision: Supervision,
        n_layers: int,
        regularisation: Regularisation | None = None,
        *,
        normalise: bool = False,
        init: Initialisation | None = None,
        optimizer: Optimizer | None = None,
        fixed: Collection[int] = (),
        dtype: str = DTYPES[0],
    ) -> None:
        """Raise an `InputError` for a cost, labels' loss, penalties, layers or start that the method does not have.

        What the method has not is refused before values that do not fit: to mend these would be in vain.
        """
        self._check_fixed(fixed, normalise=normalise)
        chosen = [("cost", cost.name, self.costs), ("label_loss", supervision.loss, self.losses)]
        chosen += [("dtype", dtype, self.dtypes)]
        chosen += [("init", init.name, self.inits)] if init is not None and self.inits is not None else []
        for name, value, legal in chosen:
            if value not in legal:
                raise InputError(f"method={self.name} has no {name}={value}. Expected {' or '.join(legal)}.")
        if not self.uses_optimizer:
            self._check_unused(supervision, optimizer)
        regularisation = regularisation or Regularisation()
        if self.tensors and optimizer is not None and optimizer.takes_blocks:
            given = f"method={self.name} has no gradient of some of the samples, but optimizer={optimizer.name}"
            raise InputError(f"{given} follows such. Expected optimizer=auto.")
        self._check_levels(supervision.levels, n_layers)
        if self.most_layers is not None and n_layers > self.most_layers:
            ranks = "one rank" if self.most_layers == 1 else f"at most {self.most_layers} ranks"
            raise InputError(f"method={self.name} has no hierarchy: layers has {n_layers} ranks, expected {ranks}.")
        given = f"method={self.name} with these options"
        if regularisation.is_active and not self.regularises:
            raise InputError(f"{given} cannot penalise factors. Expected no penalty.")
        if normalise and not self.rescales:
            raise InputError(f"{given} depends on the scale of its factors. Expected normalise=False.")
        self.check_own(cost, supervision, n_layers, regularisation)
        cost.check(n_layers)
        regularisation.check()

    def check_own(self, cost: Cost, supervision: Supervision, n_layers: int, regularisation: Regularisation) -> None:
        """Refuse further options that a subclass does not have, after those that `check` refuses."""

    def _check_fixed(self, fixed: Collection[int], *, normalise: bool) -> None:
        for layer in fixed:
            if not self.holds(layer):
                raise InputError(
                    f"fixed={[*fixed]} holds the factor of layer {layer}, which method={self.name} with these options "
                    "cannot. Expected fixed=[], or one of: method=hier, method=neural, method=sparse_coding, "
                    "method=semi, method=deep with pooling=none."
                )
        if fixed and normalise:
            raise InputError(
                f"fixed={[*fixed]} and normalise=True contradict each other: one leaves factors as they were given, "
                "the other scales the columns of all. Expected one of them."
            )

    def holds(self, layer: int) -> bool:
        """Whether the factor of a layer can stay as it is at the start."""
        return False

    def _check_unused(self, supervision: Supervision, optimizer: Optimizer | None) -> None:
        """Refuse what only fits by an optimizer could honour."""
        given = f"method={self.name} is fitted by updates of its own, for which"
        if optimizer is not None and optimizer != Automatic():
            raise InputError(
                f"{given} optimizer={optimizer.name} or options of it mean nothing. Expected optimizer=auto without "
                "options, or method=neural."
            )
        if supervision.learn_map:
            raise InputError(f"{given} learn_map=True means nothing. Expected learn_map=False, or method=neural.")

    def _check_levels(self, levels: Any, n_layers: int) -> None:
        if levels not in ("auto", "last") and not self.supervises_layers:
            raise InputError(
                f"method={self.name} learns from labels in its last layer alone, but label_levels={levels}. Expected "
                "label_levels=last, or method=neural."
            )
        if isinstance(levels, list) and len(levels) != n_layers:
            raise InputError(
                f"label_levels={levels} has {len(levels)} entries, expected {n_layers}: a level of labels for every "
                "layer, or None."
            )

    def check_ranks(self, layers: Sequence[int], shape: tuple[int, ...]) -> None:
        """Raise an `InputError` for ranks above what data allow whose matrix, or tensor, has this shape."""
        check_ranks(layers, (math.prod(shape[:-1]), shape[-1]))

    def check_start(self, given: str) -> None:
        """Raise an `InputError` if the method cannot start from factors of its own shapes, which `given` asks for."""
        if self.inits is not None and "saved" not in self.inits:
            raise InputError(
                f"{given} needs a method that starts from given factors, but method={self.name} starts from "
                f"init={' or '.join(self.inits)}. Expected another method."
            )

    def start(
        self, init: Initialisation, X: Any, layers: Sequence[int], rng: np.random.Generator, shape: tuple[int, ...]
    ) -> list[Matrix]:
        """The initial factors of a fit; X has missing entries filled in, and `shape` is that of the problem."""
        return init.start(X, layers, rng)

    def floor_shares(self, X: Any, ranks: Sequence[int], shape: tuple[int, ...]) -> list[float]:
        """The smallest squared relative error of every rank, which no fit of data X of this shape can beat."""
        return tail_shares(X, [min(rank, *X.shape) for rank in ranks])

    def check_data(self, X: Any, mask: Mask | None, cost: Cost | None = None, shape: tuple[int, ...] = ()) -> None:
        """Raise an `InputError` for data that the method cannot fit, given the cost that is to be minimised."""
        if is_sparse(X) and not (self.takes_sparse and (cost is None or cost.takes_sparse)):
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
        """Factor the data of `problem` from the start and by the rule of `plan`."""
        raise NotImplementedError

    def solve(self, problem: Problem, plan: Plan, *, normalise: bool = False) -> Fit:
        """Fit, with label maps for codes as `transform` gives them for new data.

        With `normalise`, the columns of every A are scaled to unit length, see `normalised`.  Where all factors are
        fixed, which leaves nothing that labels could shape, the codes are those of `transform` as well.
        """
        labels, is_fixed = problem.labels, len(plan.fixed) == len(plan.start)
        fit = self.fit(replace(problem, labels=None) if is_fixed and self.bends_codes else problem, plan)
        if is_fixed:
            fit = replace(fit, S=self.transform(fit, problem.X, problem.mask))
        if self.bends_codes and (labels is not None or problem.lower_labels):
            codes = self.transform(fit, problem.X, problem.mask)
            lower = {layer: own.best_map(codes[layer]) for layer, own in problem.lower_labels.items()}
            fit = replace(fit, B=None if labels is None else labels.best_map(codes[-1]), lower_maps=lower)
        return normalised(fit) if normalise else fit

    def transform(self, fit: Fit, X: Any, mask: Mask | None = None) -> list[Matrix]:
        """Codes of every layer, shapes (k_l, n), for data X of shape (m, n)."""
        scales = saved_scales(fit)
        if not scales:
            return self.encode(fit, X, mask)
        codes = self.encode(as_fitted(fit, scales), X, mask)
        return [scale * S for scale, S in zip(scales, codes, strict=True)]

    def encode(self, fit: Fit, X: Any, mask: Mask | None = None) -> list[Matrix]:
        """Codes as `transform` gives them, for a fit that is not `normalised`."""
        return encode_layers(fit, X, mask)

    def decode(self, A: Sequence[Matrix], S: Sequence[Matrix], level: int) -> Matrix:
        """Decode codes of layer `level` to the first layer, shape (k_0, n); ``A_0`` times the result are the data."""
        return chain(list(A[1 : level + 1]), S[level])

    def approximation(self, fit: Fit, S: Sequence[Matrix], level: int) -> Approximation:
        """What the codes of layer `level` stand for in the data, of the codes S of every layer, shapes (k_l, n)."""
        return Product(fit.A[0], self.decode(fit.A, S, level))

    def topics(self, fit: Fit, level: int) -> Matrix:
        """The topics of layer `level` in terms of the features, shape (m, k_l): the data of unit codes."""
        unit = np.eye(fit.A[level].shape[1], dtype=fit.A[0].dtype)
        return fit.A[0] @ self.decode(fit.A, [unit] * (level + 1), level)

    def mode_topics(self, fit: Fit, level: int) -> list[Matrix]:
        """The topics of layer `level` in every mode of a tensor, shapes (d_i, k_l), samples last; none of a matrix."""
        return []

    def n_rows(self, shape: tuple[int, ...]) -> int:
        """Number of rows of the first factor for data of this shape."""
        return math.prod(shape[:-1])

    def n_features(self, fit: Fit) -> int:
        """Number of features, m, of the data of a fit."""
        return len(fit.A[0])

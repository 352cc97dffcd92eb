"""Estimators for Python users, by scikit-learn's conventions: samples are rows here, and only here.

The core keeps samples as columns; `_Factorisation` transposes once on the way in and once on the way out.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nnmf_runner.core.checks import InputError, check_choice, check_nonnegative, check_number
from nnmf_runner.core.costs import COSTS
from nnmf_runner.core.init import INITIALISATIONS
from nnmf_runner.core.monitor import StoppingRule
from nnmf_runner.core.optimizers import OPTIMIZERS
from nnmf_runner.methods import METHODS, Fit, Method, Plan, Problem, Supervision, check_layers
from nnmf_runner.methods.deep import Deep
from nnmf_runner.methods.hier import Hierarchical


class _Factorisation:
    """What the estimators share; parameters are stored as given and checked by `fit`.

    Parameters
    ----------
    layers : sequence of int
        Ranks, from the data up.
    init : {"nndsvd", "random", "greedy"} or object of `nnmf_runner.core.init`
        Initial factors.
    label_weight : float
        Weight of the labels' relative cost against that of the data.
    tol : float
        Relative projected gradient at which a fit has converged.
    max_iter : int
        Iterations after which it ends anyway.
    random_state : int, Generator or None
        For what is random about the start and the fit.

    Attributes
    ----------
    factors_ : list of ndarray of shape (k_{l-1}, k_l)
        ``A_0, ..., A_L``; the first has one row a feature.
    codes_ : list of ndarray of shape (n_samples, k_l)
        Codes of every layer.
    components_ : ndarray of shape (k_L, n_features)
        The last layer's topics in terms of the features.
    label_map_ : ndarray of shape (n_classes, k_L) or None
    classes_ : ndarray of shape (n_classes,)
        Where labels were given.
    n_iter_ : int
    stop_ : str
        Why the fit ended, see `nnmf_runner.core.monitor.Stop`.
    history_ : dict of ndarray
        Relative cost, projected gradient and seconds by iteration.
    """

    _method: ClassVar[str]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name."""
        return {name: getattr(self, name) for name in self._names()}

    def set_params(self, **params: Any) -> _Factorisation:
        """Set parameters by name.

        Raises
        ------
        InputError
            If there is no parameter of that name.
        """
        for name, value in params.items():
            setattr(self, check_choice(name, self._names(), "parameter"), value)
        return self

    @classmethod
    def _names(cls) -> list[str]:
        return list(inspect.signature(cls).parameters)

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.get_params().items())
        return f"{type(self).__name__}({given})"

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> _Factorisation:
        """Factor the data.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            Nonnegative.
        y : array_like of int, shape (n_samples,), optional
            Class index of every sample, -1 where it is unknown.

        Returns
        -------
        self

        Raises
        ------
        InputError
            If X is negative, not finite, not numeric, zero or empty; if y has another length, is not of integers
            or knows fewer than two classes; if a parameter is not acceptable.
        """
        columns = check_nonnegative(X, "X").T  # (n_features, n_samples)
        layers = check_layers(self.layers, columns.shape)
        method, supervision = self._new_method(), Supervision(**self._supervision())
        cost = _chosen(COSTS, getattr(self, "cost", "reconstruction"), "cost")
        method.check(cost, supervision, len(layers))
        vars(self).pop("classes_", None)  # of an earlier fit
        labels = None if y is None else self._labels(y, columns.shape[1], supervision)
        rule = StoppingRule(
            check_number(self.tol, "tol", low=0.0), check_number(self.max_iter, "max_iter", low=0, integer=True)
        )
        rng = self._rng()
        start = _chosen(INITIALISATIONS, self.init, "init").start(columns, layers, rng)
        optimizer = _chosen(OPTIMIZERS, getattr(self, "optimizer", "lbfgs"), "optimizer")
        self._store(method, method.fit(Problem(columns, labels, cost), Plan(start, rule, optimizer, rng)))
        self.n_features_in_ = columns.shape[0]
        return self

    def fit_transform(self, X: ArrayLike, y: ArrayLike | None = None) -> NDArray[Any]:
        """Factor the data and return the codes of the last layer, shape (n_samples, layers[-1])."""
        return self.fit(X, y).codes_[-1]

    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """Codes of the last layer for new data.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, layers[-1])

        Raises
        ------
        InputError
            If the estimator is not fitted, or X is not acceptable or has another number of features.
        """
        if not hasattr(self, "factors_"):
            raise InputError(f"{type(self).__name__} is not fitted. Expected a call of fit(X) before.")
        columns = check_nonnegative(X, "X").T
        if columns.shape[0] != self.n_features_in_:
            raise InputError(f"X has {columns.shape[0]} features, expected {self.n_features_in_} as in fit.")
        return self._fitted_method.transform(self._fit, columns)[-1].T

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Class index of new data, by the label map that was fitted.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of int, shape (n_samples,)

        Raises
        ------
        InputError
            If the estimator was fitted without labels; otherwise as `transform`.
        """
        codes = self.transform(X)
        if self.label_map_ is None:
            raise InputError(f"{type(self).__name__} was fitted without labels. Expected y in fit(X, y) to predict.")
        return self.classes_[np.argmax(codes @ self.label_map_.T, axis=1)]

    def _rng(self) -> np.random.Generator:
        try:
            return np.random.default_rng(self.random_state)
        except (TypeError, ValueError):
            raise InputError(
                f"random_state={self.random_state!r} is not valid. Expected a nonnegative integer, a Generator or None."
            ) from None

    def _new_method(self) -> Method:
        options = {name: value for name, value in self.get_params().items() if name in self._options()}
        return METHODS[self._method](**options)

    def _options(self) -> list[str]:
        return list(inspect.signature(METHODS[self._method]).parameters)

    def _supervision(self) -> dict[str, Any]:
        names = {"label_loss": "loss", "label_weight": "weight", "learn_map": "learn_map"}
        return {option: getattr(self, name) for name, option in names.items() if hasattr(self, name)}

    def _labels(self, y: ArrayLike, n: int, supervision: Supervision) -> Any:
        """Labels for the core; also sets `classes_`."""
        y = np.asarray(y)
        if y.shape != (n,):
            raise InputError(f"y has shape {y.shape}, expected ({n},): one class index a sample.")
        if y.dtype.kind not in "iu":
            raise InputError(f"y is of type {y.dtype}, expected integers: class indices, and -1 where unknown.")
        if y.min() < -1:
            raise InputError(f"y holds {y.min()}, expected class indices from 0, and -1 where unknown.")
        self.classes_ = np.unique(y[y >= 0])
        if len(self.classes_) == 1:
            raise InputError(f"y has one class, {self.classes_[0]}, expected at least two, or y=None.")
        return supervision.labels(np.where(y >= 0, np.searchsorted(self.classes_, y), -1), len(self.classes_))

    def _store(self, method: Method, fit: Fit) -> None:
        self._fitted_method, self._fit = method, fit
        self.factors_ = fit.A
        self.codes_ = [S.T for S in fit.S]
        self.label_map_ = fit.B
        self.components_ = method.topics(fit.A, len(fit.A) - 1).T
        self.history_ = {name: np.asarray(column) for name, column in fit.history.columns().items()}
        self.n_iter_ = len(fit.history) - 1
        self.stop_ = fit.stop.value


def _chosen(registry: dict[str, type], value: Any, name: str) -> Any:
    """An object of a registry, by its name or as it is."""
    if isinstance(value, tuple(registry.values())):
        return value
    return registry[check_choice(value, registry, name)]()


class NeuralNMF(_Factorisation):
    """Neural NMF: all factors together, every code a nonnegative least-squares solution of them.

    Parameters
    ----------
    cost : {"reconstruction", "energy"} or object of `nnmf_runner.core.costs`
    optimizer : {"lbfgs", "spg", "adam", "sgd", "gd"} or object of `nnmf_runner.core.optimizers`
    label_loss : {"squared", "cross_entropy"}
    learn_map : bool
        Whether the label map is a variable, rather than the best one for the codes.
    layers, init, label_weight, tol, max_iter, random_state
        As for every estimator here.

    Attributes
    ----------
    factors_, codes_, components_, label_map_, classes_, n_iter_, stop_, history_
        As for every estimator here: ``factors_`` are ``A_0, ..., A_L`` of shapes (k_{l-1}, k_l), ``codes_`` the
        codes of every layer, (n_samples, k_l), ``components_`` the last topics, (k_L, n_features).

    References
    ----------
    T. Will et al., "Neural nonnegative matrix factorization for hierarchical multilayer topic modeling",
    arXiv:2303.00058.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.kron(np.eye(4), np.ones((5, 3))) + np.kron(np.eye(2), np.ones((10, 6)))
    >>> model = NeuralNMF(layers=(4, 2), random_state=0)
    >>> model.fit_transform(X).shape
    (20, 2)
    """

    _method = "neural"

    def __init__(
        self,
        layers: Sequence[int] = (9, 4, 2),
        *,
        cost: Any = "reconstruction",
        optimizer: Any = "lbfgs",
        init: Any = "nndsvd",
        label_loss: str = Supervision.loss,
        label_weight: float = Supervision.weight,
        learn_map: bool = Supervision.learn_map,
        tol: float = StoppingRule.tol,
        max_iter: int = StoppingRule.max_iter,
        random_state: Any = None,
    ) -> None:
        self.layers = layers
        self.cost = cost
        self.optimizer = optimizer
        self.init = init
        self.label_loss = label_loss
        self.label_weight = label_weight
        self.learn_map = learn_map
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state


class HierarchicalNMF(_Factorisation):
    """Hierarchical NMF: the data, then each layer's codes, are factored in turn.

    Parameters
    ----------
    solver : {"hals", "anls", "mu"}
    layers, init, label_weight, tol, max_iter, random_state
        As for every estimator here, see `NeuralNMF`; labels act on the last layer.

    References
    ----------
    A. Cichocki and R. Zdunek, "Multilayer nonnegative matrix factorisation", Electron. Lett. 42(16), 2006.
    """

    _method = "hier"

    def __init__(
        self,
        layers: Sequence[int] = (9, 4, 2),
        *,
        solver: str = Hierarchical.solver,
        init: Any = "nndsvd",
        label_weight: float = Supervision.weight,
        tol: float = StoppingRule.tol,
        max_iter: int = StoppingRule.max_iter,
        random_state: Any = None,
    ) -> None:
        self.layers = layers
        self.solver = solver
        self.init = init
        self.label_weight = label_weight
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state


class DeepNMF(_Factorisation):
    """Deep NMF: all layers together, by multiplicative updates.

    Parameters
    ----------
    pooling : {"none", "mean", "max"}
    pool_size : int
    activation : {"identity", "power", "log1p"}
    exponent : float
        See `nnmf_runner.methods.deep.Deep`.
    layers, init, label_weight, tol, max_iter, random_state
        As for every estimator here, see `NeuralNMF`.

    References
    ----------
    J. Flenner and B. Hunter, "A deep non-negative matrix factorization neural network", 2018.
    """

    _method = "deep"

    def __init__(
        self,
        layers: Sequence[int] = (9, 4, 2),
        *,
        pooling: str = Deep.pooling,
        pool_size: int = Deep.pool_size,
        activation: str = Deep.activation,
        exponent: float = Deep.exponent,
        init: Any = "nndsvd",
        label_weight: float = Supervision.weight,
        tol: float = StoppingRule.tol,
        max_iter: int = StoppingRule.max_iter,
        random_state: Any = None,
    ) -> None:
        self.layers = layers
        self.pooling = pooling
        self.pool_size = pool_size
        self.activation = activation
        self.exponent = exponent
        self.init = init
        self.label_weight = label_weight
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state

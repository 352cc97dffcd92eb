"""The packages that we compare with, each behind the calls that the rows need.

torch, NeuralNMF, scikit-learn and tensorly are imported only where they are used: all are optional.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from importlib.util import find_spec
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from scipy import optimize

from tests.benchmarks.timing import Times, clock

MISSING = "not installed (make peers)"


def installed(*modules: str) -> bool:
    """Whether all of `modules` can be imported."""
    return all(find_spec(module) is not None for module in modules)


def scipy_loop(A: np.ndarray, X: np.ndarray) -> np.ndarray:
    """``argmin_{S >= 0} ||X - A S||`` by `scipy.optimize.nnls`, column after column."""
    return np.column_stack([optimize.nnls(A, column)[0] for column in X.T])


class Trained(Protocol):
    """What is trained epoch by epoch."""

    def epoch(self) -> float:
        """Train for one epoch; return the error before it."""

    def negative_share(self) -> float:
        """Share of the entries of the factors that are negative."""


@dataclass
class Setting:
    """How the published package is trained.

    Attributes
    ----------
    step : float
        Its learning rate; with labels also that of the label map.
    seed : int
        Of its random factors.
    project : bool
        Whether we clamp negative factors after an epoch.  Its unsupervised training does not.
    label_weight : float
        With labels, the weight of its cross-entropy against its mean squared error.
    """

    step: float
    seed: int = 0
    project: bool = False
    label_weight: float = 0.0


class Published:
    """NeuralNMF 1.0.0, one epoch at a time.

    Parameters
    ----------
    X : ndarray of shape (m, n)
    layers : tuple of int
    setting : Setting
    classes : ndarray of int, shape (n,), optional
        Trains with labels, all of them known.
    """

    def __init__(self, X: np.ndarray, layers: tuple[int, ...], setting: Setting, classes: Any = None) -> None:
        import NeuralNMF
        import torch

        torch.manual_seed(setting.seed)
        self.setting, self.entries, self.norm = setting, X.size, float(np.linalg.norm(X))
        self.net = NeuralNMF.Neural_NMF([len(X), *layers], None if classes is None else int(classes.max()) + 1)
        self._X = torch.from_numpy(X)
        self._labels: dict[str, Any] = {}
        if classes is not None:
            # Given by its name, this loss would have weight zero for the labels.
            loss = NeuralNMF.Recon_Loss_Func(lambd=setting.label_weight)
            known = torch.ones(self.net.c, X.shape[1], dtype=torch.double)
            self._labels = {"label": torch.from_numpy(classes), "L": known, "loss_func": loss}

    def epoch(self) -> float:
        """Train for one epoch; return the relative error before it."""
        import NeuralNMF

        # Called directly: `train` ignores the number of epochs with labels.
        train = NeuralNMF.train_supervised if self._labels else NeuralNMF.train_unsupervised
        step = [self.setting.step, self.setting.step] if self._labels else self.setting.step
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its indexing is deprecated in torch
            history = train(self.net, self._X, epoch=1, lr=step, verbose=False, full_history=True, **self._labels)
        if self.setting.project:
            for layer in self.net.lsqnonneglst:
                layer.A.data.clamp_(min=0)
        loss = float(history.get("loss_nmf" if self._labels else "loss")[0])  # a mean over entries
        return float(np.sqrt(loss * self.entries)) / self.norm

    def negative_share(self) -> float:
        """Share of the entries of its factors that are negative."""
        factors = [layer.A.data.numpy().ravel() for layer in self.net.lsqnonneglst]
        return float((np.concatenate(factors) < 0).mean())


class PublishedHierarchy:
    """Neural NCPD of a tensor, one epoch at a time.

    No package has it.  This is its network of nonnegative least-squares layers of NeuralNMF 1.0.0, which are those of
    its authors' code (github.com/jvendrow/Neural-NCPD), trained as there: Adam on the mean squared errors of all levels
    above a fixed base.  Their history, which keeps every matrix of every epoch, is left out.

    Parameters
    ----------
    X : ndarray of shape (d_1, ..., d_N)
    base : list of ndarray of shape (d_i, k_0)
    ranks : tuple of int
        Of the levels above the base.
    setting : Setting
    plain : bool
        Whether to leave out what makes no difference: the derivatives by the base, and models as sums of outer products
        one by one in place of a single matrix product.
    """

    def __init__(
        self, X: np.ndarray, base: list[np.ndarray], ranks: tuple[int, ...], setting: Setting, *, plain: bool = False
    ) -> None:
        import torch
        from NeuralNMF.lsqnonneg_module import LsqNonneg

        torch.manual_seed(setting.seed)
        self._X, self._model = torch.from_numpy(X), _product if plain else _outer_products
        self._base = [torch.from_numpy(U.copy()).requires_grad_(not plain) for U in base]
        self._nets = [[LsqNonneg(*sizes) for sizes in pairwise((len(U), *ranks))] for U in base]
        self._unit = X.size / float(np.linalg.norm(X)) ** 2
        parameters = [layer.A for net in self._nets for layer in net]
        self._adam = torch.optim.Adam(parameters, lr=setting.step, betas=(0.9, 0.99))

    def epoch(self) -> float:
        """Train for one epoch; return the root of the sum of the squared relative errors before it."""
        import torch

        levels = [self._of_mode(net, U) for net, U in zip(self._nets, self._base, strict=True)]
        loss = torch.zeros((), dtype=torch.double)
        for factors in zip(*levels, strict=True):
            loss = loss + torch.mean((self._model(factors) - self._X) ** 2)
        self._adam.zero_grad()
        loss.backward()
        self._adam.step()
        for net in self._nets:
            for layer in net:
                layer.A.data.clamp_(min=0)
        return float(np.sqrt(loss.item() * self._unit))

    @staticmethod
    def _of_mode(net: list[Any], U: Any) -> list[Any]:
        """The approximations of U by every level."""
        found, S = [], U
        for level, layer in enumerate(net, start=1):
            S = layer(S)
            found.append(reduce(lambda right, left: left.A @ right, reversed(net[:level]), S))
        return found

    def negative_share(self) -> float:
        """None of its factors' entries are negative."""
        return 0.0


def _product(factors: Sequence[Any]) -> Any:
    """A CP model of torch matrices (d_i, k), by one matrix product."""
    first, *others = factors
    right = reduce(lambda A, B: (A[:, None] * B).reshape(-1, B.shape[1]), others)
    return (first @ right.T).reshape([len(F) for F in factors])


def _outer_products(factors: Sequence[Any]) -> Any:
    """A CP model of torch matrices (d_i, k), component after component."""
    import torch

    model = torch.zeros([len(F) for F in factors], dtype=torch.double)
    for columns in zip(*(F.T for F in factors), strict=True):
        model = model + reduce(lambda A, b: A[..., None] * b, columns)
    return model


@dataclass
class Rival:
    """What is timed in turns with the epochs of a training, for a tenth of their time."""

    work: Callable[[], object]
    times: Times = field(default_factory=Times)


@dataclass
class Reach:
    """How far a training came: seconds of every epoch, the last relative error, and the one to arrive at."""

    target: float
    epochs: Times = field(default_factory=Times)
    error: float = np.inf
    negative_share: float = 0.0

    @property
    def reached(self) -> bool:
        return self.error <= self.target

    @property
    def n_epochs(self) -> int:
        return len(self.epochs.seconds)


def train_until(
    published: Trained, target: float, *, seconds: float = np.inf, epochs: float = np.inf, rival: Rival | None = None
) -> Reach:
    """Train until the relative error is at most `target`, or for about `seconds`, or for `epochs`."""
    reach = Reach(target)
    while not reach.reached and reach.epochs.total < seconds and reach.n_epochs < epochs:
        with clock(reach.epochs):
            reach.error = published.epoch()
        if rival and rival.times.total <= reach.epochs.total / 10:
            with clock(rival.times):
                rival.work()
        if not np.isfinite(reach.error):
            break
    reach.negative_share = published.negative_share()
    return reach


def fastest_threads(work: Callable[[], object], rounds: int) -> str:
    """Give torch one thread or, where that does `work` clearly sooner, one a core; return a note that says so."""
    import torch

    if not rounds:
        torch.set_num_threads(1)
        return "torch has 1 thread, not compared with more"
    numbers = sorted({1, os.cpu_count() or 1})
    times = [Times() for _ in numbers]
    for _ in range(rounds):
        for number, measured in zip(numbers, times, strict=True):
            torch.set_num_threads(number)
            with clock(measured):
                work()
    best = len(numbers) - 1 if times[-1].median < 0.95 * times[0].median else 0
    torch.set_num_threads(numbers[best])
    seen = ", ".join(f"{number}: {measured}" for number, measured in zip(numbers, times, strict=True))
    return f"torch has {numbers[best]} thread(s), its faster setting here (with {seen})"

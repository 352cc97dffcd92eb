"""How known labels enter a fit: their loss and its weight, and which layer learns from which level of labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnmf_runner.core.checks import InputError, check_choice, check_flag, check_number
from nnmf_runner.core.label_costs import LABEL_COSTS, Labels
from nnmf_runner.core.linalg import nearest
from nnmf_runner.core.monitor import SMALL_ERROR
from nnmf_runner.methods.fit import Fit

LEVELS = ("auto", "all", "last")
# What the fields of `Supervision` are called as parameters of an estimator, and so in messages.
PARAMETERS = {"loss": "label_loss", "weight": "label_weight", "levels": "label_levels", "learn_map": "learn_map"}
# On planted hierarchies with much noise, two labelled samples per topic of a lower layer made its accuracy worse; from
# four on the tree of topics was found better.
LABELS_PER_TOPIC = 4


@dataclass
class Supervision:
    """How known labels enter the cost.

    Parameters
    ----------
    loss : {"squared", "cross_entropy", "kl"}
        What is minimised between the labels and their prediction from the codes.
    weight : float
        Weight of the cost of the labels, at least 0.  Both costs are relative: that of the labels to predicting
        nothing, that of the data to its floor, see `label_units`.  So the data are weighted by their noise, whatever
        their scale.
    learn_map : bool
        Whether the label map is a variable of the optimizer.  The squared loss does not need it, since its best map
        has a closed form.  Cross-entropy always learns it.
    levels : {"auto", "all", "last"} or list of int or None
        Which layer learns from which level of labels.  With "last", the last layer learns from the level whose number
        of classes is nearest to its rank.  With "all", every layer does; where several choose the same level, the
        nearest of them learns from it, and a single level is for the last layer.  "auto" is "all" for methods that can
        supervise lower layers and "last" for the others.  It leaves out lower layers with fewer than four labelled
        samples per topic, since a map could then predict these labels from any codes.  A list has a level, counted from
        0, or None for every layer.
    """

    loss: str = "squared"
    weight: float = 0.1
    learn_map: bool = False
    levels: Any = "auto"

    def __post_init__(self) -> None:
        check_choice(self.loss, LABEL_COSTS, PARAMETERS["loss"])
        check_number(self.weight, PARAMETERS["weight"], low=0.0)
        check_flag(self.learn_map, PARAMETERS["learn_map"])
        if isinstance(self.levels, str) or not isinstance(self.levels, Sequence):
            check_choice(self.levels, LEVELS, PARAMETERS["levels"])
            return
        self.levels = list(self.levels)
        for i, level in enumerate(self.levels):
            if level is not None:
                check_number(level, f"label_levels[{i}]", low=0, integer=True)
        if all(level is None for level in self.levels):
            raise InputError(f"label_levels={self.levels} supervises no layer. Expected a level for at least one.")

    def assign(
        self,
        layers: Sequence[int],
        classes: Sequence[float],
        supervises_layers: bool,
        last: int | None = None,
        labelled: Sequence[int] | None = None,
    ) -> dict[int, int]:
        """The level of labels that supervises each supervised layer, by layer; an `InputError` if it does not exist.

        Parameters
        ----------
        layers, classes : sequence of int
            Ranks, and the number of classes of every level.
        supervises_layers : bool
            Whether the method can supervise layers below the last one.
        last : int, optional
            The level of the last layer, if it was chosen; the last layer keeps it even if a lower layer is nearer.
        labelled : sequence of int, optional
            Number of labelled samples of every level; by default, enough.
        """
        if isinstance(self.levels, list):
            for i, level in enumerate(self.levels):
                if level is not None and level >= len(classes):
                    raise InputError(
                        f"label_levels[{i}]={level} does not exist. Expected at most {len(classes) - 1}: the "
                        f"data have {len(classes)} levels of labels."
                    )
            return {layer: level for layer, level in enumerate(self.levels) if level is not None}
        end = len(layers) - 1
        own = [nearest(classes, rank) for rank in layers]
        if last is not None:
            own[end] = last
        one_level = sum(np.isfinite(classes)) <= 1  # with known classes
        if self.levels == "last" or one_level or (self.levels == "auto" and not supervises_layers):
            return {end: own[end]}
        learns: dict[int, int] = {}  # the layer of every level
        for layer, level in enumerate(own):
            enough = labelled is None or labelled[level] >= LABELS_PER_TOPIC * layers[layer]
            if self.levels == "auto" and layer < end and not enough:
                continue
            rival = learns.get(level, layer)
            nearer = abs(layers[layer] - classes[level]) <= abs(layers[rival] - classes[level])
            if nearer or (layer == end and last is not None):
                learns[level] = layer
        return {layer: level for level, layer in learns.items()}

    def by_layer(
        self,
        levels: Mapping[int, int],
        indices: Sequence[NDArray[np.intp]],
        counts: Sequence[float],
        layers: Sequence[int],
        shares: Callable[[Sequence[int]], Sequence[float]],
        dtype: str = "float64",
    ) -> dict[int, Labels]:
        """The `Labels` of every supervised layer, by layer, each in the unit of the layer's rank.

        Parameters
        ----------
        levels : mapping of int to int
            From `assign`.
        indices, counts : sequence of ndarray of int, shape (n,), and of int
            Class of every sample, -1 for unlabelled samples, and the number of classes, by level.
        layers : sequence of int
            Ranks.
        shares : callable
            Gives the smallest squared relative error of every rank, see `label_units`.
        dtype : str
            Of the one-hot labels, which the codes are multiplied by.
        """
        known = {layer: level for layer, level in levels.items() if (indices[level] >= 0).any()}
        units = label_units([layers[layer] for layer in known], shares) if known else []
        found = {}
        for (layer, level), unit in zip(known.items(), units, strict=True):
            labels = self.labels(indices[level], int(counts[level]), unit, dtype)
            assert labels is not None  # of a level of which some are known
            # A fit does not depend on classes of which no sample is labelled.
            found[layer] = replace(labels, Y=labels.Y[_labelled_classes(indices[level])])
        return found

    def labels(
        self, classes: NDArray[np.intp], n_classes: int, unit: float = 1.0, dtype: str = "float64"
    ) -> Labels | None:
        """`Labels` for class indices of shape (n,), -1 for unlabelled samples; None if no sample is labelled.

        The weight of the labels is multiplied by `unit`, and they are of type `dtype`.
        """
        known = classes >= 0
        if not known.any():
            return None
        Y = np.zeros((n_classes, len(classes)), dtype)
        Y[classes[known], np.flatnonzero(known)] = 1.0
        learn_map = (self.learn_map or self.loss == "cross_entropy") and self.weight > 0  # else nothing would learn it
        return Labels(LABEL_COSTS[self.loss](), self.weight * unit, Y, known, learn_map)


def _labelled_classes(indices: NDArray[np.intp]) -> NDArray[np.intp]:
    """The classes of which a sample is labelled, from class indices of shape (n,), -1 for unlabelled samples."""
    return np.unique(indices[indices >= 0])


def with_all_classes(
    fit: Fit, levels: Mapping[int, int], indices: Sequence[NDArray[np.intp]], counts: Sequence[float]
) -> Fit:
    """Give the label maps of a fit a row for every class; one of which no sample is labelled is never predicted.

    The other arguments are those of `Supervision.by_layer`.
    """
    maps = {}
    for layer, B in fit.maps.items():
        level = levels[layer]
        maps[layer] = np.tile(B.min(axis=0), (int(counts[level]), 1))  # (c, k), no larger than that of any other class
        maps[layer][_labelled_classes(indices[level])] = B
    return replace(fit, B=maps.pop(len(fit.A) - 1, None), lower_maps=maps)


def label_units(ranks: Sequence[int], shares: Callable[[Sequence[int]], Sequence[float]]) -> list[float]:
    """The smallest squared relative error of every rank that `shares` gives, the floor of the data's cost.

    With the labels of a layer weighted in this unit, both parts of the cost are relative to the smallest residual of
    the data, like two sums of squares in a likelihood whose noise is estimated.  Relative errors below `SMALL_ERROR`
    are replaced by it.  The ranks are those of the supervised layers.
    """
    return [max(share, SMALL_ERROR**2) for share in shares(ranks)]

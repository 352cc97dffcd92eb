"""Handwritten digits of 8 x 8 pixels, which come with scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nnmf_runner.datasets.base import Dataset
from nnmf_runner.datasets.files.reading import required
from nnmf_runner.datasets.pictures import Pictures


@dataclass
class Digits:
    """1797 images of 8 x 8 with values from 0 to 16, labelled with their digit.

    References
    ----------
    E. Alpaydin and C. Kaynak, "Optical recognition of handwritten digits", UCI Machine Learning Repository, 1998.
    """

    name: ClassVar[str] = "digits"
    draws: ClassVar[bool] = False

    def load(self, rng: np.random.Generator) -> Dataset:
        """Read the data, of shape (64, 1797) with one level of ten classes, see `Source.load`."""
        X, digit = required("sklearn.datasets", "images", self.name).load_digits(return_X_y=True)  # (1797, 64)
        return Dataset(self.name, np.ascontiguousarray(X.T), [digit.astype(np.intp)], pictures=Pictures(8, 8))

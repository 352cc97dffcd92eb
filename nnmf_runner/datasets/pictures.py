"""Which of the data are pictures: every sample one of its own, or all samples together the pixels of one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnmf_runner.core.checks import InputError, check_choice, check_number
from nnmf_runner.datasets.files.cells import is_number

ORDERS = ("rows", "columns")
FEATURES, SAMPLES = "features", "samples"


@dataclass(frozen=True)
class Pictures:
    """How pixels that stand in a row are laid out as a picture.

    Attributes
    ----------
    height, width : int
    order : {"rows", "columns"}
        What of a picture follows each other: its rows, or its columns as where MATLAB has flattened it.
    of : {"features", "samples"}
        What the pixels are.  Where they are the features, every sample is a picture and so is every topic.  Where they
        are the samples of one picture, as in a spectral cube, the features are its bands: the codes of a topic are a
        picture, the map of its abundance, and the topic is a spectrum.
    """

    height: int
    width: int
    order: str = ORDERS[0]
    of: str = FEATURES

    def unflatten(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Lay out arrays of shape (..., height * width) as pictures, shape (..., height, width)."""
        if self.order == "rows":
            return pixels.reshape(*pixels.shape[:-1], self.height, self.width)
        return pixels.reshape(*pixels.shape[:-1], self.width, self.height).swapaxes(-2, -1)

    def flatten(self, shown: NDArray[Any]) -> NDArray[Any]:
        """Lay out the pixels of pictures of shape (..., height, width) in rows, shape (..., height * width)."""
        shown = shown if self.order == "rows" else shown.swapaxes(-2, -1)
        return shown.reshape(*shown.shape[:-2], self.height * self.width)


def check_image_options(image_shape: Sequence[int] | None, image_order: str) -> None:
    """Raise an `InputError` unless the options are those of pictures of some data, or none."""
    check_choice(image_order, ORDERS, "dataset.image_order")
    if image_shape is None:
        if image_order != ORDERS[0]:
            raise InputError(f"dataset.image_order={image_order} needs the shape of the pictures, dataset.image_shape.")
        return
    if len(image_shape) not in (2, 3):
        raise InputError(
            f"{_option(image_shape)} is not valid. Expected [height,width], or [bands,height,width] of a cube."
        )
    for i, side in enumerate(image_shape):
        check_number(side, f"dataset.image_shape[{i}]", low=1, integer=True)


def pictures(image_shape: Sequence[int], image_order: str, m: int, n: int) -> Pictures:
    """Pictures of n samples with m features, by options that `check_image_options` accepts.

    Height and width are of samples that are pictures; bands, height and width are of one picture, a spectral cube,
    whose pixels are the samples and whose bands are the features.

    Raises
    ------
    InputError
        If the shape is not that of the data.
    """
    *bands, height, width = image_shape
    if (*bands, height * width) != ((m, n) if bands else (m,)):
        raise InputError(f"{_option(image_shape)} {_misfit(bands, height, width, m, n)}.")
    return Pictures(height, width, image_order, SAMPLES if bands else FEATURES)


def as_samples(values: NDArray[Any], image_shape: Sequence[int], image_order: str) -> NDArray[Any]:
    """Pictures, or the bands of a cube, that stand along the first or last axis, shape (samples, features).

    Raises
    ------
    InputError
        If neither the other axes are height and width, nor the bands as many as the option says.
    """
    *bands, height, width = image_shape
    stack = Pictures(height, width, image_order)
    for stood in (values, np.moveaxis(values, -1, 0)):
        if stood.shape == (*(bands or stood.shape[:1]), height, width):
            return stack.flatten(stood).T if bands else stack.flatten(stood)
    raise InputError(
        f"{_option(image_shape)} does not fit data of shape {values.shape}. Expected it to be part of that."
    )


def _misfit(bands: Sequence[int], height: int, width: int, m: int, n: int) -> str:
    """Say what does not fit, and what might be meant."""
    if bands:
        found = f"is of {bands[0]} bands and {height * width} pixels, but there are {m} features and {n} samples"
        if (bands[0], height * width) == (n, m):
            return f"{found}: dataset.orientation may be wrong. Expected bands as features and pixels as samples"
        if (width, bands[0] * height) == (m, n):
            return f"{found}. Expected the bands first, {_option((m, bands[0], height))}"
        return f"{found}. Expected {m} bands, and a height and width whose product is {n}"
    found = f"is of {height * width} pixels, but a sample has {m} features"
    if height * width == n:
        return (
            f"{found} and there are {n} samples: dataset.orientation may be wrong. If the samples are the pixels of "
            f"one picture, expected {_option((m, height, width))}"
        )
    return f"{found}. Expected a height and width whose product is {m}"


def _option(image_shape: Iterable[int]) -> str:
    """The option as it is typed."""
    return f"dataset.image_shape=[{','.join(map(str, image_shape))}]"


def as_numbers(names: Sequence[str] | None) -> NDArray[np.float64] | None:
    """Names that are numbers, such as wavelengths; None if there is any other, or none at all."""
    if not names or not all(map(is_number, names)):
        return None
    numbers = np.array(names, dtype=np.float64)
    return numbers if np.isfinite(numbers).all() else None

"""The swimmer: images that are sums of parts, every combination of them once."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nnmf_runner.datasets.base import Dataset, Truth
from nnmf_runner.datasets.pictures import Pictures

SIZE = 32  # height and width of an image
REACH = 6  # pixels of a limb
TOP, BOTTOM, LEFT, RIGHT = 12, 19, 14, 16  # rows of shoulders and hips, columns of the joints

# A limb starts beside its joint; its positions are directions in (rows, columns), the torso being in the way of others.
LIMBS = [
    (joint, [(0, side), (-1, side), (1, side), (along, 0)])
    for along, row in ((-1, TOP), (1, BOTTOM))
    for side, joint in ((-1, (row, LEFT)), (1, (row, RIGHT)))
]


@dataclass
class Swimmer:
    """256 images of 32 x 32: a torso of 12 pixels and four limbs of 6, each in one of four positions.

    Pixels are 0 or 1 and no two parts share one, so 17 parts (the torso and 16 limb positions) reproduce the images
    exactly.  All images share the torso, whence it may be divided among the limbs: the rank is 13.

    References
    ----------
    D. Donoho and V. Stodden, "When does non-negative matrix factorization give a correct decomposition into parts?",
    NIPS 16, 2003.
    """

    name: ClassVar[str] = "swimmer"
    draws: ClassVar[bool] = False

    def load(self, rng: np.random.Generator) -> Dataset:
        """Draw the images, whose 17 parts are a truth of one level, see `Source.load`."""
        parts = np.stack([_torso(), *(_limb(joint, way) for joint, ways in LIMBS for way in ways)])
        A = parts.reshape(len(parts), -1).T  # (1024, 17)
        poses = np.array(list(itertools.product(range(4), repeat=len(LIMBS))))  # (256, 4)
        S = np.zeros((len(parts), len(poses)))
        S[0] = 1.0
        for limb, positions in enumerate(poses.T):
            S[1 + 4 * limb + positions, np.arange(len(poses))] = 1.0
        owner = np.where(A.any(axis=1), A.argmax(axis=1), len(parts))  # the last one is the background
        return Dataset(self.name, A @ S, truth=Truth([A], [S], [owner]), pictures=Pictures(SIZE, SIZE))


def _torso() -> NDArray[np.float64]:
    """A line between shoulders and hips, shape (32, 32)."""
    image = np.zeros((SIZE, SIZE))
    image[TOP : BOTTOM + 1, LEFT + 1 : RIGHT] = 1.0
    image[[TOP, TOP, BOTTOM, BOTTOM], [LEFT, RIGHT, LEFT, RIGHT]] = 1.0
    return image


def _limb(joint: tuple[int, int], way: tuple[int, int]) -> NDArray[np.float64]:
    """A limb that leaves a joint in a direction, shape (32, 32)."""
    image = np.zeros((SIZE, SIZE))
    rows, columns = np.array(joint)[:, None] + np.array(way)[:, None] * np.arange(1, REACH + 1)
    image[rows, columns] = 1.0
    return image

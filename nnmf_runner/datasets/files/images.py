"""Pictures of one's own: files in a folder, or in folders of their classes."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nnmf_runner.core.checks import InputError, check_number
from nnmf_runner.datasets.base import SIDES, Dataset, check_entries
from nnmf_runner.datasets.files.contents import ContentError, Contents
from nnmf_runner.datasets.files.guarded import guarded
from nnmf_runner.datasets.files.reading import absolute, class_indices, content_digest, existing, files_below, levels_of
from nnmf_runner.datasets.pictures import Pictures

log = logging.getLogger(__name__)

# What is read, as Pillow calls it, and the suffixes of such files.
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PPM")
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".pbm")
# Modes of Pillow whose values are shades of grey as they stand, of more than eight bits.
DEEP = ("I;16", "I;16B", "I;16L", "I", "F")
EXPECTED = f"a folder of pictures, or of one folder of them per class ({', '.join(SUFFIXES)})"


@dataclass
class Images:
    """Pictures from files, in shades of grey.

    The folders that a file is in are its classes: the innermost is the finest level.  A level on which all pictures are
    of one class is left out.  Files and folders whose names start with a dot are passed over, and so are files of other
    suffixes, of which the log tells.

    Parameters
    ----------
    path : str or None
        The folder; a relative one starts at the working directory.
    size : list of int or None
        Height and width that all pictures are scaled to.  By default all have to be of one size.
    """

    name: ClassVar[str] = "images"
    draws: ClassVar[bool] = False
    path: str | None = None
    size: list[int] | None = field(default=None, metadata=SIDES)

    def __post_init__(self) -> None:
        if self.size is None:
            return
        if len(self.size) != 2:
            raise InputError(f"dataset.size={[*self.size]} is not valid. Expected [height,width], such as [28,28].")
        for i, side in enumerate(self.size):
            check_number(side, f"dataset.size[{i}]", low=1, integer=True)

    @property
    def title(self) -> str:
        """What tables call the data: the name of their folder."""
        return Path(self.path or "").name

    def identity(self) -> dict[str, Any]:
        """Options, with a hash of the files in the place of their path: it matters what they hold, not where."""
        root = self._root()
        return {"size": self.size, "path": content_digest(pictures_below(root), root, self._option)}

    def portable(self) -> dict[str, Any]:
        """Options that load the same data from any working directory."""
        return dataclasses.asdict(self) | {"path": absolute(self.path or "")}

    def load(self, rng: np.random.Generator) -> Dataset:
        """Read the pictures as X of shape (pixels, pictures), see `Source.load`.  They are called as their files."""
        root = self._root()
        files = pictures_below(root)
        if not files:
            raise InputError(f"{self._option} holds no pictures. Expected {EXPECTED}.")
        if others := {*files_below(root)}.difference(files):
            log.info("%s: files left out as no pictures: %d, such as %s", self._option, len(others), min(others))
        names = [str(path.relative_to(root)) for path in files]
        labels, class_names = self._classes(root, files)
        try:
            shades = read_pictures(root).arrays
            height, width = self.size or _common_size(shades)
        except ContentError as error:
            raise InputError(f"{self._option}: {error}.") from None
        check_entries(height * width, len(files), f"{self._option} and dataset.size={[height, width]}")
        X = np.stack([_scaled(shades[name], height, width).ravel() for name in names], axis=1)  # (pixels, pictures)
        return Dataset(
            *(self.name, X, labels),
            class_names=class_names,
            sample_names=names,
            pictures=Pictures(height, width),
        )

    def _classes(self, root: Path, files: list[Path]) -> tuple[list[NDArray[np.intp]], list[list[str]]]:
        """Labels and names of the classes of every level, finest first; none of pictures in one folder."""
        parts = [path.relative_to(root).parent.parts for path in files]
        if not any(parts):
            return [], []
        if not all(parts):
            stray = files[[bool(each) for each in parts].index(False)].name
            raise InputError(f"{self._option} holds pictures outside of class folders, such as {stray}. Expected none.")
        found = [class_indices(level) for level in levels_of(parts)]
        return [labels for labels, _ in found], [names for _, names in found]

    def _root(self) -> Path:
        root = existing(self.path, EXPECTED)
        if not root.is_dir():
            raise InputError(f"{self._option} is a file. Expected {EXPECTED}.")
        return root

    @property
    def _option(self) -> str:
        return f"dataset.path={self.path}"


def pictures_below(root: Path) -> list[Path]:
    """Files with the suffix of a picture, at any depth, in the order of their names."""
    return [path for path in files_below(root) if path.suffix.lower() in SUFFIXES]


def _read_pictures(root: Path) -> Contents:
    """The pictures below a folder by the names of their files, of shape (height, width)."""
    return Contents(
        {str(path.relative_to(root)): _shades(path, path.relative_to(root)) for path in pictures_below(root)}
    )


read_pictures = guarded(_read_pictures)


def _shades(path: Path, name: Path) -> NDArray[Any]:
    """Shades of grey of a picture, shape (height, width)."""
    from PIL import Image  # which runs on other data do without

    try:
        with Image.open(path, formats=FORMATS) as picture:
            if (frames := getattr(picture, "n_frames", 1)) != 1:
                raise ContentError(f"{name} holds {frames} pictures, expected one in a file")
            return np.asarray(picture if picture.mode in DEEP else picture.convert("L"))
    except ContentError:
        raise
    except Exception as error:  # what decoders raise for damaged files is of every kind
        raise ContentError(f"{name} is no picture that can be read ({type(error).__name__}: {error})") from None


def _common_size(shades: Any) -> tuple[int, int]:
    """The size that all pictures have; a ContentError names two that differ."""
    (first, picture), *others = shades.items()
    for name, other in others:
        if other.shape != picture.shape:
            sizes = f"{first} is {_size(picture)} and {name} {_size(other)}"
            raise ContentError(f"{sizes} pixels, expected one size; dataset.size=[height,width] scales them")
    height, width = picture.shape
    return height, width


def _size(picture: NDArray[Any]) -> str:
    return " x ".join(map(str, picture.shape))


def _scaled(shades: NDArray[Any], height: int, width: int) -> NDArray[np.float64]:
    """A picture of another size, by averages that are no shade beyond those that it has."""
    from PIL import Image

    if shades.shape == (height, width):
        return shades.astype(float)
    picture = Image.fromarray(shades.astype(np.float32), mode="F")
    return np.asarray(picture.resize((width, height), Image.Resampling.BOX), dtype=float)

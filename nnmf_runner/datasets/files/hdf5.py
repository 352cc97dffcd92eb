"""HDF5 files that are whole in themselves: what they refer to in other files is not followed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nnmf_runner.datasets.files.contents import ContentError
from nnmf_runner.datasets.files.reading import required


def check_self_contained(path: Path) -> None:
    """Raise a ContentError for links to other files, data stored in other files, and virtual data.

    Of any file that can be read, the contents would be taken for numbers: of one with passwords too.
    """
    h5py = required("h5py", "bio", "file")
    seen: set[Any] = set()
    with h5py.File(path, "r") as file:
        left = [file]
        while left:
            found = left.pop()
            address = h5py.h5o.get_info(found.id).addr
            if address in seen:
                continue
            seen.add(address)
            # Where older files of anndata have the categories of a column.
            references = [value for value in found.attrs.values() if isinstance(value, h5py.Reference) and value]
            left += [file[reference] for reference in references]
            if isinstance(found, h5py.Dataset):
                _check_data(found)
            elif isinstance(found, h5py.Group):
                left += [found[name] for name in found if _is_within(h5py, found, name)]


def _check_data(dataset: Any) -> None:
    """Refuse data that stand in other files."""
    if dataset.external is not None:
        raise ContentError(f"{dataset.name} stores its data in another file, which is not read")
    if dataset.is_virtual:
        raise ContentError(f"{dataset.name} is put together from other files, which are not read")


def _is_within(h5py: Any, group: Any, name: str) -> bool:
    """Whether a name stands for an object itself, rather than for another name in the file, which may be missing."""
    link = group.get(name, getlink=True)
    if isinstance(link, h5py.HardLink):
        return True
    if isinstance(link, h5py.SoftLink):
        return False
    raise ContentError(f"{group.name.rstrip('/')}/{name} is a link to another file, which is not followed")

"""HDF5 files that refer to others are refused before anything is read from these."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy import sparse

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.files.contents import ContentError
from nnmf_runner.datasets.files.hdf5 import check_self_contained
from tests.fixtures.tables import load

h5py = pytest.importorskip("h5py")


def external_link(file, secret):
    file["layers/other"] = h5py.ExternalLink(str(secret), "/x")


def external_storage(file, secret):
    file.create_dataset("layers/other", (6, 4), "u1", external=[(str(secret), 0, 24)])


def virtual_data(file, secret):
    layout = h5py.VirtualLayout((6, 4), "f8")
    layout[:] = h5py.VirtualSource(str(secret), "x", (6, 4))
    file.create_virtual_dataset("layers/other", layout)


def through_a_soft_link(file, secret):
    file["uns/away"] = h5py.ExternalLink(str(secret), "/x")
    file["layers/other"] = h5py.SoftLink("/uns/away")


FOREIGN = {
    external_link: "/layers/other is a link to another file, which is not followed",
    external_storage: "/layers/other stores its data in another file, which is not read",
    virtual_data: "/layers/other is put together from other files, which are not read",
    through_a_soft_link: "/uns/away is a link to another file, which is not followed",
}


@pytest.fixture
def written(tmp_path, values):
    anndata = pytest.importorskip("anndata")
    path = tmp_path / "a.h5ad"
    anndata.AnnData(sparse.csr_matrix(values)).write_h5ad(path)
    return path


@pytest.fixture
def secret(tmp_path):
    """A file that holds an array for HDF5, and bytes for everybody."""
    path = tmp_path / "secret.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.ones((6, 4))
    return path


@pytest.mark.parametrize("refer", FOREIGN)
def test_what_refers_to_other_files_is_refused(written, secret, refer):
    with h5py.File(written, "a") as file:
        refer(file, secret)
    with pytest.raises(ContentError, match=re.escape(FOREIGN[refer])):
        check_self_contained(written)


def test_so_it_is_before_data_are_loaded(written, secret):
    with h5py.File(written, "a") as file:
        external_link(file, secret)
    with pytest.raises(InputError, match=r"a\.h5ad: /layers/other is a link to another file") as caught:
        load(written, x="other")
    assert "\n" not in str(caught.value)


def test_what_only_an_attribute_refers_to_is_looked_at_too(tmp_path, secret):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        hidden = file.create_dataset("group/hidden", (24,), "u1", external=[(str(secret), 0, 24)])
        file.attrs["categories"] = hidden.ref
    content = bytearray(path.read_bytes())
    content[content.rindex(b"SNOD") + 6] = 0  # the number of names in the group
    path.write_bytes(content)
    with h5py.File(path) as file:
        assert [*file["group"]] == []
    with pytest.raises(ContentError, match="stores its data in another file"):
        check_self_contained(path)


def test_links_within_a_file_are_no_matter(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["group/circle"] = file.create_group("group/inner")
        file["group/inner/circle"] = file["group"]
        file["soft"] = h5py.SoftLink("/nowhere")
    check_self_contained(path)

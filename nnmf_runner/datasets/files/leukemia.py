"""Gene expression of leukemias, the set on which NMF came to biology."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.base import Dataset
from nnmf_runner.datasets.files.reading import absolute, class_indices, content_digest, existing_file, required

EXPECTED = "the file esGolub.rda of the R package NMF (apt install r-cran-nmf)"
USUAL = "/usr/lib/R/site-library/NMF/data/esGolub.rda"


@dataclass
class Leukemia:
    """5000 genes of 38 patients: lymphoblastic leukemia of B and T cells, and myeloid leukemia.

    Parameters
    ----------
    path : str
        The file; a relative one starts at the working directory.

    References
    ----------
    T. Golub et al., "Molecular classification of cancer", Science 286, 1999; J.-P. Brunet et al., "Metagenes and
    molecular pattern discovery using matrix factorization", PNAS 101, 2004.
    """

    name: ClassVar[str] = "leukemia"
    draws: ClassVar[bool] = False
    path: str = USUAL

    def load(self, rng: np.random.Generator) -> Dataset:
        """Read the data, see `Source.load`.

        X is of shape (5000, 38); two levels of labels have three classes (B, T, AML) and two (ALL, AML).
        """
        rdata = required("rdata", "bio", self.name)
        path = existing_file(self.path, EXPECTED)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # classes that rdata does not know remain plain attributes
                dataset = _dataset(self.name, rdata.read_rda(path)["esGolub"])
        except Exception as error:  # of whichever kind: the file is not ours, and rdata has many
            reason = f"{type(error).__name__}: {error}".partition("\n")[0]
            raise InputError(f"dataset.path={self.path} cannot be read ({reason}). Expected {EXPECTED}.") from None
        shape, patients = dataset.X.shape, len(dataset.labels[0])
        if shape[1:] != (patients,):
            raise InputError(f"dataset.path={self.path} has expressions of shape {shape} for {patients} patients.")
        return dataset

    def identity(self) -> dict[str, Any]:
        """A hash of the file in the place of its path."""
        path = existing_file(self.path, EXPECTED)
        return {"path": content_digest([path], path, f"dataset.path={self.path}")}

    def portable(self) -> dict[str, Any]:
        """Options that load the same data from any working directory."""
        return {"path": absolute(self.path)}


def _dataset(name: str, found: Any) -> Dataset:
    """Expressions and classes of an R `ExpressionSet` as rdata gives it."""
    environment = found.assayData
    expression = {**environment, **(environment.frame or {})}["exprs"]  # R keeps what is in it in one or the other
    genes = [str(gene) for gene in expression.coords["dim_0"].values]
    types, cells = ([str(each) for each in found.phenoData.data[column]] for column in ("ALL.AML", "Cell"))
    subtypes = [f"{kind}/{cell}" for kind, cell in zip(types, cells, strict=True)]
    X = np.asarray(expression.values, float)
    return Dataset(name, X, [class_indices(level)[0] for level in (subtypes, types)], feature_names=genes)

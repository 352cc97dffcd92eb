"""Datasets: each source loads one `Dataset`."""

from nnmf_runner.datasets.base import Dataset, Source, Truth
from nnmf_runner.datasets.file import File
from nnmf_runner.datasets.toy import Toy

DATASETS: dict[str, type] = {source.name: source for source in (Toy, File)}

__all__ = ["DATASETS", "Dataset", "Source", "Truth"]

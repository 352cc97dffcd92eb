"""Datasets: each source loads one `Dataset`."""

from nnmf_runner.datasets.base import Dataset, Source, Truth
from nnmf_runner.datasets.digits import Digits
from nnmf_runner.datasets.file import File
from nnmf_runner.datasets.leukemia import Leukemia
from nnmf_runner.datasets.mnist import Mnist
from nnmf_runner.datasets.newsgroups import Newsgroups
from nnmf_runner.datasets.planted import Planted
from nnmf_runner.datasets.swimmer import Swimmer
from nnmf_runner.datasets.text import Text
from nnmf_runner.datasets.toy import Toy
from nnmf_runner.datasets.wordnet import Wordnet

DATASETS: dict[str, type] = {
    source.name: source for source in (Toy, Planted, File, Text, Newsgroups, Wordnet, Swimmer, Digits, Mnist, Leukemia)
}

__all__ = ["DATASETS", "Dataset", "Source", "Truth"]

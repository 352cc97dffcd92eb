"""Datasets: each source loads one `Dataset`."""

from nnmf_runner.datasets.base import Dataset, Source, Truth
from nnmf_runner.datasets.files.digits import Digits
from nnmf_runner.datasets.files.file import File
from nnmf_runner.datasets.files.images import Images
from nnmf_runner.datasets.files.leukemia import Leukemia
from nnmf_runner.datasets.files.mnist import Mnist
from nnmf_runner.datasets.files.shards import Sharded
from nnmf_runner.datasets.generated.blocks import Blocks
from nnmf_runner.datasets.generated.planted import Planted
from nnmf_runner.datasets.generated.planted_cp import PlantedCP
from nnmf_runner.datasets.generated.swimmer import Swimmer
from nnmf_runner.datasets.generated.toy import Toy
from nnmf_runner.datasets.text.newsgroups import Newsgroups
from nnmf_runner.datasets.text.text import Text
from nnmf_runner.datasets.text.wordnet import Wordnet

DATASETS: dict[str, type] = {
    source.name: source
    for source in (
        *(Toy, Planted, File, Sharded, Text, Newsgroups, Wordnet, Swimmer, Images, Digits, Mnist),
        *(Leukemia, Blocks, PlantedCP),
    )
}

__all__ = ["DATASETS", "Dataset", "Source", "Truth"]
